//! Reading everything there is to show.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use maglev_core::{
    sample::{BackendId, BackendSample, Counters, Event, Sample, ServiceSample, Slots},
    service::Backend,
    slot::{Deadline, Phase, SlotWord},
};
use maglev_probe_abi::{self as abi, BackendCounters, ServiceCounters, Verdict};

use crate::{
    actor::Actor,
    clock::since_boot,
    error::DatapathError,
    maps::Maps,
    record,
    state::{ServiceState, State},
};

/// Reads a sample, and the state that it is of. Unless the sample's state version is odd, a change that was cut short,
/// or changes come one after the other, all of it is of one moment.
pub(crate) fn read(maps: &Maps) -> Result<(Sample, State), DatapathError> {
    const TRIES: u32 = 5;
    let mut tries = 0;
    loop {
        tries += 1;
        let state = State::read_settled(maps)?;
        let sample = read_once(maps, &state)?;
        // Slots that changed after the backends were read would name strangers.
        if tries == TRIES || state.still_holds(maps)? {
            return Ok((sample, state));
        }
    }
}

fn read_once(maps: &Maps, state: &State) -> Result<Sample, DatapathError> {
    let now = since_boot();
    let highest = |numbers: Option<&u32>| numbers.map_or(0, |&number| number + 1);

    let backend_counters: BTreeMap<u32, BackendCounters> = maps
        .backend_counters
        .first_per_processor(highest(state.backends.keys().next_back()))?
        .into_iter()
        .map(|(number, counters)| (number, sum_of_backend(&counters)))
        .collect();
    let service_counters: BTreeMap<u32, ServiceCounters> = maps
        .service_counters
        .first_per_processor(highest(state.services.keys().next_back()))?
        .into_iter()
        .map(|(number, counters)| (number, sum_of_service(&counters)))
        .collect();
    let verdicts = maps.verdicts.first_per_processor(Verdict::COUNT)?;
    let processors = verdicts.first().map_or(0, |(_, counts)| counts.len());

    let mut services = state
        .services
        .values()
        .map(|service| {
            let counters = service_counters.get(&service.number).copied().unwrap_or_default();
            read_service(maps, state, service, counters, &backend_counters, now)
        })
        .collect::<Result<Vec<_>, _>>()?;
    services.sort_by(|a, b| a.name.cmp(&b.name));

    Ok(Sample {
        taken_at: now,
        wall: Some(SystemTime::now()),
        state_version: state.meta.state_version,
        services,
        verdicts: Verdict::ALL
            .iter()
            .zip(&verdicts)
            .map(|(verdict, (_, counts))| (verdict.word(), counts.iter().sum()))
            .collect(),
        processors: (0..processors)
            .map(|processor| verdicts.iter().map(|(_, counts)| counts[processor]).sum())
            .collect(),
        events: events(maps, state.meta.events)?,
        cilium: None,
    })
}

fn read_service(
    maps: &Maps,
    whole: &State,
    state: &ServiceState,
    counters: ServiceCounters,
    backend_counters: &BTreeMap<u32, BackendCounters>,
    now: Duration,
) -> Result<ServiceSample, DatapathError> {
    let slots = read_slots(maps, &whole.meta, state, now)?;
    let (owned, named) = tally(&slots);
    // While a change is under way, slots may name some that have left already.
    let leaving: Vec<(u32, Backend)> = named
        .into_iter()
        .filter(|number| !state.numbers.contains(number))
        .filter_map(|number| Some((number, record::backend(whole.backends.get(&number)?))))
        .collect();
    let present = state.numbers.iter().copied().zip(state.service.backends.iter());
    let backends = present
        .chain(leaving.iter().map(|(number, backend)| (*number, backend)))
        .map(|(number, backend)| {
            let counters = backend_counters.get(&number).copied().unwrap_or_default();
            BackendSample {
                id: BackendId(number),
                name: backend.name.clone(),
                address: backend.address,
                weight: backend.weight,
                state: backend.state,
                health: backend.health,
                slots: owned.get(number as usize).copied().unwrap_or(0),
                counters: Counters {
                    packets: counters.packets,
                    bytes: counters.bytes,
                    new_connections: counters.new_connections,
                    held_packets: counters.held_packets,
                },
                quiet: (counters.last_packet != 0)
                    .then(|| now.saturating_sub(Duration::from_millis(counters.last_packet))),
                by_hand: whole.backends.get(&number).map_or_else(Vec::new, record::by_hand),
            }
        })
        .collect();
    let service = &state.service;
    Ok(ServiceSample {
        name: service.name.clone(),
        address: service.address,
        protocol: service.protocol,
        forwarding: service.forwarding,
        affinity: service.affinity,
        tracking: service.tracking,
        settle_time: service.settle_time,
        is_checked: service.health.is_some(),
        counters: Counters {
            packets: counters.packets,
            bytes: counters.bytes,
            new_connections: counters.new_connections,
            held_packets: counters.held_packets,
        },
        unremembered: counters.unremembered,
        backends,
        slots,
        cilium: None,
    })
}

/// How many slots each number owns, at its place; and the numbers that any slot names, as its owner or the one before.
fn tally(slots: &Slots) -> (Vec<u32>, Vec<u32>) {
    let numbers = || slots.owner.iter().chain(slots.previous.iter()).map(|number| number.0 as usize);
    let room = numbers().max().map_or(0, |highest| highest + 1);
    let (mut owned, mut is_named) = (vec![0; room], vec![false; room]);
    slots.owner.iter().for_each(|number| owned[number.0 as usize] += 1);
    numbers().for_each(|number| is_named[number] = true);
    let named = (0..).zip(is_named).filter_map(|(number, is_named)| is_named.then_some(number));
    (owned, named.collect())
}

fn read_slots(
    maps: &Maps,
    meta: &abi::Meta,
    state: &ServiceState,
    now: Duration,
) -> Result<Slots, DatapathError> {
    let size = state.service.table_size as usize;
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let words = maps.slots.read(state.first_row(), state.rows())?;
    let deadlines = maps.deadlines.read(state.first_row(), state.rows())?;
    let mut hits = vec![0_u64; size];
    for processor in 0..meta.processors {
        let counted = maps.slot_hits.read(processor * meta.rows + state.first_row(), state.rows())?;
        for (sum, count) in hits.iter_mut().zip(counted) {
            *sum += count;
        }
    }
    let words = words.into_iter().take(size).map(SlotWord);
    let (owner, previous): (Vec<_>, Vec<_>) = words
        .zip(deadlines.into_iter().map(Deadline))
        .map(|(word, deadline)| {
            let previous = if word.phase(deadline, now) == Phase::Settled { 0 } else { word.previous() };
            (BackendId(word.owner()), BackendId(previous))
        })
        .unzip();
    Ok(Slots { owner: owner.into(), previous: previous.into(), hits: hits.into() })
}

/// The events on record, the oldest first. Those past `count` are of a change that is not decided.
fn events(maps: &Maps, count: u64) -> Result<Vec<Event>, DatapathError> {
    let mut events: Vec<_> = maps
        .events
        .all()?
        .into_iter()
        .filter(|(_, event)| (1..=count).contains(&event.sequence))
        .map(|(_, event)| Event {
            sequence: event.sequence,
            at: UNIX_EPOCH + Duration::from_nanos(event.at),
            actor: Actor::in_words(event.user, event.process, &record::text(&event.terminal)),
            action: record::text(&event.action),
            service: record::text(&event.service),
            backend: record::text(&event.backend),
            detail: record::text(&event.detail),
            moved: event.moved,
            minimum: event.minimum,
        })
        .collect();
    events.sort_by_key(|event| event.sequence);
    Ok(events)
}

fn sum_of_backend(counters: &[BackendCounters]) -> BackendCounters {
    counters.iter().fold(BackendCounters::default(), |sum, one| BackendCounters {
        packets: sum.packets + one.packets,
        bytes: sum.bytes + one.bytes,
        new_connections: sum.new_connections + one.new_connections,
        held_packets: sum.held_packets + one.held_packets,
        last_packet: sum.last_packet.max(one.last_packet),
    })
}

fn sum_of_service(counters: &[ServiceCounters]) -> ServiceCounters {
    counters.iter().fold(ServiceCounters::default(), |sum, one| ServiceCounters {
        packets: sum.packets + one.packets,
        bytes: sum.bytes + one.bytes,
        new_connections: sum.new_connections + one.new_connections,
        held_packets: sum.held_packets + one.held_packets,
        unremembered: sum.unremembered + one.unremembered,
    })
}
