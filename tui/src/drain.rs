//! How far a drain has come, in words: the same ones in the monitor and on the command line.

use std::time::Duration;

use maglev_core::{
    drain::{DrainProgress, held_slots},
    sample::{BackendSample, ServiceSample},
};

use crate::monitor::number::{count, duration};

/// How far a drain has come. To the second: what stands on screen changes as seldom as it can.
#[must_use]
pub(crate) fn in_words(progress: DrainProgress, settle_time: Duration) -> String {
    let told = |quiet: Duration| duration(Duration::from_secs(quiet.as_secs()));
    match progress {
        DrainProgress::Unused => "quiet, it never got a packet: safe to remove".to_owned(),
        DrainProgress::Untracked => {
            "of no consequence, for nothing is held for it: safe to remove".to_owned()
        }
        DrainProgress::Quiet(quiet) => format!("quiet for {}: safe to remove", told(quiet)),
        DrainProgress::Busy(quiet) if quiet < Duration::from_secs(1) => {
            "still busy: not yet safe to remove".to_owned()
        }
        DrainProgress::Busy(quiet) => format!("quiet for {} of {}", told(quiet), duration(settle_time)),
    }
}

/// What keeps a draining backend from being safe to remove, in words; `None` once nothing does. `before` is an earlier
/// look, and how long ago it was.
#[must_use]
pub(crate) fn what_holds(
    service: &ServiceSample,
    backend: &BackendSample,
    before: Option<(u64, Duration)>,
) -> Option<String> {
    let Some(DrainProgress::Busy(quiet)) = DrainProgress::of(service, backend) else { return None };
    let slots = match held_slots(service, backend) {
        0 => "no settling slot names it as its previous owner, and flows are remembered at it".to_owned(),
        1 => "1 settling slot names it as its previous owner".to_owned(),
        slots => format!("{} settling slots name it as their previous owner", count(slots as u64)),
    };
    let held = before.filter(|(_, since)| !since.is_zero()).map_or_else(String::new, |(packets, since)| {
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with one digit")]
        let packets = backend.counters.held_packets.saturating_sub(packets) as f64;
        format!(", {:.1} packets/s are held", packets / since.as_secs_f64())
    });
    Some(format!(
        "it had a packet {:.1} s ago, and its connections may be silent for {}; {slots}{held}",
        quiet.as_secs_f64(),
        duration(service.settle_time),
    ))
}
