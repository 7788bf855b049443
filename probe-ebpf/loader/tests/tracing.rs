//! The program that traces, run in the kernel on frames of every kind: what it takes for a client's, and what it says.

use std::{env, error::Error, fs, io, net::Ipv6Addr, path::PathBuf, time::Duration};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, RingBuf},
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use etherparse::{Icmpv4Type, Icmpv6Type, Ipv4Header, PacketBuilder, icmpv4::DestUnreachableHeader, icmpv6};
use maglev_probe_abi::{TraceFilter, TraceRecord, Verdict, map, program};
use nix::time::{ClockId, clock_gettime};

const HERE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THERE: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CLIENT: [u8; 4] = [198, 51, 100, 7];
const SERVICE: [u8; 4] = [192, 0, 2, 10];
const ROUTER: [u8; 4] = [203, 0, 113, 1];
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const SERVICE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);

/// The program with a filter, and no service.
struct Tracing {
    ebpf: Ebpf,
    records: RingBuf<MapData>,
}

impl Tracing {
    /// Loads it; `None`, and words, where that takes another user.
    fn load(filter: TraceFilter) -> Option<Self> {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/object/maglev.bpf.o");
        let path = env::var_os("MAGLEV_EBPF_OBJECT").map_or_else(|| kept.into(), PathBuf::from);
        let object = fs::read(path.with_file_name("trace.bpf.o")).unwrap();
        let mut loader = EbpfLoader::new();
        for name in [map::SETTLING_FLOWS, map::TRACKED_FLOWS, map::BACKEND_IDENTITIES] {
            loader.map_max_entries(name, 1);
        }
        let mut ebpf = match loader.load(&object) {
            Err(error) if is_permission(&error) => {
                println!("skipped: to load XDP programs takes privileges ({error}; run as root)");
                return None;
            }
            result => result.unwrap(),
        };
        let traces: &mut Xdp = ebpf.program_mut(program::TRACE).unwrap().try_into().unwrap();
        traces.load().unwrap();
        let records = RingBuf::try_from(ebpf.take_map(map::TRACE_RECORDS).unwrap()).unwrap();
        let mut tracing = Self { ebpf, records };
        tracing.ask(filter);
        Some(tracing)
    }

    fn ask(&mut self, filter: TraceFilter) {
        let mut map: Array<_, [u8; size_of::<TraceFilter>()]> =
            self.ebpf.map_mut(map::TRACE_FILTER).unwrap().try_into().unwrap();
        let bytes: [u8; size_of::<TraceFilter>()] = bytemuck::bytes_of(&filter).try_into().unwrap();
        map.set(0, bytes, 0).unwrap();
    }

    /// What is told of a frame, if anything is.
    fn told(&mut self, frame: &[u8]) -> Option<TraceRecord> {
        let traces: &Xdp = self.ebpf.program(program::TRACE).unwrap().try_into().unwrap();
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        traces.test_run(options).unwrap();
        let record = self.records.next().map(|bytes| bytemuck::pod_read_unaligned(&bytes));
        assert!(self.records.next().is_none(), "one packet is told twice");
        record
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

fn nanoseconds() -> u64 {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    u64::try_from(now.as_nanos()).unwrap()
}

fn filter(client: &[u8], client_port: u16) -> TraceFilter {
    let mut filter = TraceFilter {
        deadline: nanoseconds() + 60_000_000_000,
        rate: 1000,
        client_port,
        family: if client.len() == 4 { 4 } else { 6 },
        ..TraceFilter::default()
    };
    filter.client[..client.len()].copy_from_slice(client);
    filter
}

fn written(builder: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::new();
    builder(&mut frame);
    frame
}

fn syn(client: [u8; 4], port: u16) -> Vec<u8> {
    let builder =
        PacketBuilder::ethernet2(THERE, HERE).ipv4(client, SERVICE, 60).tcp(port, 81, 1000, 64000).syn();
    written(|frame| builder.write(frame, &[]).unwrap())
}

/// The port numbers of the packet, and the verdict.
fn parts(record: &TraceRecord) -> (u16, u16, &'static str) {
    (record.client_port, record.service_port, Verdict::ALL[record.verdict as usize].word())
}

#[test]
fn the_verifier_has_little_to_do() {
    let Some(tracing) = Tracing::load(filter(&CLIENT, 0)) else { return };
    let program: &Xdp = tracing.ebpf.program(program::TRACE).unwrap().try_into().unwrap();
    match program.info().unwrap().verified_instruction_count() {
        Some(count) => assert!(count <= 300_000, "the verifier looked at {count} instructions"),
        None => {
            println!("skipped: this kernel does not say how much its verifier did (Linux 5.16 and newer do)");
        }
    }
}

#[test]
fn a_clients_packets_are_told_whatever_becomes_of_them() {
    let Some(mut tracing) = Tracing::load(filter(&CLIENT, 0)) else { return };
    let record = tracing.told(&syn(CLIENT, 4000)).expect("it is the client's");
    assert_eq!(parts(&record), (4000, 81, "not-a-service"));
    assert_eq!((record.flags, record.protocol, record.length, record.tags), (2, 6, 40, 0));
    assert_eq!((&record.client[..4], &record.service[..4]), (&CLIENT[..], &SERVICE[..]));
    assert_eq!((record.service_number, record.slot, record.backend, record.egress), (0, u32::MAX, 0, 0));

    let tag = [0x81, 0, 0, 7];
    let frame = syn(CLIENT, 4000);
    let tagged = [&frame[..12], &tag, &tag, &frame[12..]].concat();
    let record = tracing.told(&tagged).expect("it is the client's");
    assert_eq!((record.tags, parts(&record).0), (2, 4000));

    // A later fragment has no ports, and is the client's all the same.
    let mut fragment = frame;
    let mut header = Ipv4Header::from_slice(&fragment[14..]).unwrap().0;
    header.fragment_offset = etherparse::IpFragOffset::try_new(100).unwrap();
    header.header_checksum = header.calc_header_checksum();
    fragment[14..34].copy_from_slice(&header.to_bytes());
    let record = tracing.told(&fragment).expect("it is the client's");
    assert_eq!(parts(&record).0, 0);
}

#[test]
fn others_packets_are_not_told_and_nothing_after_the_deadline() {
    let Some(mut tracing) = Tracing::load(filter(&CLIENT, 4000)) else { return };
    assert!(tracing.told(&syn(CLIENT, 4000)).is_some());
    assert!(tracing.told(&syn(CLIENT, 4001)).is_none(), "another port");
    assert!(tracing.told(&syn([198, 51, 100, 8], 4000)).is_none(), "another client");
    assert!(tracing.told(&[0; 64]).is_none(), "no IP");
    tracing.ask(TraceFilter { deadline: nanoseconds(), ..filter(&CLIENT, 4000) });
    assert!(tracing.told(&syn(CLIENT, 4000)).is_none(), "the tracer is gone");
    tracing.ask(TraceFilter { rate: 0, ..filter(&CLIENT, 4000) });
    assert!(tracing.told(&syn(CLIENT, 4000)).is_none(), "no more than are asked for");
}

#[test]
fn errors_belong_to_whom_they_quote() {
    // What the service sent to the client, and did not fit.
    let quote = PacketBuilder::ipv4(SERVICE, CLIENT, 60).tcp(80, 4000, 1, 1);
    let quote = written(|packet| quote.write(packet, &[0; 100]).unwrap());
    let too_big = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1400 };
    let error = PacketBuilder::ethernet2(THERE, HERE)
        .ipv4(ROUTER, SERVICE, 60)
        .icmpv4(Icmpv4Type::DestinationUnreachable(too_big));
    let error = written(|frame| error.write(frame, &quote[..48]).unwrap());
    let Some(mut tracing) = Tracing::load(filter(&CLIENT, 4000)) else { return };
    let record = tracing.told(&error).expect("it is about the client");
    assert_eq!(
        (record.protocol, record.icmp_type, record.client_port, record.service_port),
        (1, 3, 4000, 80)
    );
    assert_eq!((&record.client[..4], &record.service[..4]), (&CLIENT[..], &SERVICE[..]));

    tracing.ask(filter(&CLIENT_V6.octets(), 0));
    assert!(tracing.told(&error).is_none());
    let (client, service) = (CLIENT_V6.octets(), SERVICE_V6.octets());
    let quote = PacketBuilder::ipv6(service, client, 60).udp(53, 4000);
    let quote = written(|packet| quote.write(packet, &[0; 100]).unwrap());
    let error = PacketBuilder::ethernet2(THERE, HERE)
        .ipv6(ROUTER_V6.octets(), service, 60)
        .icmpv6(Icmpv6Type::PacketTooBig { mtu: 1400 });
    let error = written(|frame| error.write(frame, &quote).unwrap());
    let record = tracing.told(&error).expect("it is about the client");
    assert_eq!((record.protocol, record.icmp_type), (icmpv6_number(), icmpv6::TYPE_PACKET_TOO_BIG));
    assert_eq!((record.client, record.client_port, record.service_port), (client, 4000, 53));
}

fn icmpv6_number() -> u8 {
    etherparse::IpNumber::IPV6_ICMP.0
}
