//! Making the running state a configuration's: the plan first, then service by service.

use maglev_core::{
    change::Change,
    config::Config,
    plan::Plan,
    seed::HashSeed,
    service::{BackendState, Service},
};

use crate::{
    datapath::{Datapath, addresses, notes},
    error::DatapathError,
    record,
    state::State,
    writer::{Note, Writer},
};

/// What lies between a running datapath and a configuration.
#[derive(Clone, Debug, Default)]
pub struct ApplyPlan {
    /// What to do, in this order. Nothing where the two agree.
    pub steps: Vec<Step>,
    /// The state version that it was planned on.
    pub state_version: u64,
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
    /// It is made anew, for the reasons given: its connections end.
    Remake(Vec<String>),
    /// How it forwards, tracks or settles changes, in the words given.
    Retune(Vec<String>),
    /// Its backends change.
    Backends {
        /// What is done to them, one by one.
        changes: Vec<Change>,
        /// What that moves.
        plan: Box<Plan>,
    },
}

impl Datapath {
    /// Says what would make the running state that of `config`.
    ///
    /// # Errors
    ///
    /// When the running state cannot be read, or be made that of `config`.
    pub fn plan_apply(&self, config: &Config) -> Result<ApplyPlan, DatapathError> {
        plan_between(&State::read_settled(self.maps())?, config)
    }

    /// Makes the running state that of `config`, and says what it did.
    ///
    /// # Errors
    ///
    /// When it would end connections and `break_connections` does not allow that: then nothing was changed. When the
    /// kernel refuses something half-way: the steps before it are done.
    pub fn apply(
        &self,
        config: &Config,
        break_connections: bool,
    ) -> Result<(ApplyPlan, Vec<String>), DatapathError> {
        let mut writer = Writer::begin(self.instance(), self.maps())?;
        let plan = plan_between(writer.state(), config)?;
        let breaking: Vec<String> = plan.steps.iter().filter_map(Step::breaks).collect();
        if !breaking.is_empty() && !break_connections {
            return Err(DatapathError::BreaksConnections(breaking));
        }
        self.set_settings(config)?;
        let warnings = self.keep_neighbours(&config.services);
        let before: Vec<Service> =
            writer.state().services.values().map(|running| running.service.clone()).collect();
        // What leaves makes room for what comes.
        let (leaving, rest): (Vec<_>, Vec<_>) = plan
            .steps
            .iter()
            .partition(|step| matches!(step.action, StepAction::Remove | StepAction::Remake(_)));
        for step in &leaving {
            let number = writer.state().service(&step.service)?.number;
            writer.remove_service(number, &[step.note("remove-service", String::new())])?;
        }
        for step in leaving.iter().chain(&rest) {
            let Some(target) = config.services.iter().find(|service| service.name == step.service) else {
                continue;
            };
            match &step.action {
                StepAction::Remove => {}
                StepAction::Add | StepAction::Remake(_) => {
                    let detail = format!("{} backends", target.backends.len());
                    writer.add_service(target, &config.seed, &[step.note("add-service", detail)])?;
                }
                StepAction::Retune(what) => {
                    let number = writer.state().service(&step.service)?.number;
                    writer.retune(number, target, &[step.note("retune", what.join(", "))])?;
                }
                StepAction::Backends { changes, plan } => {
                    let number = writer.state().service(&step.service)?.number;
                    let notes = notes(changes, plan);
                    writer.set_backends(number, &target.backends, &notes)?;
                }
            }
        }
        self.forget_neighbours_of(&addresses(&before, false), writer.state());
        Ok((plan, warnings))
    }
}

impl Step {
    /// What of it ends connections, in words.
    #[must_use]
    pub fn breaks(&self) -> Option<String> {
        match &self.action {
            StepAction::Remove => Some(format!("service {} would be removed", self.service)),
            StepAction::Remake(why) => {
                Some(format!("service {} would be made anew ({})", self.service, why.join(", ")))
            }
            StepAction::Add | StepAction::Retune(_) | StepAction::Backends { .. } => None,
        }
    }

    fn note(&self, action: &'static str, detail: String) -> Note {
        Note { action, service: self.service.clone(), detail, ..Note::default() }
    }
}

fn plan_between(state: &State, config: &Config) -> Result<ApplyPlan, DatapathError> {
    let mut steps = Vec::new();
    for running in state.services.values() {
        let name = &running.service.name;
        let Some(target) = config.services.iter().find(|service| service.name == *name) else {
            steps.push(Step { service: name.clone(), action: StepAction::Remove });
            continue;
        };
        let step = |action| Step { service: name.clone(), action };
        let remake = reasons_to_remake(&running.service, running.seed(), target, config.seed);
        if !remake.is_empty() {
            steps.push(step(StepAction::Remake(remake)));
            continue;
        }
        let retune = differences(&running.service, target);
        if !retune.is_empty() {
            steps.push(step(StepAction::Retune(retune)));
        }
        let changes = changes_between(&running.service, target);
        if !changes.is_empty() {
            if !running.is_without_active() {
                require_an_active_one(target)?;
            }
            let plan = Box::new(Plan::between(&running.service, target, &config.seed)?);
            steps.push(step(StepAction::Backends { changes, plan }));
        }
    }
    for service in &config.services {
        if !state.services.values().any(|running| running.service.name == service.name) {
            steps.push(Step { service: service.name.clone(), action: StepAction::Add });
        }
    }
    Ok(ApplyPlan { steps, state_version: state.meta.state_version })
}

fn require_an_active_one(target: &Service) -> Result<(), DatapathError> {
    if target.active_backends().next().is_some() {
        return Ok(());
    }
    Err(DatapathError::NoActiveBackend(target.name.clone()))
}

/// What of a service cannot change while its connections go on.
fn reasons_to_remake(
    running: &Service,
    running_seed: HashSeed,
    target: &Service,
    seed: HashSeed,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut differs = |what: &str, old: String, new: String| {
        if old != new {
            reasons.push(format!("{what} {old} → {new}"));
        }
    };
    differs("address", running.address.to_string(), target.address.to_string());
    differs("protocol", running.protocol.to_string(), target.protocol.to_string());
    differs("table-size", running.table_size.to_string(), target.table_size.to_string());
    differs("affinity", running.affinity.to_string(), target.affinity.to_string());
    differs("seed", running_seed.to_string(), seed.to_string());
    reasons
}

/// What of a service can change at any time, in words.
fn differences(running: &Service, target: &Service) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differs = |what: &str, old: String, new: String| {
        if old != new {
            differences.push(format!("{what} {old} → {new}"));
        }
    };
    differs("forwarding", running.forwarding.to_string(), target.forwarding.to_string());
    differs("tracking", running.tracking.to_string(), target.tracking.to_string());
    differs("settle-time", format!("{:?}", running.settle_time), format!("{:?}", target.settle_time));
    differs("settle-limit", format!("{:?}", running.settle_limit), format!("{:?}", target.settle_limit));
    differences
}

/// What makes the backends of `running` those of `target`: what comes first, what leaves last.
fn changes_between(running: &Service, target: &Service) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut later = Vec::new();
    for new in &target.backends {
        match running.backends.iter().find(|old| old.name == new.name && old.address == new.address) {
            None => changes.push(Change::Add(new.clone())),
            Some(old) => {
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
