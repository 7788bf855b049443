//! What a change would do to the load, as far as what was measured tells: packets go with their slots.

use crate::plan::Plan;

/// The load that a planned change moves. Rates are what was measured before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Packets a second of all slots.
    pub packets: f64,
    /// Packets a second of the slots that move. Those of connections that are open stay with the owner before, which
    /// holds them; those of new ones go to the owner after.
    pub moved_packets: f64,
    /// New connections a second that would begin in the slots that move, if an owner's fall to its slots alike; `None`
    /// where no owner's rate is known.
    pub moved_openings: Option<f64>,
    /// What it does to each backend, in the order of the plan's.
    pub backends: Vec<ForecastBackend>,
}

/// What a change does to the load of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ForecastBackend {
    /// Packets a second of the slots that it owns.
    pub packets: f64,
    /// Packets a second of the slots that it gets.
    pub gained: f64,
    /// Packets a second of the slots that it gives away.
    pub lost: f64,
}

impl Forecast {
    /// What `plan` moves. `rates` are hits a second of each slot; `openings` says how many new connections a second a
    /// backend gets, where that is known.
    #[must_use]
    pub fn of(plan: &Plan, rates: &[f32], openings: impl Fn(&str) -> Option<f64>) -> Self {
        let mut forecast = Self {
            packets: 0.0,
            moved_packets: 0.0,
            moved_openings: None,
            backends: vec![ForecastBackend::default(); plan.backends.len()],
        };
        for ((&before, &after), &rate) in plan.before.iter().zip(&plan.after).zip(rates) {
            let rate = f64::from(rate);
            forecast.packets += rate;
            if let Some(backend) = forecast.backends.get_mut(before as usize) {
                backend.packets += rate;
            }
            if before == after {
                continue;
            }
            forecast.moved_packets += rate;
            if let Some(backend) = forecast.backends.get_mut(before as usize) {
                backend.lost += rate;
            }
            if let Some(backend) = forecast.backends.get_mut(after as usize) {
                backend.gained += rate;
            }
        }
        let moving = plan.backends.iter().filter(|backend| backend.before > 0);
        forecast.moved_openings = moving
            .filter_map(|backend| {
                Some(openings(&backend.name)? * f64::from(backend.lost) / f64::from(backend.before))
            })
            .reduce(|sum, openings| sum + openings);
        forecast
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{change::Change, rules::tests::service, seed::HashSeed};

    #[test]
    fn packets_go_with_their_slots() {
        let drain = [Change::Drain("web-2".to_owned())];
        let (plan, _) = Plan::of_changes(&service(), &drain, &HashSeed::default(), true).unwrap();
        // A packet a second in each slot, and a hundred more in one of those that move.
        let mut rates = vec![1.0; 251];
        rates[plan.before.iter().position(|owner| *owner == 1).unwrap()] = 101.0;
        let openings = |name: &str| (name == "web-2").then_some(12.0);
        let forecast = Forecast::of(&plan, &rates, openings);
        assert_eq!(
            forecast.backends,
            [
                ForecastBackend { packets: 126.0, gained: 225.0, lost: 0.0 },
                ForecastBackend { packets: 225.0, gained: 0.0, lost: 225.0 },
            ]
        );
        assert_eq!((forecast.packets, forecast.moved_packets), (351.0, 225.0));
        assert_eq!(forecast.moved_openings, Some(12.0));
        assert_eq!(Forecast::of(&plan, &rates, |_| None).moved_openings, None);
    }

    #[test]
    fn of_an_owner_that_loses_a_part_a_part_of_the_openings_moves() {
        let weigh = [Change::SetWeight("web-2".to_owned(), 50)];
        let (plan, _) = Plan::of_changes(&service(), &weigh, &HashSeed::default(), true).unwrap();
        let lost: Vec<f64> =
            plan.backends.iter().map(|row| f64::from(row.lost) / f64::from(row.before)).collect();
        let forecast = Forecast::of(&plan, &[], |name| Some(if name == "web-2" { 10.0 } else { 30.0 }));
        let expected = 30.0 * lost[0] + 10.0 * lost[1];
        assert!(forecast.moved_openings.is_some_and(|found| (found - expected).abs() < 1e-9), "{forecast:?}");
        assert!(forecast.moved_packets.abs() < 1e-9, "nothing is known of the slots");
    }
}
