//! What is pinned of the instances of this host, and what becomes of packets.

use maglev_probe::survey::{Phase, Pins};

use super::{
    finding::{Found, Judgement},
    scene::Scene,
};

/// Says the same thing of every instance that could be looked at.
fn of_each(scene: &Scene, judge: impl Fn(&Pins) -> Judgement) -> Vec<Found> {
    scene.known_pins().map(|pins| judge(pins).about(format!("instance {}", pins.instance.name()))).collect()
}

/// The words that take an instance away and bring it up again.
fn anew(pins: &Pins) -> String {
    let name = pins.instance.name();
    format!(
        "`maglev-top down --instance {name}`, then `maglev-top up --instance {name} --config FILE` (`config show` first, if it still answers)"
    )
}

pub(super) fn pins(scene: &Scene) -> Vec<Found> {
    let instances = match &scene.pins {
        Err(why) => return vec![Judgement::skipped(why.clone()).about("/sys/fs/bpf/maglev-top")],
        Ok(instances) => instances,
    };
    if instances.is_empty() {
        let nothing = "no instance is up on this host: `maglev-top up --config FILE` brings one up";
        return vec![Judgement::ok(nothing).about("/sys/fs/bpf/maglev-top")];
    }
    instances
        .iter()
        .map(|pinned| {
            match &pinned.pins {
                Err(why) => Judgement::skipped(why.clone()),
                Ok(pins) => judge_pins(pins),
            }
            .about(pinned.name.clone())
        })
        .collect()
}

fn judge_pins(pins: &Pins) -> Judgement {
    if pins.missing.is_empty() {
        Judgement::ok(format!("all pins are there, {} links among them", pins.links.len()))
    } else {
        Judgement::fault(
            format!(
                "{} missing: somebody removed them, or another version made the rest",
                list(&pins.missing)
            ),
            anew(pins),
        )
    }
}

pub(super) fn schema(scene: &Scene) -> Vec<Found> {
    of_each(scene, judge_schema)
}

fn judge_schema(pins: &Pins) -> Judgement {
    match pins.schema {
        None => Judgement::skipped("its maps do not say what they are made like"),
        Some(found) if found == pins.known_schema => {
            Judgement::ok(format!("its maps are of schema {found}, as this version makes them"))
        }
        Some(found) => Judgement::fault(
            format!("its maps are of schema {found}, this version knows {}", pins.known_schema),
            format!("use the version of maglev-top that made them, or {}", anew(pins)),
        ),
    }
}

pub(super) fn phase(scene: &Scene) -> Vec<Found> {
    of_each(scene, judge_phase)
}

fn judge_phase(pins: &Pins) -> Judgement {
    let name = pins.instance.name();
    let what = match pins.phase {
        Phase::Running => return Judgement::ok("it is up"),
        Phase::Starting => "brought up",
        Phase::Ending => "taken down",
    };
    if pins.is_being_changed {
        Judgement::warning(format!("it is being {what}"), "look again in a moment")
    } else {
        Judgement::fault(
            format!("it was being {what}, and that was cut short: nobody is at it"),
            format!(
                "`maglev-top up --instance {name} --config FILE` starts it anew, `maglev-top down --instance {name}` clears it away"
            ),
        )
    }
}

pub(super) fn state_version(scene: &Scene) -> Vec<Found> {
    of_each(scene, judge_state_version)
}

fn judge_state_version(pins: &Pins) -> Judgement {
    let version = pins.state_version;
    if version.is_multiple_of(2) {
        Judgement::ok(format!("no change is half done (version {version})"))
    } else if pins.is_being_changed {
        Judgement::warning(format!("a change is under way (version {version})"), "look again in a moment")
    } else {
        Judgement::fault(
            format!(
                "a change was left half done (version {version} is odd, and nobody is at it); packets go on"
            ),
            format!(
                "any change finishes it or takes it back first: `maglev-top apply --instance {} --config FILE`, with the file that it was brought up with",
                pins.instance.name()
            ),
        )
    }
}

pub(super) fn program_current(scene: &Scene) -> Vec<Found> {
    let embedded = match &scene.trial {
        Some(Ok(trial)) => Some(trial.tag),
        _ => None,
    };
    of_each(scene, |pins| judge_program(pins, embedded))
}

fn judge_program(pins: &Pins, embedded: Option<u64>) -> Judgement {
    match (pins.tag, embedded) {
        (Some(tag), Some(embedded)) if tag == embedded => {
            Judgement::ok(format!("its program is this version's (tag {:016x})", tag.to_be()))
        }
        (Some(tag), Some(embedded)) => Judgement::warning(
            format!(
                "its program is another version's (tag {:016x}, this version's is {:016x})",
                tag.to_be(),
                embedded.to_be()
            ),
            format!(
                "`maglev-top up --instance {} --config FILE` puts this version's in its place, and no packet is lost",
                pins.instance.name()
            ),
        ),
        (None, _) => Judgement::skipped("its program cannot be looked at"),
        (_, None) => {
            Judgement::skipped("this version's program was not loaded, and has no tag to compare with")
        }
    }
}

pub(super) fn links(scene: &Scene) -> Vec<Found> {
    of_each(scene, |pins| {
        let name = |index: u32| scene.device_at(index).map(|device| device.interface.name.clone());
        judge_links(pins, &name)
    })
}

fn judge_links(pins: &Pins, name: &dyn Fn(u32) -> Option<String>) -> Judgement {
    if pins.links.is_empty() {
        return Judgement::fault("it is attached nowhere: no packet reaches it", anew(pins));
    }
    let gone = pins.links.iter().filter(|link| link.interface == 0).count();
    if gone != 0 {
        return Judgement::fault(
            format!("{gone} of {} interfaces that it was attached to are gone", pins.links.len()),
            anew(pins),
        );
    }
    if let Some(program) = pins.program
        && let Some(other) = pins.links.iter().find(|link| link.program != program)
    {
        return Judgement::fault(
            format!(
                "its link {} holds program {}, not its own ({program})",
                other.path.display(),
                other.program
            ),
            anew(pins),
        );
    }
    let names: Vec<String> = pins
        .links
        .iter()
        .map(|link| {
            let here = pins.is_at_home.then(|| name(link.interface)).flatten();
            here.unwrap_or_else(|| format!("#{}", link.interface))
        })
        .collect();
    Judgement::ok(format!("it is attached to {}", list(&names)))
}

pub(super) fn network_namespace(scene: &Scene) -> Vec<Found> {
    of_each(scene, |pins| {
        if pins.is_at_home {
            Judgement::ok("it is attached in this network namespace")
        } else {
            Judgement::skipped(
                "it is attached in another network namespace: what is said of routes and neighbours is said of this one; run doctor there (`nsenter --net=…`)",
            )
        }
    })
}

/// The verdicts that drop packets, and how each is mended.
const DROPS: &[(&str, &str)] = &[
    ("no-backend", "undrain or add a backend: `maglev-top backend undrain --service S NAME`"),
    ("backend-gone", "see `state-version`; any change derives everything anew"),
    ("no-route", "see `route`"),
    ("no-neighbour", "see `neighbour`"),
    ("forwarding-off", "see `forwarding`"),
    ("too-big", "see `packet-size`"),
    ("not-on-segment", "`forwarding = \"ipip\"` for backends behind a router"),
    ("no-headroom", "another driver, or attach-mode = \"generic\""),
    ("inconsistent", "see `state-version`; any change derives everything anew"),
];

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
    let dropping = DROPS.iter().filter_map(|(word, mend)| {
        let (_, before, after) = verdicts.iter().find(|(found, ..)| found == word)?;
        let now = after.checked_sub(*before).filter(|now| *now != 0)?;
        Some(Judgement::warning(
            format!("packets are being dropped as {word}: {now} while doctor looked, {after} in all"),
            *mend,
        ))
    });
    let found: Vec<Judgement> = dropping.collect();
    if !found.is_empty() {
        return found;
    }
    let past: Vec<String> = DROPS
        .iter()
        .filter_map(|(word, _)| verdicts.iter().find(|(found, ..)| found == word))
        .filter(|(_, _, after)| *after != 0)
        .map(|(word, _, after)| format!("{after} {word}"))
        .collect();
    let past = if past.is_empty() { String::new() } else { format!("; in all: {}", past.join(", ")) };
    vec![Judgement::ok(format!("no packet was dropped while doctor looked{past}"))]
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use maglev_probe::{Instance, survey::PinnedLink};

    use super::{super::finding::Verdict, *};

    fn healthy() -> Pins {
        Pins {
            instance: Instance::new("default").unwrap(),
            missing: Vec::new(),
            schema: Some(1),
            known_schema: 1,
            phase: Phase::Running,
            state_version: 4,
            is_being_changed: false,
            tag: Some(7),
            program: Some(12),
            links: vec![PinnedLink { path: "/sys/fs/bpf/x".into(), interface: 3, program: 12 }],
            is_at_home: true,
        }
    }

    #[test]
    fn what_is_whole_is_ok() {
        let pins = healthy();
        let name = |_| Some("eth0".to_owned());
        let judgements = [
            judge_pins(&pins),
            judge_schema(&pins),
            judge_phase(&pins),
            judge_state_version(&pins),
            judge_program(&pins, Some(7)),
            judge_links(&pins, &name),
        ];
        for judgement in judgements {
            assert_eq!(judgement.verdict, Verdict::Ok, "{}", judgement.found);
        }
    }

    #[test]
    fn what_was_cut_short_is_a_fault_unless_somebody_is_at_it() {
        for (is_being_changed, verdict) in [(false, Verdict::Fault), (true, Verdict::Warning)] {
            let odd = Pins { state_version: 5, is_being_changed, ..healthy() };
            assert_eq!(judge_state_version(&odd).verdict, verdict);
            for phase in [Phase::Starting, Phase::Ending] {
                assert_eq!(judge_phase(&Pins { phase, is_being_changed, ..healthy() }).verdict, verdict);
            }
        }
    }

    #[test]
    fn pins_of_another_version_are_told() {
        assert_eq!(judge_schema(&Pins { schema: Some(2), ..healthy() }).verdict, Verdict::Fault);
        assert_eq!(judge_program(&healthy(), Some(8)).verdict, Verdict::Warning);
        assert_eq!(judge_program(&healthy(), None).verdict, Verdict::Skipped);
        let incomplete = judge_pins(&Pins { missing: vec!["maps/slots".to_owned()], ..healthy() });
        assert_eq!(incomplete.verdict, Verdict::Fault);
        assert!(incomplete.found.contains("maps/slots"));
    }

    #[test]
    fn links_that_lead_nowhere_are_faults() {
        let name = |_| Some("eth0".to_owned());
        let link = |interface, program| PinnedLink { path: "/x".into(), interface, program };
        for links in [vec![], vec![link(0, 12)], vec![link(3, 12), link(4, 13)]] {
            assert_eq!(judge_links(&Pins { links, ..healthy() }, &name).verdict, Verdict::Fault);
        }
    }

    #[test]
    fn drops_of_the_past_are_told_and_those_of_now_warned_of() {
        let past = judge_drops(&[("transmitted", 5, 9), ("no-neighbour", 3, 3)]);
        assert_eq!(past.iter().map(|one| one.verdict).collect::<Vec<_>>(), [Verdict::Ok]);
        assert!(past[0].found.contains("3 no-neighbour"), "{}", past[0].found);
        let now = judge_drops(&[("no-neighbour", 3, 4), ("too-big", 0, 2), ("fragment", 1, 9)]);
        assert_eq!(now.iter().map(|one| one.verdict).collect::<Vec<_>>(), [Verdict::Warning; 2]);
    }
}
