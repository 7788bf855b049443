//! The story of the guide, watched live: the monitor in tmux on the node of a kind cluster, with clients from outside. Each
//! step is held against what the screen says; the same run makes the pictures of the guide.

use std::{
    env, fs,
    num::NonZeroU16,
    os::fd::{AsFd as _, AsRawFd as _},
};

use super::{clients::Clients, kind};
use crate::{binary::maglev_top, cable::Cable, tmux::Tmux};

const COLUMNS: NonZeroU16 = NonZeroU16::new(120).unwrap();
const ROWS: NonZeroU16 = NonZeroU16::new(40).unwrap();

/// The client that sends half of the packets, and the slot that it falls into (`maglev-top cilium lookup`).
const HEAVY: (&str, &str) = ("203.0.113.7:40000", "107");

/// Watches it. `picture` is handed the screen where it is worth a picture, and a name for it. False where that cannot be
/// done here, which is said.
///
/// # Panics
///
/// When the screen says something else than it should.
pub fn watch(mut picture: impl FnMut(&str, &vt100::Screen)) -> bool {
    let (Some(rig), Some(cable)) = (kind::kind_node(), Cable::lay()) else { return false };
    let Some(tmux) = Tmux::start(COLUMNS, ROWS) else {
        println!("skipped: tmux is not installed");
        return false;
    };
    let mut take = |name: &str| picture(name, tmux.screen().screen());
    let names = env::temp_dir().join(format!("maglev-watched-{}.json", std::process::id()));
    fs::write(&names, kind::SERVICES).expect("names are written");
    let frontends = ["172.18.255.200:80", "172.18.0.3:31080", "172.18.0.3:30080", "172.18.255.201:80"];
    let frontends = frontends.map(|frontend| frontend.parse().expect("an address"));
    let _clients = Clients::send(cable.clone(), frontends.to_vec(), HEAVY.0.parse().expect("an address"));

    tmux.write(&format!(
        "clear; nsenter --net=/proc/{}/fd/{} {} --theme dark --interface eth0 --pins {} --run-dir /nonexistent --names {} --seed {}",
        std::process::id(),
        cable.node.as_fd().as_raw_fd(),
        maglev_top().display(),
        rig.folder.display(),
        names.display(),
        kind::SEED,
    ));
    tmux.press(&["Enter"]);
    // Which services have a table and which have none, and why; who gets packets.
    tmux.wait_until("every table is right, and its packets are counted", |screen| {
        let counted = |name: &str| {
            let line = screen.lines().find(|line| line.contains(name));
            line.is_some_and(|line| line.contains("present, matches") && !line.contains(" - "))
        };
        screen.contains("PKT/S")
            && ["nginx #5", "nginx #7", "echo #10"].into_iter().all(counted)
            && screen.contains("hits are counted on eth0 (xdp)")
            && screen.contains("this is by design, and Maglev plays no part")
    });
    take("cilium-services");

    // The slots of nginx by how often they are hit, the heavy client's among them.
    tmux.write("/");
    tmux.write("nginx #5");
    tmux.press(&["Enter"]);
    tmux.wait_for("│ default/nginx #5 172.18.255.200:80");
    tmux.write("3");
    tmux.wait_for("all 251 slots");
    tmux.write("cM");
    let hottest = format!("slot {}: owned by 10.244.1.42:80", HEAVY.1);
    tmux.wait_until("the heavy client's slot is the only elephant", |screen| {
        screen.contains("1 elephant slot") && screen.contains(&hottest)
    });
    take("cilium-hits");

    // A fourth pod: the rebuild is an event with what it moved, and the slots show which those are.
    kind::scale_up(&rig);
    tmux.write("4");
    tmux.wait_until("both tables of nginx were built anew", |screen| {
        let rebuilds = screen.lines().filter(|line| line.contains("rebuild"));
        rebuilds
            .filter(|line| line.contains("10.244.2.77:80") && line.contains("66") && line.contains("63"))
            .count()
            == 2
    });
    tmux.write("3");
    tmux.wait_for("by hits");
    tmux.write("cc");
    tmux.wait_for("by owner");
    tmux.write("v");
    tmux.wait_until("66 slots have another owner", |screen| {
        screen.contains("BESIDE before") && screen.contains("66 of 251 slots have another owner")
    });
    take("cilium-rebuild");
    tmux.write("v");

    tmux.write("q");
    tmux.wait_until("it has left", |screen| !screen.contains("maglev-top Cilium"));
    // It is in a folder for what may be lost.
    let _ = fs::remove_file(&names);
    true
}
