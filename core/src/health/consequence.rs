//! What verdicts do to a service: its last backend that gets new flows is never taken out.

use std::net::SocketAddr;

use super::Health;
use crate::{change::Change, service::Service};

/// What the checks of one backend say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its name.
    pub backend: String,
    /// Its address: another one under its name is another backend.
    pub address: SocketAddr,
    /// Whether it is healthy.
    pub healthy: bool,
}

/// What `verdicts` change in `service` as it is now: first who is put in again, then who is taken out.
///
/// Verdicts on backends that are not there any more change nothing. Who would be taken out and is the last that gets
/// new flows stays in, as [`Health::Kept`].
#[must_use]
pub fn consequences(service: &Service, verdicts: &[Verdict]) -> Vec<Change> {
    let mut service = service.clone();
    let mut changes = Vec::new();
    let (well, ill): (Vec<_>, Vec<_>) = verdicts.iter().partition(|verdict| verdict.healthy);
    for verdict in well.into_iter().chain(ill) {
        let others = service.active_backends().filter(|other| other.name != verdict.backend).count();
        let Some(backend) = service
            .backends
            .iter_mut()
            .find(|backend| backend.name == verdict.backend && backend.address == verdict.address)
        else {
            continue;
        };
        let health = match verdict.healthy {
            true => Health::Healthy,
            false if others == 0 && backend.gets_flows() => Health::Kept,
            false => Health::Unhealthy,
        };
        if backend.health != health {
            backend.health = health;
            changes.push(Change::SetHealth(backend.name.clone(), health));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rules::tests::service, service::BackendState};

    fn judge(service: &mut Service, verdicts: &[(usize, bool)]) -> Vec<(String, Health)> {
        let verdicts: Vec<Verdict> = verdicts
            .iter()
            .map(|&(index, healthy)| {
                let backend = &service.backends[index];
                Verdict { backend: backend.name.clone(), address: backend.address, healthy }
            })
            .collect();
        let changes = consequences(service, &verdicts);
        for change in &changes {
            change.apply(service, false).unwrap();
        }
        changes
            .into_iter()
            .map(|change| match change {
                Change::SetHealth(name, health) => (name, health),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn set(name: &str, health: Health) -> (String, Health) {
        (name.to_owned(), health)
    }

    #[test]
    fn the_last_one_stays_in_until_another_is_well() {
        let mut service = service();
        assert_eq!(judge(&mut service, &[(0, false)]), [set("web-1", Health::Unhealthy)]);
        assert_eq!(judge(&mut service, &[(0, false)]), []);
        assert_eq!(judge(&mut service, &[(1, false)]), [set("web-2", Health::Kept)]);
        assert_eq!(judge(&mut service, &[(1, false)]), [], "it is said once");
        assert_eq!(
            judge(&mut service, &[(1, false), (0, true)]),
            [set("web-1", Health::Healthy), set("web-2", Health::Unhealthy)]
        );
        assert_eq!(judge(&mut service, &[(1, true)]), [set("web-2", Health::Healthy)]);
    }

    #[test]
    fn of_two_that_fail_at_once_one_stays_in() {
        let mut service = service();
        assert_eq!(
            judge(&mut service, &[(0, false), (1, false)]),
            [set("web-1", Health::Unhealthy), set("web-2", Health::Kept)]
        );
        assert_eq!(service.active_backends().count(), 1);
    }

    #[test]
    fn one_that_drains_is_taken_out_and_keeps_nobody_in() {
        let mut service = service();
        service.backends[0].state = BackendState::Draining;
        assert_eq!(judge(&mut service, &[(1, false)]), [set("web-2", Health::Kept)]);
        assert_eq!(judge(&mut service, &[(0, false)]), [set("web-1", Health::Unhealthy)]);
    }

    #[test]
    fn strangers_change_nothing() {
        let service = service();
        let mut verdict =
            Verdict { backend: "web-1".to_owned(), address: "10.0.1.9:80".parse().unwrap(), healthy: false };
        assert_eq!(consequences(&service, std::slice::from_ref(&verdict)), []);
        verdict.backend = "web-9".to_owned();
        assert_eq!(consequences(&service, &[verdict]), []);
    }
}
