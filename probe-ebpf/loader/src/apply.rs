//! Making the running state a configuration's: the plan first, then service by service.
//!
//! A configuration is held against two things: what is running, and what the configuration said when it was last
//! applied. What differs from the latter was changed by hand since, and is kept.

use std::{collections::BTreeMap, net::SocketAddr};

use maglev_core::{
    change::Change,
    config::{AttachMode, Config},
    health::{Health, HealthCheck},
    plan::Plan,
    rules::{ROW_SLOTS, check_changes},
    seed::HashSeed,
    service::{Backend, BackendState, Forwarding, Service, Tracking},
};
use maglev_probe_abi::BackendIdentity;

use crate::{
    datapath::{Datapath, addresses, notes},
    error::DatapathError,
    record,
    state::{ServiceState, State},
    up::rows_for,
    writer::{Note, Target, Writer},
};

/// What lies between a running datapath and a configuration.
#[derive(Clone, Debug, Default)]
pub struct ApplyPlan {
    /// What of the datapath as a whole changes, in words: `tunnel-source-v4 10.0.0.2/32 → 10.0.0.3/32`.
    pub settings: Vec<String>,
    /// What to do then, in this order.
    pub steps: Vec<Step>,
    /// What was changed by hand and stays.
    pub kept: Vec<Kept>,
    /// What the configuration says and a running datapath cannot become, in words.
    pub out_of_reach: Vec<String>,
    /// The state version that it was planned on.
    pub state_version: u64,
}

/// What an operator allows an [`apply`](Datapath::apply) to do, and what it was planned on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyTerms {
    /// Undo what was changed by hand since the configuration was last applied.
    pub override_by_hand: bool,
    /// End connections where there is no other way.
    pub break_connections: bool,
    /// The state version that it was planned on; another one in force is an error.
    pub state_version: Option<u64>,
}

/// Something that was changed by hand and is not as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The service's name.
    pub service: String,
    /// The backend's name.
    pub backend: String,
    /// What was done to it and what the configuration says, in words.
    pub what: String,
}

/// One step of an [`ApplyPlan`], to one service.
#[derive(Clone, Debug)]
pub struct Step {
    /// The service's name.
    pub service: String,
    /// What is done to it.
    pub action: StepAction,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum StepAction {
    /// The service is new.
    Add,
    /// The service leaves, and its connections with it.
    Remove,
    /// It is made anew: its connections end.
    Remake {
        /// Why, in words.
        why: Vec<String>,
        /// What is made: what was changed by hand stays, and backends keep their health.
        service: Box<Service>,
    },
    /// How it forwards, tracks or settles changes.
    Retune {
        /// What of it, in words.
        what: Vec<String>,
        /// Why connections end by that, if they do.
        breaks: Option<&'static str>,
    },
    /// Its backends change.
    Backends {
        /// What is done to them, one by one.
        changes: Vec<Change>,
        /// What that moves.
        plan: Box<Plan>,
        /// Its backends afterwards.
        backends: Vec<Backend>,
    },
}

impl ApplyPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.steps.is_empty()
    }

    /// Whether what runs is what the configuration says, with nothing kept and nothing out of reach.
    #[must_use]
    pub const fn is_as_configured(&self) -> bool {
        self.is_empty() && self.kept.is_empty() && self.out_of_reach.is_empty()
    }
}

impl Datapath {
    /// Says what would make the running state that of `config`.
    ///
    /// # Errors
    ///
    /// When the running state cannot be read, or be made that of `config`.
    pub fn plan_apply(&self, config: &Config, override_by_hand: bool) -> Result<ApplyPlan, DatapathError> {
        self.plan_between(&State::read_settled(self.maps())?, config, override_by_hand)
    }

    /// Makes the running state that of `config`, and says what it did and what an operator should know.
    ///
    /// # Errors
    ///
    /// When it would end connections and the terms do not allow that, when it was planned on another state, or when
    /// there is no room for it: then nothing was changed. When the kernel refuses something half-way: the steps before
    /// it are done.
    pub fn apply(
        &self,
        config: &Config,
        terms: ApplyTerms,
    ) -> Result<(ApplyPlan, Vec<String>), DatapathError> {
        self.require_writable()?;
        let mut writer = Writer::begin(self.instance(), self.maps())?;
        writer.require_version(terms.state_version)?;
        let plan = self.plan_between(writer.state(), config, terms.override_by_hand)?;
        let breaking: Vec<String> = plan.steps.iter().filter_map(Step::breaks).collect();
        if !breaking.is_empty() && !terms.break_connections {
            return Err(DatapathError::BreaksConnections(breaking));
        }
        let target_of = |step: &Step| config.services.iter().find(|service| service.name == step.service);
        // What is made of it, with what was changed by hand.
        let made_of = |step: &'_ Step| match &step.action {
            StepAction::Remake { service, .. } => Some((**service).clone()),
            _ => target_of(step).cloned(),
        };
        // What leaves makes room for what comes.
        let (leaving, rest): (Vec<&Step>, Vec<&Step>) = plan
            .steps
            .iter()
            .partition(|step| matches!(step.action, StepAction::Remove | StepAction::Remake { .. }));
        let added: Vec<Service> = leaving
            .iter()
            .chain(&rest)
            .filter(|step| matches!(step.action, StepAction::Add | StepAction::Remake { .. }))
            .filter_map(|step| made_of(step))
            .collect();
        let numbers = leaving
            .iter()
            .map(|step| writer.state().service(&step.service).map(|service| service.number))
            .collect::<Result<Vec<_>, _>>()?;
        writer.require_room(&numbers, &added)?;

        // What is resolved by the time that packets ask for it: also for backends that were added by hand.
        let mut services: Vec<Service> = config.services.clone();
        let stays = |name: &str| config.services.iter().any(|service| service.name == name);
        let running = writer.state().services.values().map(|service| service.service.clone());
        services.extend(running.filter(|service| stays(&service.name)));
        services.extend(added.iter().cloned());
        let has_gateway = config.datapath.gateway_mac.is_some();
        self.require_forwarding(&addresses(&services, has_gateway))?;
        let warnings = self.keep_neighbours(&services, has_gateway);
        if !plan.settings.is_empty() {
            let detail = plan.settings.join(", ");
            let note = Note { action: "settings", detail, ..Note::default() };
            writer.set_settings(&record::settings(&config.datapath), &note)?;
        }
        for (step, number) in leaving.iter().zip(numbers) {
            writer.remove_service(number, &[step.note("remove-service", String::new())])?;
        }
        for step in leaving.into_iter().chain(rest) {
            let Some(target) = target_of(step) else { continue };
            match &step.action {
                StepAction::Remove => {}
                StepAction::Add | StepAction::Remake { .. } => {
                    let made = made_of(step).unwrap_or_else(|| target.clone());
                    let detail = format!("{} backends", made.backends.len());
                    let note = step.note("add-service", detail);
                    writer.add_service(&made, &target.backends, &config.seed, &[note])?;
                }
                StepAction::Retune { what, .. } => {
                    let number = writer.state().service(&step.service)?.number;
                    writer.retune(number, target, &[step.note("retune", what.join(", "))])?;
                }
                StepAction::Backends { changes, plan, backends } => {
                    let number = writer.state().service(&step.service)?.number;
                    let target = Target { number, backends, configured: Some(&target.backends) };
                    writer.set_backends(&[target], &notes(changes, plan))?;
                }
            }
        }
        for service in &config.services {
            let number = writer.state().service(&service.name)?.number;
            writer.remember_configured(number, &service.backends)?;
        }
        // Whoever came between, with another instance, did not know yet that they are needed.
        self.keep_neighbours(&services, has_gateway);
        self.forget_neighbours();
        Ok((plan, warnings))
    }

    fn plan_between(
        &self,
        state: &State,
        config: &Config,
        override_by_hand: bool,
    ) -> Result<ApplyPlan, DatapathError> {
        let mut plan = ApplyPlan {
            settings: self.settings_between(config)?,
            out_of_reach: self.out_of_reach(state, config)?,
            state_version: state.meta.state_version,
            ..ApplyPlan::default()
        };
        for running in state.services.values() {
            let name = &running.service.name;
            let mut step = |action| plan.steps.push(Step { service: name.clone(), action });
            let Some(target) = config.services.iter().find(|service| service.name == *name) else {
                step(StepAction::Remove);
                continue;
            };
            let remake = reasons_to_remake(&running.service, running.seed(), target, config.seed);
            let what = differences(&running.service, target);
            if remake.is_empty() && !what.is_empty() {
                let breaks = self.broken_by(&running.service, target)?;
                step(StepAction::Retune { what: what.clone(), breaks });
            }
            let mut merged = merge(&running.service, &configured(state, running), target, override_by_hand);
            keep_health(&running.service, target.health.is_some(), &mut merged.backends);
            let target = Service { backends: merged.backends, ..target.clone() };
            plan.kept.extend(merged.kept);
            let changes = changes_between(&running.service, &target);
            if changes.is_empty() && what.is_empty() && remake.is_empty() && plan.settings.is_empty() {
                continue;
            }
            if !running.is_without_active() {
                require_an_active_one(&target)?;
            }
            // What is kept may go ill with what is new.
            check_changes(&changes, &target, &config.datapath).map_err(DatapathError::Rules)?;
            if !remake.is_empty() {
                step(StepAction::Remake { why: remake, service: Box::new(target) });
                continue;
            }
            if changes.is_empty() {
                continue;
            }
            let moves = Box::new(Plan::between(&running.service, &target, &config.seed)?);
            step(StepAction::Backends { changes, plan: moves, backends: target.backends });
        }
        for service in &config.services {
            if !state.services.values().any(|running| running.service.name == service.name) {
                plan.steps.push(Step { service: service.name.clone(), action: StepAction::Add });
            }
        }
        Ok(plan)
    }

    /// Why connections end if a service forwards and tracks as `target` does, if they do.
    fn broken_by(&self, running: &Service, target: &Service) -> Result<Option<&'static str>, DatapathError> {
        let observes = |service: &Service| service.forwarding == Forwarding::Observe;
        if observes(running) != observes(target) {
            return Ok(Some("its connections are with somebody else"));
        }
        if running.tracking == target.tracking {
            return Ok(None);
        }
        Ok(match running.tracking {
            Tracking::Never => None,
            Tracking::Always => Some("the connections that are remembered would be forgotten"),
            Tracking::Settling => {
                let sample = self.sample()?;
                let found = sample.services.iter().find(|service| service.name == running.name);
                found
                    .is_some_and(|service| service.slots.settling() > 0)
                    .then_some("slots are settling: connections that they hold would be let go")
            }
        })
    }

    /// What of the datapath as a whole a running one can become.
    fn settings_between(&self, config: &Config) -> Result<Vec<String>, DatapathError> {
        let (running, target) = (self.settings()?, &config.datapath);
        let none = || "none".to_owned();
        let mut found = Vec::new();
        let (old, new) = (running.tunnel_source_v4, target.tunnel_source_v4);
        differs(&mut found, "tunnel-source-v4", old, new, |net| net.map_or_else(none, |net| net.to_string()));
        let (old, new) = (running.tunnel_source_v6, target.tunnel_source_v6);
        differs(&mut found, "tunnel-source-v6", old, new, |net| net.map_or_else(none, |net| net.to_string()));
        let (old, new) = (running.gateway_mac, target.gateway_mac);
        let shown = |mac: [u8; 6]| mac.map(|octet| format!("{octet:02x}")).join(":");
        differs(&mut found, "gateway-mac", old, new, |mac| mac.map_or_else(none, shown));
        Ok(found)
    }

    /// What it is made with, and keeps until it is taken down.
    fn out_of_reach(&self, state: &State, config: &Config) -> Result<Vec<String>, DatapathError> {
        let mut found = Vec::new();
        let slots = |rows: u32| (u64::from(rows) * u64::from(ROW_SLOTS)).to_string();
        differs(&mut found, "max-slots", state.meta.rows, rows_for(config), slots);
        if self.is_at_home()? && !config.datapath.interfaces.is_empty() {
            let running = self.config()?.datapath;
            let sorted = |names: &[String]| {
                let mut names = names.to_vec();
                names.sort();
                names.join(" ")
            };
            let (attached, wanted) = (sorted(&running.interfaces), sorted(&config.datapath.interfaces));
            differs(&mut found, "interfaces", &*attached, &*wanted, str::to_owned);
            if config.datapath.attach_mode != AttachMode::Auto && running.attach_mode != AttachMode::Auto {
                let (old, new) = (running.attach_mode, config.datapath.attach_mode);
                differs(&mut found, "attach-mode", old, new, |mode| mode.to_string());
            }
        }
        Ok(found)
    }
}

impl Step {
    /// What of it ends connections, in words.
    #[must_use]
    pub fn breaks(&self) -> Option<String> {
        match &self.action {
            StepAction::Remove => Some(format!("service {} would be removed", self.service)),
            StepAction::Remake { why, .. } => {
                Some(format!("service {} would be made anew ({})", self.service, why.join(", ")))
            }
            StepAction::Retune { what, breaks } => breaks
                .map(|why| format!("service {} would be changed ({}): {why}", self.service, what.join(", "))),
            StepAction::Add | StepAction::Backends { .. } => None,
        }
    }

    fn note(&self, action: &'static str, detail: String) -> Note {
        Note { action, service: self.service.clone(), detail, ..Note::default() }
    }
}

fn require_an_active_one(target: &Service) -> Result<(), DatapathError> {
    if target.active_backends().next().is_some() {
        return Ok(());
    }
    Err(DatapathError::NoActiveBackend(target.name.clone()))
}

/// Gives `backends` the health that those of `running` have: no configuration says anything of that. Where nothing
/// `is_checked` any more, nobody would put one that is unhealthy in again.
fn keep_health(running: &Service, is_checked: bool, backends: &mut [Backend]) {
    for backend in backends {
        let found = running
            .backends
            .iter()
            .find(|found| found.name == backend.name && found.address == backend.address)
            .filter(|_| is_checked);
        backend.health = found.map_or(Health::Unknown, |found| found.health);
    }
}

/// What a backend is the same by.
type Key = (String, SocketAddr);

/// The backends of a service as the configuration had them when it was last applied, those removed since among them.
fn configured(state: &State, running: &ServiceState) -> BTreeMap<Key, Backend> {
    let noted = |identity: &BackendIdentity| record::configured(identity);
    state
        .latest(running.number)
        .into_iter()
        .filter_map(|(key, (_, identity))| Some((key, noted(identity)?)))
        .collect()
}

/// Backends out of what is running, what was configured and what is configured now.
#[derive(Debug, Default)]
struct Merged {
    backends: Vec<Backend>,
    kept: Vec<Kept>,
}

fn merge(
    running: &Service,
    configured: &BTreeMap<Key, Backend>,
    target: &Service,
    override_by_hand: bool,
) -> Merged {
    if override_by_hand {
        return Merged { backends: target.backends.clone(), kept: Vec::new() };
    }
    let key = |backend: &Backend| (backend.name.clone(), backend.address);
    let find =
        |backends: &[Backend], wanted: &Key| backends.iter().find(|backend| key(backend) == *wanted).cloned();
    let mut merged = Merged::default();
    let mut keep = |backend: &Backend, what: String| {
        let (service, backend) = (running.name.clone(), backend.name.clone());
        merged.kept.push(Kept { service, backend, what });
    };
    // Added by hand, and neither in the configuration before nor in this one.
    for backend in &running.backends {
        let key = key(backend);
        if find(&target.backends, &key).is_none() && !configured.contains_key(&key) {
            keep(
                backend,
                format!("{} was added by hand; the configuration does not have it", backend.address),
            );
            merged.backends.push(backend.clone());
        }
    }
    for wanted in &target.backends {
        let (key, before) = (key(wanted), configured.get(&key(wanted)));
        let Some(found) = find(&running.backends, &key) else {
            let clash = merged
                .backends
                .iter()
                .find(|other| other.name == wanted.name || other.address == wanted.address);
            if before.is_some() {
                keep(wanted, format!("{} was removed by hand; the configuration has it", wanted.address));
            } else if let Some(other) = clash {
                let other = format!("{} at {}", other.name, other.address);
                keep(wanted, format!("{} is not added: {other} was, by hand", wanted.address));
            } else {
                merged.backends.push(wanted.clone());
            }
            continue;
        };
        let mut backend = wanted.clone();
        if found.weight != wanted.weight && before.is_none_or(|before| before.weight != found.weight) {
            backend.weight = found.weight;
            let (by_hand, here) = (found.weight, wanted.weight);
            keep(wanted, format!("was given weight {by_hand} by hand; the configuration says {here}"));
        }
        if found.state != wanted.state && before.is_none_or(|before| before.state != found.state) {
            backend.state = found.state;
            let (by_hand, here) = (found.state, wanted.state);
            keep(wanted, format!("was made {by_hand} by hand; the configuration says {here}"));
        }
        merged.backends.push(backend);
    }
    merged
}

/// Adds to `differences`, in words, where `old` and `new` differ.
fn differs<T: Copy + PartialEq>(
    differences: &mut Vec<String>,
    what: &str,
    old: T,
    new: T,
    shown: impl Fn(T) -> String,
) {
    if old != new {
        differences.push(format!("{what} {} → {}", shown(old), shown(new)));
    }
}

/// What of a service cannot change while its connections go on.
fn reasons_to_remake(
    running: &Service,
    running_seed: HashSeed,
    target: &Service,
    seed: HashSeed,
) -> Vec<String> {
    let mut reasons = Vec::new();
    differs(&mut reasons, "address", running.address, target.address, |it| it.to_string());
    differs(&mut reasons, "protocol", running.protocol, target.protocol, |it| it.to_string());
    differs(&mut reasons, "table-size", running.table_size, target.table_size, |it| it.to_string());
    differs(&mut reasons, "affinity", running.affinity, target.affinity, |it| it.to_string());
    differs(&mut reasons, "seed", running_seed, seed, |it| it.to_string());
    reasons
}

/// What of a service can change at any time, in words.
fn differences(running: &Service, target: &Service) -> Vec<String> {
    let mut found = Vec::new();
    differs(&mut found, "forwarding", running.forwarding, target.forwarding, |it| it.to_string());
    differs(&mut found, "tracking", running.tracking, target.tracking, |it| it.to_string());
    let time = |time| format!("{time:?}");
    differs(&mut found, "settle-time", running.settle_time, target.settle_time, time);
    let limit = |limit: Option<_>| limit.map_or_else(|| "none".to_owned(), time);
    differs(&mut found, "settle-limit", running.settle_limit, target.settle_limit, limit);
    let check = |check: Option<&HealthCheck>| check.map_or_else(|| "none".to_owned(), ToString::to_string);
    differs(&mut found, "health", running.health.as_ref(), target.health.as_ref(), check);
    found
}

/// What makes the backends of `running` those of `target`: what comes first, what leaves last.
fn changes_between(running: &Service, target: &Service) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut later = Vec::new();
    for new in &target.backends {
        match running.backends.iter().find(|old| old.name == new.name && old.address == new.address) {
            None => changes.push(Change::Add(new.clone())),
            Some(old) => {
                if old.health != new.health {
                    changes.push(Change::SetHealth(new.name.clone(), new.health));
                }
                if old.weight != new.weight {
                    changes.push(Change::SetWeight(new.name.clone(), new.weight));
                }
                match (old.state, new.state) {
                    (BackendState::Draining, BackendState::Active) => {
                        changes.push(Change::Undrain(new.name.clone()));
                    }
                    (BackendState::Active, BackendState::Draining) => {
                        later.push(Change::Drain(new.name.clone()));
                    }
                    _ => {}
                }
            }
        }
    }
    for old in &running.backends {
        if !target.backends.iter().any(|new| new.name == old.name && new.address == old.address) {
            later.push(Change::Remove(old.name.clone()));
        }
    }
    changes.append(&mut later);
    changes
}

impl Writer<'_> {
    /// Changes how a service forwards, tracks and settles.
    fn retune(&mut self, number: u32, target: &Service, notes: &[Note]) -> Result<(), DatapathError> {
        let running = &self.state().services[&number];
        let identity = record::service_identity(target, &running.seed(), running.identity.first_slot);
        self.set_service(number, &identity, notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_core::service::{Affinity, Forwarding, Protocol, Tracking};

    fn backend(name: &str, address: &str, weight: u16, state: BackendState) -> Backend {
        let address = address.parse().unwrap();
        Backend { name: name.to_owned(), address, weight, state, health: Health::Unknown }
    }

    fn active(name: &str, last: u8) -> Backend {
        backend(name, &format!("10.0.0.{last}:80"), 100, BackendState::Active)
    }

    fn service(backends: &[Backend]) -> Service {
        Service {
            name: "web".to_owned(),
            address: "192.0.2.10:80".parse().unwrap(),
            protocol: Protocol::Tcp,
            table_size: 251,
            forwarding: Forwarding::Ipip,
            affinity: Affinity::None,
            tracking: Tracking::Settling,
            settle_time: std::time::Duration::from_secs(2),
            settle_limit: None,
            health: None,
            backends: backends.to_vec(),
        }
    }

    fn three_way(running: &[Backend], before: &[Backend], now: &[Backend]) -> (Vec<Backend>, Vec<String>) {
        let configured = before
            .iter()
            .map(|one| ((one.name.clone(), one.address), one.clone()))
            .collect::<BTreeMap<_, _>>();
        let merged = merge(&service(running), &configured, &service(now), false);
        let overridden = merge(&service(running), &configured, &service(now), true);
        assert_eq!(overridden.backends, now, "overriding is not the configuration");
        assert!(overridden.kept.is_empty());
        let mut backends = merged.backends;
        backends.sort_by(|a, b| a.name.cmp(&b.name));
        (backends, merged.kept.into_iter().map(|kept| format!("{} {}", kept.backend, kept.what)).collect())
    }

    #[test]
    fn what_nobody_touched_follows_the_configuration() {
        let before = [active("b1", 1), active("b2", 2)];
        let mut now = [active("b1", 1), active("b3", 3)];
        now[0].weight = 50;
        now[0].state = BackendState::Draining;
        assert_eq!(three_way(&before, &before, &now), (now.to_vec(), vec![]));
    }

    #[test]
    fn what_was_changed_by_hand_stays_whatever_the_configuration_says() {
        let before = [active("b1", 1), active("b2", 2), active("b3", 3)];
        let mut running = [active("b1", 1), active("b2", 2), active("b4", 4)];
        running[0].state = BackendState::Draining;
        running[1].weight = 10;
        // Weight and state are told apart: the weight of b1 follows.
        let mut now = before.clone();
        now[0].weight = 200;
        now[1].weight = 300;
        let (backends, kept) = three_way(&running, &before, &now);
        let mut first = running[0].clone();
        first.weight = 200;
        assert_eq!(backends, [first, running[1].clone(), running[2].clone()]);
        assert_eq!(
            kept,
            [
                "b4 10.0.0.4:80 was added by hand; the configuration does not have it",
                "b1 was made draining by hand; the configuration says active",
                "b2 was given weight 10 by hand; the configuration says 300",
                "b3 10.0.0.3:80 was removed by hand; the configuration has it",
            ]
        );
    }

    #[test]
    fn what_the_configuration_gives_up_leaves_though_it_was_drained_by_hand() {
        let before = [active("b1", 1), active("b2", 2)];
        let mut running = before.clone();
        running[1].state = BackendState::Draining;
        assert_eq!(three_way(&running, &before, &before[..1]), (before[..1].to_vec(), vec![]));
    }

    #[test]
    fn what_was_done_by_hand_and_is_in_the_configuration_by_now_is_agreed() {
        let before = [active("b1", 1), active("b2", 2)];
        let mut running = vec![active("b1", 1), active("b3", 3)];
        running[0].weight = 7;
        assert_eq!(three_way(&running, &before, &running), (running.clone(), vec![]));
    }

    #[test]
    fn another_address_by_hand_stands_in_the_way_of_a_third_one() {
        let before = [active("b1", 1)];
        let running = [active("b1", 9)];
        let (backends, kept) = three_way(&running, &before, &[active("b1", 5)]);
        assert_eq!(backends, running);
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept[1].contains("10.0.0.5:80 is not added: b1 at 10.0.0.9:80 was, by hand"), "{kept:?}");
    }
}
