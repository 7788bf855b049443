//! What is known of slots beyond the latest sample: how often they are hit, and when they last changed owner.

use std::time::Duration;

use maglev_core::sample::Slots;

/// How much of the rate before stays in the smoothed one.
const SMOOTHING: f32 = 0.8;

/// A moment, in tenths of a second since boot, and one more: 0 is never. Half the memory of a `Duration`'s quarter.
type Tenths = u32;

/// The past of a service's slots: eight bytes each.
#[derive(Clone, Debug, Default)]
pub struct SlotHistory {
    rates: Vec<f32>,
    changed: Vec<Tenths>,
    known: bool,
}

impl SlotHistory {
    fn fit(&mut self, slots: &Slots) {
        if self.rates.len() != slots.len() {
            *self = Self { rates: vec![0.0; slots.len()], changed: vec![0; slots.len()], known: false };
        }
    }

    /// Dates the slots that changed owner since the sample before, which was taken at about `at`.
    pub(in crate::monitor) fn changes(&mut self, before: Option<&Slots>, now: &Slots, at: Duration) {
        self.fit(now);
        let Some(before) = before.filter(|before| before.len() == now.len()) else { return };
        let moment = tenths(at);
        for (changed, (before, now)) in self.changed.iter_mut().zip(before.owner.iter().zip(now.owner.iter()))
        {
            if before != now {
                *changed = moment;
            }
        }
    }

    /// Smoothes in how often slots were hit between two samples.
    pub(in crate::monitor) fn rates_between(
        &mut self,
        before: Option<&Slots>,
        now: &Slots,
        elapsed: Duration,
    ) {
        self.fit(now);
        let Some(before) = before.filter(|before| is_counted(before, now) && !elapsed.is_zero()) else {
            // What was counted before is no rate of what is counted now.
            self.rates.fill(0.0);
            self.known = false;
            return;
        };
        let kept = if self.known { SMOOTHING } else { 0.0 };
        for (rate, (&before, &now)) in self.rates.iter_mut().zip(before.hits.iter().zip(now.hits.iter())) {
            // A count that goes back began anew: nothing is known of that moment.
            *rate = now.checked_sub(before).map_or(0.0, |hits| {
                #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
                let latest = hits as f32 / elapsed.as_secs_f32();
                *rate * kept + latest * (1.0 - kept)
            });
        }
        self.known = true;
    }

    /// Takes the hits a second of another past of the same slots.
    pub(in crate::monitor) fn take_rates(&mut self, other: &Self) {
        if self.rates.len() == other.rates.len() {
            self.rates.clone_from(&other.rates);
            self.known = other.known;
        }
    }

    /// The bytes that it takes.
    pub(in crate::monitor) fn bytes(&self) -> usize {
        size_of::<Self>() + self.rates.len() * size_of::<f32>() + self.changed.len() * size_of::<Tenths>()
    }

    /// Hits a second of each slot, smoothed.
    #[must_use]
    pub fn rates(&self) -> &[f32] {
        &self.rates
    }

    /// Whether the rates are known yet: that takes two samples.
    #[must_use]
    pub const fn known(&self) -> bool {
        self.known
    }

    /// How long before `now` a slot changed owner, if that was seen.
    #[must_use]
    pub fn since_change(&self, slot: usize, now: Duration) -> Option<Duration> {
        let changed = self.changed.get(slot).copied().filter(|changed| *changed != 0)?;
        Some(Duration::from_millis(100 * u64::from(tenths(now).saturating_sub(changed))))
    }
}

/// Whether hits were counted in both, of the same slots.
fn is_counted(before: &Slots, now: &Slots) -> bool {
    before.len() == now.len() && before.hits.len() == now.hits.len() && now.hits.len() == now.len()
}

fn tenths(time: Duration) -> Tenths {
    Tenths::try_from(time.as_millis() / 100 + 1).unwrap_or(Tenths::MAX)
}

#[cfg(test)]
mod tests {
    use maglev_core::sample::BackendId;

    use super::*;

    fn slots(owner: [u32; 3], hits: [u64; 3]) -> Slots {
        Slots {
            owner: owner.into_iter().map(BackendId).collect(),
            previous: [BackendId::NONE; 3].into(),
            hits: hits.into(),
        }
    }

    #[test]
    fn rates_are_smoothed_and_changes_are_dated() {
        let mut history = SlotHistory::default();
        let second = Duration::from_secs(1);
        let (first, next) = (slots([1, 1, 2], [0, 50, 9]), slots([1, 2, 2], [100, 50, 3]));
        history.changes(None, &first, second);
        history.rates_between(None, &first, Duration::ZERO);
        assert!(!history.known());
        history.changes(Some(&first), &next, 2 * second);
        history.rates_between(Some(&first), &next, second);
        assert_eq!(history.rates(), [100.0, 0.0, 0.0], "the last one began anew");
        assert_eq!(history.since_change(1, 5 * second), Some(3 * second));
        assert_eq!(history.since_change(0, 5 * second), None);
        history.rates_between(Some(&next), &next, second);
        assert!((history.rates()[0] - 80.0).abs() < 0.01);
    }

    #[test]
    fn what_began_anew_has_no_rate_of_before() {
        let mut history = SlotHistory::default();
        let second = Duration::from_secs(1);
        let (first, next) = (slots([1, 1, 2], [0, 0, 0]), slots([1, 1, 2], [100, 50, 10]));
        history.rates_between(Some(&first), &next, second);
        let one_back = slots([1, 1, 2], [3, 100, 20]);
        history.rates_between(Some(&next), &one_back, second);
        assert_eq!(history.rates(), [0.0, 50.0, 10.0], "one slot went back");
        assert!(history.known());
        history.rates_between(None, &first, second);
        assert_eq!(history.rates(), [0.0; 3]);
        assert!(!history.known());
    }
}
