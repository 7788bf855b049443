//! Frames at random, run through the XDP program in the kernel (`BPF_PROG_TEST_RUN`), and an oracle in plain Rust that
//! says what must become of each: verdict, action, every byte that is sent, every counter.
//!
//! `cargo test` runs some thousand frames, half of them from another seed every time; `cargo xtask fuzz` runs for as long
//! as it is told. `MAGLEV_SEED=n` has it begin with that seed, `MAGLEV_FUZZ_SECONDS=n` go on for so long, and
//! `MAGLEV_EBPF_OBJECT=path` run another object. It needs root: else each test says that it was skipped, and passes.

mod corpus;
mod describe;
mod grammar;
mod kernel;
mod mutate;
mod oracle;
mod routes;
mod site;
#[expect(dead_code, reason = "the tests of single packets use all of it")]
#[path = "../program/support.rs"]
mod support;
mod tally;

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::{grammar::Grammar, kernel::Kernel, mutate::mutated, routes::Host, site::Ways};

/// The seed of the run that is always the same.
const SEED: u64 = 0x006d_6167_6c65_7675;

/// How many frames are run one after another before everything is forgotten.
const SEQUENCE: usize = 150;

/// How many sequences a seed is good for in `cargo test`.
const SEQUENCES: u64 = 80;

/// How many mutants of each kept frame `cargo test` runs.
const MUTANTS: usize = 200;

/// The verdicts that frames alone can cause, however they are sent. Those that are missing take less room in memory, or
/// maps that contradict one another.
const MET: &[&str] = &[
    "not-ip",
    "extension-headers",
    "other-protocol",
    "malformed",
    "fragment",
    "not-a-service",
    "observed",
    "no-backend",
    "backend-gone",
    "too-big",
    "fragment-without-first",
    "time-exceeded",
    "time-exceeded-answered",
    "too-big-answered",
    "foreign-quote",
    "echo-answered",
];

/// Those besides, where the next hop is a fixed gateway.
const MET_BY_GATEWAY: &[&str] = &["transmitted"];

/// Those besides, where it comes from the kernel's routes.
const MET_BY_ROUTES: &[&str] =
    &["redirected", "no-route", "no-neighbour", "forwarding-off", "not-on-segment", "tagged-elsewhere"];

/// Which verdicts frames met, and how often; what was counted besides.
#[derive(Default)]
struct Met {
    verdicts: BTreeMap<&'static str, u64>,
    held: u64,
    unremembered: u64,
}

/// Runs `test` on a host whose frames are sent to a gateway.
fn by_gateway(test: impl FnOnce(&mut Kernel) + Send) {
    let Some(programs) = site::load(Ways::Gateway) else { return };
    Host::alone().namespace.run(|| test(&mut Kernel::new(programs, Ways::Gateway))).unwrap();
}

/// Runs `test` on a host with routes.
fn by_routes(test: impl FnOnce(&mut Kernel) + Send) {
    // Whether there are privileges shows first.
    if site::load(Ways::Gateway).is_none() {
        return;
    }
    let (host, ways) = Host::with_routes();
    let programs = site::load(ways).expect("it could be loaded a moment ago");
    host.namespace.run(|| test(&mut Kernel::new(programs, ways))).unwrap();
}

/// Runs a sequence, and fails with the least of it that is disagreed about.
fn run(kernel: &mut Kernel, frames: &[Vec<u8>], met: &mut Met, origin: &str) {
    match kernel.judge(frames) {
        Ok(tally) => {
            for (verdict, count) in tally.verdicts {
                *met.verdicts.entry(verdict).or_default() += count;
            }
            met.held += tally.services.values().map(|service| service.held_packets).sum::<u64>();
            met.unremembered += tally.services.values().map(|service| service.unremembered).sum::<u64>();
        }
        Err(disagreement) => {
            let (frames, disagreement) = kernel.minimise(frames, disagreement);
            panic!("{}", disagreement.report(origin, &frames));
        }
    }
}

/// A sequence of frames: most as the grammar makes them, some of those changed.
fn sequence(grammar: &mut Grammar) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::with_capacity(SEQUENCE);
    while frames.len() < SEQUENCE {
        let frame = grammar.frame();
        frames.push(if grammar.random().u32(..3) == 0 {
            let other = grammar.frame();
            mutated(&frame, &other, grammar.random())
        } else {
            frame
        });
    }
    frames
}

/// The seed of so many sequences is its own number and the first one's.
fn run_seed(kernel: &mut Kernel, seed: u64, met: &mut Met) {
    let frames = sequence(&mut Grammar::new(seed));
    run(kernel, &frames, met, &format!("MAGLEV_SEED={seed}"));
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn other_seed() -> u64 {
    number("MAGLEV_SEED").unwrap_or_else(|| fastrand::u64(..u64::MAX >> 8))
}

fn assert_all_met(met: &Met, besides: &[&str]) {
    let must: Vec<&str> = [MET, besides].concat();
    let missing: Vec<_> = must.iter().filter(|verdict| !met.verdicts.contains_key(**verdict)).collect();
    assert!(missing.is_empty(), "no frame met {missing:?}: {:?}", met.verdicts);
    let other: Vec<_> = met.verdicts.keys().filter(|verdict| !must.contains(verdict)).collect();
    assert!(other.is_empty(), "met {other:?}, which frames alone do not cause");
    assert!(met.held > 0 && met.unremembered > 0);
}

#[test]
fn kept_frames_and_what_is_near_them() {
    by_gateway(|kernel| {
        let seed = other_seed();
        let mut random = fastrand::Rng::with_seed(seed);
        let corpus = corpus::corpus();
        let mut met = Met::default();
        for kept in &corpus {
            run(kernel, &kept.frames, &mut met, &format!("corpus.txt: {}", kept.name));
        }
        assert!(corpus.len() > 20, "the corpus is kept");
        for kept in &corpus {
            let (last, before) = kept.frames.split_last().expect("a line has a frame");
            let mut frames = before.to_vec();
            for _ in 0..MUTANTS {
                let other = &corpus[random.usize(..corpus.len())].frames[0];
                frames.push(mutated(last, other, &mut random));
            }
            run(kernel, &frames, &mut met, &format!("near {}, MAGLEV_SEED={seed}", kept.name));
        }
    });
}

#[test]
fn frames_at_random_become_what_they_must() {
    by_gateway(|kernel| run_at_random(kernel, MET_BY_GATEWAY));
}

#[test]
fn frames_at_random_follow_the_routes() {
    by_routes(|kernel| run_at_random(kernel, MET_BY_ROUTES));
}

/// Runs sequences from the seed that is always the same, then from another one.
fn run_at_random(kernel: &mut Kernel, besides: &[&str]) {
    let mut met = Met::default();
    for number in 0..SEQUENCES {
        run_seed(kernel, SEED + number, &mut met);
    }
    assert_all_met(&met, besides);
    let first = other_seed();
    let started = Instant::now();
    let patience = number("MAGLEV_FUZZ_SECONDS").map(Duration::from_secs);
    let mut next = first;
    while patience.map_or(next - first < SEQUENCES, |patience| started.elapsed() < patience) {
        run_seed(kernel, next, &mut met);
        next += 1;
    }
    if patience.is_some() {
        print_figures(&met, first, next - first, started.elapsed());
    }
}

/// What a long run says at its end.
fn print_figures(met: &Met, first: u64, sequences: u64, took: Duration) {
    let frames = sequences * u64::try_from(SEQUENCE).expect("it is small");
    let milliseconds = u64::try_from(took.as_millis()).expect("nobody waits so long").max(1);
    let mut words =
        format!("seeds {first} and on: {frames} frames, {} a second\n", frames * 1000 / milliseconds);
    for (verdict, count) in &met.verdicts {
        let _ = writeln!(words, "{count:>12} {verdict}");
    }
    println!("{words}{:>12} held, {} unremembered", met.held, met.unremembered);
}
