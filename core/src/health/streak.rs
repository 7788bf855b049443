//! How checks add up: so many in a row, and longer for a backend that comes and goes.

use std::time::Duration;

use super::{Health, HealthCheck};

/// A backend that fails again within this of being put in again is held down for longer.
pub const CALM: Duration = Duration::from_secs(600);

/// The longest that a backend which comes and goes has to be well before it is put in again.
pub const LONGEST_HOLD_DOWN: Duration = Duration::from_secs(300);

/// The first hold-down, of a backend that failed twice.
const SHORTEST_HOLD_DOWN: Duration = Duration::from_secs(10);

/// What the checks of one backend have found lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// Checks that succeeded since one failed, or that failed since one succeeded.
    count: u32,
    succeeds: bool,
    /// When the present row of successes began.
    well_since: Duration,
}

impl Streak {
    /// Counts a check that ended at `now`, on any clock that does not go back.
    pub fn count(&mut self, succeeded: bool, now: Duration) {
        if self.count == 0 || self.succeeds != succeeded {
            *self = Self { count: 1, succeeds: succeeded, well_since: now };
        } else {
            self.count = self.count.saturating_add(1);
        }
    }

    /// What the backend is now, if that is not what it was: [`Health::Healthy`] or [`Health::Unhealthy`].
    ///
    /// `failures` is how often it has failed of late, as [`failures_after`] counts.
    #[must_use]
    pub fn verdict(&self, check: &HealthCheck, was: Health, failures: u8, now: Duration) -> Option<Health> {
        let (rises, falls) = if self.succeeds { (self.count, 0) } else { (0, self.count) };
        let rises = rises >= u32::from(check.rise);
        match was {
            Health::Unknown | Health::Healthy | Health::Kept if falls >= u32::from(check.fall) => {
                Some(Health::Unhealthy)
            }
            Health::Unhealthy => {
                let well = now.saturating_sub(self.well_since);
                (rises && well >= hold_down(failures)).then_some(Health::Healthy)
            }
            Health::Unknown | Health::Kept => rises.then_some(Health::Healthy),
            Health::Healthy => None,
        }
    }
}

/// How often a backend has failed of late, once it fails again: `failures` is how often it had before, and `well_for`
/// how long ago it was put in again.
#[must_use]
pub fn failures_after(failures: u8, well_for: Duration) -> u8 {
    if failures > 0 && well_for >= CALM { 1 } else { failures.saturating_add(1) }
}

/// How long a backend that has failed `failures` times of late has to be well, without one check that fails, before it
/// is put in again: nothing after the first time, then 10 s, and twice as long each time, up to [`LONGEST_HOLD_DOWN`].
#[must_use]
pub fn hold_down(failures: u8) -> Duration {
    match failures.checked_sub(2) {
        None => Duration::ZERO,
        Some(again) => {
            let factor = 1_u32.checked_shl(again.into()).unwrap_or(u32::MAX);
            SHORTEST_HOLD_DOWN.saturating_mul(factor).min(LONGEST_HOLD_DOWN)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{CheckKind, Via};

    const SECOND: Duration = Duration::from_secs(1);

    fn check() -> HealthCheck {
        HealthCheck {
            kind: CheckKind::Tcp,
            interval: SECOND,
            timeout: SECOND,
            rise: 2,
            fall: 3,
            port: None,
            via: Via::Direct,
        }
    }

    /// What a check a second makes of a backend, from `was` on: `+` one that succeeds, `-` one that fails.
    fn verdicts(checks: &str, mut was: Health, mut failures: u8) -> Vec<(usize, Health)> {
        let mut streak = Streak::default();
        let mut changes = Vec::new();
        for (place, found) in checks.chars().enumerate() {
            let now = SECOND * u32::try_from(place).unwrap();
            streak.count(found == '+', now);
            if let Some(health) = streak.verdict(&check(), was, failures, now) {
                if health == Health::Unhealthy {
                    failures = failures_after(failures, SECOND);
                }
                was = health;
                changes.push((place, health));
            }
        }
        changes
    }

    #[test]
    fn it_takes_so_many_in_a_row() {
        assert_eq!(verdicts("--+--+--+", Health::Healthy, 0), []);
        assert_eq!(verdicts("-----", Health::Healthy, 0), [(2, Health::Unhealthy)]);
        assert_eq!(
            verdicts("---+-++", Health::Healthy, 0),
            [(2, Health::Unhealthy), (6, Health::Healthy)],
            "one success did, or a failure in between did not begin the row anew"
        );
        assert_eq!(verdicts("++++", Health::Unknown, 0), [(1, Health::Healthy)]);
        assert_eq!(verdicts("---", Health::Unknown, 0), [(2, Health::Unhealthy)]);
    }

    #[test]
    fn one_that_comes_and_goes_has_to_be_well_for_longer() {
        // The second failure asks for ten seconds of success: the 3rd check of the row is the one after two of them.
        let checks = "---++---+++++++++++++++";
        let found = verdicts(checks, Health::Healthy, 0);
        assert_eq!(
            found,
            [(2, Health::Unhealthy), (4, Health::Healthy), (7, Health::Unhealthy), (18, Health::Healthy)]
        );
        // A failure while it waits begins the wait anew.
        let found = verdicts("---++---+++++-++++++++++", Health::Healthy, 0);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn the_hold_down_doubles_up_to_its_cap_and_is_forgotten() {
        let seconds: Vec<u64> = (0..10).map(|failures| hold_down(failures).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(hold_down(u8::MAX), LONGEST_HOLD_DOWN);
        assert_eq!(failures_after(0, Duration::ZERO), 1);
        assert_eq!(failures_after(3, CALM.saturating_sub(SECOND)), 4);
        assert_eq!(failures_after(3, CALM), 1);
        assert_eq!(failures_after(u8::MAX, SECOND), u8::MAX);
    }

    #[test]
    fn the_last_one_that_fails_is_judged_again_and_again() {
        assert_eq!(verdicts("-", Health::Kept, 1), []);
        let mut streak = Streak::default();
        for second in 0..3 {
            streak.count(false, SECOND * second);
        }
        assert_eq!(streak.verdict(&check(), Health::Kept, 1, SECOND), Some(Health::Unhealthy));
        // It is in the table all the while: it has nothing to be held down from.
        assert_eq!(verdicts("++", Health::Kept, 9), [(1, Health::Healthy)]);
    }
}
