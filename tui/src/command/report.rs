//! What commands print as JSON: the shapes that other programs rely on.

use std::collections::BTreeMap;

use maglev_core::{
    change::Change,
    drain::{DrainProgress, held_slots},
    plan::Plan,
    sample::{BackendSample, Sample, ServiceSample},
};
use maglev_probe::Datapath;
use serde::Serialize;

/// `status`
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct StatusReport {
    services: Vec<ServiceReport>,
    verdicts: BTreeMap<&'static str, u64>,
    /// Who runs the checks that services ask for; null where none does.
    health_checks: Option<Checks>,
    /// Where it differs from the configuration that was named, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<Vec<String>>,
}

/// Whether the checks that services ask for are run.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Checks {
    pub(crate) running: bool,
    /// By which process.
    pub(crate) process: Option<u32>,
}

/// A service of a [`StatusReport`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ServiceReport {
    name: String,
    address: String,
    protocol: &'static str,
    table_size: usize,
    settling_slots: usize,
    unremembered: u64,
    packets: u64,
    bytes: u64,
    new_connections: u64,
    backends: Vec<BackendReport>,
}

/// A backend of a service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct BackendReport {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) weight: u16,
    pub(crate) state: &'static str,
    pub(crate) health: Option<&'static str>,
    pub(crate) slots: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) new_connections: u64,
    pub(crate) held_packets: u64,
    pub(crate) quiet_seconds: Option<f64>,
    /// Of one that drains: whether it can be removed without a connection lost.
    pub(crate) safe_to_remove: Option<bool>,
    /// Settling slots that name it as their previous owner.
    pub(crate) held_slots: usize,
}

/// One element of `changes`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ChangeReport {
    pub(crate) action: String,
    pub(crate) service: String,
    pub(crate) backend: String,
    pub(crate) moved: u32,
    pub(crate) minimum: u32,
}

/// An element of `changes` for each change; what they move together stands with the first.
pub(crate) fn change_reports<'a>(
    changes: impl IntoIterator<Item = &'a Change>,
    plan: &Plan,
) -> Vec<ChangeReport> {
    let reports = changes.into_iter().enumerate().map(|(place, change)| ChangeReport {
        action: change.action().to_owned(),
        service: plan.service.clone(),
        backend: change.backend().to_owned(),
        moved: if place == 0 { plan.moved } else { 0 },
        minimum: if place == 0 { plan.minimum } else { 0 },
    });
    reports.collect()
}

/// `changes` alone: what a command that changes something prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ChangesReport {
    pub(crate) changes: Vec<ChangeReport>,
}

/// `table plan`
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct PlanReport {
    moved: u32,
    minimum: u32,
    table_size: u32,
    backends: Vec<PlannedBackendReport>,
}

/// A backend of a [`PlanReport`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct PlannedBackendReport {
    name: String,
    before: u32,
    after: u32,
    gained: u32,
    lost: u32,
}

impl StatusReport {
    pub(crate) fn new(sample: &Sample, health_checks: Option<Checks>, differs: Option<Vec<String>>) -> Self {
        Self {
            services: sample.services.iter().map(ServiceReport::new).collect(),
            verdicts: sample.verdicts.iter().copied().collect(),
            health_checks,
            differs,
        }
    }
}

impl Checks {
    /// Who runs them; `None` where no service asks for any.
    pub(crate) fn of(datapath: &Datapath, sample: &Sample) -> Option<Self> {
        let process = datapath.instance().watcher();
        sample
            .services
            .iter()
            .any(|service| service.is_checked)
            .then_some(Self { running: process.is_some(), process })
    }
}

impl ServiceReport {
    fn new(service: &ServiceSample) -> Self {
        Self {
            name: service.name.clone(),
            address: service.address.to_string(),
            protocol: service.protocol.word(),
            table_size: service.slots.len(),
            settling_slots: service.slots.settling(),
            unremembered: service.unremembered,
            packets: service.counters.packets,
            bytes: service.counters.bytes,
            new_connections: service.counters.new_connections,
            backends: service.backends.iter().map(|backend| BackendReport::new(service, backend)).collect(),
        }
    }
}

impl BackendReport {
    pub(crate) fn new(service: &ServiceSample, backend: &BackendSample) -> Self {
        Self {
            name: backend.name.clone(),
            address: backend.address.to_string(),
            weight: backend.weight,
            state: backend.state.word(),
            health: backend.health.word(),
            slots: backend.slots,
            packets: backend.counters.packets,
            bytes: backend.counters.bytes,
            new_connections: backend.counters.new_connections,
            held_packets: backend.counters.held_packets,
            // To the millisecond: finer than that the clock is not.
            quiet_seconds: backend.quiet.map(|quiet| (quiet.as_secs_f64() * 1000.0).round() / 1000.0),
            safe_to_remove: DrainProgress::of(service, backend).map(DrainProgress::is_safe),
            held_slots: held_slots(service, backend),
        }
    }
}

impl PlanReport {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            moved: plan.moved,
            minimum: plan.minimum,
            table_size: plan.table_size,
            backends: plan
                .backends
                .iter()
                .map(|row| PlannedBackendReport {
                    name: row.name.clone(),
                    before: row.before,
                    after: row.after,
                    gained: row.gained,
                    lost: row.lost,
                })
                .collect(),
        }
    }
}
