//! A Cilium node to try things on, without a cluster: maps as Cilium lays them out, and clients that send to its
//! frontends, in network namespaces. It takes root, and ends with Ctrl-D.
//!
//! `cargo run --package maglev-tests --example cilium_node`

use std::{
    env, fs, io,
    os::fd::{AsFd as _, AsRawFd as _},
    process::ExitCode,
};

use maglev_tests::{Cable, Clients, KIND_SERVICES, kind_node, scale_up};

fn main() -> ExitCode {
    let (Some(rig), Some(cable)) = (kind_node(), Cable::lay()) else { return ExitCode::FAILURE };
    let names = env::temp_dir().join(format!("maglev-cilium-node-{}.json", std::process::id()));
    fs::write(&names, KIND_SERVICES).expect("names are written");
    let frontends = ["172.18.255.200:80", "172.18.0.3:31080", "172.18.0.3:30080", "172.18.255.201:80"];
    let frontends = frontends.map(|frontend| frontend.parse().expect("an address"));
    // The network of the node has no name: it is there as long as this process has it open.
    let node = format!("/proc/{}/fd/{}", std::process::id(), cable.node.as_fd().as_raw_fd());
    let _clients =
        Clients::send(cable.clone(), frontends.to_vec(), "203.0.113.7:40000".parse().expect("an address"));
    println!(
        "nsenter --net={node} maglev-top --interface eth0 --pins {} --run-dir /nonexistent --names {} --seed cUnyPf8gC7rYyRUy",
        rig.folder.display(),
        names.display()
    );
    println!("Enter scales nginx to four pods; Ctrl-D ends it");
    let mut lines = io::stdin().lines();
    if lines.next().is_some() {
        scale_up(&rig);
        println!("nginx has four pods; Ctrl-D ends it");
        lines.for_each(drop);
    }
    // Nothing is lost if it stays.
    let _ = fs::remove_file(&names);
    ExitCode::SUCCESS
}
