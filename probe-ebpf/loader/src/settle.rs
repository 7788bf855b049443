//! Giving slots to their owners in place, one store a slot, by the rules of [`maglev_core::slot`].

use std::{
    collections::BTreeSet,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use maglev_core::{
    service::Tracking,
    slot::{Deadline, LAG_MILLISECONDS, Rewrite, SlotWord, change},
    table::LookupTable,
};

use crate::{clock::milliseconds_since_boot, error::DatapathError, maps::WritableRows, state::ServiceState};

/// Longer than the rules ever make a slot wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives every slot of `service` to the owner that its active backends call for, and takes the backends in `leaving`
/// out of all of them. Afterwards no slot names one of those; until then they are to be there.
pub(crate) fn write_slots(
    rows: &WritableRows,
    service: &ServiceState,
    leaving: &BTreeSet<u32>,
) -> Result<(), DatapathError> {
    let table = LookupTable::of_service(&service.service, &service.seed())?;
    let owner_of = |slot: usize| {
        table.slots().get(slot).and_then(|&index| service.numbers.get(index as usize)).copied().unwrap_or(0)
    };
    let writer = SlotWriter::new(rows, service, leaving);
    let mut pending: Vec<usize> = (0..table.slots().len()).collect();
    let begun = Instant::now();
    loop {
        // By the program's time, which lags: what has passed by that has passed for every packet.
        let now = milliseconds_since_boot().saturating_sub(LAG_MILLISECONDS);
        pending.retain(|&slot| !writer.write(slot, owner_of(slot), now));
        if pending.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let service = service.service.name.clone();
            return Err(DatapathError::StillSettling { service, slots: pending.len() });
        }
        // Their deadlines pass within a second, or are put off.
        thread::sleep(Duration::from_millis(5));
    }
}

struct SlotWriter<'a> {
    rows: &'a WritableRows,
    leaving: &'a BTreeSet<u32>,
    first_slot: usize,
    settle_time: u64,
    settle_limit: u64,
    settles: bool,
}

impl<'a> SlotWriter<'a> {
    fn new(rows: &'a WritableRows, service: &ServiceState, leaving: &'a BTreeSet<u32>) -> Self {
        Self {
            rows,
            leaving,
            first_slot: service.identity.first_slot as usize,
            settle_time: service.identity.settle_milliseconds + LAG_MILLISECONDS,
            settle_limit: service.identity.settle_limit_milliseconds,
            settles: service.service.tracking == Tracking::Settling,
        }
    }

    /// Gives the slot to `owner`; `false` if that has to wait.
    fn write(&self, slot: usize, owner: u32, now: u64) -> bool {
        let at = self.first_slot + slot;
        let word = SlotWord(self.rows.slots.words()[at].load(Ordering::SeqCst));
        let deadline = Deadline(self.rows.deadlines.words()[at].load(Ordering::SeqCst));
        let is_leaving = |number| self.leaving.contains(&number);
        let word = match change(word, deadline, owner, now, self.settle_time, self.settles, is_leaving) {
            Rewrite::Wait => return false,
            Rewrite::Unchanged => return true,
            Rewrite::Word(word) => word,
            Rewrite::DeadlineThenWord(deadline, word) => {
                let limit = match self.settle_limit {
                    0 => 0,
                    limit => Deadline::new(deadline.epoch(), now + LAG_MILLISECONDS + limit).0,
                };
                self.rows.settle_limits.words()[at].store(limit, Ordering::SeqCst);
                self.rows.deadlines.words()[at].store(deadline.0, Ordering::SeqCst);
                word
            }
        };
        self.rows.slots.words()[at].store(word.0, Ordering::SeqCst);
        true
    }
}

/// Empties rows that belonged to a service before, for a new one: no owner, no deadline, no hits.
///
/// Epochs go on from where they were: what is remembered of the old service's flows stays out of date.
pub(crate) fn clear_rows(
    rows: &WritableRows,
    first_slot: u32,
    table_size: u32,
    slot_rows: u32,
    processors: u32,
) {
    let slots = first_slot as usize..(first_slot + table_size) as usize;
    for at in slots.clone() {
        let word = SlotWord(rows.slots.words()[at].load(Ordering::SeqCst));
        let deadline = Deadline(rows.deadlines.words()[at].load(Ordering::SeqCst));
        let latest = if deadline.epoch().is_after(word.epoch()) { deadline.epoch() } else { word.epoch() };
        rows.slots.words()[at].store(SlotWord::new(0, 0, latest).0, Ordering::SeqCst);
    }
    let words = slot_rows as usize * maglev_probe_abi::ROW_WORDS;
    for processor in 0..processors as usize {
        for hits in &rows.slot_hits.words()[processor * words + slots.start..processor * words + slots.end] {
            hits.store(0, Ordering::Relaxed);
        }
    }
}
