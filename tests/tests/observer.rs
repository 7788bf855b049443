//! Hits per slot on a Cilium node: frames to a rig's frontends are counted in the slots that Cilium's flow hash gives,
//! as the core computes it, on every hook.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    net::{IpAddr, SocketAddr},
    process::{Child, ChildStderr, Command, Stdio},
};

use aya::{
    Ebpf,
    programs::{SchedClassifier, TcAttachType, Xdp, XdpMode},
};
use etherparse::{IpNumber, PacketBuilder, PacketBuilderStep, ip_number};
use maglev_core::{
    cilium::Node,
    seed::HashSeed,
    table::{LookupTable, Turn},
};
use maglev_probe::{
    cilium,
    observe::{
        BackendHits, FrontendHits, Hits, Hook, HookChoice, Observer, ObserverTerms, ObserverVerdict, Refusal,
    },
};
use maglev_tests::{Cable, Frontend, NODE, OUTSIDE, Rig, eventually, maglev_top, renamed_observer};
use serde_json::{Value, json};

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

fn vectors(file: &str) -> Value {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

/// A frame of any protocol, of which the ports alone are there.
fn plain_frame(client: SocketAddr, frontend: SocketAddr, protocol: u8) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut payload = [client.port().to_be_bytes(), frontend.port().to_be_bytes()].concat();
    payload.resize(20, 0);
    between(client.ip(), frontend.ip()).write(&mut frame, IpNumber(protocol), &payload).unwrap();
    frame
}

#[test]
fn golden_flows_fall_into_their_golden_slots_in_both_orders() {
    let Some(cable) = Cable::lay() else { return };
    let tables = vectors("cilium-tables.json")["cases"].as_array().unwrap().clone();
    let flows = vectors("cilium-flow-hashes.json")["vectors"].as_array().unwrap().clone();
    let mut met = 0;
    for case in &tables {
        let mine: Vec<&Value> = flows.iter().filter(|flow| flow["case"] == case["name"]).collect();
        if mine.is_empty() {
            continue;
        }
        let Some(rig) = Rig::new(number(&case["table_size"])) else { return };
        let backends = case["backends"].as_array().unwrap();
        let ids: Vec<u32> = backends.iter().map(|backend| number(&backend["id"])).collect();
        for backend in backends {
            let ip: IpAddr = backend["addr"].as_str().unwrap().parse().unwrap();
            rig.backend(number(&backend["id"]), SocketAddr::new(ip, 80), 6, 0);
        }
        let slots: Vec<u32> = case["table"].as_array().unwrap().iter().map(number).collect();
        let seed: HashSeed = case["hash_seed_base64"].as_str().unwrap().parse().unwrap();
        // The frontend's address is not hashed: each flow has one of its own.
        let sent: Vec<(SocketAddr, u8, &Value)> = (1..)
            .zip(&mine)
            .map(|(id, flow)| {
                let v6 = flow["family"] == "v6";
                let host = if v6 { format!("[2001:db8::{id:x}]") } else { format!("192.0.2.{id}") };
                let address = format!("{host}:{}", flow["service_port"]);
                let protocol = u8::try_from(number(&flow["proto"])).unwrap();
                let flags = if flow["session_affinity"] == true { 0x70 } else { 0x60 };
                let frontend =
                    Frontend { id, address: &address, flags, word: 0, usable: &ids, unusable: &[] };
                rig.frontend_of(&frontend, protocol);
                rig.table(id, v6, &slots);
                (address.parse().unwrap(), protocol, *flow)
            })
            .collect();
        for (older, slot) in [(false, "slot"), (true, "slot_pre_pr37005")] {
            let terms = ObserverTerms { seed, older_order: older, hook: HookChoice::Only(Hook::Tcx) };
            let mut observer = attach(&cable, &terms, &node(&rig));
            for (address, protocol, flow) in &sent {
                let ip: IpAddr = flow["client_ip"].as_str().unwrap().parse().unwrap();
                let port = u16::try_from(number(&flow["client_port"])).unwrap();
                cable.put(&plain_frame(SocketAddr::new(ip, port), *address, *protocol));
            }
            let hits = counted(&mut observer, sent.len() as u64);
            for (address, protocol, flow) in &sent {
                let found = hits
                    .frontends
                    .iter()
                    .find(|one| (one.address, one.protocol) == (*address, *protocol))
                    .unwrap();
                let hit: Vec<usize> = (0..slots.len()).filter(|&slot| found.hits[slot] == 1).collect();
                assert_eq!(hit, [number(&flow[slot]) as usize], "{flow}");
                met += 1;
            }
        }
    }
    assert_eq!(met, 2 * flows.len(), "every flow is sent");
}

#[test]
fn tables_and_services_change_while_packets_are_counted_and_none_is_lost() {
    let (Some(rig), Some(cable)) = (rig(), Cable::lay()) else { return };
    let before = node(&rig);
    let mut observer = attach(&cable, &terms(HookChoice::Auto), &before);
    let mut expected = Expected::default();
    let send = |expected: &mut Expected, node: &Node, to, numbers: std::ops::Range<u16>| {
        for number in numbers {
            expected.send(&cable, node, (to, 6), client(to, number), true, false);
        }
    };
    send(&mut expected, &before, "192.0.2.10:80", 0..50);
    send(&mut expected, &before, "192.0.2.13:80", 0..50);
    counted(&mut observer, 100);

    // A rebuild: the slots keep their counts, and what comes then goes to other owners.
    rig.table(5, false, &[2; SIZE as usize]);
    let rebuilt = node(&rig);
    observer.follow(&rebuilt, |_| true).unwrap();
    let old = of(&observer.sample().unwrap(), "192.0.2.10:80").backends.clone();
    send(&mut expected, &rebuilt, "192.0.2.10:80", 50..90);
    let hits = counted(&mut observer, 140);
    expected.hold_against(&hits);
    let now = &of(&hits, "192.0.2.10:80").backends;
    for (id, due) in now {
        let came = if *id == 2 { 40 } else { 0 };
        assert_eq!(due.packets, old.get(id).map_or(0, |old| old.packets) + came, "backend {id}");
    }

    // Another size, of a frontend alone: its slots begin anew, its backends go on, and everybody else's stay.
    let mut larger = node(&rig);
    let five = larger.frontends.iter_mut().find(|one| one.id == 5).unwrap();
    five.table.as_mut().unwrap().slots = table(&[1, 2, 3], 65_521);
    observer.follow(&larger, |_| true).unwrap();
    expected.0.remove(&("192.0.2.10:80".parse().unwrap(), 6));
    send(&mut expected, &larger, "192.0.2.10:80", 0..30);
    send(&mut expected, &larger, "192.0.2.13:80", 50..60);
    let hits = counted(&mut observer, 180);
    expected.hold_against(&hits);
    assert_eq!(of(&hits, "192.0.2.10:80").total().packets, 120);

    // Far larger tables than there is room for: another generation of maps takes over, with all counts.
    for id in [8, 13] {
        let one = larger.frontends.iter_mut().find(|one| one.id == id).unwrap();
        one.table.as_mut().unwrap().slots = table(&[1, 2, 3], 131_071);
    }
    observer.follow(&larger, |_| true).unwrap();
    expected.0.remove(&("192.0.2.13:80".parse().unwrap(), 6));
    send(&mut expected, &larger, "192.0.2.10:80", 30..50);
    send(&mut expected, &larger, "192.0.2.13:80", 0..20);
    let hits = counted(&mut observer, 220);
    expected.hold_against(&hits);
    assert_eq!(of(&hits, "192.0.2.13:80").total(), BackendHits { packets: 80, new_connections: 80 });

    // A frontend goes and another comes, in its room.
    let mut without = larger.clone();
    without.frontends.retain(|one| one.id != 13);
    observer.follow(&without, |_| true).unwrap();
    cable.put(&frame(client("", 1), "192.0.2.13:80".parse().unwrap(), 6, true));
    eventually("the packet for nobody is counted", || {
        observer.sample().unwrap().of(ObserverVerdict::NotAFrontend) > 0
    });
    observer.follow(&larger, |_| true).unwrap();
    let hits = observer.sample().unwrap();
    assert_eq!(
        of(&hits, "192.0.2.13:80").total(),
        BackendHits::default(),
        "whoever is new begins at nothing"
    );
    expected.0.remove(&("192.0.2.13:80".parse().unwrap(), 6));
    send(&mut expected, &larger, "192.0.2.13:80", 7..9);
    expected.hold_against(&counted(&mut observer, 222));
}

#[test]
fn what_has_no_table_or_is_not_judged_is_told_apart() {
    let (Some(rig), Some(cable)) = (rig(), Cable::lay()) else { return };
    let node = node(&rig);
    for hook in HOOKS {
        let mut observer = attach(&cable, &terms(HookChoice::Only(hook)), &node);
        let to = |frontend: &str| {
            let frontend: SocketAddr = frontend.parse().unwrap();
            frame("203.0.113.7:4000".parse().unwrap(), frontend, 6, true)
        };
        let tag = |frame: &[u8], control: u16| {
            [&frame[..12], &[0x81, 0x00], &control.to_be_bytes(), &frame[12..]].concat()
        };
        let fragment = |identification: u8, offset: u8, are_there_more: bool| {
            let mut frame = to("192.0.2.10:80");
            frame[14 + 5] = identification;
            frame[14 + 6] = if are_there_more { 0x20 } else { 0 };
            frame[14 + 7] = offset;
            frame
        };
        let icmp = plain_frame("203.0.113.7:4000".parse().unwrap(), "192.0.2.10:80".parse().unwrap(), 1);
        let sent = [
            (ObserverVerdict::NotAFrontend, to("192.0.2.99:80")),
            (ObserverVerdict::NotAFrontend, to("192.0.2.10:81")),
            // The wildcard's port on an address that has no entry of its own.
            (ObserverVerdict::NotAFrontend, to("10.0.0.6:30080")),
            (ObserverVerdict::NoTable, to("10.96.0.10:80")),
            (ObserverVerdict::Redirected, to("192.0.2.20:443")),
            (ObserverVerdict::NoBackends, to("192.0.2.21:80")),
            (ObserverVerdict::Tagged, tag(&to("192.0.2.10:80"), 7)),
            (ObserverVerdict::Counted, tag(&to("192.0.2.10:80"), 0xe000)),
            (ObserverVerdict::Fragment, fragment(8, 5, false)),
            (ObserverVerdict::Counted, fragment(9, 0, true)),
            (ObserverVerdict::Counted, fragment(9, 5, false)),
            (ObserverVerdict::OtherProtocol, icmp),
        ];
        let mut expected = BTreeMap::new();
        for (verdict, frame) in &sent {
            cable.put(frame);
            *expected.entry(*verdict).or_insert(0_u64) += 1;
        }
        eventually("all of them are counted", || {
            let hits = observer.sample().unwrap();
            expected.iter().all(|(verdict, packets)| hits.of(*verdict) >= *packets)
        });
        let hits = observer.sample().unwrap();
        for (verdict, packets) in expected {
            // The hosts' own chatter on IPv6 is for no frontend, or ICMP.
            if !matches!(verdict, ObserverVerdict::NotAFrontend | ObserverVerdict::OtherProtocol) {
                assert_eq!(hits.of(verdict), packets, "{} by {hook:?}", verdict.word());
            }
        }
    }
}

/// A program that passes, on the XDP hook of the node, under that name.
fn somebody(cable: &Cable, name: &str) -> Ebpf {
    let mut ebpf = renamed_observer("observe_xdp", name);
    let program: &mut Xdp = ebpf.program_mut(name).unwrap().try_into().unwrap();
    program.load().unwrap();
    cable.node.run(|| program.attach("eth0", XdpMode::Driver).map(drop)).unwrap().unwrap();
    ebpf
}

#[test]
fn whoever_has_the_hook_of_xdp_keeps_it_and_behind_cilium_nothing_is_counted() {
    let (Some(rig), Some(cable)) = (rig(), Cable::lay()) else { return };
    let node = node(&rig);
    let mut observer = attach(&cable, &terms(HookChoice::Auto), &node);
    assert_eq!(hook_of(&observer), Ok(Hook::NativeXdp));
    drop(observer);

    let other = somebody(&cable, "someones_xdp");
    observer = attach(&cable, &terms(HookChoice::Auto), &node);
    assert_eq!(hook_of(&observer), Ok(Hook::Tcx));
    let mut expected = Expected::default();
    for number in 0..10 {
        let to = ("192.0.2.10:80", 6);
        expected.send(&cable, &node, to, client(to.0, number), true, false);
    }
    expected.hold_against(&counted(&mut observer, 10));
    let refused = try_attach(&cable, &terms(HookChoice::Only(Hook::GenericXdp)), &node);
    assert!(refused.is_err_and(|error| error.to_string().contains("held by someones_xdp")));
    drop(other);

    // Cilium's comes meanwhile, and is there from the beginning.
    let ciliums = somebody(&cable, "cil_xdp_entry");
    cable.node.run(|| observer.follow(&node, |_| true)).unwrap().unwrap();
    let refusal = Refusal::CiliumHoldsXdp("cil_xdp_entry".to_owned());
    assert_eq!(hook_of(&observer), Err(refusal));
    let refused = try_attach(&cable, &terms(HookChoice::Auto), &node);
    let words = refused.err().unwrap().to_string();
    assert!(words.contains("Cilium holds its XDP hook (cil_xdp_entry"), "{words}");

    // It goes again: a place is taken where there is none, and only there.
    cable.node.run(|| observer.sit_on("eth0")).unwrap().unwrap();
    assert!(hook_of(&observer).is_err());
    drop(ciliums);
    for _ in 0..2 {
        cable.node.run(|| observer.sit_on("eth0")).unwrap().unwrap();
        assert_eq!(hook_of(&observer), Ok(Hook::NativeXdp));
        assert_eq!(on_the_node(&cable), 1);
    }
    expected.send(&cable, &node, ("192.0.2.10:80", 6), client("192.0.2.10:80", 1), true, false);
    expected.hold_against(&counted(&mut observer, 11));
}

fn hits(rig: &Rig, words: &[&str]) -> Command {
    let mut command = Command::new(maglev_top());
    command.args(["cilium", "hits"]).args(words).arg("--pins").arg(&rig.folder);
    command.args(["--run-dir", "/nonexistent", "--seed", "JLfvgnHc2kaSUFaI"]);
    command
}

/// Waits until it says on its standard error that it observes.
fn until_it_observes(child: &mut Child) -> BufReader<ChildStderr> {
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("observing eth0") {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "it has ended");
    }
    reader
}

#[test]
fn the_command_prints_what_was_counted_and_opens_nothing_of_ciliums_for_writing() {
    let (Some(rig), Some(cable)) = (rig(), Cable::lay()) else { return };
    let words = ["--interface", "eth0", "--duration", "3s", "-o", "json", "--hook", "tcx"];
    let ours = hits(&rig, &words);
    let has_strace = Command::new("strace").arg("-V").output().is_ok();
    let trace = std::env::temp_dir().join(format!("maglev-observer-{}.strace", std::process::id()));
    let mut command = if has_strace {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=bpf", "-o"]).arg(&trace).arg(ours.get_program());
        strace.args(ours.get_args());
        strace
    } else {
        println!("strace is not installed: calls are not looked at");
        ours
    };
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = cable.node.run(|| command.spawn()).unwrap().unwrap();
    let _errors = until_it_observes(&mut child);
    let node = node(&rig);
    let mut expected = Expected::default();
    for number in 0..20 {
        let to = ("192.0.2.10:80", 6);
        expected.send(&cable, &node, to, client(to.0, number), true, false);
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["interfaces"], json!([{"name": "eth0", "hook": "tcx", "refusal": null}]));
    let five = told["services"].as_array().unwrap().iter().find(|one| one["id"] == 5).unwrap();
    let (slots, connections) = expected.0.values().next().unwrap();
    assert_eq!(json!([five["slots"], five["slot-new-connections"]]), json!([slots, connections]));
    assert_eq!(json!([five["packets"], five["new-connections"]]), json!([20, 20]));
    let shares = five["backends"].as_array().unwrap().iter().map(|one| number(&one["packets"]));
    assert_eq!((shares.sum::<u32>(), told["verdicts"]["counted"].as_u64()), (20, Some(20)));
    if has_strace {
        let calls = fs::read_to_string(&trace).unwrap();
        fs::remove_file(&trace).unwrap();
        let pins: Vec<&str> = calls.lines().filter(|call| call.contains("BPF_OBJ_GET,")).collect();
        let by_id: Vec<&str> = calls.lines().filter(|call| call.contains("MAP_GET_FD_BY_ID")).collect();
        assert!(pins.len() > 20 && by_id.len() > 20, "{calls}");
        for call in pins.iter().chain(&by_id) {
            assert!(call.contains("BPF_F_RDONLY"), "{call}");
        }
        assert!(!calls.contains("BPF_OBJ_PIN"), "nothing is pinned");
    }

    let mut printed = hits(&rig, &["--interface", "eth0", "--duration", "1500ms", "--service", "5"]);
    printed.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = cable.node.run(|| printed.spawn()).unwrap().unwrap();
    let _errors = until_it_observes(&mut child);
    cable.put(&frame(client("", 1), "192.0.2.10:80".parse().unwrap(), 6, true));
    cable.put(&frame(client("", 1), "192.0.2.13:80".parse().unwrap(), 6, true));
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(text.contains("id 5: 1 packets, 1 new connections") && text.contains("100.00%"), "{text}");
    assert!(text.contains("1 not-watched") && text.contains("   1 s  "), "{text}");
}

#[test]
fn nothing_is_left_when_it_is_killed() {
    let (Some(rig), Some(cable)) = (rig(), Cable::lay()) else { return };
    let pins = || -> Vec<_> {
        let entries = fs::read_dir("/sys/fs/bpf").unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().contains("observ")).collect()
    };
    for hook in ["xdp", "tcx", "xdp-generic"] {
        let mut command = hits(&rig, &["--interface", "eth0", "--duration", "60s", "--hook", hook]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = cable.node.run(|| command.spawn()).unwrap().unwrap();
        let _errors = until_it_observes(&mut child);
        assert_eq!(on_the_node(&cable), 1, "{hook}");
        child.kill().unwrap();
        child.wait().unwrap();
        eventually("the kernel takes the link away", || on_the_node(&cable) == 0);
        assert!(pins().is_empty());
    }
}

/// How many programs are on the node's interface.
fn on_the_node(cable: &Cable) -> usize {
    cable
        .node
        .run(|| {
            let holder = maglev_probe::Interface::by_name("eth0").unwrap().holder;
            let (_, programs) = SchedClassifier::query_tcx("eth0", TcAttachType::Ingress).unwrap();
            programs.len() + usize::from(holder.is_some())
        })
        .unwrap()
}
