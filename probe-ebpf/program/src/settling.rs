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
    let mut settling = Settling {
        key: flow.key(),
        hash: flow.hash,
        slot: flow.slot,
        word: flow.word.0,
        now: flow.now,
        deadline: 0,
    };
    let mut answer = settle(&raw mut settling, flow.service, flow.packet.segment as u32);
    if answer == REMEMBER {
        answer = open(&raw const settling, flow.service);
    }
    let backend = Backend::or_owner(flow.word, answer as u32)?;
    Ok(Choice { unremembered: answer & UNREMEMBERED != 0, ..Choice::of(backend) })
}

/// A packet of a slot that has a previous owner; without padding, for the verifier wants all of it written.
#[repr(C)]
struct Settling {
    key: FlowKey,
    hash: u32,
    slot: u32,
    word: u64,
    now: u64,
    /// Until when the slot settles, once [`settle`] has found that it does.
    deadline: u64,
}

impl Settling {
    #[inline(always)]
    fn word(&self) -> SlotWord {
        SlotWord(self.word)
    }
}

/// Set in an answer if the packet could not be remembered.
const UNREMEMBERED: u64 = 1 << 32;

/// What [`settle`] answers where the packet is to be remembered: [`open`] does that. One after the other, and not one
/// inside the other, they take less of the stack.
const REMEMBER: u64 = u64::MAX;

/// The number of the backend that a packet goes to if that is still there, or [`REMEMBER`]; 0 for pointers to nothing.
/// It is called and not put in place: the packets of settled slots have the less on the stack. And it is global: the
/// verifier looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn settle(flow: *mut Settling, service: *const ServiceRecord, segment: u32) -> u64 {
    // SAFETY: whoever calls has both.
    let (Some(flow), Some(service)) = (unsafe { flow.as_mut() }, unsafe { service.as_ref() }) else {
        return 0;
    };
    let segment = if segment == Segment::Opening as u32 {
        Segment::Opening
    } else if segment == Segment::Reset as u32 {
        Segment::Reset
    } else {
        Segment::Other
    };
    let word = flow.word();
    let Some(cell) = Cell::of(&DEADLINES, flow.slot) else { return word.owner().into() };
    let mut deadline = Deadline(cell.load());
    match word.phase(deadline, flow.now) {
        Phase::Settled => return word.owner().into(),
        Phase::SettlingWithoutDeadline => deadline = put_off(flow, service, cell, deadline, false),
        Phase::Settling => {}
    }
    let late = deadline.is_late(word.epoch(), flow.now);
    match route(word, segment, recall(flow), late) {
        Route::To(number) => {
            if segment != Segment::Reset {
                put_off_for(flow, service, number, deadline, false);
            }
            number.into()
        }
        Route::Remember => {
            flow.deadline = deadline.0;
            REMEMBER
        }
    }
}

/// Remembers that a flow is opened at its slot's owner. Answers with the number of the backend that the packet goes to if
/// that is still there, and whether it is unremembered. Called, and global, like [`settle`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn open(flow: *const Settling, service: *const ServiceRecord) -> u64 {
    // SAFETY: whoever calls has both.
    let (Some(flow), Some(service)) = (unsafe { flow.as_ref() }, unsafe { service.as_ref() }) else {
        return 0;
    };
    let word = flow.word();
    match Backend::present(word.owner()) {
        Some(owner) if remember(flow, owner) => owner.number.into(),
        Some(_) => {
            put_off_for(flow, service, word.previous(), Deadline(flow.deadline), true);
            u64::from(word.previous()) | UNREMEMBERED
        }
        None => word.owner().into(),
    }
}

/// Puts the slot's deadline off for a packet to another than the slot's owner.
#[inline(always)]
fn put_off_for(
    flow: &Settling,
    service: &ServiceRecord,
    number: u32,
    deadline: Deadline,
    unremembered: bool,
) {
    if let Ok(backend) = Backend::or_owner(flow.word(), number)
        && backend.number != flow.word().owner()
        && let Some(cell) = Cell::of(&DEADLINES, flow.slot)
    {
        put_off(flow, service, cell, deadline, unremembered);
    }
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
    let epoch = flow.word().epoch();
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
        if limit.epoch() == flow.word().epoch() {
            return limit.time();
        }
    }
    u64::MAX
}

/// What is remembered of the flow and still holds: from this period, and of the backend that it was.
#[inline(always)]
fn recall(flow: &Settling) -> Recalled {
    if let Some(memory) = Bucket::of(&flow.key, flow.hash).and_then(|bucket| bucket.recall(&flow.key))
        && memory.slot == flow.slot
        && memory.word.epoch() == flow.word().epoch()
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
fn remember(flow: &Settling, owner: Backend) -> bool {
    let entry = SettlingFlow {
        key: flow.key,
        word: SlotWord::new(owner.number, 0, flow.word().epoch()).0,
        generation: owner.record.generation,
        slot: flow.slot,
    };
    Bucket::of(&flow.key, flow.hash).is_some_and(|bucket| bucket.remember(&entry, flow.now))
}
