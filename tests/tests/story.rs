//! The whole story in tmux: `maglev_tests::story`.

#[test]
fn the_whole_story_holds_in_tmux() {
    maglev_tests::story::tell(|_, _| {});
}
