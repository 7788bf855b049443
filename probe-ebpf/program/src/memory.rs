//! The memory of flows opened while their slot settles: buckets that never give up an entry which may be needed.

use aya_ebpf::{
    bindings::bpf_spin_lock,
    helpers::generated::{bpf_spin_lock as lock, bpf_spin_unlock as unlock},
};
use maglev_core::slot::{Deadline, GUARD_MILLISECONDS, Phase, SlotWord};
use maglev_probe_abi::{FLOWS_PER_BUCKET, FlowKey, SettlingBucket, SettlingFlow};

use crate::{
    maps::{DEADLINES, SETTLING_FLOWS, SLOTS},
    rows::Cell,
};

/// What is remembered of a flow.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// The backend and the epoch.
    pub(crate) word: SlotWord,
    pub(crate) generation: u32,
    pub(crate) slot: u32,
}

/// A bucket of the memory. Under its lock neither helpers nor functions can be called: all that is done there stands
/// in place, and is in terms of whole words.
#[derive(Clone, Copy)]
pub(crate) struct Bucket(*mut SettlingBucket);

impl Bucket {
    /// The bucket of a flow.
    #[inline(always)]
    pub(crate) fn of(key: &FlowKey, hash: u32) -> Option<Self> {
        SETTLING_FLOWS.get_ptr_mut(key.bucket(hash)).map(Self)
    }

    /// What the bucket holds of the flow, whether it still counts or not.
    #[inline(always)]
    pub(crate) fn recall(self, key: &FlowKey) -> Option<Memory> {
        let key = Words::of(key);
        let mut memory = None;
        self.locked(|| {
            for place in 0..FLOWS_PER_BUCKET {
                let entry = self.entry(place);
                // SAFETY: it points to one of the bucket's entries, which the lock keeps as they are.
                let entry = unsafe { &*entry };
                if key.are(&entry.key) {
                    memory = Some(Memory {
                        word: SlotWord(entry.word),
                        generation: entry.generation,
                        slot: entry.slot,
                    });
                    break;
                }
            }
        });
        memory
    }

    /// Stores the flow in the place that it has, or in one that is empty or holds what nobody can need; `false` where
    /// there is none.
    #[inline(always)]
    pub(crate) fn remember(self, flow: &SettlingFlow, now: u64) -> bool {
        if self.store(flow, |_| false) {
            return true;
        }
        // Slots cannot be looked up under the lock: which entry is dead is found without it. Should it be written
        // meanwhile, what is read is the period of none, or of another: whether it is over does not hang on that.
        for place in 0..FLOWS_PER_BUCKET {
            let period = Period::of(self.entry(place));
            // Another processor may be about to put a deadline off that has just passed here.
            if period.is_over(now.saturating_sub(GUARD_MILLISECONDS)) {
                return self.store(flow, |entry| Period::of(entry) == period);
            }
        }
        false
    }

    /// Stores the flow in the place that it has; else in an empty one, or one that may be taken.
    #[inline(always)]
    fn store(self, flow: &SettlingFlow, may_take: impl Fn(*const SettlingFlow) -> bool) -> bool {
        let key = Words::of(&flow.key);
        let mut chosen = FLOWS_PER_BUCKET;
        self.locked(|| {
            for place in 0..FLOWS_PER_BUCKET {
                // SAFETY: it points to one of the bucket's entries, which the lock keeps as they are.
                let entry = unsafe { &*self.entry(place) };
                if key.are(&entry.key) {
                    chosen = place;
                    break;
                }
                if entry.key.service == 0 || may_take(entry) {
                    chosen = place;
                }
            }
            if chosen < FLOWS_PER_BUCKET {
                // SAFETY: as above, and nobody else has a reference to it.
                unsafe { *self.entry(chosen) = *flow };
            }
        });
        chosen < FLOWS_PER_BUCKET
    }

    /// The entry at a place of the bucket.
    #[inline(always)]
    fn entry(self, place: usize) -> *mut SettlingFlow {
        // SAFETY: the bucket is a map's element, and the place is one of those that it has.
        unsafe { (&raw mut (*self.0).flows).cast::<SettlingFlow>().add(place) }
    }

    /// Runs `body` under the bucket's lock.
    #[inline(always)]
    fn locked(self, body: impl FnOnce()) {
        // SAFETY: the lock is the one that the kernel knows in this map's value.
        let held: *mut bpf_spin_lock = unsafe { (&raw mut (*self.0).lock).cast() };
        // SAFETY: it is not held by this program yet.
        unsafe { lock(held) };
        body();
        // SAFETY: it was taken above.
        unsafe { unlock(held) };
    }
}

/// The slot and the epoch that an entry was made in, in one word.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Period(u64);

impl Period {
    #[inline(always)]
    fn of(entry: *const SettlingFlow) -> Self {
        // SAFETY: it points to one of a bucket's entries, whose words are each aligned, and read whole.
        let (slot, word) = unsafe {
            ((&raw const (*entry).slot).read_volatile(), (&raw const (*entry).word).read_volatile())
        };
        Self(u64::from(slot) | u64::from(SlotWord(word).epoch().number()) << u32::BITS)
    }

    /// Whether what was made in it can be needed no more: its slot is in another period, or settles no longer. No entry
    /// comes back to life, since epochs only grow.
    #[inline(always)]
    fn is_over(self, now: u64) -> bool {
        let slot = self.0 as u32;
        let (Some(word), Some(deadline)) = (Cell::of(&SLOTS, slot), Cell::of(&DEADLINES, slot)) else {
            return true;
        };
        let word = SlotWord(word.load());
        u64::from(word.epoch().number()) != self.0 >> u32::BITS
            || word.phase(Deadline(deadline.load()), now) == Phase::Settled
    }
}

/// A flow in words, whose comparison byte by byte would be a call.
#[derive(Clone, Copy)]
struct Words([u64; 3]);

impl Words {
    #[inline(always)]
    fn of(key: &FlowKey) -> Self {
        // SAFETY: a key is three words long, has no padding but what it names, and need not be aligned to be read so.
        Self(unsafe { (&raw const *key).cast::<[u64; 3]>().read_unaligned() })
    }

    #[inline(always)]
    fn are(self, key: &FlowKey) -> bool {
        let (own, other) = (self.0, Self::of(key).0);
        (own[0] ^ other[0]) | (own[1] ^ other[1]) | (own[2] ^ other[2]) == 0
    }
}
