//! `cilium hits`: counts for a while, and says in which slots packets fell.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use maglev_core::cilium::{Frontend, Member, Node};
use maglev_probe::{
    cilium::{self, CiliumError},
    observe::{BackendHits, FrontendHits, Hits, Hook, Observer, ObserverVerdict},
};
use serde::Serialize;

use super::{View, answers_to, print, share_of};
use crate::{
    cli::CiliumHits,
    failure::{Failure, in_words},
    interruption::Interruption,
};

/// How often the node is looked at, and a line is printed.
const LOOK: Duration = Duration::from_secs(1);

/// How long programs are counted for that do not say it.
const FOR_PROGRAMS: Duration = Duration::from_secs(10);

/// How many of the hottest slots are named.
const HOTTEST: usize = 5;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct HitsReport {
    seconds: f64,
    seed: String,
    older_hash: bool,
    interfaces: Vec<InterfaceReport>,
    verdicts: BTreeMap<&'static str, u64>,
    services: Vec<ServiceReport>,
}

#[derive(Serialize)]
struct InterfaceReport {
    name: String,
    hook: Option<&'static str>,
    refusal: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ServiceReport {
    id: u16,
    name: Option<String>,
    address: String,
    protocol: &'static str,
    packets: u64,
    new_connections: u64,
    backends: Vec<BackendReport>,
    slots: Vec<u64>,
    slot_new_connections: Vec<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct BackendReport {
    id: u32,
    address: Option<String>,
    packets: u64,
    new_connections: u64,
}

pub(super) fn run(mut view: View<'_>, words: &CiliumHits) -> Result<(), Failure> {
    view.select(words.service.as_deref())?;
    let seed = view.seed_or_failure()?;
    let interfaces = interfaces(words)?;
    let terms = words.counting.terms(seed.seed);
    // Before anything is attached: a signal in between must not be lost.
    let interruption = Interruption::watch().map_err(|error| Failure::of(&error))?;
    let watches = |view: &View<'_>, frontend: &Frontend| {
        words.service.as_deref().is_none_or(|service| answers_to(&view.names, frontend, service))
    };
    let mut observer = Observer::attach(&interfaces, &terms, &view.node, |frontend| watches(&view, frontend))
        .map_err(|error| Failure::of(&error))?;
    let mut told = BTreeMap::new();
    tell_places(&observer, &mut told);
    let for_programs = view.json.then_some(FOR_PROGRAMS);
    let begun = Instant::now();
    let end = words.duration.or(for_programs).map(|duration| begun + duration);
    let mut before = BackendHits::default();
    for look in 1.. {
        let next = begun + LOOK * look;
        let signal = interruption.wait_until(end.map_or(next, |end| end.min(next)));
        // The last look is one, too: what was counted goes by the tables of now.
        match look_again(&view) {
            Ok(node) => view.node = node,
            Err(error) => {
                eprintln!("warning: {}; counting goes on by what was read before", in_words(&error));
            }
        }
        observer
            .follow(&view.node, |frontend| watches(&view, frontend))
            .map_err(|error| Failure::of(&error))?;
        tell_places(&observer, &mut told);
        let is_over = signal.is_some() || end.is_some_and(|end| Instant::now() >= end);
        if is_over || !print::is_read_for(Duration::ZERO) {
            break;
        }
        if !view.json {
            let now = sum(&observer.sample().map_err(|error| Failure::of(&error))?);
            tell_second(begun.elapsed(), before, now)?;
            before = now;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let hits = observer.sample().map_err(|error| Failure::of(&error))?;
    if view.json {
        return print::json(&HitsReport {
            seconds,
            seed: seed.seed.to_string(),
            older_hash: words.counting.older_hash,
            interfaces: observer.placements().map(InterfaceReport::of).collect(),
            verdicts: hits.verdicts.iter().map(|(verdict, packets)| (verdict.word(), *packets)).collect(),
            services: counted(&view, &hits).map(|(one, hits)| ServiceReport::of(&view, one, hits)).collect(),
        });
    }
    print_hits(&view, &hits, seconds)
}

/// The interfaces to count on. Where none was named, it is said which were chosen, and why.
fn interfaces(words: &CiliumHits) -> Result<Vec<String>, Failure> {
    let chosen = words.counting.interfaces().map_err(|error| Failure::of(&error))?;
    for one in chosen.iter().filter(|_| words.counting.interface.is_empty()) {
        eprintln!("chose {}: {}", one.interface, one.reason);
    }
    Ok(chosen.into_iter().map(|one| one.interface).collect())
}

fn look_again(view: &View<'_>) -> Result<Node, CiliumError> {
    cilium::read(&view.words.pins).map(|reading| Node::of(reading.snapshot))
}

/// Says where packets are looked at, and where they are not, as far as that is news.
fn tell_places(observer: &Observer, told: &mut BTreeMap<String, Result<Hook, String>>) {
    for placement in observer.placements() {
        let outcome = placement.outcome.as_ref().map(|hook| *hook).map_err(ToString::to_string);
        if told.get(&placement.interface) == Some(&outcome) {
            continue;
        }
        match &outcome {
            Ok(hook) => eprintln!("observing {} by {}", placement.interface, hook.word()),
            Err(refusal) => eprintln!("warning: {} is not observed: {refusal}", placement.interface),
        }
        told.insert(placement.interface.clone(), outcome);
    }
}

fn sum(hits: &Hits) -> BackendHits {
    hits.frontends.iter().map(FrontendHits::total).fold(BackendHits::default(), |sum, one| BackendHits {
        packets: sum.packets + one.packets,
        new_connections: sum.new_connections + one.new_connections,
    })
}

fn tell_second(elapsed: Duration, before: BackendHits, now: BackendHits) -> Result<(), Failure> {
    // A frontend that goes takes its counts along.
    let (packets, connections) = (
        now.packets.saturating_sub(before.packets),
        now.new_connections.saturating_sub(before.new_connections),
    );
    print::line(&format!(
        "{:>4} s  {} packets (+{})  {} new connections (+{})",
        elapsed.as_secs(),
        print::number(now.packets),
        print::number(packets),
        print::number(now.new_connections),
        print::number(connections)
    ))
}

/// The frontends that are counted by slot, with their counts.
fn counted<'a>(view: &'a View<'_>, hits: &'a Hits) -> impl Iterator<Item = (&'a Frontend, &'a FrontendHits)> {
    let found = |hits: &FrontendHits| {
        view.node
            .frontends
            .iter()
            .find(|one| !one.internal && (one.address, one.protocol) == (hits.address, hits.protocol))
    };
    hits.frontends.iter().filter(|hits| hits.is_counted).filter_map(move |hits| Some((found(hits)?, hits)))
}

fn print_hits(view: &View<'_>, hits: &Hits, seconds: f64) -> Result<(), Failure> {
    let mut without = 0;
    for (frontend, counts) in counted(view, hits) {
        let total = counts.total();
        if total.packets == 0 {
            without += 1;
            continue;
        }
        print::line(&format!(
            "\n{}: {} packets, {} new connections in {seconds:.1} s",
            view.title(frontend),
            print::number(total.packets),
            print::number(total.new_connections)
        ))?;
        let members = members(frontend);
        let rows: Vec<Vec<String>> = counts
            .backends
            .iter()
            .map(|(id, due)| {
                vec![
                    format!("  {}", called(&members, *id)),
                    id.to_string(),
                    print::number(due.packets),
                    print::number(due.new_connections),
                    share_of(due.packets, total.packets),
                ]
            })
            .collect();
        print::columns(&["  BACKEND", "ID", "PACKETS", "NEW", "SHARE"], &[1, 2, 3, 4], &rows)?;
        let owners = frontend.table.as_ref().map_or(&[][..], |table| &table.slots);
        let hottest: Vec<String> = hottest(&counts.hits)
            .into_iter()
            .map(|(slot, packets)| {
                let owner = owners.get(slot).map_or_else(String::new, |id| called(&members, *id));
                format!("{slot} ({}, {owner})", print::number(packets))
            })
            .collect();
        print::line(&format!("  hottest slots: {}", hottest.join("; ")))?;
    }
    if without > 0 {
        print::line(&format!("\nno packets for {without} other services with tables"))?;
    }
    let others: Vec<String> = hits
        .verdicts
        .iter()
        .filter(|(verdict, packets)| *verdict != ObserverVerdict::Counted && *packets > 0)
        .map(|(verdict, packets)| format!("{} {}", print::number(*packets), verdict.word()))
        .collect();
    if others.is_empty() { Ok(()) } else { print::line(&format!("other packets: {}", others.join(", "))) }
}

/// The slots with the most packets, the hottest first; none without packets.
fn hottest(hits: &[u64]) -> Vec<(usize, u64)> {
    let mut slots: Vec<(usize, u64)> =
        hits.iter().copied().enumerate().filter(|(_, packets)| *packets > 0).collect();
    slots.sort_by_key(|&(slot, packets)| (std::cmp::Reverse(packets), slot));
    slots.truncate(HOTTEST);
    slots
}

fn members(frontend: &Frontend) -> BTreeMap<u32, Member> {
    frontend.usable.iter().chain(&frontend.unusable).map(|member| (member.id, *member)).collect()
}

fn called(members: &BTreeMap<u32, Member>, id: u32) -> String {
    members.get(&id).map_or_else(|| format!("backend {id}, gone"), Member::address)
}

impl InterfaceReport {
    fn of(placement: &maglev_probe::observe::Placement) -> Self {
        Self {
            name: placement.interface.clone(),
            hook: placement.outcome.as_ref().ok().map(|hook| hook.word()),
            refusal: placement.outcome.as_ref().err().map(ToString::to_string),
        }
    }
}

impl ServiceReport {
    fn of(view: &View<'_>, frontend: &Frontend, hits: &FrontendHits) -> Self {
        let members = members(frontend);
        let total = hits.total();
        Self {
            id: frontend.id,
            name: view.name(frontend).map(str::to_owned),
            address: frontend.address.to_string(),
            protocol: frontend.protocol_name(),
            packets: total.packets,
            new_connections: total.new_connections,
            backends: hits
                .backends
                .iter()
                .map(|(&id, due)| BackendReport {
                    id,
                    address: members
                        .get(&id)
                        .and_then(|member| member.record)
                        .map(|record| record.address.to_string()),
                    packets: due.packets,
                    new_connections: due.new_connections,
                })
                .collect(),
            slots: hits.hits.clone(),
            slot_new_connections: hits.connections.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hottest;

    #[test]
    fn the_hottest_slots_come_first_and_cold_ones_not_at_all() {
        assert_eq!(hottest(&[0, 3, 9, 0, 3]), [(2, 9), (1, 3), (4, 3)]);
        assert_eq!(hottest(&[1, 2, 3, 4, 5, 6, 7]).len(), 5);
    }
}
