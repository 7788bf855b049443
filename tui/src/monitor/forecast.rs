//! The load that a change would move, from the rates that the monitor has measured.

use maglev_core::{forecast::Forecast, plan::Plan, sample::ServiceSample, service::Tracking};

use super::{
    data::Data,
    history::Track,
    number::{percent, short},
};

/// What is known of the load of the slots that a plan moves; nothing before the second sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load(Option<Forecast>);

impl Load {
    /// The load that `plan` moves, as it was measured last.
    #[must_use]
    pub fn of(plan: &Plan, data: &Data) -> Self {
        let history = data.history.service(&plan.service).filter(|history| history.slots.known());
        let service = data.services().iter().find(|service| service.name == plan.service);
        Self(history.zip(service).map(|(history, service)| {
            let openings = |name: &str| {
                let backend = service.backends.iter().find(|backend| backend.name == name)?;
                history.backend(backend.id).and_then(Track::latest).map(|rates| rates.new_connections)
            };
            Forecast::of(plan, history.slots.rates(), openings)
        }))
    }

    /// By how many packets a second the load of the plan's `index`th backend would grow; negative where it shrinks.
    #[must_use]
    pub fn gained(&self, index: usize) -> Option<f64> {
        self.0.as_ref()?.backends.get(index).map(|backend| backend.gained - backend.lost)
    }
}

/// What moves with the slots, in sentences that claim no more than is known.
#[must_use]
pub fn words<'a>(
    planned: impl Iterator<Item = (&'a Plan, &'a Load)>,
    data: &Data,
    removes: bool,
) -> Vec<String> {
    let (plans, loads): (Vec<&Plan>, Vec<&Load>) = planned.unzip();
    let known: Vec<&Forecast> = loads.iter().filter_map(|load| load.0.as_ref()).collect();
    if known.is_empty() {
        return Vec::new();
    }
    let (all, moved) =
        known.iter().fold((0.0, 0.0), |(all, moved), load| (all + load.packets, moved + load.moved_packets));
    let mut words = vec![format!(
        "{} packets a second go through them now, {} of all.",
        short(moved),
        percent(moved, all)
    )];
    let services: Vec<&ServiceSample> = plans
        .iter()
        .filter_map(|plan| data.services().iter().find(|service| service.name == plan.service))
        .collect();
    let held = services.iter().any(|service| service.tracking != Tracking::Never);
    if !held {
        words.push("Nothing is held: the service's flows are not tracked.".to_owned());
        return words;
    }
    let openings = known.iter().filter_map(|load| load.moved_openings).reduce(|sum, some| sum + some);
    let fate = if removes { "stay (held), or break where their backend leaves" } else { "stay (held)" };
    let known = openings.map_or_else(String::new, |openings| {
        let openings = short(openings);
        format!(": about {openings} a second begin in these slots, times the seconds that one lasts")
    });
    words.push(format!("Open connections {fate}. How many they are is not counted{known}."));
    words
}
