//! How near the shares of a table are to those that the weights call for.

pub mod chance;

use crate::{
    seed::HashSeed,
    service::Service,
    table::{LookupTable, TableError},
};

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
        let ratios = service.backends.iter().zip(counts).filter(|(backend, _)| backend.gets_flows()).map(
            |(backend, slots)| {
                f64::from(slots) / f64::from(service.table_size) / (f64::from(backend.weight) / total)
            },
        );
        Ok(ratios.fold(None, |balance: Option<Self>, ratio| {
            Some(balance.map_or(Self { most: ratio, least: ratio }, |b| Self {
                most: b.most.max(ratio),
                least: b.least.min(ratio),
            }))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::service;
    use crate::service::BackendState;

    #[test]
    fn shares_are_held_against_the_weights() {
        let balance = Balance::of_service(&service(), &HashSeed::default()).unwrap().unwrap();
        assert!((balance.most - 126.0 / 125.5).abs() < 1e-9, "{balance:?}");
        assert!((balance.least - 125.0 / 125.5).abs() < 1e-9, "{balance:?}");
    }

    #[test]
    fn draining_backends_have_no_share() {
        let mut service = service();
        service.backends[0].state = BackendState::Draining;
        let balance = Balance::of_service(&service, &HashSeed::default()).unwrap();
        assert_eq!(balance, Some(Balance { most: 1.0, least: 1.0 }));
        service.backends[1].state = BackendState::Draining;
        assert_eq!(Balance::of_service(&service, &HashSeed::default()), Ok(None));
    }
}
