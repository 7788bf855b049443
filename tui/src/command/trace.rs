//! `trace`: packet by packet, where a client's flow goes, and why.

mod line;

use std::time::{Duration, Instant};

use maglev_probe::{
    Datapath,
    trace::{TraceTerms, Tracer},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{Context, print};
use crate::{cli::Trace, failure::Failure};
use line::TraceLine;

/// How many packets a second are told at most, by each processor.
const RATE: u32 = 1000;

/// How long a packet is waited for before signals are looked at.
const STEP: Duration = Duration::from_millis(200);

pub(super) fn run(context: &Context<'_>, words: &Trace) -> Result<(), Failure> {
    let datapath = context.datapath()?;
    // Before anything is traced: a signal in between must be seen.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| Failure::of(&error))?;
    let mut tracer = Tracer::begin(&datapath, TraceTerms { client: words.flow.0, rate: RATE })?;
    let begun = Instant::now();
    eprintln!("tracing {} for {}, or until Ctrl-C", words.flow, humantime::format_duration(words.duration));
    let mut told = 0_u64;
    let mut lost = 0;
    while words.count.is_none_or(|count| told < count)
        && begun.elapsed() < words.duration
        && signals.pending().next().is_none()
        && print::is_read_for(Duration::ZERO)
    {
        let patience = words.duration.saturating_sub(begun.elapsed()).min(STEP);
        match tracer.next(patience)? {
            Some(packet) => {
                let line = TraceLine::of(&packet);
                if context.json() {
                    print::json(&line)?;
                } else {
                    print::line(&line.to_string())?;
                }
                told += 1;
            }
            None => lost = say_lost(&tracer, lost)?,
        }
    }
    say_lost(&tracer, lost)?;
    if told == 0 {
        eprintln!("no packet from {} came in", words.flow);
    }
    Ok(())
}

/// Says how many packets are missing between the lines, where there are more than before.
fn say_lost(tracer: &Tracer<&Datapath>, before: u64) -> Result<u64, Failure> {
    let lost = tracer.lost()?;
    if lost != before {
        eprintln!("{} packets are not shown: more than {RATE} a second, or not read in time", lost - before);
    }
    Ok(lost)
}
