//! Where a packet goes while its slot settles.

use maglev_core::slot::{Deadline, Phase, Recalled, Route, Segment, SlotWord, route};
use maglev_probe_abi::{BACKEND_ACTIVE, FlowKey, ServiceRecord, SettlingFlow, Verdict};

use crate::{
    balance::{Backend, Choice, Flow},
    maps::{DEADLINES, SETTLE_LIMITS},
    memory::Bucket,
    rows::Cell,
    trace,
};

/// The backend for a packet of a service that remembers the flows of settling slots.
#[inline(always)]
pub(crate) fn choose(flow: &Flow) -> Result<Choice, Verdict> {
    if flow.word.previous() == 0 {
        return Ok(Choice::of(Backend::or_owner(flow.word, flow.word.owner())?));
    }
    let settling = Settling {
        key: flow.key(),
        hash: flow.hash,
        slot: flow.slot,
        word: flow.word,
        now: flow.now,
        segment: flow.packet.segment,
    };
    let answer = settle(&settling, flow.service);
    let backend = Backend::or_owner(flow.word, answer as u32)?;
    Ok(Choice { unremembered: answer & UNREMEMBERED != 0, ..Choice::of(backend) })
}

/// A packet of a slot that has a previous owner.
struct Settling {
    key: FlowKey,
    hash: u32,
    slot: u32,
    word: SlotWord,
    now: u64,
    segment: Segment,
}

/// Set in an answer if the packet could not be remembered.
const UNREMEMBERED: u64 = 1 << 32;

/// The number of the backend that a packet goes to if that is still there, and whether it is unremembered. It is called
/// and not put in place: the packets of settled slots have the less on the stack.
#[inline(never)]
fn settle(flow: &Settling, service: &ServiceRecord) -> u64 {
    let word = flow.word;
    let owner = u64::from(word.owner());
    let Some(cell) = Cell::of(&DEADLINES, flow.slot) else { return owner };
    let mut deadline = Deadline(cell.load());
    match word.phase(deadline, flow.now) {
        Phase::Settled => return owner,
        Phase::SettlingWithoutDeadline => deadline = put_off(flow, service, cell, deadline, false),
        Phase::Settling => {}
    }
    let bucket = Bucket::of(&flow.key, flow.hash);
    let mut unremembered = false;
    let late = deadline.is_late(word.epoch(), flow.now);
    let number = match route(word, flow.segment, recall(flow, bucket), late) {
        Route::To(number) => number,
        Route::Remember => match Backend::present(word.owner()) {
            Some(owner) if remember(flow, bucket, owner) => owner.number,
            Some(_) => {
                unremembered = true;
                word.previous()
            }
            None => word.owner(),
        },
    };
    if let Ok(backend) = Backend::or_owner(word, number)
        && backend.number != word.owner()
        && flow.segment != Segment::Reset
    {
        put_off(flow, service, cell, deadline, unremembered);
    }
    u64::from(number) | if unremembered { UNREMEMBERED } else { 0 }
}

/// Puts the slot's deadline off, as far as it is worth a store and allowed.
#[inline(always)]
fn put_off(
    flow: &Settling,
    service: &ServiceRecord,
    cell: Cell,
    deadline: Deadline,
    unremembered: bool,
) -> Deadline {
    let epoch = flow.word.epoch();
    let settle_time = service.settle_milliseconds;
    match deadline.put_off(epoch, flow.now, settle_time, limit(flow, service), unremembered) {
        Some(later) => {
            cell.store(later.0);
            later
        }
        None => deadline,
    }
}

/// The last moment of the slot's period.
#[inline(always)]
fn limit(flow: &Settling, service: &ServiceRecord) -> u64 {
    if service.settle_limit_milliseconds != 0
        && let Some(cell) = Cell::of(&SETTLE_LIMITS, flow.slot)
    {
        let limit = Deadline(cell.load());
        if limit.epoch() == flow.word.epoch() {
            return limit.time();
        }
    }
    u64::MAX
}

/// What is remembered of the flow and still holds: from this period, and of the backend that it was.
#[inline(always)]
fn recall(flow: &Settling, bucket: Option<Bucket>) -> Recalled {
    if let Some(memory) = bucket.and_then(|bucket| bucket.recall(&flow.key))
        && memory.slot == flow.slot
        && memory.word.epoch() == flow.word.epoch()
        && let Some(backend) = Backend::present(memory.word.owner())
        && backend.record.generation == memory.generation
    {
        trace::remembered(backend.number);
        Recalled::At { owner: backend.number, active: backend.record.state == BACKEND_ACTIVE }
    } else {
        Recalled::Nothing
    }
}

/// Remembers that the flow was opened at the slot's owner; `false` where there is no room.
#[inline(always)]
fn remember(flow: &Settling, bucket: Option<Bucket>, owner: Backend) -> bool {
    bucket.is_some_and(|bucket| {
        let entry = SettlingFlow {
            key: flow.key,
            word: SlotWord::new(owner.number, 0, flow.word.epoch()).0,
            generation: owner.record.generation,
            slot: flow.slot,
        };
        bucket.remember(&entry, flow.now)
    })
}
