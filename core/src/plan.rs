//! What a change to a service moves, before anybody makes it.

use std::net::SocketAddr;

use crate::seed::HashSeed;
use crate::{
    change::{Change, ChangeError},
    service::{BackendState, Service},
    table::{LookupTable, NO_BACKEND, TableError},
};

/// Two tables of one service, and what lies between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The service's name.
    pub service: String,
    /// The number of slots.
    pub table_size: u32,
    /// Slots whose owner is another after the change.
    pub moved: u32,
    /// Slots that have to move whatever the method: the sum over the backends of max(0, before − after).
    pub minimum: u32,
    /// Every backend that is there before or after, by name.
    pub backends: Vec<PlannedBackend>,
    /// The owner of each slot before, as an index into `backends`, or [`NO_BACKEND`].
    pub before: Vec<u32>,
    /// The owner of each slot after, likewise.
    pub after: Vec<u32>,
}

/// What a plan does to one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBackend {
    /// Its name.
    pub name: String,
    /// Its address and port.
    pub address: SocketAddr,
    /// Slots that it owns before.
    pub before: u32,
    /// Slots that it owns after.
    pub after: u32,
    /// Slots that it gets from others.
    pub gained: u32,
    /// Slots that others get from it.
    pub lost: u32,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A change does not fit the service.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A table cannot be filled.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Plan {
    /// What `changes`, in this order, would move in `service`; and the service as it would be.
    ///
    /// # Errors
    ///
    /// When a change does not fit or a table cannot be filled.
    pub fn of_changes(
        service: &Service,
        changes: &[Change],
        seed: &HashSeed,
        force: bool,
    ) -> Result<(Self, Service), PlanError> {
        let mut target = service.clone();
        for change in changes {
            change.apply(&mut target, force)?;
        }
        Ok((Self::between(service, &target, seed)?, target))
    }

    /// What lies between the tables of two states of one service. Backends are the same where name and address are.
    ///
    /// # Errors
    ///
    /// When a table cannot be filled.
    pub fn between(before: &Service, after: &Service, seed: &HashSeed) -> Result<Self, PlanError> {
        let mut backends: Vec<PlannedBackend> = before
            .backends
            .iter()
            .chain(after.backends.iter().filter(|new| {
                !before.backends.iter().any(|old| old.name == new.name && old.address == new.address)
            }))
            .map(|backend| PlannedBackend {
                name: backend.name.clone(),
                address: backend.address,
                before: 0,
                after: 0,
                gained: 0,
                lost: 0,
            })
            .collect();
        backends.sort_by(|a, b| a.name.cmp(&b.name).then(a.address.cmp(&b.address)));

        let owners = |service: &Service| -> Result<Vec<u32>, TableError> {
            let table = LookupTable::of_service(service, seed)?;
            let index_of: Vec<u32> = service
                .backends
                .iter()
                .map(|backend| {
                    backends
                        .iter()
                        .position(|row| row.name == backend.name && row.address == backend.address)
                        .and_then(|index| u32::try_from(index).ok())
                        .unwrap_or(NO_BACKEND)
                })
                .collect();
            Ok(table
                .slots()
                .iter()
                .map(|&slot| index_of.get(slot as usize).copied().unwrap_or(NO_BACKEND))
                .collect())
        };
        let (owners_before, owners_after) = (owners(before)?, owners(after)?);

        let mut moved = 0;
        for (&old, &new) in owners_before.iter().zip(&owners_after) {
            if let Some(row) = backends.get_mut(old as usize) {
                row.before += 1;
                row.lost += u32::from(old != new);
            }
            if let Some(row) = backends.get_mut(new as usize) {
                row.after += 1;
                row.gained += u32::from(old != new);
            }
            moved += u32::from(old != new);
        }
        // Slots that nobody owned have to move too, once somebody is there to own them.
        let unowned = |owners: &[u32]| {
            u32::try_from(owners.iter().filter(|&&o| o == NO_BACKEND).count()).unwrap_or(u32::MAX)
        };
        let minimum = backends.iter().map(|row| row.before.saturating_sub(row.after)).sum::<u32>()
            + unowned(&owners_before).saturating_sub(unowned(&owners_after));
        Ok(Self {
            service: after.name.clone(),
            table_size: after.table_size,
            moved,
            minimum,
            backends,
            before: owners_before,
            after: owners_after,
        })
    }
}

/// How evenly a table gives its slots to the backends that are to have some.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// The largest share of slots over the share that the weights call for.
    pub most: f64,
    /// The smallest share of slots over the share that the weights call for.
    pub least: f64,
}

impl Balance {
    /// The balance of a service's table; `None` where no backend is active.
    ///
    /// # Errors
    ///
    /// When the table cannot be filled.
    pub fn of_service(service: &Service, seed: &HashSeed) -> Result<Option<Self>, TableError> {
        let table = LookupTable::of_service(service, seed)?;
        let counts = table.counts(service.backends.len());
        let total: f64 = service.active_backends().map(|backend| f64::from(backend.weight)).sum();
        let ratios = service
            .backends
            .iter()
            .zip(counts)
            .filter(|(backend, _)| backend.state == BackendState::Active)
            .map(|(backend, slots)| {
                f64::from(slots) / f64::from(service.table_size) / (f64::from(backend.weight) / total)
            });
        Ok(ratios.fold(None, |balance: Option<Self>, ratio| {
            Some(balance.map_or(Self { most: ratio, least: ratio }, |b| Self {
                most: b.most.max(ratio),
                least: b.least.min(ratio),
            }))
        }))
    }
}
