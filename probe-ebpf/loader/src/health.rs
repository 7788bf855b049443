//! Health as the kernel's maps have it: what is to be checked, and what follows from what was found.

use maglev_core::{
    change::Change,
    health::{Health, Verdict, Via, consequences},
    plan::Plan,
    service::Service,
};

use crate::{
    actor::Actor,
    datapath::{Datapath, notes},
    error::DatapathError,
    state::{ServiceState, State},
    tunnel::TunnelTerms,
    writer::{Target, Writer, require_pinned},
};

/// A service that asks for its backends to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The service, with its backends and what is known of their health.
    pub service: Service,
    /// How often each of them has failed of late, in that order.
    pub failures: Vec<u8>,
    /// What becomes of packets on the way that its checks are to take; `None` where they go straight to the backends.
    pub tunnel: Option<TunnelTerms>,
}

/// What was found of a backend, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether it is healthy.
    pub verdict: Verdict,
    /// What the checks met with, in words, for the record.
    pub detail: String,
}

/// What came of what was found.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was changed, and for what reason.
    pub changes: Vec<(Change, String)>,
    /// What that moved, all of it together.
    pub plan: Plan,
}

impl Datapath {
    /// The services whose backends are to be checked, and the state version that this is of.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn checked(&self) -> Result<(Vec<Checked>, u64), DatapathError> {
        let state = State::read_settled(self.maps())?;
        let settings = self.settings()?;
        let tunnel = |service: &ServiceState| {
            let check = service.service.health.as_ref()?;
            (check.via == Via::Tunnel).then(|| TunnelTerms {
                service: Service { backends: Vec::new(), ..service.service.clone() },
                seed: service.seed(),
                source_v4: settings.tunnel_source_v4,
                source_v6: settings.tunnel_source_v6,
            })
        };
        let failures = |number: &u32| state.backends.get(number).map_or(0, |backend| backend.failures);
        let checked = state
            .services
            .values()
            .filter(|service| service.service.health.is_some())
            .map(|service| Checked {
                service: service.service.clone(),
                failures: service.numbers.iter().map(failures).collect(),
                tunnel: tunnel(service),
            })
            .collect();
        Ok((checked, state.meta.state_version))
    }

    /// The state version: another one says that something has changed.
    ///
    /// # Errors
    ///
    /// When a map cannot be read, or another version made it.
    pub fn state_version(&self) -> Result<u64, DatapathError> {
        Ok(State::read_meta(self.maps())?.state_version)
    }

    /// Whether it is still what is pinned under its instance's name.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        require_pinned(self.instance(), self.maps()).is_ok()
    }

    /// Makes of `service`, as it is by now, what was `found` of its backends: who fails gives its slots away, and its
    /// flows; who is well gets slots again. `None` where that changes nothing.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it; the error says what holds.
    pub fn judge(&self, service: &str, found: &[Found]) -> Result<Option<Judged>, DatapathError> {
        let mut writer = Writer::begin(self.instance(), self.maps())?.on_behalf_of(Actor::health_check());
        // It may have left, or be checked no more.
        let running = match writer.state().service(service) {
            Ok(running) if running.service.health.is_some() => running.clone(),
            _ => return Ok(None),
        };
        let verdicts: Vec<Verdict> = found.iter().map(|found| found.verdict.clone()).collect();
        let changes = consequences(&running.service, &verdicts);
        if changes.is_empty() {
            return Ok(None);
        }
        // That one is well of which nothing was known moves nothing, and is no event.
        let is_news = |change: &Change| {
            let before = running.service.backend(change.backend()).map(|backend| backend.health);
            !matches!(change, Change::SetHealth(_, Health::Healthy) if before == Some(Health::Unknown))
        };
        let (mut changes, silent): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_news);
        let news = changes.len();
        changes.extend(silent);
        let (plan, target) = Plan::of_changes(&running.service, &changes, &running.seed(), true)?;
        let detail = |change: &Change| {
            let of_change = |found: &&Found| found.verdict.backend == change.backend();
            let detail = found.iter().find(of_change).map(|found| found.detail.clone()).unwrap_or_default();
            match change {
                Change::SetHealth(_, Health::Kept) => format!("the last one, it keeps its slots: {detail}"),
                _ => detail,
            }
        };
        let mut notes = notes(&changes, &plan);
        for (note, change) in notes.iter_mut().zip(&changes) {
            note.detail = detail(change);
        }
        let target = Target { number: running.number, backends: &target.backends, configured: None };
        writer.set_backends(&[target], &notes[..news])?;
        changes.truncate(news);
        let changes = changes
            .into_iter()
            .map(|change| {
                let detail = detail(&change);
                (change, detail)
            })
            .collect();
        Ok(Some(Judged { changes, plan }))
    }

    /// Has the kernel resolve the next hops of all backends as its routes are by now, and no others; says which
    /// backends it knows no way to.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn refresh_next_hops(&self) -> Result<Vec<String>, DatapathError> {
        let services: Vec<Service> = self.services()?.into_iter().map(|(service, _)| service).collect();
        let warnings = self.keep_neighbours(&services, self.has_gateway()?);
        self.forget_neighbours();
        Ok(warnings)
    }
}
