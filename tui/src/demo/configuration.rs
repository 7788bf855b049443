//! What the demo's datapath is configured to do.

use std::time::Duration;

use maglev_core::{
    config::{Config, ConfigErrors},
    health::Health,
    service::{Backend, BackendState, DEFAULT_WEIGHT, Protocol, Service, Tracking},
};

/// The configuration file, as an operator would write it.
const FILE: &str = include_str!("demo.toml");

/// The first backends are in service; these are there too, and can be added.
const SPARES: [u8; 2] = [6, 7];

/// How long slots settle where nobody watches: several times the silence of the demo's connections, and short enough
/// that they settle within the run.
const HEADLESS_SETTLE_TIME: Duration = Duration::from_secs(3);

/// The configuration: `demo.toml` but for how the TCP service tracks its flows.
pub(super) fn configuration(tracking: Tracking, headless: bool) -> Result<Config, ConfigErrors> {
    let mut config = Config::parse("demo.toml", FILE)?.config;
    for service in &mut config.services {
        if service.protocol == Protocol::Tcp {
            service.tracking = tracking;
        }
        if headless {
            service.settle_time = HEADLESS_SETTLE_TIME;
        }
    }
    Ok(config)
}

/// The service that is changed while traffic runs.
pub(super) fn changed_service(config: &Config) -> Option<&Service> {
    config.services.iter().find(|service| service.protocol == Protocol::Tcp)
}

/// Backends that answer and are in no service yet.
pub(super) fn spares(config: &Config) -> Vec<Backend> {
    let port = changed_service(config).map_or(80, |service| service.address.port());
    SPARES
        .iter()
        .map(|&number| Backend {
            name: format!("b{number}"),
            address: ([10, 82, number, 2], port).into(),
            weight: DEFAULT_WEIGHT,
            state: BackendState::Active,
            health: Health::Unknown,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_every_rule() {
        let parsed = Config::parse("demo.toml", FILE).unwrap();
        assert_eq!(parsed.warnings, []);
        assert!(parsed.config.services.iter().all(|service| service.backends.len() == 5));
    }

    #[test]
    fn tracking_is_for_the_service_over_tcp() {
        let config = configuration(Tracking::Never, true).unwrap();
        let tracking: Vec<_> =
            config.services.iter().map(|service| (service.name.as_str(), service.tracking)).collect();
        assert_eq!(tracking, [("web", Tracking::Never), ("dns", Tracking::Always)]);
    }

    #[test]
    fn spares_are_in_no_service() {
        let config = configuration(Tracking::Settling, false).unwrap();
        for spare in spares(&config) {
            assert!(config.services.iter().all(|service| service.backend(&spare.name).is_none()));
        }
    }
}
