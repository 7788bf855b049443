//! `doctor`: what keeps a datapath from working on this host, or may.
//!
//! [`scene::Scene`] is everything that was looked at; the checks judge it, each on its own, and say how to mend what
//! they find. What may not be looked at is skipped, and the reason said.

mod backend_end;
mod drops;
mod finding;
mod instance;
mod interface;
mod machine;
mod scene;
mod service;
mod tunnel_checks;
mod way;

use serde::Serialize;

use super::{Context, print};
use crate::{cli::Doctor, failure::Failure};
use finding::{Finding, Found, Verdict};
use scene::Scene;

/// A thing to look at.
struct Check {
    /// Its name, in JSON and on screen.
    name: &'static str,
    /// What there is to say of it: what it is about, and the judgement.
    judge: fn(&Scene) -> Vec<Found>,
}

/// Everything that is looked at, in the order in which it matters: what is further down cannot work without what is
/// further up.
const CHECKS: &[Check] = &[
    Check { name: "kernel-version", judge: machine::kernel_version },
    Check { name: "kernel-types", judge: machine::kernel_types },
    Check { name: "preemption", judge: machine::preemption },
    Check { name: "privileges", judge: machine::privileges },
    Check { name: "bpffs", judge: machine::bpffs },
    Check { name: "jit", judge: machine::jit },
    Check { name: "program-loads", judge: machine::program_loads },
    Check { name: "pins", judge: instance::pins },
    Check { name: "schema", judge: instance::schema },
    Check { name: "phase", judge: instance::phase },
    Check { name: "state-version", judge: instance::state_version },
    Check { name: "program-current", judge: instance::program_current },
    Check { name: "links", judge: instance::links },
    Check { name: "network-namespace", judge: instance::network_namespace },
    Check { name: "trace", judge: instance::trace },
    Check { name: "interface", judge: interface::present },
    Check { name: "xdp-holder", judge: interface::holder },
    Check { name: "xdp-mode", judge: interface::mode },
    Check { name: "receive-merging", judge: interface::merging },
    Check { name: "forwarding", judge: interface::forwarding },
    Check { name: "service-address", judge: service::address },
    Check { name: "tunnel-checks", judge: tunnel_checks::tunnel_checks },
    Check { name: "route", judge: way::route },
    Check { name: "neighbour", judge: way::neighbour },
    Check { name: "packet-size", judge: way::packet_size },
    Check { name: "redirect-target", judge: way::redirect_target },
    Check { name: "drops", judge: drops::drops },
    Check { name: "decapsulation", judge: backend_end::decapsulation },
    Check { name: "reverse-path-filter", judge: backend_end::reverse_path_filter },
    Check { name: "address-resolution", judge: backend_end::address_resolution },
];

/// What `doctor` prints as JSON.
#[derive(Serialize)]
struct DoctorReport<'a> {
    checks: &'a [Finding],
}

pub(super) fn run(context: &Context<'_>, words: &Doctor) -> Result<(), Failure> {
    let scene = Scene::look(context, words)?;
    let findings: Vec<Finding> = CHECKS
        .iter()
        .flat_map(|check| (check.judge)(&scene).into_iter().map(|found| Finding::of(check.name, found)))
        .collect();
    if context.json() {
        print::json(&DoctorReport { checks: &findings })?;
    } else {
        text(&findings)?;
    }
    if findings.iter().any(|finding| finding.verdict == Verdict::Fault) {
        Err(Failure::Fault)
    } else {
        Ok(())
    }
}

fn text(findings: &[Finding]) -> Result<(), Failure> {
    let width = |text: fn(&Finding) -> usize| findings.iter().map(text).max().unwrap_or(0);
    let (names, subjects) =
        (width(|finding| finding.name.len()), width(|finding| finding.about.chars().count()));
    for Finding { name, verdict, about, found, mend } in findings {
        let word = verdict.on_screen();
        print::line(&format!("{word:<7}  {name:<names$}  {about:<subjects$}  {found}"))?;
        if let Some(mend) = mend {
            print::line(&format!("{:<7}  mend: {mend}", ""))?;
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let counted = |verdict, word: &str| match count(verdict) {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    print::line("")?;
    print::line(&format!(
        "{}, {}, {} ok, {} skipped",
        counted(Verdict::Fault, "fault"),
        counted(Verdict::Warning, "warning"),
        count(Verdict::Ok),
        count(Verdict::Skipped)
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CHECKS;

    #[test]
    fn checks_have_names_of_their_own_in_kebab_case() {
        let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        let fits = |character: char| character.is_ascii_lowercase() || character == '-';
        assert!(names.iter().all(|name| name.chars().all(fits)), "{names:?}");
    }
}
