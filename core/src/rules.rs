//! The rules that services keep, in one place for a configuration and for a change to what is running.

mod address;
mod finding;
mod name;
mod rule;
mod weights;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use address::{check_endpoint, check_family, check_tunnel, check_via};
pub use finding::{BrokenRules, Finding, Place};
pub use name::check_name;
pub use rule::{Rule, Warning};
use weights::check_weights;

use crate::{
    change::Change,
    config::{Config, Datapath},
    service::{Backend, Protocol, Service, Tracking},
    slot::{GUARD_MILLISECONDS, TIME_BITS},
    table::check_table_size,
};

/// Slots are handed out in rows of so many: a row is a page of memory.
pub const ROW_SLOTS: u32 = 512;

/// The longest settle time and settle limit: half of what a deadline holds, since it counts from the boot.
pub const MAX_SETTLE_TIME: Duration = Duration::from_secs(17 * 31_557_600);

/// The shortest settle time: a slot with less than half of it to go is left alone by user space, and one that is kept
/// settling by its packets has to get out of that.
pub const MIN_SETTLE_TIME: Duration = Duration::from_millis(2 * GUARD_MILLISECONDS);

const _: () = assert!(MAX_SETTLE_TIME.as_millis() < 1 << (TIME_BITS - 1));

/// The slots that a table of that size takes: whole rows.
#[must_use]
pub const fn slots_taken(table_size: u32) -> u64 {
    (table_size as u64).next_multiple_of(ROW_SLOTS as u64)
}

/// Checks a service by itself. It may be without a backend: `--force` can bring that about.
///
/// # Errors
///
/// Every rule that it breaks.
pub fn check_service(service: &Service, datapath: &Datapath) -> Result<Vec<Finding<Warning>>, BrokenRules> {
    let mut findings = Findings::default();
    findings.check_service(0, service, datapath);
    findings.into_result()
}

/// Checks `after`, a running service after `changes`.
///
/// What takes backends out, or back in, is never refused here: it is what an operator does in an emergency, and breaks
/// no rule but that of weights, of which there is a warning.
///
/// # Errors
///
/// Every rule that the service breaks, where `changes` add a backend or set a weight.
pub fn check_changes(
    changes: &[Change],
    after: &Service,
    datapath: &Datapath,
) -> Result<Vec<Finding<Warning>>, BrokenRules> {
    let mut findings = Findings::default();
    findings.check_service(0, after, datapath);
    let strict = changes.iter().any(|change| matches!(change, Change::Add(_) | Change::SetWeight(..)));
    if !strict {
        let ignored =
            findings.broken.drain(..).filter(|broken| matches!(broken.what, Rule::WeightsIgnored { .. }));
        findings.warnings.extend(ignored.map(|broken| Finding {
            place: broken.place,
            subject: broken.subject,
            what: Warning::WeightsIgnored(broken.what),
        }));
    }
    findings.into_result()
}

/// Checks a whole configuration.
///
/// # Errors
///
/// Every rule that it breaks.
pub fn check_config(config: &Config) -> Result<Vec<Finding<Warning>>, BrokenRules> {
    let mut findings = Findings::default();
    findings.check_datapath(&config.datapath);
    for (index, service) in config.services.iter().enumerate() {
        findings.check_service(index, service, &config.datapath);
        findings.check_beside(index, &config.services);
    }
    findings.check_room(config);
    if config.services.is_empty() {
        findings.warn(Place { service: None, backend: None, key: "services" }, "", Warning::NoServices);
    }
    findings.into_result()
}

/// What has been found so far.
#[derive(Default)]
struct Findings {
    broken: Vec<Finding<Rule>>,
    warnings: Vec<Finding<Warning>>,
}

impl Findings {
    fn into_result(self) -> Result<Vec<Finding<Warning>>, BrokenRules> {
        if self.broken.is_empty() { Ok(self.warnings) } else { Err(BrokenRules(self.broken)) }
    }

    fn broken(&mut self, place: Place, subject: &str, what: Rule) {
        self.broken.push(Finding { place, subject: subject.to_owned(), what });
    }

    fn warn(&mut self, place: Place, subject: &str, what: Warning) {
        self.warnings.push(Finding { place, subject: subject.to_owned(), what });
    }

    fn check_datapath(&mut self, datapath: &Datapath) {
        let at = |key| Place { service: None, backend: None, key };
        for (index, interface) in datapath.interfaces.iter().enumerate() {
            if let Err(rule) = name::check_interface(interface) {
                self.broken(at("interfaces"), "datapath", rule);
            } else if datapath.interfaces[..index].contains(interface) {
                self.broken(at("interfaces"), "datapath", Rule::InterfaceTwice(interface.clone()));
            }
        }
        if let Some(Err(rule)) = datapath.tunnel_source_v4.map(|source| address::check_source(source.into()))
        {
            self.broken(at("tunnel-source-v4"), "datapath", rule);
        }
        if let Some(Err(rule)) = datapath.tunnel_source_v6.map(|source| address::check_source(source.into()))
        {
            self.broken(at("tunnel-source-v6"), "datapath", rule);
        }
        if datapath.gateway_mac.is_some_and(|mac| mac[0] & 1 == 1 || mac == [0; 6]) {
            self.broken(at("gateway-mac"), "datapath", Rule::GatewayMac);
        }
    }

    fn check_service(&mut self, index: usize, service: &Service, datapath: &Datapath) {
        let at = |key| Place { service: Some(index), backend: None, key };
        let subject = format!("service {}", service.name);
        let checks = [
            ("name", check_name(&service.name)),
            ("address", check_endpoint(service.address)),
            ("table-size", check_table_size(service.table_size).map_err(Rule::from)),
            ("tracking", check_tracking(service)),
            ("settle-time", check_settle_time(service.settle_time)),
            ("settle-limit", check_settle_limit(service)),
            ("health", check_via(service)),
        ];
        self.collect(at, &subject, checks);
        if let Err(rule) = check_weights(service) {
            let first = service.backends.iter().position(Backend::gets_flows);
            self.broken(Place { service: Some(index), backend: first, key: "weight" }, &subject, rule);
        }
        let (mut names, mut addresses) = (HashSet::new(), HashMap::new());
        // Where each port first stands, and how often.
        let mut other_ports = BTreeMap::new();
        for (position, backend) in service.backends.iter().enumerate() {
            let same_name =
                (!names.insert(&backend.name)).then(|| Rule::BackendNameTaken(backend.name.clone()));
            let same_address = addresses
                .insert(backend.address, &backend.name)
                .map(|other| Rule::BackendAddressTaken(other.clone()));
            let checks = [
                ("name", check_name(&backend.name)),
                ("name", none(same_name)),
                ("address", check_endpoint(backend.address)),
                ("address", none(same_address)),
                ("address", check_family(service, backend, datapath)),
                ("address", check_tunnel(service, backend)),
                ("weight", none((backend.weight == 0).then_some(Rule::WeightZero))),
            ];
            let at = |key| Place { service: Some(index), backend: Some(position), key };
            let subject = format!("backend {} of service {}", backend.name, service.name);
            self.collect(at, &subject, checks);
            other_ports.entry(backend.address.port()).or_insert((at("address"), subject, 0)).2 += 1;
        }

        let port = service.address.port();
        other_ports.remove(&port);
        for (other, (place, subject, backends)) in other_ports {
            self.warn(place, &subject, Warning::OtherPort { backend: other, service: port, backends });
        }

        let active = u32::try_from(service.active_backends().count()).unwrap_or(u32::MAX);
        if active == 0 {
            self.warn(at("backends"), &subject, Warning::NoActiveBackend);
        }
        if active > service.table_size {
            let table_size = service.table_size;
            self.warn(at("backends"), &subject, Warning::MoreBackendsThanSlots { active, table_size });
        }
    }

    fn collect<const N: usize>(
        &mut self,
        at: impl Fn(&'static str) -> Place,
        subject: &str,
        checks: [(&'static str, Result<(), Rule>); N],
    ) {
        for (key, check) in checks {
            if let Err(rule) = check
                && !self.is_said(at(key), &rule)
            {
                self.broken(at(key), subject, rule);
            }
        }
    }

    /// Whether the rule's first breach says everything: all the backends of a service lack one tunnel source.
    fn is_said(&self, place: Place, rule: &Rule) -> bool {
        matches!(rule, Rule::NoTunnelSource { .. })
            && self.broken.iter().any(|said| said.place.service == place.service && said.what == *rule)
    }

    /// Checks what a service may not share with those before it, and what a configuration asks of it beyond what
    /// holds of a running one.
    fn check_beside(&mut self, index: usize, services: &[Service]) {
        let at = |key| Place { service: Some(index), backend: None, key };
        let (service, earlier) = (&services[index], &services[..index]);
        let subject = format!("service {}", service.name);
        if earlier.iter().any(|other| other.name == service.name) {
            self.broken(at("name"), &subject, Rule::ServiceNameTaken(service.name.clone()));
        }
        let listens =
            |other: &&Service| (other.address, other.protocol) == (service.address, service.protocol);
        if let Some(other) = earlier.iter().find(listens) {
            self.broken(at("address"), &subject, Rule::ServiceAddressTaken(other.name.clone()));
        }
        if service.backends.is_empty() {
            self.broken(at("backends"), &subject, Rule::NoBackends);
        }
    }

    fn check_room(&mut self, config: &Config) {
        // A size that no table can have has an error of its own.
        let sizes = config
            .services
            .iter()
            .map(|service| service.table_size)
            .filter(|&size| check_table_size(size).is_ok());
        let wanted = sizes.map(slots_taken).sum();
        let max = config.datapath.max_slots;
        if wanted > u64::from(max) {
            let place = Place { service: None, backend: None, key: "max-slots" };
            self.broken(place, "datapath", Rule::TooManySlots { wanted, max });
        }
    }
}

fn none(broken: Option<Rule>) -> Result<(), Rule> {
    broken.map_or(Ok(()), Err)
}

fn check_tracking(service: &Service) -> Result<(), Rule> {
    if (service.protocol, service.tracking) == (Protocol::Udp, Tracking::Settling) {
        return Err(Rule::SettlingUdp);
    }
    Ok(())
}

fn check_settle_time(time: Duration) -> Result<(), Rule> {
    if time < MIN_SETTLE_TIME {
        Err(Rule::SettleTimeTooShort)
    } else if time > MAX_SETTLE_TIME {
        Err(Rule::SettleTimeTooLong)
    } else if !time.subsec_nanos().is_multiple_of(1_000_000) {
        Err(Rule::SettleTimeTooFine)
    } else {
        Ok(())
    }
}

fn check_settle_limit(service: &Service) -> Result<(), Rule> {
    let Some(limit) = service.settle_limit else { return Ok(()) };
    if limit < service.settle_time { Err(Rule::SettleLimitBelowTime) } else { check_settle_time(limit) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        health::Health,
        service::{Affinity, BackendState, Forwarding},
    };

    /// A service that keeps every rule, with two backends.
    pub(crate) fn service() -> Service {
        let backend = |number: u8| Backend {
            name: format!("web-{number}"),
            address: ([10, 0, 1, number], 80).into(),
            weight: 100,
            state: BackendState::Active,
            health: Health::Unknown,
        };
        Service {
            name: "web".to_owned(),
            address: ([192, 0, 2, 10], 80).into(),
            protocol: Protocol::Tcp,
            table_size: 251,
            forwarding: Forwarding::Observe,
            affinity: Affinity::None,
            tracking: Tracking::Settling,
            settle_time: Duration::from_secs(600),
            settle_limit: None,
            health: None,
            backends: vec![backend(1), backend(2)],
        }
    }

    fn check(changes: &[Change], service: &Service) -> Result<Vec<Finding<Warning>>, BrokenRules> {
        let mut after = service.clone();
        for change in changes {
            change.apply(&mut after, true).unwrap();
        }
        check_changes(changes, &after, &Datapath::default())
    }

    fn weighted(weights: [u16; 2]) -> Service {
        let mut service = service();
        for (backend, weight) in service.backends.iter_mut().zip(weights) {
            backend.weight = weight;
        }
        service
    }

    #[test]
    fn a_service_that_keeps_every_rule() {
        assert_eq!(check_service(&service(), &Datapath::default()), Ok(Vec::new()));
    }

    #[test]
    fn a_change_keeps_the_rules_of_the_configuration() {
        let backend = Backend {
            name: "web-3".to_owned(),
            address: "[fd00::3]:80".parse().unwrap(),
            ..service().backends[0].clone()
        };
        let errors = |change| check(&[change], &service()).unwrap_err().to_string();
        assert_eq!(
            errors(Change::Add(backend.clone())),
            "backend web-3 of service web: address: observe forwarding leaves the packet as it is, so a backend of an \
             IPv4 service has an IPv4 address; only ipip takes any"
        );
        assert_eq!(
            errors(Change::Add(Backend {
                name: "web 3".to_owned(),
                address: "10.0.1.3:0".parse().unwrap(),
                ..backend
            })),
            "backend web 3 of service web: name: ' ' may not stand in a name: letters, digits and - _ . : / may; \
             backend web 3 of service web: address: port 0 is no port to send to"
        );
        assert!(errors(Change::SetWeight("web-1".to_owned(), 0)).contains("1 to 65535"));
    }

    #[test]
    fn weights_that_would_be_ignored_are_refused_where_they_are_set() {
        let light = weighted([1, 1]);
        let broken = check(&[Change::SetWeight("web-2".to_owned(), 2)], &light).unwrap_err();
        assert_eq!(broken.0[0].what, Rule::WeightsIgnored { sum: 3, count: 2 });
        assert_eq!(check(&[Change::SetWeight("web-2".to_owned(), 3)], &light), Ok(Vec::new()));
    }

    #[test]
    fn taking_a_backend_out_is_never_refused() {
        let mut light = weighted([1, 2]);
        light.backends.push(Backend {
            name: "web-3".to_owned(),
            address: "10.0.1.3:80".parse().unwrap(),
            weight: 9,
            state: BackendState::Active,
            health: Health::Unknown,
        });
        for change in [Change::Drain("web-3".to_owned()), Change::Remove("web-3".to_owned())] {
            let warnings = check(&[change], &light).unwrap();
            assert_eq!(warnings.len(), 1);
            assert_eq!(warnings[0].what, Warning::WeightsIgnored(Rule::WeightsIgnored { sum: 3, count: 2 }));
        }
        let last = [Change::Drain("web-1".to_owned()), Change::Drain("web-2".to_owned())];
        let warnings = check(&last, &service()).unwrap();
        assert_eq!(
            warnings.iter().map(|warning| &warning.what).collect::<Vec<_>>(),
            [&Warning::NoActiveBackend]
        );
    }
}
