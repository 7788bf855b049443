//! The monitor on a Cilium node counts hits per slot: real packets in a network namespace, and what the screen says of
//! them; what it does where it cannot, and that nothing is left of it.

use std::{
    fs,
    num::NonZeroU16,
    path::{Path, PathBuf},
    process::Command,
};

use aya::{
    Ebpf,
    programs::{SchedClassifier, TcAttachType, Xdp, XdpMode},
};
use maglev_tests::{
    Cable, Clients, Frontend, KIND_SERVICES, Rig, Terminal, eventually, kind_node, maglev_top,
    renamed_observer, scale_up,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

const COLUMNS: NonZeroU16 = NonZeroU16::new(130).unwrap();
const ROWS: NonZeroU16 = NonZeroU16::new(40).unwrap();
const SEED: &str = "cUnyPf8gC7rYyRUy";
const NGINX: &str = "172.18.255.200:80";
const HEAVY: &str = "203.0.113.7:40000";

/// A node, the cable to it, and a file with its services' names.
struct Node {
    rig: Rig,
    cable: Cable,
    names: PathBuf,
}

impl Node {
    fn new(test: &str) -> Option<Self> {
        let (rig, cable) = (kind_node()?, Cable::lay()?);
        let names = std::env::temp_dir().join(format!("maglev-live-{}-{test}.json", std::process::id()));
        fs::write(&names, KIND_SERVICES).unwrap();
        Some(Self { rig, cable, names })
    }

    /// Opens the monitor on it, with the seed and those words.
    fn open(&self, words: &[&str]) -> Terminal {
        let (pins, names) = (self.rig.folder.to_str().unwrap(), self.names.to_str().unwrap());
        let place = ["--pins", pins, "--names", names, "--run-dir", "/nonexistent", "--interface", "eth0"];
        let look = ["--interval", "300ms"];
        let words = [&place[..], &look, words].concat();
        self.cable.node.run(|| Terminal::start(maglev_top(), &words, COLUMNS, ROWS)).unwrap()
    }

    fn send(&self, frontends: &[&str]) -> Clients {
        let frontends = frontends.iter().map(|frontend| frontend.parse().unwrap()).collect();
        Clients::send(self.cable.clone(), frontends, HEAVY.parse().unwrap())
    }

    /// The programs on its interface, by their number: on the hook of XDP, and at the ingress of traffic control.
    fn programs(&self) -> (Option<String>, usize) {
        self.cable
            .node
            .run(|| {
                let holder = maglev_probe::Interface::by_name("eth0").unwrap().holder;
                let (_, tcx) = SchedClassifier::query_tcx("eth0", TcAttachType::Ingress).unwrap();
                (holder.map(|holder| holder.name), tcx.len())
            })
            .unwrap()
    }

    /// The slot of the heavy client in the table of nginx, and its owner, as another command has them.
    fn heavy_slot(&self) -> (u64, String) {
        let output = Command::new(maglev_top())
            .args(["cilium", "lookup", "--service", NGINX, "--flow", HEAVY, "--seed", SEED, "-o", "json"])
            .arg("--pins")
            .arg(&self.rig.folder)
            .args(["--run-dir", "/nonexistent"])
            .output()
            .unwrap();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        (found["slot"].as_u64().unwrap(), found["address"].as_str().unwrap().to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It is in a folder for what may be lost.
        let _ = fs::remove_file(&self.names);
    }
}

fn end(mut monitor: Terminal) {
    monitor.press("q");
    assert_eq!(monitor.end(), 0);
}

/// What stands before ` pkt/s` in the first line.
fn packets_a_second(screen: &str) -> Option<f64> {
    let before = screen.lines().next()?.split_once(" pkt/s")?.0;
    before.rsplit(' ').next()?.parse().ok()
}

/// Goes to nginx among the services, by its name.
fn go_to_nginx(monitor: &mut Terminal) {
    monitor.press("/");
    monitor.press("nginx #5\r");
    monitor.wait_until("one service is listed", |screen| screen.contains("nginx #5 172.18.255.200:80"));
}

#[test]
fn hits_are_shown_in_the_slots_that_ciliums_hash_gives() {
    let Some(node) = Node::new("hits") else { return };
    let (slot, owner) = node.heavy_slot();
    let _clients = node.send(&[NGINX, "172.18.255.201:80"]);
    let mut monitor = node.open(&["--seed", SEED]);
    monitor.wait_for("hits are counted on eth0 (xdp)");
    assert_eq!(node.programs(), (Some("observe_xdp".to_owned()), 0));
    monitor.wait_until("packets of nginx", |screen| {
        let nginx = screen.lines().find(|line| line.contains("nginx #5"));
        // In all as many as the clients send, and none of them is not counted.
        packets_a_second(screen).is_some_and(|rate| rate > 100.0)
            && nginx.is_some_and(|line| line.contains("present, matches") && !line.contains(" - "))
    });
    let gateway = monitor.text();
    let gateway = gateway.lines().find(|line| line.contains("http #12")).unwrap();
    assert!(gateway.contains(" - "), "of what is not counted nothing is shown: {gateway}");

    go_to_nginx(&mut monitor);
    monitor.press("\r");
    monitor.wait_until("new connections of every backend", |screen| {
        // Their share of the slots, and of the new connections.
        let backends = screen.lines().filter(|line| line.contains('■') && line.matches('%').count() == 2);
        backends.count() == 3
    });
    monitor.press("H");
    monitor.wait_until("the heavy client's slot is the hottest, and the only elephant", |screen| {
        let mut rows = screen.lines().filter(|line| line.contains('■'));
        let hottest = rows.next().unwrap_or_default();
        hottest.contains(&format!(" {slot} "))
            && hottest.contains(&owner)
            && hottest.contains("ELEPHANT")
            && rows.clone().count() > 10
            && !rows.any(|row| row.contains("ELEPHANT"))
    });
    monitor.press("\r");
    monitor.wait_until("the slot is told of", |screen| {
        screen.contains(&format!("slot {slot}: owned by {owner}")) && screen.contains("hits,")
    });
    monitor.press("c");
    monitor.wait_until("the heatmap is by hits", |screen| {
        screen.contains("by hits") && screen.contains("1 elephant slot") && screen.contains("hits/s and up")
    });
    end(monitor);
    assert_eq!(node.programs(), (None, 0));
}

#[test]
fn a_table_that_is_built_anew_is_no_spike() {
    let Some(node) = Node::new("rebuild") else { return };
    let _clients = node.send(&[NGINX]);
    let mut monitor = node.open(&["--seed", SEED, "--hook", "tcx"]);
    monitor.wait_until("packets come", |screen| packets_a_second(screen).is_some_and(|rate| rate > 100.0));
    assert_eq!(node.programs(), (None, 1));
    let before = packets_a_second(&monitor.text()).unwrap();
    scale_up(&node.rig);
    let mut most = 0.0_f64;
    go_to_nginx(&mut monitor);
    monitor.press("\r");
    monitor.wait_until("the fourth pod gets packets", |screen| {
        most = most.max(packets_a_second(screen).unwrap_or_default());
        screen.lines().any(|line| line.contains("10.244.2.77:80 active") && line.matches('%').count() == 2)
    });
    assert!(most < 2.0 * before, "{before} packets a second, and then {most}");
    end(monitor);
}

#[test]
fn a_service_that_has_lost_its_backends_for_a_while_is_no_spike() {
    let Some(node) = Node::new("stale") else { return };
    let _clients = node.send(&[NGINX, "172.18.0.3:30080"]);
    let mut monitor = node.open(&["--seed", SEED]);
    monitor.wait_until("packets come", |screen| packets_a_second(screen).is_some_and(|rate| rate > 200.0));
    // What is counted by now must not come as if in one look.
    monitor.watch(std::time::Duration::from_secs(3));
    let before = packets_a_second(&monitor.text()).unwrap();
    let nginx = |usable| Frontend { id: 5, address: NGINX, flags: 0x60, word: 0, usable, unusable: &[] };
    node.rig.frontend(&nginx(&[]));
    monitor.wait_for("stale: no-backends");
    monitor.wait_until("its packets are not counted any more", |screen| {
        packets_a_second(screen).is_some_and(|rate| rate < 0.7 * before)
    });
    node.rig.frontend(&nginx(&[1, 2, 3]));
    let mut most = 0.0_f64;
    monitor.wait_until("its packets are counted again", |screen| {
        most = most.max(packets_a_second(screen).unwrap_or_default());
        most > 0.8 * before
    });
    for _ in 0..5 {
        monitor.watch(std::time::Duration::from_millis(300));
        most = most.max(packets_a_second(&monitor.text()).unwrap_or_default());
    }
    assert!(most < 1.6 * before, "{before} packets a second, and then {most}");
    end(monitor);
}

#[test]
fn it_says_why_nothing_is_counted() {
    let Some(node) = Node::new("why") else { return };
    let mut monitor = node.open(&["--seed", SEED, "--no-observer"]);
    monitor.wait_for("hits are not counted: --no-observer");
    // Two looks later, too.
    monitor.watch(std::time::Duration::from_millis(900));
    assert_eq!(node.programs(), (None, 0));
    go_to_nginx(&mut monitor);
    monitor.press("3c");
    monitor.wait_for("hits are not counted");
    end(monitor);

    let mut monitor = node.open(&[]);
    monitor.wait_for("hits are not counted: the seed is not known: give --seed");
    end(monitor);

    let words = ["--interface", "eth7", "--pins", node.rig.folder.to_str().unwrap()];
    let refused = node.cable.node.run(|| Command::new(maglev_top()).args(words).output()).unwrap().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && error.contains("there is no interface eth7"), "{error}");
}

/// A program that passes, on the hook of XDP, under that name.
fn on_xdp(node: &Node, name: &str) -> Ebpf {
    let mut ebpf = renamed_observer("observe_xdp", name);
    let program: &mut Xdp = ebpf.program_mut(name).unwrap().try_into().unwrap();
    program.load().unwrap();
    node.cable.node.run(|| program.attach("eth0", XdpMode::Driver).map(drop)).unwrap().unwrap();
    ebpf
}

#[test]
fn behind_ciliums_xdp_nothing_is_counted_and_its_program_stays() {
    let Some(node) = Node::new("acceleration") else { return };
    let _clients = node.send(&[NGINX]);
    let mut monitor = node.open(&["--seed", SEED]);
    monitor.wait_for("hits are counted on eth0 (xdp)");
    end(monitor);

    let ciliums = on_xdp(&node, "cil_xdp_entry");
    let mut monitor = node.open(&["--seed", SEED]);
    monitor.wait_for("eth0: Cilium holds its XDP hook (cil_xdp_entry");
    assert_eq!(node.programs(), (Some("cil_xdp_entry".to_owned()), 0));
    end(monitor);
    drop(ciliums);

    // It comes while one looks.
    let mut monitor = node.open(&["--seed", SEED, "--hook", "tcx"]);
    monitor.wait_until("packets come", |screen| packets_a_second(screen).is_some_and(|rate| rate > 100.0));
    let _ciliums = on_xdp(&node, "cil_xdp_entry");
    monitor.wait_for("hits are not counted: not on eth0: Cilium holds its XDP hook");
    monitor.wait_until("no rate is shown", |screen| packets_a_second(screen).is_none());
    assert_eq!(node.programs(), (Some("cil_xdp_entry".to_owned()), 0));
    end(monitor);
    assert_eq!(node.programs(), (Some("cil_xdp_entry".to_owned()), 0));
}

#[test]
fn nothing_is_left_however_it_ends() {
    let Some(node) = Node::new("ends") else { return };
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGKILL] {
        for (hook, programs) in [("xdp", (Some("observe_xdp".to_owned()), 0)), ("tcx", (None, 1))] {
            let mut monitor = node.open(&["--seed", SEED, "--hook", hook]);
            monitor.wait_for(&format!("hits are counted on eth0 ({hook})"));
            assert_eq!(node.programs(), programs);
            let process = Pid::from_raw(monitor.process().unwrap().cast_signed());
            kill(process, signal).unwrap();
            eventually(&format!("nothing is left after {signal:?}"), || node.programs() == (None, 0));
        }
    }
    let pins = fs::read_dir(Path::new("/sys/fs/bpf")).unwrap();
    let names: Vec<_> = pins.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("observ")), "{names:?}");
}

#[test]
fn one_goes_back_in_time_to_before_a_rebuild_and_compares() {
    let Some(node) = Node::new("time") else { return };
    let _clients = node.send(&[NGINX]);
    let mut monitor = node.open(&["--seed", SEED]);
    monitor.wait_until("packets come", |screen| packets_a_second(screen).is_some_and(|rate| rate > 100.0));
    go_to_nginx(&mut monitor);
    monitor.press("\r");
    monitor.wait_for("10.244.2.9:80");
    monitor.press("m");
    monitor.watch(std::time::Duration::from_secs(1));
    scale_up(&node.rig);
    monitor.wait_for("10.244.2.77:80");
    // The mark of the rebuild is the latest one; the one before is that which was set by hand.
    monitor.press("\x06");
    monitor.wait_for("FROZEN");
    monitor.press("((");
    monitor.wait_until("the moment of the mark is shown, before the fourth pod", |screen| {
        screen.contains("FROZEN") && !screen.contains("10.244.2.77:80")
    });
    monitor.press("\x06");
    monitor.wait_until("now is shown again", |screen| {
        !screen.contains("FROZEN") && screen.contains("10.244.2.77:80")
    });
    monitor.press("v");
    monitor.wait_until("what has changed since is told", |screen| {
        screen.lines().any(|line| line.contains("10.244.2.77:80") && line.contains("+63"))
    });
    end(monitor);
}
