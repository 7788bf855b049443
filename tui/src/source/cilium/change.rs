//! What the agent did between two looks, as changes for the record.

use std::collections::BTreeSet;

use maglev_core::{cilium::InnerTable, reassignment::Reassignment, sample::BackendId};

use super::observed::{Observed, Seen};
use crate::monitor::number::count;

/// Something that the agent did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// What: `rebuild`, `overwrite`, `resize`, `build`, `drop`, `appears`, `leaves`, `new-map`; the state that a backend
    /// has now; what is to be said of the table now: `present`, `absent`, `stale`.
    pub(super) action: &'static str,
    /// The service.
    pub(super) service: String,
    /// The backend; empty where it is none or several.
    pub(super) backend: String,
    /// What else there is to say.
    pub(super) detail: String,
    /// Slots that changed owner.
    pub(super) moved: u32,
    /// Slots that had to.
    pub(super) minimum: u32,
}

/// What became of a frontend.
pub(super) fn between(before: Option<&Observed>, now: Option<&Observed>) -> Vec<Change> {
    match (before, now) {
        (None, None) => Vec::new(),
        (None, Some(now)) => vec![whole("appears", now, told(now))],
        (Some(before), None) => vec![whole("leaves", before, String::new())],
        (Some(before), Some(now)) => {
            let mut changes = states(before, now);
            match table(before, now) {
                Some(change) => changes.push(change),
                None if before.explanation() != now.explanation() => changes.push(Change {
                    action: now.explanation().table.word(),
                    service: now.name.clone(),
                    detail: told(now),
                    ..Change::default()
                }),
                None => {}
            }
            changes
        }
    }
}

/// A map was made anew under the name that it had.
pub(super) fn new_map(name: &str, before: u32, now: u32) -> Change {
    Change { action: "new-map", detail: format!("{name}: map {now}, was {before}"), ..Change::default() }
}

/// Something that becomes of every slot of a table.
fn whole(action: &'static str, of: &Observed, detail: String) -> Change {
    let slots = u32::try_from(of.owner().len()).unwrap_or(u32::MAX);
    Change { action, service: of.name.clone(), backend: String::new(), detail, moved: slots, minimum: slots }
}

/// Whether it has a table, and why not: `LoadBalancer, table absent: l7-redirect`.
fn told(of: &Observed) -> String {
    let explanation = of.explanation();
    let reason = explanation.reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{}, table {}{reason}", of.frontend().kind, explanation.table)
}

/// Backends whose state is another.
fn states(before: &Observed, now: &Observed) -> Vec<Change> {
    let was = |seen: &Seen| before.members().iter().find(|other| other.id == seen.id);
    let changed = now.members().iter().filter_map(|seen| {
        let was = was(seen)?.member.state;
        (was != seen.member.state).then(|| Change {
            action: seen.member.state.word(),
            service: now.name.clone(),
            backend: seen.name(),
            detail: format!("was {was}"),
            ..Change::default()
        })
    });
    changed.collect()
}

/// What became of the table, if anything did.
fn table(before: &Observed, now: &Observed) -> Option<Change> {
    let new = match (before.table(), now.table()) {
        (None, None) => return None,
        (Some(_), None) => return Some(whole("drop", before, told(now))),
        (_, Some(new)) => new,
    };
    // An agent that starts anew may leave a service without a table for a while.
    let Some(old) = before.latest_table() else { return Some(whole("build", now, inner(new))) };
    let (was, is) = (old.owner.len(), new.slots.len());
    if was != is {
        let detail = format!(
            "{}: {} slots, were {}: every flow falls into another",
            inner(new),
            count(is as u64),
            count(was as u64)
        );
        return Some(whole("resize", now, detail));
    }
    let moves = Reassignment::between(&old.owner, now.owner());
    if old.map == new.map && moves.moved() == 0 {
        return None;
    }
    let (came, went) = (others(now, before), others(before, now));
    let names = |seen: &[&Seen]| seen.iter().map(|seen| seen.name()).collect::<Vec<_>>().join(", ");
    let inner = if old.map == new.map {
        format!("{}, written over", inner(new))
    } else {
        format!("{}, was {}", inner(new), old.map)
    };
    let came_words = (!came.is_empty()).then(|| format!("in: {}", names(&came)));
    let went_words = (!went.is_empty()).then(|| format!("out: {}", names(&went)));
    let words: Vec<String> = came_words.into_iter().chain(went_words).chain([inner]).collect();
    let backend = match (came.as_slice(), went.as_slice()) {
        ([one], []) | ([], [one]) => one.name(),
        _ => String::new(),
    };
    Some(Change {
        action: if old.map == new.map { "overwrite" } else { "rebuild" },
        service: now.name.clone(),
        backend,
        detail: words.join("; "),
        moved: moves.moved(),
        minimum: moves.minimum(),
    })
}

fn inner(table: &InnerTable) -> String {
    format!("inner map {}", table.map)
}

/// The backends that `of` sends new flows to, and `than` did not.
fn others<'a>(of: &'a Observed, than: &Observed) -> Vec<&'a Seen> {
    let there: BTreeSet<BackendId> =
        than.members().iter().filter(|seen| seen.usable).map(|seen| seen.id).collect();
    of.members().iter().filter(|seen| seen.usable && !there.contains(&seen.id)).collect()
}
