//! What the balancer costs a packet: the kernel runs it a million times on one frame, behind a program that restores
//! the frame in between and whose own cost is measured and subtracted. `cargo xtask bench-program` builds both.

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/program/frames.rs"]
mod frames;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/program/support.rs"]
mod support;

use std::{env, fs, net::SocketAddrV4, time::Instant};

use aya::{
    Ebpf,
    maps::{Array, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use maglev_core::slot::{Deadline, Epoch, SlotWord};
use maglev_probe_abi::{
    FORWARDING_OBSERVE, ServiceRecord, TRACKING_ALWAYS, TRACKING_NEVER, TRACKING_SETTLING, program,
};

use crate::{
    frames::{Flags, client, tcp, tcp_to, udp},
    support::{FIRST_SLOT, SETTLE_MILLISECONDS, Scene, TCP, UDP, now},
};

const REPEATS: u32 = 1_000_000;
const ROUNDS: usize = 11;
const BACKENDS: u32 = 100;

/// A program under test behind the restorer.
struct Bench {
    name: &'static str,
    /// Kept for the program and its maps.
    _scene: Option<Scene>,
    restorer: Ebpf,
    frame: Vec<u8>,
    nanoseconds: Vec<u128>,
}

impl Bench {
    fn new(name: &'static str, clients: u32, frame: Vec<u8>, mut scene: Option<Scene>) -> Self {
        let path = env::var_os("MAGLEV_RESTORER_OBJECT").expect("run it by `cargo xtask bench-program`");
        let mut restorer = Ebpf::load(&fs::read(path).unwrap()).unwrap();
        for name in ["restore", "pass"] {
            let program: &mut Xdp = restorer.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        let under_test: &Xdp = if let Some(scene) = &mut scene {
            scene.programs.program(program::MAGLEV)
        } else {
            restorer.program("pass").unwrap().try_into().unwrap()
        };
        let under_test: ProgramFd = under_test.fd().unwrap().try_clone().unwrap();
        let mut programs: ProgramArray<_> = restorer.map_mut("under_test").unwrap().try_into().unwrap();
        programs.set(0, &under_test, 0).unwrap();
        let mut restoration: Array<_, [u8; 24]> =
            restorer.map_mut("restoration").unwrap().try_into().unwrap();
        let mut record = [0; 24];
        record[..14].copy_from_slice(&frame[..14]);
        record[14..16].copy_from_slice(&frame[22..24]);
        record[16..20].copy_from_slice(&clients.to_ne_bytes());
        restoration.set(0, record, 0).unwrap();
        Self { name, _scene: scene, restorer, frame, nanoseconds: Vec::new() }
    }

    fn run(&mut self, repeats: u32) -> u128 {
        let restore: &Xdp = self.restorer.program("restore").unwrap().try_into().unwrap();
        let mut options = TestRunOptions::new();
        options.data_in = Some(&self.frame);
        options.repeat = repeats;
        let result = restore.test_run(options).unwrap();
        assert_ne!(result.return_value, 0, "{} ends in XDP_ABORTED", self.name);
        result.duration.as_nanos()
    }

    fn measure(&mut self) {
        let nanoseconds = self.run(REPEATS);
        self.nanoseconds.push(nanoseconds);
    }

    fn median(&self) -> u128 {
        let mut sorted = self.nanoseconds.clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }
}

/// What the kernel does to load the balancer: the instructions that its verifier looks at, the machine code, the time.
fn print_load() {
    let mut scene = Scene::new().expect("run it as root");
    let balancer = scene.programs.program(program::MAGLEV);
    balancer.unload().unwrap();
    let begin = Instant::now();
    balancer.load().unwrap();
    let took = begin.elapsed();
    let info = balancer.info().unwrap();
    println!(
        "the verifier looks at {} instructions; {} bytes of machine code; loaded in {} ms\n",
        info.verified_instruction_count()
            .map_or_else(|| "an unknown number of".to_owned(), |count| count.to_string()),
        info.size_jitted(),
        took.as_millis()
    );
}

/// A service of 65,537 slots and a hundred backends, each of which owns as many.
fn scene(protocol: u8, change: impl FnOnce(&mut ServiceRecord)) -> Scene {
    let mut scene = Scene::of(protocol, |record| {
        record.table_size = 65_537;
        change(record);
    })
    .expect("run it as root");
    for number in 1..=BACKENDS {
        scene.set_backend(number, |_| {});
    }
    scene.give_all(|slot| SlotWord::new(owner(slot), 0, Epoch::new(1)));
    scene
}

fn owner(slot: u32) -> u32 {
    1 + (slot - FIRST_SLOT).wrapping_mul(2_654_435_761) % BACKENDS
}

/// The same while all of its slots settle, for another previous owner.
fn settling_scene() -> Scene {
    let mut scene = scene(TCP, |record| record.tracking = TRACKING_SETTLING);
    scene.settle_all(Deadline::new(Epoch::new(2), now() + 10 * SETTLE_MILLISECONDS));
    scene.give_all(|slot| SlotWord::new(owner(slot), 1 + owner(slot) % BACKENDS, Epoch::new(2)));
    scene
}

fn main() {
    print_load();
    let syn = || tcp(client(0), Flags::Syn);
    let ack = || tcp(client(0), Flags::Ack);
    let elsewhere = tcp_to(client(0), SocketAddrV4::new([192, 0, 2, 99].into(), 80), Flags::Ack, |_| {});
    let observe = |record: &mut ServiceRecord| record.forwarding = FORWARDING_OBSERVE;
    let always = |record: &mut ServiceRecord| record.tracking = TRACKING_ALWAYS;
    let never = |record: &mut ServiceRecord| record.tracking = TRACKING_NEVER;
    let many = 65_536;
    let mut benches = [
        Bench::new("nothing but restoring", 1, ack(), None),
        Bench::new("for no service", 1, elsewhere, Some(scene(TCP, |_| {}))),
        Bench::new("observed, 1 flow", 1, ack(), Some(scene(TCP, observe))),
        Bench::new("TCP settled, 1 flow", 1, ack(), Some(scene(TCP, |_| {}))),
        Bench::new("TCP settled, 64 Ki flows", many, ack(), Some(scene(TCP, |_| {}))),
        Bench::new("SYN settled, 1 flow", 1, syn(), Some(scene(TCP, |_| {}))),
        Bench::new("SYN settled, 64 Ki flows", many, syn(), Some(scene(TCP, |_| {}))),
        Bench::new("TCP settling, held, 1 flow", 1, ack(), Some(settling_scene())),
        Bench::new("TCP settling, held, 64 Ki flows", many, ack(), Some(settling_scene())),
        Bench::new("SYN settling, remembered, 1 flow", 1, syn(), Some(settling_scene())),
        Bench::new("SYN settling, remembered, 64 Ki flows", many, syn(), Some(settling_scene())),
        Bench::new("SYN settling, memory full of 512 Ki flows", 8 * many, syn(), Some(settling_scene())),
        Bench::new("UDP tracked, 1 flow", 1, udp(client(0), b"data"), Some(scene(UDP, always))),
        Bench::new("UDP tracked, 64 Ki flows", many, udp(client(0), b"data"), Some(scene(UDP, always))),
        Bench::new("UDP not tracked, 1 flow", 1, udp(client(0), b"data"), Some(scene(UDP, never))),
    ];
    for bench in &mut benches {
        bench.run(REPEATS);
    }
    for _ in 0..ROUNDS {
        benches.iter_mut().for_each(Bench::measure);
    }
    let restoring = benches[0].median();
    println!("nanoseconds a packet, median of {ROUNDS} times {REPEATS} packets on one processor\n");
    println!("{:<42} {:>6} {:>6} {:>6}", "", "gross", "least", "net");
    for bench in &benches {
        let (median, least) = (bench.median(), bench.nanoseconds.iter().min().unwrap_or(&0));
        println!("{:<42} {median:>6} {least:>6} {:>6}", bench.name, median.saturating_sub(restoring));
    }
}
