//! The observer's two programs, run in the kernel on frames of every kind: what is counted, and that every frame comes out
//! as it went in.

use std::{env, error::Error, fs, io, path::PathBuf};

use aya::{
    Ebpf,
    maps::{Array, HashMap, PerCpuArray},
    programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp},
};
use etherparse::{IpNumber, PacketBuilder};
use maglev_core::flow::{hash_v4, hash_v6};
use maglev_probe_abi::{
    FrontendRecord, ObserverSettings, ObserverVerdict, ROW_WORDS, ServiceKey, observer_map as map, program,
};

const HERE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THERE: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CLIENT: [u8; 4] = [198, 51, 100, 7];
const FRONTEND: [u8; 4] = [192, 0, 2, 10];
const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const FRONTEND_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const PORT: u16 = 80;
const CLIENT_PORT: u16 = 40_000;
const SEED_V4: u32 = 0x71dc_da46;
const SEED_V6: u32 = 0x9250_5688;

/// Fewer slots than a row has.
const SIZE: u32 = 251;

/// `TCX_NEXT` as it comes back.
const TCX_NEXT: u32 = u32::MAX;
const XDP_PASS: u32 = 2;

/// The programs with a frontend of each family: their slots in the first row, and the second.
struct Observing(Ebpf);

impl Observing {
    /// Loads them; `None`, and words, where that takes another user.
    fn load() -> Option<Self> {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/object/maglev.bpf.o");
        let path = env::var_os("MAGLEV_EBPF_OBJECT").map_or_else(|| kept.into(), PathBuf::from);
        let object = fs::read(path.with_file_name("observer.bpf.o")).unwrap();
        let rows = 2 * u32::try_from(aya::util::nr_cpus().unwrap()).unwrap();
        let loaded = aya::EbpfLoader::new()
            .map_max_entries(map::HITS, rows)
            .map_max_entries(map::CONNECTIONS, rows)
            .load(&object);
        let mut ebpf = match loaded {
            Err(error) if is_permission(&error) => {
                println!("skipped: to load programs takes privileges ({error}; run as root)");
                return None;
            }
            result => result.unwrap(),
        };
        let xdp: &mut Xdp = ebpf.program_mut(program::OBSERVE_XDP).unwrap().try_into().unwrap();
        xdp.load().unwrap();
        let tcx: &mut SchedClassifier = ebpf.program_mut(program::OBSERVE_TCX).unwrap().try_into().unwrap();
        tcx.load().unwrap();
        let settings = ObserverSettings {
            hash_seed_v4: SEED_V4,
            hash_seed_v6: SEED_V6,
            stripes: rows / 2,
            rows: 2,
            ..ObserverSettings::default()
        };
        let mut map: Array<_, [u8; 24]> = ebpf.map_mut(map::SETTINGS).unwrap().try_into().unwrap();
        let settings: [u8; 24] = bytemuck::bytes_of(&settings).try_into().unwrap();
        map.set(0, settings, 0).unwrap();
        let mut v4 = [0; 16];
        v4[..4].copy_from_slice(&FRONTEND);
        let mut map: HashMap<_, [u8; 20], [u8; 16]> =
            ebpf.map_mut(map::FRONTENDS).unwrap().try_into().unwrap();
        for (address, family, first_row) in [(v4, 4, 0), (FRONTEND_V6, 6, 1)] {
            for protocol in [6, 17, 132] {
                let key = ServiceKey { address, port: PORT.to_be(), protocol, family };
                let record = FrontendRecord { first_row, table_size: SIZE, ..FrontendRecord::default() };
                let key: [u8; 20] = bytemuck::bytes_of(&key).try_into().unwrap();
                let record: [u8; 16] = bytemuck::bytes_of(&record).try_into().unwrap();
                map.insert(key, record, 0).unwrap();
            }
        }
        Some(Self(ebpf))
    }

    /// Runs a frame through both programs, and sees that it comes out as it went in.
    fn run(&self, frame: &[u8]) {
        for is_xdp in [true, false] {
            let mut out = vec![0; frame.len() + 64];
            let mut options = TestRunOptions::new();
            options.data_in = Some(frame);
            options.data_out = Some(&mut out);
            let result = if is_xdp {
                let xdp: &Xdp = self.0.program(program::OBSERVE_XDP).unwrap().try_into().unwrap();
                xdp.test_run(options).unwrap()
            } else {
                let tcx: &SchedClassifier = self.0.program(program::OBSERVE_TCX).unwrap().try_into().unwrap();
                tcx.test_run(options).unwrap()
            };
            assert_eq!(result.return_value, if is_xdp { XDP_PASS } else { TCX_NEXT });
            assert_eq!(&out[..result.data_size_out as usize], frame, "it is passed on as it came");
        }
    }

    fn verdicts(&self) -> Vec<u64> {
        let map: PerCpuArray<_, u64> = self.0.map(map::VERDICTS).unwrap().try_into().unwrap();
        (0..ObserverVerdict::COUNT).map(|verdict| map.get(&verdict, 0).unwrap().iter().sum()).collect()
    }

    /// The counts of the slots in that row, of all processors together.
    fn row(&self, name: &str, row: u32) -> Vec<u64> {
        let map: Array<_, [u64; ROW_WORDS]> = self.0.map(name).unwrap().try_into().unwrap();
        let mut sums = vec![0; SIZE as usize];
        for stripe in 0..map.len() / 2 {
            let words = map.get(&(stripe * 2 + row), 0).unwrap();
            sums.iter_mut().zip(words).for_each(|(sum, word)| *sum += word);
        }
        sums
    }

    /// What a frame adds: the verdict that both programs have of it, and the slot with two packets more, and whether
    /// that has two connections more, too.
    fn meets(&self, frame: &[u8]) -> (ObserverVerdict, Option<(u32, usize, bool)>) {
        let look = || {
            let rows = [0, 1].map(|row| (self.row(map::HITS, row), self.row(map::CONNECTIONS, row)));
            (self.verdicts(), rows)
        };
        let (verdicts, rows) = look();
        self.run(frame);
        let (verdicts_after, rows_after) = look();
        let more: Vec<(usize, u64)> = verdicts_after
            .iter()
            .zip(&verdicts)
            .map(|(after, before)| after - before)
            .enumerate()
            .filter(|(_, more)| *more > 0)
            .collect();
        let [(verdict, 2)] = more[..] else { panic!("{more:?}") };
        let mut met = None;
        for (row, (before, after)) in (0..).zip(rows.iter().zip(&rows_after)) {
            for slot in 0..SIZE as usize {
                let packets = after.0[slot] - before.0[slot];
                let connections = after.1[slot] - before.1[slot];
                if packets | connections != 0 {
                    assert!(met.is_none(), "two slots for one packet");
                    assert!(packets == 2 && (connections == 0 || connections == 2));
                    met = Some((row, slot, connections == 2));
                }
            }
        }
        (ObserverVerdict::ALL[verdict], met)
    }
}

/// Whether the kernel said that it is for others.
fn is_permission(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn slot_v4(protocol: u8) -> usize {
    (hash_v4(CLIENT, CLIENT_PORT, PORT, protocol, SEED_V4) % SIZE) as usize
}

fn slot_v6(protocol: u8) -> usize {
    (hash_v6(CLIENT_V6, CLIENT_PORT, PORT, protocol, SEED_V6) % SIZE) as usize
}

fn segment(change: impl FnOnce(&mut etherparse::TcpHeader)) -> Vec<u8> {
    let mut header = etherparse::TcpHeader::new(CLIENT_PORT, PORT, 1, 64_000);
    change(&mut header);
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(HERE, THERE).ipv4(CLIENT, FRONTEND, 64).tcp_header(header);
    builder.write(&mut frame, b"what is inside").unwrap();
    frame
}

/// A packet of IPv6 with those bytes behind its header, of which the first ones are of that protocol.
fn ipv6(first: u8, behind: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let ip = PacketBuilder::ethernet2(HERE, THERE).ipv6(CLIENT_V6, FRONTEND_V6, 64);
    // The library follows extension headers, too, and would refuse some of these.
    ip.write(&mut frame, IpNumber::TCP, behind).unwrap();
    frame[14 + 6] = first;
    frame
}

/// The ports, and what may be of TCP's header: a SYN.
fn syn() -> Vec<u8> {
    let mut bytes = [CLIENT_PORT.to_be_bytes(), PORT.to_be_bytes()].concat();
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

#[test]
fn packets_are_counted_in_their_slot_and_connections_where_they_begin() {
    let Some(observing) = Observing::load() else { return };
    let counted = |opens| (ObserverVerdict::Counted, Some((0, slot_v4(6), opens)));
    assert_eq!(observing.meets(&segment(|header| header.syn = true)), counted(true));
    assert_eq!(observing.meets(&segment(|header| header.ack = true)), counted(false));
    let both = segment(|header| (header.syn, header.ack) = (true, true));
    assert_eq!(observing.meets(&both), counted(false));

    let mut datagram = Vec::new();
    let builder = PacketBuilder::ethernet2(HERE, THERE).ipv4(CLIENT, FRONTEND, 64).udp(CLIENT_PORT, PORT);
    builder.write(&mut datagram, &[0; 1400]).unwrap();
    assert_eq!(observing.meets(&datagram), (ObserverVerdict::Counted, Some((0, slot_v4(17), false))));

    assert_eq!(observing.meets(&ipv6(6, &syn())), (ObserverVerdict::Counted, Some((1, slot_v6(6), true))));
    let sctp = ipv6(132, &syn());
    assert_eq!(observing.meets(&sctp), (ObserverVerdict::Counted, Some((1, slot_v6(132), false))));
}

#[test]
fn extension_headers_are_followed_as_far_as_cilium_does() {
    let Some(observing) = Observing::load() else { return };
    let behind = |extensions: &[[u8; 8]]| [&extensions.concat()[..], &syn()].concat();
    let options = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    // An authentication header counts in units of four bytes: this one is eight long, and says 0.
    let authentication = [60, 0, 0, 0, 0, 0, 0, 1];
    let counted = (ObserverVerdict::Counted, Some((1, slot_v6(6), true)));
    assert_eq!(observing.meets(&ipv6(0, &behind(&[options(6)]))), counted);
    let three = [options(51), authentication, options(6)];
    assert_eq!(observing.meets(&ipv6(0, &behind(&three))), counted);
    let four = [options(43), options(51), authentication, options(6)];
    assert_eq!(observing.meets(&ipv6(0, &behind(&four))), (ObserverVerdict::Malformed, None));
    let fragment = [6, 0, 0, 1, 0, 0, 0, 9];
    assert_eq!(observing.meets(&ipv6(44, &behind(&[fragment]))), (ObserverVerdict::Fragment, None));
}

#[test]
fn what_is_cut_short_or_of_another_kind_is_passed_on_and_not_judged() {
    let Some(observing) = Observing::load() else { return };
    let whole = segment(|header| header.syn = true);
    // From an IP header alone, the least that the kernel makes a socket buffer of here.
    for length in 14 + 20..14 + 20 + 20 {
        let (verdict, met) = observing.meets(&whole[..length]);
        assert_eq!((verdict, met), (ObserverVerdict::Malformed, None), "{length}");
    }
    let mut arp = whole.clone();
    arp[12..14].copy_from_slice(&[8, 6]);
    assert_eq!(observing.meets(&arp), (ObserverVerdict::NotIp, None));
    let mut short = whole.clone();
    short[14] = 0x44;
    assert_eq!(observing.meets(&short), (ObserverVerdict::Malformed, None));
    let mut icmp = whole.clone();
    icmp[14 + 9] = 1;
    assert_eq!(observing.meets(&icmp), (ObserverVerdict::OtherProtocol, None));
    let mut elsewhere = whole.clone();
    elsewhere[14 + 19] = 11;
    assert_eq!(observing.meets(&elsewhere), (ObserverVerdict::NotAFrontend, None));
    let mut later = whole;
    later[14 + 7] = 1;
    assert_eq!(observing.meets(&later), (ObserverVerdict::Fragment, None));
}

/// That packet of IPv4 as the fragment of another, in units of eight bytes from its beginning.
fn fragment(mut frame: Vec<u8>, identification: u16, offset: u8, are_there_more: bool) -> Vec<u8> {
    frame[14 + 4..14 + 6].copy_from_slice(&identification.to_be_bytes());
    frame[14 + 6] = if are_there_more { 0x20 } else { 0 };
    frame[14 + 7] = offset;
    frame
}

#[test]
fn later_fragments_are_counted_in_the_slot_of_their_first_one() {
    let Some(observing) = Observing::load() else { return };
    let mut datagram = Vec::new();
    let builder = PacketBuilder::ethernet2(HERE, THERE).ipv4(CLIENT, FRONTEND, 64).udp(CLIENT_PORT, PORT);
    builder.write(&mut datagram, &[0; 64]).unwrap();
    // What is inside a later one are other bytes, which are no ports.
    let mut bytes = datagram.clone();
    bytes[14 + 20..].fill(0xab);
    let unknown = (ObserverVerdict::Fragment, None);
    let counted = (ObserverVerdict::Counted, Some((0, slot_v4(17), false)));
    assert_eq!(
        observing.meets(&fragment(bytes.clone(), 7, 9, true)),
        unknown,
        "it came before its first one"
    );
    assert_eq!(observing.meets(&fragment(datagram.clone(), 7, 0, true)), counted);
    assert_eq!(observing.meets(&fragment(bytes.clone(), 7, 9, true)), counted);
    assert_eq!(observing.meets(&fragment(bytes.clone(), 7, 18, false)), counted);
    assert_eq!(observing.meets(&fragment(bytes.clone(), 8, 9, true)), unknown, "another packet's");
    let of_tcp = |mut frame: Vec<u8>| {
        frame[14 + 9] = 6;
        fragment(frame, 7, 9, false)
    };
    assert_eq!(observing.meets(&of_tcp(bytes.clone())), unknown, "of another protocol");
    let mut others = bytes.clone();
    others[14 + 12] ^= 1;
    assert_eq!(observing.meets(&fragment(others, 7, 9, false)), unknown, "another client's");

    // What is whole is not remembered, nor what is for nobody.
    assert_eq!(observing.meets(&fragment(datagram.clone(), 9, 0, false)), counted);
    assert_eq!(observing.meets(&fragment(bytes.clone(), 9, 9, false)), unknown);
    let to_nobody = |mut frame: Vec<u8>| {
        frame[14 + 19] = 11;
        frame
    };
    let first = fragment(to_nobody(datagram), 10, 0, true);
    assert_eq!(observing.meets(&first), (ObserverVerdict::NotAFrontend, None));
    assert_eq!(observing.meets(&fragment(to_nobody(bytes.clone()), 10, 9, false)), unknown);

    // A connection is opened by the fragment that says so, and once.
    let syn = fragment(segment(|header| header.syn = true), 11, 0, true);
    assert_eq!(observing.meets(&syn), (ObserverVerdict::Counted, Some((0, slot_v4(6), true))));
    bytes[14 + 9] = 6;
    let rest = fragment(bytes, 11, 9, false);
    assert_eq!(observing.meets(&rest), (ObserverVerdict::Counted, Some((0, slot_v4(6), false))));
}
