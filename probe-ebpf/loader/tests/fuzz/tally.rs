//! What is counted, by the programs and by the oracle.

use std::collections::BTreeMap;

use maglev_probe_abi::{BackendCounters, ServiceCounters, Verdict};

use crate::{
    site::{BACKENDS, SERVICES},
    support::Programs,
};

/// Counters by what they count; what is zero is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) verdicts: BTreeMap<&'static str, u64>,
    pub(crate) slots: BTreeMap<u32, u64>,
    pub(crate) services: BTreeMap<u32, ServiceCounters>,
    pub(crate) backends: BTreeMap<u32, BackendCounters>,
}

impl Tally {
    /// Those of the kernel.
    pub(crate) fn read(programs: &Programs) -> Self {
        let mut tally =
            Self { verdicts: programs.verdicts(), slots: programs.slot_hits(), ..Self::default() };
        for service in SERVICES {
            tally.services.insert(service.number, programs.counters_of(service.number));
        }
        for (number, _, _) in BACKENDS {
            // When a backend last got a packet is a matter of time.
            let counters = BackendCounters { last_packet: 0, ..programs.backend_counters(*number) };
            tally.backends.insert(*number, counters);
        }
        tally.without_zeros()
    }

    pub(crate) fn count_verdict(&mut self, verdict: Verdict) {
        *self.verdicts.entry(verdict.word()).or_default() += 1;
    }

    pub(crate) fn count_slot(&mut self, slot: u32) {
        *self.slots.entry(slot).or_default() += 1;
    }

    /// How much more there is than before.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut more = self.clone();
        for (verdict, count) in &mut more.verdicts {
            *count -= before.verdicts.get(verdict).unwrap_or(&0);
        }
        for (slot, count) in &mut more.slots {
            *count -= before.slots.get(slot).unwrap_or(&0);
        }
        for (number, counters) in &mut more.services {
            if let Some(before) = before.services.get(number) {
                counters.packets -= before.packets;
                counters.bytes -= before.bytes;
                counters.new_connections -= before.new_connections;
                counters.held_packets -= before.held_packets;
                counters.unremembered -= before.unremembered;
            }
        }
        for (number, counters) in &mut more.backends {
            if let Some(before) = before.backends.get(number) {
                counters.packets -= before.packets;
                counters.bytes -= before.bytes;
                counters.new_connections -= before.new_connections;
                counters.held_packets -= before.held_packets;
            }
        }
        more.without_zeros()
    }

    fn without_zeros(mut self) -> Self {
        self.verdicts.retain(|_, count| *count != 0);
        self.slots.retain(|_, count| *count != 0);
        self.services.retain(|_, counters| *counters != ServiceCounters::default());
        self.backends.retain(|_, counters| *counters != BackendCounters::default());
        self
    }
}
