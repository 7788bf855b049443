//! What a change to a service moves, before anybody makes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use crate::{
    change::{Change, ChangeError},
    reassignment::Reassignment,
    seed::HashSeed,
    service::{Backend, Service},
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
    /// The tables have no slots in common.
    #[error("the table size changes from {before} to {after}: every flow falls into another slot")]
    OtherTableSize {
        /// The size before.
        before: u32,
        /// The size after.
        after: u32,
    },
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
        if before.table_size != after.table_size {
            return Err(PlanError::OtherTableSize { before: before.table_size, after: after.table_size });
        }
        let identities: BTreeSet<_> = before.backends.iter().chain(&after.backends).map(identity).collect();
        let rows: BTreeMap<_, u32> = identities.iter().copied().zip(0..).collect();
        let owners = |service: &Service| -> Result<Vec<u32>, TableError> {
            let row_of: Vec<u32> = service.backends.iter().map(|backend| rows[&identity(backend)]).collect();
            let table = LookupTable::of_service(service, seed)?;
            let owner = |&slot: &u32| row_of.get(slot as usize).copied().unwrap_or(NO_BACKEND);
            Ok(table.slots().iter().map(owner).collect())
        };
        let (before_owners, after_owners) = (owners(before)?, owners(after)?);

        let mut backends: Vec<PlannedBackend> = identities
            .into_iter()
            .map(|(name, address)| PlannedBackend {
                name: name.to_owned(),
                address,
                before: 0,
                after: 0,
                gained: 0,
                lost: 0,
            })
            .collect();
        let reassignment = Reassignment::between(&before_owners, &after_owners);
        let mut count = |owner: u32, slots: u32, column: fn(&mut PlannedBackend) -> &mut u32| {
            if let Some(backend) = backends.get_mut(owner as usize) {
                *column(backend) += slots;
            }
        };
        for (&old, &new) in before_owners.iter().zip(&after_owners) {
            count(old, 1, |backend| &mut backend.before);
            count(new, 1, |backend| &mut backend.after);
        }
        for (old, new, slots) in reassignment.moves() {
            count(old, slots, |backend| &mut backend.lost);
            count(new, slots, |backend| &mut backend.gained);
        }
        Ok(Self {
            service: after.name.clone(),
            table_size: after.table_size,
            moved: reassignment.moved(),
            minimum: reassignment.minimum(),
            backends,
            before: before_owners,
            after: after_owners,
        })
    }
}

/// What a backend is the same by: one that comes back with another address is another one.
fn identity(backend: &Backend) -> (&str, SocketAddr) {
    (&backend.name, backend.address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::service;

    fn plan(changes: &[Change]) -> Plan {
        Plan::of_changes(&service(), changes, &HashSeed::default(), true).unwrap().0
    }

    #[test]
    fn a_drain_moves_what_the_backend_has() {
        let plan = plan(&[Change::Drain("web-2".to_owned())]);
        let [stays, leaves] = &plan.backends[..] else { panic!("two backends") };
        assert_eq!((stays.name.as_str(), stays.before, stays.after), ("web-1", 126, 251));
        assert_eq!((leaves.name.as_str(), leaves.before, leaves.after), ("web-2", 125, 0));
        assert_eq!((plan.moved, plan.minimum, stays.gained, leaves.lost), (125, 125, 125, 125));
    }

    #[test]
    fn slots_without_owner_count_as_nobodys() {
        let drained = [Change::Drain("web-1".to_owned()), Change::Drain("web-2".to_owned())];
        let all = plan(&drained);
        assert_eq!((all.moved, all.minimum), (251, 251));
        assert!(all.after.iter().all(|&owner| owner == NO_BACKEND));

        let mut empty = service();
        for change in &drained {
            change.apply(&mut empty, true).unwrap();
        }
        let back = Plan::between(&empty, &service(), &HashSeed::default()).unwrap();
        assert_eq!((back.moved, back.minimum), (251, 251));
    }

    #[test]
    fn another_address_under_a_name_is_another_backend() {
        let mut after = service();
        after.backends[0].address = "10.0.1.3:80".parse().unwrap();
        let plan = Plan::between(&service(), &after, &HashSeed::default()).unwrap();
        let rows: Vec<_> =
            plan.backends.iter().map(|row| (row.name.as_str(), row.before, row.after)).collect();
        assert_eq!(rows, [("web-1", 126, 0), ("web-1", 0, 125), ("web-2", 125, 126)]);
    }

    #[test]
    fn tables_of_two_sizes_have_no_plan() {
        let after = Service { table_size: 509, ..service() };
        assert_eq!(
            Plan::between(&service(), &after, &HashSeed::default()),
            Err(PlanError::OtherTableSize { before: 251, after: 509 })
        );
    }
}
