//! What the observer costs a packet: the kernel runs it a million times on one frame, which it leaves as it is. The
//! frame that is not IP is told nearly at once: what it costs is nearly all the kernel's own.

use std::{env, fs, path::PathBuf};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap},
    programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp},
};
use etherparse::PacketBuilder;
use maglev_probe_abi::{
    FrontendRecord, MAX_FRONTENDS, ObserverSettings, ServiceKey, observer_map as map, program,
};

const REPEATS: u32 = 1_000_000;
const ROUNDS: usize = 11;

/// 16,381 slots, as Cilium has them unless told otherwise.
const SIZE: u32 = 16_381;
const ROWS: u32 = 32;

/// How many frontends there are.
const FRONTENDS: u32 = 1000;

fn main() {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/object/maglev.bpf.o");
    let path = env::var_os("MAGLEV_EBPF_OBJECT").map_or_else(|| kept.into(), PathBuf::from);
    let ebpf = load(&fs::read(path.with_file_name("observer.bpf.o")).unwrap());
    println!("nanoseconds a packet, median of {ROUNDS} times {REPEATS} packets on one processor\n");
    println!("{:<36} {:>6} {:>6}", "", "xdp", "tcx");
    let mut not_ip = tcp([192, 0, 2, 0], false);
    not_ip[12..14].copy_from_slice(&[8, 6]);
    for (name, frame) in [
        ("not IP", not_ip),
        ("for no frontend", tcp([203, 0, 113, 1], false)),
        ("for a frontend", tcp([192, 0, 2, 0], false)),
        ("SYN for a frontend", tcp([192, 0, 2, 0], true)),
    ] {
        let [xdp, tcx] = [true, false].map(|is_xdp| median(&ebpf, &frame, is_xdp));
        println!("{name:<36} {xdp:>6} {tcx:>6}");
    }
}

fn median(ebpf: &Ebpf, frame: &[u8], is_xdp: bool) -> u128 {
    let run = || {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = REPEATS;
        let result = if is_xdp {
            let program: &Xdp = ebpf.program(program::OBSERVE_XDP).unwrap().try_into().unwrap();
            program.test_run(options).unwrap()
        } else {
            let program: &SchedClassifier = ebpf.program(program::OBSERVE_TCX).unwrap().try_into().unwrap();
            program.test_run(options).unwrap()
        };
        result.duration.as_nanos()
    };
    run();
    let mut nanoseconds: Vec<u128> = (0..ROUNDS).map(|_| run()).collect();
    nanoseconds.sort_unstable();
    nanoseconds[ROUNDS / 2]
}

fn load(object: &[u8]) -> Ebpf {
    let processors = u32::try_from(aya::util::nr_cpus().unwrap()).unwrap();
    let mut ebpf = EbpfLoader::new()
        .map_max_entries(map::HITS, ROWS * processors)
        .map_max_entries(map::CONNECTIONS, ROWS * processors)
        .map_max_entries(map::FRONTENDS, MAX_FRONTENDS)
        .load(object)
        .expect("run it as root");
    let xdp: &mut Xdp = ebpf.program_mut(program::OBSERVE_XDP).unwrap().try_into().unwrap();
    xdp.load().unwrap();
    let tcx: &mut SchedClassifier = ebpf.program_mut(program::OBSERVE_TCX).unwrap().try_into().unwrap();
    tcx.load().unwrap();
    let settings = ObserverSettings { stripes: processors, rows: ROWS, ..ObserverSettings::default() };
    let mut map: Array<_, [u8; 24]> = ebpf.map_mut(map::SETTINGS).unwrap().try_into().unwrap();
    let settings: [u8; 24] = bytemuck::bytes_of(&settings).try_into().unwrap();
    map.set(0, settings, 0).unwrap();
    let mut map: HashMap<_, [u8; 20], [u8; 16]> = ebpf.map_mut(map::FRONTENDS).unwrap().try_into().unwrap();
    let record = FrontendRecord { table_size: SIZE, ..FrontendRecord::default() };
    for number in 0..FRONTENDS {
        let mut key = ServiceKey { port: 80_u16.to_be(), protocol: 6, family: 4, ..ServiceKey::default() };
        key.address[..4].copy_from_slice(&(0xc000_0200 + number).to_be_bytes());
        let key: [u8; 20] = bytemuck::bytes_of(&key).try_into().unwrap();
        let record: [u8; 16] = bytemuck::bytes_of(&record).try_into().unwrap();
        map.insert(key, record, 0).unwrap();
    }
    ebpf
}

fn tcp(frontend: [u8; 4], opens: bool) -> Vec<u8> {
    let mut frame = Vec::new();
    let tcp = PacketBuilder::ethernet2([2; 6], [2; 6])
        .ipv4([198, 51, 100, 7], frontend, 64)
        .tcp(40_000, 80, 1, 64_000);
    if opens { tcp.syn() } else { tcp.ack(1) }.write(&mut frame, &[]).unwrap();
    frame
}
