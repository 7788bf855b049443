//! What happens in a run without a screen: backends drain and come back, one after another, spread evenly.

use std::time::{Duration, Instant};

use maglev_core::{change::Change, service::Service};

use super::DemoError;
use crate::interruption::Interruption;
use crate::{
    command::report::{ChangeReport, change_reports},
    source::{ChangeRequest, Source},
};

/// The changes of a run, and when they are made.
#[derive(Clone, Debug)]
pub(super) struct Script {
    service: String,
    backends: Vec<String>,
    changes: u32,
    duration: Duration,
}

impl Script {
    /// So many drains and undrains of the backends of `service`, in turn.
    pub(super) fn new(service: &Service, changes: u32, duration: Duration) -> Self {
        let backends = service.active_backends().map(|backend| backend.name.clone()).collect();
        Self { service: service.name.clone(), backends, changes, duration }
    }

    /// Makes the changes as their time comes, and returns when the time is over; a signal cuts it short.
    pub(super) fn play(
        &self,
        source: &mut dyn Source,
        interruption: &Interruption,
    ) -> Result<Played, DemoError> {
        let begun = Instant::now();
        let mut changes = Vec::new();
        for number in 0..self.changes {
            if let Some(signal) = interruption.wait_until(begun + self.moment(number)) {
                return Ok(Played { changes, signal: Some(signal) });
            }
            let change = self.change(number);
            let plans = source.execute(&ChangeRequest::of(&self.service, vec![change.clone()]))?;
            changes.extend(plans.iter().flat_map(|plan| change_reports([&change], plan)));
        }
        let signal = interruption.wait_until(begun + self.duration);
        Ok(Played { changes, signal })
    }

    /// When the change of that number is made. As long as before the first one, traffic goes on after the last.
    fn moment(&self, number: u32) -> Duration {
        self.duration * (number + 1) / (self.changes + 1)
    }

    /// The change of that number. Only one backend drains at a time.
    fn change(&self, number: u32) -> Change {
        let turn = (number / 2) as usize % self.backends.len();
        let backend = self.backends[turn].clone();
        if number.is_multiple_of(2) { Change::Drain(backend) } else { Change::Undrain(backend) }
    }
}

/// What came of a script.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) changes: Vec<ChangeReport>,
    /// The signal that cut it short.
    pub(super) signal: Option<i32>,
}

#[cfg(test)]
mod tests {
    use maglev_core::service::Tracking;

    use super::*;
    use crate::demo::configuration::{changed_service, configuration};

    fn script(changes: u32) -> Script {
        let config = configuration(Tracking::Settling, true).unwrap();
        Script::new(changed_service(&config).unwrap(), changes, Duration::from_secs(10))
    }

    #[test]
    fn every_backend_drains_and_comes_back_in_turn() {
        let script = script(20);
        let mut service = changed_service(&configuration(Tracking::Settling, true).unwrap()).unwrap().clone();
        let mut drained = Vec::new();
        for number in 0..20 {
            let change = script.change(number);
            change.apply(&mut service, false).unwrap();
            if let Change::Drain(backend) = change {
                drained.push(backend);
            }
        }
        assert_eq!(drained, ["b1", "b2", "b3", "b4", "b5", "b1", "b2", "b3", "b4", "b5"]);
        assert_eq!(service.active_backends().count(), 5);
    }

    #[test]
    fn changes_are_spread_evenly() {
        assert_eq!(script(1).moment(0), Duration::from_secs(5));
        let script = script(19);
        assert_eq!(script.moment(0), Duration::from_millis(500));
        assert_eq!(script.moment(18), Duration::from_millis(9500));
    }
}
