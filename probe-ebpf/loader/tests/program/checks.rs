//! The programs that lead health checks, run by the kernel on single packets (`BPF_PROG_TEST_RUN`): what they do to the
//! packets of a connection that is named to them, and that they leave every other one as it is.

use aya::{
    Ebpf, TestRunOptions,
    maps::HashMap,
    programs::{SchedClassifier, TestRun as _},
};
use etherparse::{Ethernet2Header, IpHeaders, PacketBuilder, TcpHeader};
use maglev_probe_abi::{CheckKey, CheckRecord, OUTER_NONE, OUTER_V4, OUTER_V6, map, program};

use crate::support::{Bytes, beside, is_permission};

/// `TCX_NEXT`: the packet goes on to whoever else looks at it.
const NEXT: u32 = u32::MAX;

const PORT: u16 = 40_000;

/// The programs and their map, in the kernel.
struct Programs(Ebpf);

impl Programs {
    fn load() -> Option<Self> {
        let object = beside("health.bpf.o", aya::include_bytes_aligned!("../../object/health.bpf.o"));
        let mut ebpf = match Ebpf::load(&object) {
            Err(error) if is_permission(&error) => {
                println!("skipped: to load programs takes privileges ({error}; run as root)");
                return None;
            }
            result => result.unwrap(),
        };
        for name in [program::CHECK_OUT, program::CHECK_IN] {
            let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        Some(Self(ebpf))
    }

    fn checks(&mut self) -> HashMap<&mut aya::maps::MapData, Bytes<CheckKey>, Bytes<CheckRecord>> {
        self.0.map_mut(map::CHECKS).unwrap().try_into().unwrap()
    }

    fn run(&self, name: &str, frame: &[u8]) -> (u32, Vec<u8>) {
        let program: &SchedClassifier = self.0.program(name).unwrap().try_into().unwrap();
        let mut output = vec![0; frame.len() + 128];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut output);
        let result = program.test_run(options).unwrap();
        output.truncate(usize::try_from(result.data_size_out).unwrap());
        (result.return_value, output)
    }
}

/// The ends of a connection, and what stands between.
struct Case {
    own: [u8; 16],
    backend: [u8; 16],
    service: [u8; 16],
    family: u8,
    outer: u8,
}

const fn v4(address: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = address;
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

const fn v6(last: u8) -> [u8; 16] {
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe, last]
}

const OUTER_SOURCE_V4: [u8; 4] = [10, 9, 9, 9];

const CASES: [Case; 4] = [
    Case {
        own: v4([10, 0, 0, 1]),
        backend: v4([10, 0, 0, 2]),
        service: v4([192, 0, 2, 10]),
        family: 4,
        outer: OUTER_V4,
    },
    Case {
        own: v4([10, 0, 0, 1]),
        backend: v4([10, 0, 0, 2]),
        service: v4([192, 0, 2, 10]),
        family: 4,
        outer: OUTER_NONE,
    },
    Case { own: v6(1), backend: v6(2), service: v6(0xff), family: 6, outer: OUTER_V6 },
    Case { own: v6(1), backend: v6(2), service: v6(0xff), family: 6, outer: OUTER_NONE },
];

impl Case {
    fn key(&self) -> CheckKey {
        CheckKey { address: self.own, port: PORT.to_be(), family: self.family, padding: 0 }
    }

    fn record(&self) -> CheckRecord {
        let outer_source = if self.family == 4 { v4(OUTER_SOURCE_V4) } else { v6(9) };
        CheckRecord {
            backend: self.backend,
            service: self.service,
            outer_source,
            port: 80_u16.to_be(),
            outer: self.outer,
            is_carried: 0,
            hash: 0x1234_5678,
        }
    }

    /// A segment with a few bytes in it.
    fn segment(&self, from: [u8; 16], to: [u8; 16], ports: (u16, u16)) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let short = |address: [u8; 16]| -> [u8; 4] { address[..4].try_into().unwrap() };
        let ip = if self.family == 4 {
            ethernet.ipv4(short(from), short(to), 64)
        } else {
            ethernet.ipv6(from, to, 64)
        };
        let mut frame = Vec::new();
        ip.tcp(ports.0, ports.1, 7, 1000).ack(9).write(&mut frame, b"some bytes").unwrap();
        frame
    }
}

/// Says that the packet of TCP in an IP packet has the checksums that it should have.
fn assert_sums(packet: &[u8]) {
    let (headers, payload) = IpHeaders::from_slice(packet).unwrap();
    let (tcp, data) = TcpHeader::from_slice(payload.payload).unwrap();
    let right = match &headers {
        IpHeaders::Ipv4(ip, _) => {
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            tcp.calc_checksum_ipv4(ip, data)
        }
        IpHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(ip, data),
    };
    assert_eq!(tcp.checksum, right.unwrap());
}

#[test]
fn packets_of_a_check_are_addressed_to_the_service_in_the_balancers_outer_header() {
    let Some(mut programs) = Programs::load() else { return };
    for case in CASES {
        programs.checks().insert(Bytes(case.key()), Bytes(case.record()), 0).unwrap();
        let frame = case.segment(case.own, case.backend, (PORT, 80));
        let (action, sent) = programs.run(program::CHECK_OUT, &frame);
        assert_eq!(action, NEXT);
        // What a client's packet is, but for its outer header.
        let inner = case.segment(case.own, case.service, (PORT, 80));
        let front = match case.outer {
            OUTER_V4 => {
                let (outer, _) = etherparse::Ipv4Header::from_slice(&sent[14..]).unwrap();
                assert_eq!((outer.source, outer.destination), (OUTER_SOURCE_V4, [10, 0, 0, 2]));
                assert_eq!((outer.protocol.0, outer.time_to_live, outer.identification), (4, 64, 0));
                assert!(outer.dont_fragment && !outer.more_fragments);
                assert_eq!(outer.header_checksum, outer.calc_header_checksum());
                assert_eq!(usize::from(outer.total_len), sent.len() - 14);
                20
            }
            OUTER_V6 => {
                let (outer, _) = etherparse::Ipv6Header::from_slice(&sent[14..]).unwrap();
                assert_eq!((outer.source, outer.destination), (v6(9), case.backend));
                assert_eq!((outer.next_header.0, outer.hop_limit), (41, 64));
                assert_eq!(usize::from(outer.payload_length), sent.len() - 54);
                // The label as the balancer makes it: its bytes as the hash lies in memory.
                assert_eq!(outer.flow_label.value(), 0x4_7856);
                40
            }
            _ => 0,
        };
        assert_eq!(sent[..14], inner[..14]);
        assert_eq!(sent[14 + front..], inner[14..]);
        assert_sums(&sent[14 + front..]);
        assert_eq!(programs.checks().get(&Bytes(case.key()), 0).unwrap().0.is_carried, 1);

        let answer = case.segment(case.service, case.own, (80, PORT));
        let (action, taken) = programs.run(program::CHECK_IN, &answer);
        assert_eq!(action, NEXT);
        assert_eq!(taken, case.segment(case.backend, case.own, (80, PORT)));
        assert_sums(&taken[14..]);
        programs.checks().remove(&Bytes(case.key())).unwrap();
    }
}

#[test]
fn everything_else_stays_as_it_is() {
    let Some(mut programs) = Programs::load() else { return };
    for case in CASES {
        programs.checks().insert(Bytes(case.key()), Bytes(case.record()), 0).unwrap();
        let other = if case.family == 4 { v4([10, 0, 0, 3]) } else { v6(3) };
        let mut frames = vec![
            // Of the same socket, if it could be: to another host, to another port. Of others.
            case.segment(case.own, other, (PORT, 80)),
            case.segment(case.own, case.backend, (PORT, 81)),
            case.segment(case.own, case.backend, (PORT + 1, 80)),
            case.segment(other, case.backend, (PORT, 80)),
            // The backend's own answers, and the service's to others.
            case.segment(case.backend, case.own, (80, PORT)),
            case.segment(case.service, other, (80, PORT)),
            case.segment(case.service, case.own, (81, PORT)),
            case.segment(case.service, case.own, (80, PORT + 1)),
        ];
        // One that is cut short, one that is UDP, and one that is no IP at all.
        let mut short = case.segment(case.own, case.backend, (PORT, 80));
        short.truncate(14 + if case.family == 4 { 20 } else { 40 });
        let mut udp = case.segment(case.own, case.backend, (PORT, 80));
        udp[if case.family == 4 { 23 } else { 20 }] = 17;
        let mut unknown = case.segment(case.own, case.backend, (PORT, 80));
        let (header, _) = Ethernet2Header::from_slice(&unknown).unwrap();
        let header = Ethernet2Header { ether_type: etherparse::EtherType(0x88b5), ..header };
        unknown[..14].copy_from_slice(&header.to_bytes());
        frames.extend([short, udp, unknown]);
        if case.family == 4 {
            // A fragment.
            let mut fragment = case.segment(case.own, case.backend, (PORT, 80));
            fragment[20..22].copy_from_slice(&[0x20, 0]);
            frames.push(fragment);
        }
        for frame in frames {
            for name in [program::CHECK_OUT, program::CHECK_IN] {
                assert_eq!(programs.run(name, &frame), (NEXT, frame.clone()), "{name}");
            }
        }
        assert_eq!(programs.checks().get(&Bytes(case.key()), 0).unwrap().0.is_carried, 0);
        programs.checks().remove(&Bytes(case.key())).unwrap();
    }
}
