//! The privileges and the mounts that the guide asks for on a node suffice, and no others are needed: the binary runs with
//! those capabilities alone, on pins that are mounted read-only.

use std::process::{Command, Output};

use maglev_tests::{Cable, Rig, kind_node, maglev_top};

/// In a mount namespace of its own: makes the folder read-only, sees that it is, and runs the rest with the capabilities
/// that are left.
const CONFINE: &str = r#"
    mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 97
    ! mkdir "$1/written" 2>/dev/null || exit 98
    capabilities=$2
    shift 2
    exec setpriv --bounding-set="$capabilities" --inh-caps=-all "$@"
"#;

/// What a pod has with all capabilities dropped and these added.
fn confined(rig: &Rig, capabilities: &str, words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", CONFINE, "confine"]);
    command.arg(&rig.folder).arg(capabilities).arg(maglev_top()).arg("cilium").args(words);
    command.arg("--pins").arg(&rig.folder).args(["--run-dir", "/nonexistent"]);
    command
}

fn words_of(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn reading_takes_one_capability_and_nothing_writable() {
    let Some(rig) = kind_node() else { return };
    for words in
        [&["maps"][..], &["services"], &["tables"], &["explain"], &["verify", "--seed", "cUnyPf8gC7rYyRUy"]]
    {
        let output = confined(&rig, "-all,+sys_admin", words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", words_of(&output));
    }
    let output = confined(&rig, "-all", &["services"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", words_of(&output));
    assert!(words_of(&output).contains("root"), "it says what to do: {}", words_of(&output));
}

#[test]
fn counting_takes_no_other_but_the_nodes_network() {
    let (Some(rig), Some(cable)) = (kind_node(), Cable::lay()) else { return };
    let words = ["hits", "--seed", "cUnyPf8gC7rYyRUy", "--interface", "eth0", "--duration", "1s"];
    let run = |capabilities| {
        let mut command = confined(&rig, capabilities, &words);
        cable.node.run(|| command.output()).unwrap().unwrap()
    };
    let output = run("-all,+sys_admin");
    assert!(output.status.success(), "{}", words_of(&output));
    assert!(words_of(&output).contains("observing eth0"), "{}", words_of(&output));
    let output = run("-all");
    assert_eq!(output.status.code(), Some(1), "{}", words_of(&output));
    assert!(words_of(&output).contains("root"), "it says what to do: {}", words_of(&output));
}
