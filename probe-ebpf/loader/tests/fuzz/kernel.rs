//! The programs in the kernel, held against the oracle: sequences of frames, each begun with nothing remembered.

use std::{collections::BTreeMap, fmt::Write as _, iter};

use aya::maps::{HashMap, PerCpuArray};
use maglev_probe_abi::{
    FirstFragment, FlowKey, FragmentKey, SETTLING_BUCKETS, SettlingBucket, TrackedFlow, Verdict, map, program,
};

use crate::{
    describe::{action, describe, hex},
    oracle::{Expected, Oracle},
    site::{self, GENERATION, Ways},
    support::{Bytes, Programs, TCP, UDP, now},
    tally::Tally,
};

/// A first fragment from before a sequence.
pub(crate) struct OldFragment {
    pub(crate) source: &'static str,
    pub(crate) destination: &'static str,
    pub(crate) identification: u16,
    pub(crate) protocol: u8,
    pub(crate) client_port: u16,
    pub(crate) service_port: u16,
    pub(crate) backend: u32,
    /// Not so old that others follow it no longer.
    pub(crate) is_young: bool,
    /// Whether the backend is still the one that it was.
    pub(crate) is_same: bool,
}

const fn old(identification: u16, service_port: u16, backend: u32) -> OldFragment {
    OldFragment {
        source: "198.51.100.1",
        destination: "192.0.2.10",
        identification,
        protocol: TCP,
        client_port: 1024,
        service_port,
        backend,
        is_young: true,
        is_same: true,
    }
}

/// What the memory of fragments has before a sequence: of backends that are there, gone, and others than they were; of
/// services that are gone; and what is too old.
pub(crate) const OLD_FRAGMENTS: &[OldFragment] = &[
    old(100, 80, 1),
    old(101, 443, 6),
    OldFragment { is_same: false, ..old(102, 443, 2) },
    old(103, 81, 1),
    OldFragment { is_young: false, ..old(104, 80, 1) },
    OldFragment { protocol: UDP, ..old(105, 53, 5) },
    OldFragment { destination: "192.0.2.12", ..old(106, 80, 6) },
];

/// How many frames are run before the programs may send as many ICMP errors as at first.
const REFILL: usize = 40;

/// Where the kernel and the oracle disagree.
#[derive(Debug)]
pub(crate) struct Disagreement {
    /// Which frame it is about; `None` where counters are wrong after all.
    pub(crate) place: Option<usize>,
    words: String,
}

/// The programs, and the site.
pub(crate) struct Kernel {
    programs: Programs,
    ways: Ways,
    /// What they had counted when the last sequence ended.
    counted: Tally,
    /// The buckets that flows may be in; `None` if nobody knows.
    buckets: Option<Vec<u32>>,
}

impl Kernel {
    pub(crate) fn new(programs: Programs, ways: Ways) -> Self {
        let counted = Tally::read(&programs);
        Self { programs, ways, counted, buckets: None }
    }

    /// Runs the frames, one after another, and answers with what was counted.
    pub(crate) fn judge(&mut self, frames: &[Vec<u8>]) -> Result<Tally, Disagreement> {
        self.forget();
        let mut oracle = Oracle::new(self.ways);
        let judged = self.judge_frames(frames, &mut oracle);
        let counted = Tally::read(&self.programs);
        let more = counted.since(&self.counted);
        self.counted = counted;
        judged?;
        self.buckets = Some(oracle.buckets().collect());
        if more == oracle.tally {
            return Ok(more);
        }
        self.buckets = None;
        let words = format!("the counters\nexpected {:?}\ngot      {more:?}", oracle.tally);
        Err(Disagreement { place: None, words })
    }

    fn judge_frames(&mut self, frames: &[Vec<u8>], oracle: &mut Oracle) -> Result<(), Disagreement> {
        let mut verdicts = self.counted.verdicts.clone();
        for (place, frame) in frames.iter().enumerate() {
            if place % REFILL == 0 {
                self.refill_allowance();
            }
            let expected = oracle.expect(frame);
            let (action, sent) = self.programs.run_once(program::MAGLEV, frame, None);
            let count = verdicts.entry(expected.verdict.word()).or_default();
            *count += 1;
            let is_right = self.count_of(expected.verdict) == *count;
            if !is_right || action != expected.action || sent != expected.frame {
                let got = if is_right { expected.verdict.word() } else { self.other_verdict(&verdicts) };
                let words = compared(frame, &expected, got, action, &sent);
                return Err(Disagreement { place: Some(place), words });
            }
        }
        Ok(())
    }

    fn count_of(&self, verdict: Verdict) -> u64 {
        let counters = self.programs.per_processor::<u64>(map::VERDICTS);
        let counts = counters.get(&(verdict as u32), 0).expect("every verdict has a place");
        counts.iter().map(|count| count.0).sum()
    }

    /// The verdict that there are more of than was expected.
    fn other_verdict(&self, expected: &BTreeMap<&'static str, u64>) -> &'static str {
        self.programs
            .verdicts()
            .into_iter()
            .find(|(verdict, count)| count > expected.get(verdict).unwrap_or(&0))
            .map_or("none", |(verdict, _)| verdict)
    }

    /// Empties all memories but those fragments that are there from the beginning.
    fn forget(&mut self) {
        let buckets = self.buckets.take().unwrap_or_else(|| (0..SETTLING_BUCKETS).collect());
        for bucket in buckets {
            self.programs.put_bucket(bucket, SettlingBucket::default());
        }
        let ebpf = &mut self.programs.ebpf;
        let mut tracked: HashMap<_, Bytes<FlowKey>, Bytes<TrackedFlow>> =
            ebpf.map_mut(map::TRACKED_FLOWS).unwrap().try_into().unwrap();
        let flows: Vec<_> = tracked.keys().map(Result::unwrap).collect();
        for flow in flows {
            tracked.remove(&flow).unwrap();
        }
        let mut fragments: HashMap<_, Bytes<FragmentKey>, Bytes<FirstFragment>> =
            ebpf.map_mut(map::FRAGMENTS).unwrap().try_into().unwrap();
        let packets: Vec<_> = fragments.keys().map(Result::unwrap).collect();
        for packet in packets {
            fragments.remove(&packet).unwrap();
        }
        for old in OLD_FRAGMENTS {
            let key = FragmentKey {
                source: site::wide(site::address(old.source)),
                destination: site::wide(site::address(old.destination)),
                identification: old.identification.to_be().into(),
                protocol: old.protocol,
                family: 4,
                padding: 0,
            };
            let first = FirstFragment {
                at: if old.is_young { now() } else { now().saturating_sub(30_100) },
                backend: old.backend,
                generation: if old.is_same { GENERATION } else { GENERATION - 1 },
                client_port: old.client_port.to_be(),
                service_port: old.service_port.to_be(),
                protocol: old.protocol,
                padding: [0; 3],
            };
            self.programs.put_first_fragment(key, first);
        }
    }

    /// Lets the programs send as many ICMP errors as when they were loaded.
    fn refill_allowance(&mut self) {
        let mut allowance: PerCpuArray<_, Bytes<[u64; 2]>> =
            self.programs.ebpf.map_mut(map::ERROR_ALLOWANCE).unwrap().try_into().unwrap();
        let processors = aya::util::nr_cpus().unwrap();
        let full = iter::repeat_n(Bytes([0; 2]), processors).collect::<Vec<_>>();
        allowance.set(0, full.try_into().unwrap(), 0).unwrap();
    }

    /// What is left of a sequence that is disagreed about, when all is taken away that does not matter: frames, then the
    /// last frame's end, then its bytes.
    pub(crate) fn minimise(
        &mut self,
        frames: &[Vec<u8>],
        found: Disagreement,
    ) -> (Vec<Vec<u8>>, Disagreement) {
        let end = found.place.map_or(frames.len(), |place| place + 1);
        let mut least = (frames[..end].to_vec(), found);
        let mut step = end.div_ceil(2);
        while step > 0 && least.0.len() > 1 {
            let mut start = 0;
            while start < least.0.len() {
                let mut fewer = least.0.clone();
                fewer.drain(start..(start + step).min(fewer.len()));
                if fewer.is_empty() || !self.still(fewer, &mut least) {
                    start += step;
                }
            }
            step /= 2;
        }
        let end = least.0.len() - 1;
        let mut cut = least.0[end].len() / 2;
        while cut > 0 {
            let mut shorter = least.0.clone();
            let length = shorter[end].len().saturating_sub(cut);
            shorter[end].truncate(length);
            if length < 14 || !self.still(shorter, &mut least) {
                cut /= 2;
            }
        }
        for place in 0..least.0[end].len().min(200) {
            let mut plainer = least.0.clone();
            if plainer[end][place] != 0 {
                plainer[end][place] = 0;
                self.still(plainer, &mut least);
            }
        }
        least
    }

    /// Whether there is still a disagreement, which then takes the place of the one before.
    fn still(&mut self, frames: Vec<Vec<u8>>, least: &mut (Vec<Vec<u8>>, Disagreement)) -> bool {
        match self.judge(&frames) {
            Ok(_) => false,
            Err(disagreement) => {
                *least = (frames, disagreement);
                true
            }
        }
    }
}

/// What was expected of a frame, and what came.
fn compared(frame: &[u8], expected: &Expected, verdict: &str, got: u32, sent: &[u8]) -> String {
    let mut words = describe(frame);
    let expected_verdict = expected.verdict.word();
    let _ = write!(
        words,
        "\nexpected {expected_verdict}, {}\n{}\ngot      {verdict}, {}\n{}",
        action(expected.action),
        hex(&expected.frame),
        action(got),
        hex(sent),
    );
    if let Some(place) = expected.frame.iter().zip(sent).position(|(expected, got)| expected != got) {
        let _ = write!(words, "\nthe first byte that differs is number {place}");
    }
    words
}

impl Disagreement {
    /// What to say of it: where it comes from, and how to keep it.
    pub(crate) fn report(&self, origin: &str, frames: &[Vec<u8>]) -> String {
        let frames: Vec<String> = frames.iter().map(|frame| hex(frame)).collect();
        format!(
            "the programs and the oracle disagree ({origin}; to run from a seed: cargo xtask fuzz --seed N)\n{}\n\nTo keep it, add this line, with a name in place of \
             NAME, to probe-ebpf/loader/tests/fuzz/corpus.txt:\nNAME {}\n",
            self.words,
            frames.join(" ")
        )
    }
}
