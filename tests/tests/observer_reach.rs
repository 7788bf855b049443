//! How far the observer on a Cilium node reaches: the interfaces that it takes by itself, and the services that it has
//! room for.

use std::{net::SocketAddr, slice};

use aya::programs::{
    SchedClassifier, TcAttachType, Xdp, XdpMode,
    tc::{NlOptions, TcAttachOptions, qdisc_add_clsact},
};
use etherparse::PacketBuilder;
use maglev_core::{
    cilium::{Frontend, Node},
    seed::HashSeed,
};
use maglev_lab::{End, Interface, MacAddress, Route};
use maglev_probe::{
    cilium,
    observe::{Chosen, Hits, HookChoice, Observer, ObserverTerms, ObserverVerdict, choose},
};
use maglev_tests::{Cable, NODE, OUTSIDE, Rig, eventually, renamed_observer};

/// Another pair of interfaces between the hosts: the node's end.
fn another(cable: &Cable, name: &str, number: u8) -> Interface {
    let end = |namespace, name, side: u8| End {
        namespace,
        name,
        mac: MacAddress::new([2, 0, 0, 0, number, side]),
        mtu: 1500,
        index: Some(200 + u32::from(number) * 2 + u32::from(side)),
    };
    let peer = format!("to-{name}");
    let (outside, node) =
        Interface::create_pair(&end(&cable.outside, &peer, 0), &end(&cable.node, name, 1)).unwrap();
    outside.set_up().unwrap();
    node.set_up().unwrap();
    node
}

fn chosen(cable: &Cable) -> Vec<(String, &'static str)> {
    let chosen = cable.node.run(choose).unwrap().unwrap();
    chosen.into_iter().map(|Chosen { interface, reason }| (interface, reason)).collect()
}

#[test]
fn interfaces_that_packets_from_outside_come_in_by_are_taken() {
    let Some(cable) = Cable::lay() else { return };
    assert_eq!(chosen(&cable), [], "no way leads anywhere, and Cilium is nowhere");

    let [tcx, xdp, _neither, filter] = [("eth1", 1), ("eth2", 2), ("pod0", 3), ("eth4", 4)]
        .map(|(name, number)| another(&cable, name, number));
    let way = (cable.interface.name().to_owned(), "the default route leads over it");
    cable.interface.add_address("192.168.77.2".parse().unwrap(), 24).unwrap();
    let default = Route::new("0.0.0.0".parse().unwrap(), 0).via("192.168.77.1".parse().unwrap());
    default.add(&cable.node).unwrap();
    assert_eq!(chosen(&cable).as_slice(), slice::from_ref(&way));

    let mut from_outside = renamed_observer("observe_tcx", "cil_from_netdev_eth1");
    let program: &mut SchedClassifier =
        from_outside.program_mut("cil_from_netdev_eth1").unwrap().try_into().unwrap();
    program.load().unwrap();
    cable.node.run(|| program.attach(tcx.name(), TcAttachType::Ingress).map(drop)).unwrap().unwrap();
    let by_tcx = (tcx.name().to_owned(), "Cilium's program for packets from outside is on it");
    assert_eq!(chosen(&cable), [way.clone(), by_tcx.clone()]);

    let mut on_xdp = renamed_observer("observe_xdp", "cil_xdp_entry");
    let program: &mut Xdp = on_xdp.program_mut("cil_xdp_entry").unwrap().try_into().unwrap();
    program.load().unwrap();
    cable.node.run(|| program.attach(xdp.name(), XdpMode::Driver).map(drop)).unwrap().unwrap();
    let by_xdp = (xdp.name().to_owned(), "Cilium's XDP program is on it");
    assert_eq!(chosen(&cable), [way.clone(), by_tcx.clone(), by_xdp.clone()]);

    default.remove(&cable.node).unwrap();
    assert_eq!(chosen(&cable), [by_tcx.clone(), by_xdp.clone()]);

    let mut by_filter = renamed_observer("observe_tcx", "cil_from_netdev");
    let program: &mut SchedClassifier = by_filter.program_mut("cil_from_netdev").unwrap().try_into().unwrap();
    program.load().unwrap();
    let attach = || {
        qdisc_add_clsact(filter.name()).unwrap();
        let options = TcAttachOptions::Netlink(NlOptions::default());
        program.attach_with_options(filter.name(), TcAttachType::Ingress, options).map(drop)
    };
    cable.node.run(attach).unwrap().unwrap();
    let by_filter = (filter.name().to_owned(), by_tcx.1);
    assert_eq!(chosen(&cable), [by_tcx, by_xdp, by_filter]);
}

/// As many of the largest tables as the memory that counters may take has room for.
const MOST: usize = 128;
const LARGEST: usize = 131_071;

fn frontend(like: &Frontend, number: usize) -> Frontend {
    let id = u16::try_from(1_000 + number).unwrap();
    let mut frontend = Frontend { id, address: SocketAddr::from(([192, 0, 2, 10], id)), ..like.clone() };
    frontend.table.as_mut().unwrap().slots = vec![1; LARGEST];
    frontend
}

#[test]
fn services_beyond_the_memory_are_told_apart_and_get_room_when_others_go() {
    let (Some(rig), Some(cable)) = (Rig::new(251), Cable::lay()) else { return };
    rig.backend(1, "10.244.0.1:8080".parse().unwrap(), 6, 0);
    rig.frontend_of(
        &maglev_tests::Frontend {
            id: 5,
            address: "192.0.2.10:80",
            flags: 0x60,
            word: 0,
            usable: &[1],
            unusable: &[],
        },
        6,
    );
    rig.table(5, false, &[1; 251]);
    let mut node = Node::of(cilium::read(&rig.folder).unwrap().snapshot);
    let small = node.frontends.pop().unwrap();
    node.frontends = (0..=MOST).map(|number| frontend(&small, number)).collect();

    let terms = ObserverTerms { seed: HashSeed::default(), older_order: false, hook: HookChoice::default() };
    let interfaces = [cable.interface.name().to_owned()];
    let attached = cable.node.run(|| Observer::attach(&interfaces, &terms, &node, |_| true)).unwrap();
    let mut observer = attached.unwrap();
    let without = |hits: &Hits| -> Vec<u16> {
        hits.frontends.iter().filter(|one| !one.is_counted).map(|one| one.id).collect()
    };
    let last = node.frontends[MOST].id;
    assert_eq!(without(&observer.sample().unwrap()), [last]);

    let send = |frontend: &Frontend| {
        let SocketAddr::V4(to) = frontend.address else { unreachable!("it is one of IPv4") };
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(OUTSIDE, NODE)
            .ipv4([203, 0, 113, 7], to.ip().octets(), 64)
            .tcp(4_000, to.port(), 1, 64_000)
            .write(&mut frame, &[])
            .unwrap();
        cable.put(&frame);
    };
    let total = |hits: &Hits, id: u16| {
        hits.frontends.iter().find(|one| one.id == id).map_or(0, |one| one.hits.iter().sum::<u64>())
    };
    send(&node.frontends[0]);
    send(&node.frontends[MOST]);
    eventually("both packets are met", || {
        let hits = observer.sample().unwrap();
        hits.of(ObserverVerdict::Counted) == 1 && hits.of(ObserverVerdict::NotWatched) == 1
    });
    let hits = observer.sample().unwrap();
    assert_eq!([total(&hits, node.frontends[0].id), total(&hits, last)], [1, 0]);

    // One goes: the other has its room.
    node.frontends.remove(1);
    cable.node.run(|| observer.follow(&node, |_| true)).unwrap().unwrap();
    assert_eq!(without(&observer.sample().unwrap()), Vec::<u16>::new());
    send(&node.frontends[MOST - 1]);
    eventually("the packet is met", || total(&observer.sample().unwrap(), last) == 1);
    assert_eq!(total(&observer.sample().unwrap(), node.frontends[0].id), 1, "whoever stays keeps its counts");
}
