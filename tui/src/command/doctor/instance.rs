//! What is pinned of the instances of this host, and who is at them.

use maglev_probe::{
    survey::{Phase, Pins, Traced},
    trace::TraceHolder,
};

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

pub(super) fn trace(scene: &Scene) -> Vec<Found> {
    of_each(scene, judge_trace)
}

fn judge_trace(pins: &Pins) -> Judgement {
    let TraceHolder { program, process } = match pins.traced {
        Traced::Unknown => {
            return Judgement::skipped(
                "whether somebody traces it takes CAP_SYS_ADMIN, and a program of this version",
            );
        }
        Traced::ByNobody => return Judgement::ok("nobody traces it"),
        Traced::By(holder) => holder,
    };
    let who = process.map_or_else(|| "somebody".to_owned(), |process| format!("process {process}"));
    let mend = process.map_or_else(
        || format!("`bpftool prog show id {program}` names whose it is; the trace ends with that process"),
        |process| format!("`ps -p {process}` says whose it is; the trace ends with that process"),
    );
    Judgement::warning(
        format!(
            "{who} traces it, with program {program}: packets take longer meanwhile, and nobody else can trace"
        ),
        mend,
    )
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
            traced: Traced::ByNobody,
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
    fn who_traces_is_told() {
        let judge = |traced| judge_trace(&Pins { traced, ..healthy() });
        assert_eq!(judge(Traced::Unknown).verdict, Verdict::Skipped);
        assert_eq!(judge(Traced::ByNobody).verdict, Verdict::Ok);
        let by = |process| judge(Traced::By(TraceHolder { program: 77, process }));
        assert_eq!(by(Some(4321)).verdict, Verdict::Warning);
        assert!(by(Some(4321)).found.contains("process 4321 traces it, with program 77"));
        assert!(by(None).mend.is_some_and(|mend| mend.contains("id 77")));
    }
}
