//! Where a packet goes while its slot settles.

use maglev_core::slot::{Deadline, Phase, Recalled, Route, Segment, SlotWord, route};
use maglev_probe_abi::{BACKEND_ACTIVE, FlowKey, SettlingFlow, Verdict};

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
    let word = flow.word;
    if word.previous() == 0 {
        return Ok(Choice::of(flow.backend_or_owner(word.owner())?));
    }
    let cell = Cell::of(&DEADLINES, flow.slot).ok_or(Verdict::Inconsistent)?;
    let mut deadline = Deadline(cell.load());
    match word.phase(deadline, flow.now) {
        Phase::Settled => return Ok(Choice::of(flow.backend_or_owner(word.owner())?)),
        Phase::SettlingWithoutDeadline => deadline = put_off(flow, cell, deadline, false),
        Phase::Settling => {}
    }
    let key = flow.key();
    let bucket = Bucket::of(&key, flow.hash);
    let mut unremembered = false;
    let late = deadline.is_late(word.epoch(), flow.now);
    let number = match route(word, flow.packet.segment, recall(flow, &key, bucket), late) {
        Route::To(number) => number,
        Route::Remember => match Backend::present(word.owner()) {
            Some(owner) if remember(flow, &key, bucket, owner) => owner.number,
            Some(_) => {
                unremembered = true;
                word.previous()
            }
            None => word.owner(),
        },
    };
    let backend = flow.backend_or_owner(number)?;
    if backend.number != word.owner() && flow.packet.segment != Segment::Reset {
        put_off(flow, cell, deadline, unremembered);
    }
    Ok(Choice { unremembered, ..Choice::of(backend) })
}

/// Puts the slot's deadline off, as far as it is worth a store and allowed.
#[inline(always)]
fn put_off(flow: &Flow, cell: Cell, deadline: Deadline, unremembered: bool) -> Deadline {
    let epoch = flow.word.epoch();
    let settle_time = flow.service.settle_milliseconds;
    match deadline.put_off(epoch, flow.now, settle_time, limit(flow), unremembered) {
        Some(later) => {
            cell.store(later.0);
            later
        }
        None => deadline,
    }
}

/// The last moment of the slot's period.
#[inline(always)]
fn limit(flow: &Flow) -> u64 {
    if flow.service.settle_limit_milliseconds != 0
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
fn recall(flow: &Flow, key: &FlowKey, bucket: Option<Bucket>) -> Recalled {
    if let Some(memory) = bucket.and_then(|bucket| bucket.recall(key))
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
fn remember(flow: &Flow, key: &FlowKey, bucket: Option<Bucket>, owner: Backend) -> bool {
    bucket.is_some_and(|bucket| {
        let entry = SettlingFlow {
            key: *key,
            word: SlotWord::new(owner.number, 0, flow.word.epoch()).0,
            generation: owner.record.generation,
            slot: flow.slot,
        };
        bucket.remember(&entry, flow.now)
    })
}
