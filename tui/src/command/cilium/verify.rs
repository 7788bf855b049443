//! `cilium verify`

use maglev_core::cilium::{Verdict, Verification, verify};
use serde::Serialize;

use super::{View, print};
use crate::failure::Failure;

/// So many differing slots are listed for people.
const LISTED: usize = 20;

#[derive(Serialize)]
struct VerifyReport {
    seed: Option<String>,
    services: Vec<VerdictReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct VerdictReport {
    id: u16,
    name: Option<String>,
    address: String,
    verdict: &'static str,
    differing_slots: Vec<SlotReport>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct SlotReport {
    slot: u32,
    kernel: String,
    expected: String,
}

pub(super) fn run(view: &View<'_>, service: Option<&str>) -> Result<(), Failure> {
    let seed = view.seed();
    let mut services = Vec::new();
    let mut headlines = Vec::new();
    for frontend in view.select(service)? {
        let Some(table) = view.node.table(frontend) else { continue };
        let verification = match &seed {
            Some(seed) => verify(frontend, &seed.seed),
            None => Verification::without_seed(),
        };
        let address = |id: u32| {
            let owner = table.owners.iter().find(|(member, _)| member.id == id);
            owner.map_or_else(|| format!("backend {id} not found"), |(member, _)| member.address())
        };
        let slots = verification.differing.iter();
        headlines.push((view.title(frontend), table.slots.len(), verification.verdict));
        services.push(VerdictReport {
            id: frontend.id,
            name: view.name(frontend).map(str::to_owned),
            address: frontend.address.to_string(),
            verdict: verification.verdict.word(),
            differing_slots: slots
                .map(|one| SlotReport {
                    slot: one.slot,
                    kernel: address(one.kernel),
                    expected: address(one.expected),
                })
                .collect(),
            reason: verification.reason,
        });
    }
    let faulty = headlines.iter().any(|(.., verdict)| *verdict == Verdict::Differs);
    if view.json {
        print::json(&VerifyReport { seed: seed.map(|seed| seed.seed.to_string()), services })?;
    } else {
        let known = seed.map_or_else(
            || "seed unknown: it is not the default, and this node does not tell it; give --seed".to_owned(),
            |seed| format!("seed {}, {}", seed.seed, seed.source),
        );
        print::line(&known)?;
        for ((title, size, _), report) in headlines.iter().zip(&services) {
            let size = print::number(*size as u64);
            let reason = report.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            print::line(&format!("{title}  {} ({size} slots){reason}", report.verdict))?;
            for slot in report.differing_slots.iter().take(LISTED) {
                print::line(&format!(
                    "  slot {}: {} in the kernel, {} by the backends",
                    slot.slot, slot.kernel, slot.expected
                ))?;
            }
            if let Some(more) = report.differing_slots.len().checked_sub(LISTED).filter(|&more| more > 0) {
                print::line(&format!("  and {more} more: -o json lists them"))?;
            }
        }
        if services.is_empty() {
            print::line("no tables: `maglev-top cilium explain` says why")?;
        }
    }
    if faulty { Err(Failure::Fault) } else { Ok(()) }
}
