//! The whole stories in tmux: `maglev_tests::story`, and that of a Cilium node.

#[test]
fn the_whole_story_holds_in_tmux() {
    maglev_tests::story::tell(|_, _| {});
}

#[test]
fn the_story_of_a_cilium_node_is_watched_in_tmux() {
    maglev_tests::watch_kind_node(|_, _| {});
}
