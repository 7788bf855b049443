//! The privileges and the mounts that the guide asks for on a node suffice, and no others are needed: the binary runs with
//! those capabilities alone, on pins that are mounted read-only, and finds them where Cilium has them.

use std::{
    num::NonZeroU16,
    path::Path,
    process::{Command, Output},
};

use maglev_tests::{Cable, Rig, Terminal, kind_node, maglev_top};

/// In a mount namespace of its own: makes the folder read-only, sees that it is, and runs the rest with the capabilities
/// that are left.
const CONFINE: &str = r#"
    mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 97
    ! mkdir "$1/written" 2>/dev/null || exit 98
    capabilities=$2
    shift 2
    exec setpriv --bounding-set="$capabilities" --inh-caps=-all "$@"
"#;

/// In namespaces of its own, without an interface: has the folder where Cilium's pins are on a node, and nothing else on the bpffs.
const ON_A_NODE: &str = r#"
    mount -t tmpfs none /mnt && mkdir -p /mnt/tc/globals && mount --bind "$1" /mnt/tc/globals || exit 97
    mount --rbind /mnt /sys/fs/bpf || exit 98
    shift
    exec "$@"
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

#[test]
fn the_monitor_and_the_commands_find_the_maps_where_cilium_has_them() {
    let Some(rig) = kind_node() else { return };
    let folder = rig.folder.to_str().unwrap();
    let on_a_node = |more: &[&str]| -> Vec<String> {
        let start = ["--net", "--mount", "--propagation", "private", "sh", "-c", ON_A_NODE, "node", folder];
        start.iter().chain(&[maglev_top().to_str().unwrap()]).chain(more).map(ToString::to_string).collect()
    };
    let output = Command::new("unshare").args(on_a_node(&["cilium", "services"])).output().unwrap();
    assert!(output.status.success(), "{}", words_of(&output));
    assert!(words_of(&output).contains("172.18.255.200:80/tcp"), "{}", words_of(&output));

    let words = on_a_node(&[]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (columns, rows) = (NonZeroU16::new(120).unwrap(), NonZeroU16::new(40).unwrap());
    let mut monitor = Terminal::start(Path::new("unshare"), &words, columns, rows);
    monitor.wait_for("172.18.255.200:80/tcp");
    monitor.wait_for("absent: l7-redirect, Envoy");
    monitor.press("q");
    assert_eq!(monitor.end(), 0);
}
