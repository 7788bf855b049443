//! The packets that are dropped while doctor looks.

use maglev_probe::Verdict;

use super::{
    finding::{Found, Judgement},
    scene::Scene,
};

/// How drops of that verdict are mended; `None` where packets of that verdict are not dropped.
const fn mend(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::NoBackend => Some("undrain or add a backend: `maglev-top backend undrain --service S NAME`"),
        Verdict::BackendGone | Verdict::Inconsistent => {
            Some("see `state-version`; any change derives everything anew")
        }
        Verdict::NoRoute => Some("see `route`"),
        Verdict::NoNeighbour => Some("see `neighbour`"),
        Verdict::ForwardingOff => Some("see `forwarding`"),
        Verdict::TooBig => Some("see `packet-size`"),
        Verdict::NotOnSegment => Some("`forwarding = \"ipip\"` for backends behind a router"),
        Verdict::NoHeadroom => Some("another driver, or attach-mode = \"generic\""),
        Verdict::TaggedElsewhere => Some(
            "route the backends by the interface that the VLAN comes in by, or give the VLAN an interface of its own and attach there",
        ),
        Verdict::TimeExceeded => Some(
            "look for a loop of routes between clients and this host; senders are told, but only so often",
        ),
        Verdict::NotIp
        | Verdict::ExtensionHeaders
        | Verdict::OtherProtocol
        | Verdict::Malformed
        | Verdict::Fragment
        | Verdict::NotAService
        | Verdict::Observed
        | Verdict::Transmitted
        | Verdict::Redirected
        | Verdict::FragmentWithoutFirst
        | Verdict::TimeExceededAnswered
        | Verdict::TooBigAnswered
        | Verdict::ForeignQuote
        | Verdict::EchoAnswered => None,
    }
}

/// The words for the verdicts that drop packets, and how each is mended.
fn dropping() -> impl Iterator<Item = (&'static str, &'static str)> {
    Verdict::ALL.iter().filter_map(|&verdict| Some((verdict.word(), mend(verdict)?)))
}

pub(super) fn drops(scene: &Scene) -> Vec<Found> {
    scene
        .subjects
        .iter()
        .filter(|subject| !subject.verdicts.is_empty())
        .flat_map(|subject| {
            let found = judge_drops(&subject.verdicts);
            found.into_iter().map(|judgement| judgement.about(subject.name.clone()))
        })
        .collect()
}

/// What is dropped now; what was dropped before is told, and is no fault any more.
fn judge_drops(verdicts: &[(&str, u64, u64)]) -> Vec<Judgement> {
    let now = dropping().filter_map(|(word, mend)| {
        let (_, before, after) = verdicts.iter().find(|(found, ..)| *found == word)?;
        let now = after.checked_sub(*before).filter(|now| *now != 0)?;
        Some(Judgement::warning(
            format!("packets are being dropped as {word}: {now} while doctor looked, {after} in all"),
            mend,
        ))
    });
    let found: Vec<Judgement> = now.collect();
    if !found.is_empty() {
        return found;
    }
    let past: Vec<String> = dropping()
        .filter_map(|(word, _)| verdicts.iter().find(|(found, ..)| *found == word))
        .filter(|(_, _, after)| *after != 0)
        .map(|(word, _, after)| format!("{after} {word}"))
        .collect();
    let past = if past.is_empty() { String::new() } else { format!("; in all: {}", past.join(", ")) };
    vec![Judgement::ok(format!("no packet was dropped while doctor looked{past}"))]
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn drops_of_the_past_are_told_and_those_of_now_warned_of() {
        let past = judge_drops(&[("transmitted", 5, 9), ("no-neighbour", 3, 3)]);
        assert_eq!(past.iter().map(|one| one.verdict).collect::<Vec<_>>(), [Verdict::Ok]);
        assert!(past[0].found.contains("3 no-neighbour"), "{}", past[0].found);
        let now = judge_drops(&[
            ("no-neighbour", 3, 4),
            ("fragment", 1, 9),
            ("tagged-elsewhere", 0, 2),
            ("echo-answered", 0, 7),
        ]);
        assert_eq!(now.iter().map(|one| one.verdict).collect::<Vec<_>>(), [Verdict::Warning; 2]);
    }
}
