//! Hits per slot on a Cilium node: frames to a rig's frontends are counted in the slots that Cilium's flow hash gives,
//! as the core computes it, on every hook.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use etherparse::{PacketBuilder, PacketBuilderStep, ip_number};
use maglev_core::{
    cilium::Node,
    seed::HashSeed,
    table::{LookupTable, Turn},
};
use maglev_probe::{
    cilium,
    observe::{FrontendHits, Hits, Hook, HookChoice, Observer, ObserverTerms, ObserverVerdict, Refusal},
};
use maglev_tests::{Cable, Frontend, NODE, OUTSIDE, Rig, eventually};

const HOOKS: [Hook; 3] = [Hook::NativeXdp, Hook::Tcx, Hook::GenericXdp];

/// The table of backends of those ids at 10.244.0.<id>:8080.
fn table(ids: &[u32], size: u32) -> Vec<u32> {
    let turn =
        |&id: &u32| Turn { owner: id, key: format!("[10.244.0.{id}:8080/TCP,State:active]"), weight: 100 };
    let turns = ids.iter().map(turn).collect();
    LookupTable::fill(turns, size, HashSeed::default().murmur()).unwrap().slots().to_vec()
}

const LOAD_BALANCER: u16 = 0x60;
const NODE_PORT: u16 = 0x42;
const AFFINITY: u16 = 0x10;
const SIZE: u32 = 251;

/// A frontend of every kind.
fn rig() -> Option<Rig> {
    let rig = Rig::new(SIZE)?;
    for id in 1..=3 {
        rig.backend(id, format!("10.244.0.{id}:8080").parse().unwrap(), 6, 0);
    }
    rig.backend(9, "[fd00::9]:8080".parse().unwrap(), 6, 0);
    let all: &[u32] = &[1, 2, 3];
    let service = |id, address, flags, word, usable: &[u32], protocol| {
        let frontend = Frontend { id, address, flags, word, usable, unusable: &[] };
        rig.frontend_of(&frontend, protocol);
    };
    service(5, "192.0.2.10:80", LOAD_BALANCER, 0, all, 6);
    service(6, "192.0.2.10:53", LOAD_BALANCER, 0, all, 17);
    service(7, "0.0.0.0:30080", NODE_PORT, 0, all, 6);
    service(8, "10.0.0.5:30080", NODE_PORT, 0, all, 6);
    service(10, "198.51.100.1:80", 0x41, 0, &[1, 2], 6);
    service(11, "10.0.0.5:8080", 0x48, 0, &[1], 6);
    service(13, "192.0.2.13:80", LOAD_BALANCER | AFFINITY, 10_800, all, 6);
    service(14, "[2001:db8::10]:80", LOAD_BALANCER, 0, &[9], 6);
    service(15, "[2001:db8::13]:53", LOAD_BALANCER | AFFINITY, 10_800, &[9], 17);
    // Of any protocol, as legacy entries are.
    service(16, "192.0.2.16:80", LOAD_BALANCER, 0, all, 0);
    service(20, "192.0.2.20:443", LOAD_BALANCER | 0x0400, u32::from(15_735_u16.to_be()), &[], 6);
    service(21, "192.0.2.21:80", LOAD_BALANCER, 0, &[], 6);
    service(22, "10.96.0.10:80", 0, 0, all, 6);
    for id in [5, 6, 8, 13, 16, 21] {
        rig.table(id, false, &table(all, SIZE));
    }
    rig.table(10, false, &table(&[1, 2], SIZE));
    rig.table(11, false, &[1; SIZE as usize]);
    rig.table(14, true, &[9; SIZE as usize]);
    rig.table(15, true, &[9; SIZE as usize]);
    Some(rig)
}

fn node(rig: &Rig) -> Node {
    Node::of(cilium::read(&rig.folder).unwrap().snapshot)
}

fn terms(hook: HookChoice) -> ObserverTerms {
    ObserverTerms { seed: HashSeed::default(), older_order: false, hook }
}

fn attach(cable: &Cable, terms: &ObserverTerms, node: &Node) -> Observer {
    try_attach(cable, terms, node).unwrap()
}

fn try_attach(
    cable: &Cable,
    terms: &ObserverTerms,
    node: &Node,
) -> Result<Observer, maglev_probe::observe::ObserveError> {
    cable.node.run(|| Observer::attach(&["eth0".to_owned()], terms, node, |_| true)).unwrap()
}

fn hook_of(observer: &Observer) -> Result<Hook, Refusal> {
    observer.placements().next().unwrap().outcome.clone()
}

/// Ethernet and IP, between two addresses of one family.
fn between(client: IpAddr, frontend: IpAddr) -> PacketBuilderStep<etherparse::IpHeaders> {
    let ethernet = PacketBuilder::ethernet2(OUTSIDE, NODE);
    match (client, frontend) {
        (IpAddr::V4(client), IpAddr::V4(frontend)) => ethernet.ipv4(client.octets(), frontend.octets(), 64),
        (IpAddr::V6(client), IpAddr::V6(frontend)) => ethernet.ipv6(client.octets(), frontend.octets(), 64),
        _ => panic!("two families"),
    }
}

/// A segment, which asks for a connection or does not, or a datagram.
fn frame(client: SocketAddr, frontend: SocketAddr, protocol: u8, opens: bool) -> Vec<u8> {
    let ip = between(client.ip(), frontend.ip());
    let mut frame = Vec::new();
    if protocol == ip_number::UDP.0 {
        ip.udp(client.port(), frontend.port()).write(&mut frame, b"datagram").unwrap();
    } else {
        let tcp = ip.tcp(client.port(), frontend.port(), 1, 64_000);
        if opens { tcp.syn() } else { tcp.ack(7) }.write(&mut frame, &[]).unwrap();
    }
    frame
}

/// What is to be counted: packets and connections by slot of each frontend, the hash being the core's.
#[derive(Default)]
struct Expected(BTreeMap<(SocketAddr, u8), (Vec<u64>, Vec<u64>)>);

impl Expected {
    /// Puts a packet of a client onto the cable, and books it.
    fn send(
        &mut self,
        cable: &Cable,
        node: &Node,
        (frontend, protocol): (&str, u8),
        client: SocketAddr,
        opens: bool,
        older: bool,
    ) {
        let address: SocketAddr = frontend.parse().unwrap();
        cable.put(&frame(client, address, protocol, opens));
        self.book(node, (address, protocol), client, opens, older);
    }

    fn book(&mut self, node: &Node, at: (SocketAddr, u8), client: SocketAddr, opens: bool, older: bool) {
        let exact = node.frontends.iter().find(|one| (one.address, one.protocol) == at);
        let any = || node.frontends.iter().find(|one| (one.address, one.protocol) == (at.0, 0));
        let found = exact.or_else(any).unwrap();
        // The packet's own protocol is hashed, also where the frontend is for any.
        let hashed = maglev_core::cilium::Frontend { protocol: at.1, ..found.clone() };
        let size = found.table.as_ref().unwrap().slots.len();
        let slot = hashed.flow_hash(&HashSeed::default(), client, older) as usize % size;
        let counts =
            self.0.entry((found.address, found.protocol)).or_insert_with(|| (vec![0; size], vec![0; size]));
        counts.0[slot] += 1;
        counts.1[slot] += u64::from(opens && at.1 == 6);
    }

    fn packets(&self) -> u64 {
        self.0.values().flat_map(|(hits, _)| hits).sum()
    }

    /// Holds what was counted against what was sent, frontend by frontend.
    fn hold_against(&self, hits: &Hits) {
        for found in &hits.frontends {
            let at = (found.address, found.protocol);
            let nothing = || (vec![0; found.hits.len()], vec![0; found.hits.len()]);
            let (packets, connections) = self.0.get(&at).cloned().unwrap_or_else(nothing);
            assert_eq!(found.hits, packets, "packets of {at:?}");
            assert_eq!(found.connections, connections, "connections of {at:?}");
        }
        for at in self.0.keys() {
            let known = hits.frontends.iter().any(|found| (found.address, found.protocol) == *at);
            assert!(known, "{at:?}");
        }
    }
}

/// Waits until so many packets were counted in slots.
fn counted(observer: &mut Observer, packets: u64) -> Hits {
    let mut hits = Hits::default();
    eventually("the packets are counted", || {
        hits = observer.sample().unwrap();
        hits.of(ObserverVerdict::Counted) >= packets
    });
    assert_eq!(hits.of(ObserverVerdict::Counted), packets, "{:?}", hits.verdicts);
    hits
}

fn of<'a>(hits: &'a Hits, address: &str) -> &'a FrontendHits {
    let address: SocketAddr = address.parse().unwrap();
    hits.frontends.iter().find(|found| found.address == address).unwrap()
}

const SENT_TO: [(&str, u8); 10] = [
    ("192.0.2.10:80", 6),
    ("192.0.2.10:53", 17),
    ("10.0.0.5:30080", 6),
    ("198.51.100.1:80", 6),
    ("10.0.0.5:8080", 6),
    ("192.0.2.13:80", 6),
    ("[2001:db8::10]:80", 6),
    ("[2001:db8::13]:53", 17),
    ("192.0.2.16:80", 6),
    ("192.0.2.16:80", 17),
];

/// A client of the frontend's family.
fn client(frontend: &str, number: u16) -> SocketAddr {
    let port = 1024 + number * 7;
    if frontend.starts_with('[') {
        format!("[2001:db8:ffff::{number:x}]:{port}").parse().unwrap()
    } else {
        format!("203.0.{}.{}:{port}", number / 200, number % 200 + 1).parse().unwrap()
    }
}

#[test]
fn every_kind_of_frontend_is_counted_in_ciliums_slots_on_every_hook_and_in_both_orders() {
    let (Some(rig), Some(cable)) = (rig(), Cable::lay()) else { return };
    let node = node(&rig);
    for (hook, older) in HOOKS.into_iter().flat_map(|hook| [(hook, false), (hook, true)]) {
        let terms = ObserverTerms { older_order: older, ..terms(HookChoice::Only(hook)) };
        let mut observer = attach(&cable, &terms, &node);
        assert_eq!(hook_of(&observer), Ok(hook));
        let mut expected = Expected::default();
        for to in SENT_TO {
            for number in 0..40 {
                expected.send(&cable, &node, to, client(to.0, number), true, older);
                expected.send(&cable, &node, to, client(to.0, number), false, older);
            }
        }
        let hits = counted(&mut observer, expected.packets());
        expected.hold_against(&hits);
        let five = of(&hits, "192.0.2.10:80");
        let (total, backends) = (five.total(), five.backends.values());
        assert_eq!((total.packets, total.new_connections), (80, 40));
        assert!(backends.clone().count() > 1, "{:?}", five.backends);
        let owners = table(&[1, 2, 3], SIZE);
        for (id, backend) in &five.backends {
            let mine = owners.iter().zip(&five.hits).filter(|(owner, _)| *owner == id);
            assert_eq!(backend.packets, mine.map(|(_, hits)| hits).sum::<u64>());
        }
        assert_eq!((five.id, of(&hits, "0.0.0.0:30080").total().packets), (5, 0));
    }
}
