//! How far a drain has come: when a draining backend can be removed without a connection lost.

use std::time::Duration;

use crate::{
    cilium::Counted,
    sample::{BackendSample, ServiceSample},
    service::{BackendState, Tracking},
};

/// How far the drain of a backend has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainProgress {
    /// It never got a packet: there is no connection to lose.
    Unused,
    /// The service remembers no flows and lets no slot settle: nothing is held for it.
    Untracked,
    /// It has had no packet for that long, the settle time or more: no connection that was to be kept is left.
    Quiet(Duration),
    /// It had a packet that long ago, less than the settle time.
    Busy(Duration),
}

impl DrainProgress {
    /// How far `backend` of `service` has come; `None` where it does not drain, or where nobody sees its packets.
    #[must_use]
    pub fn of(service: &ServiceSample, backend: &BackendSample) -> Option<Self> {
        if backend.state != BackendState::Draining || service.counted() != Counted::Everything {
            return None;
        }
        Some(match backend.quiet {
            None => Self::Unused,
            Some(_) if service.tracking == Tracking::Never => Self::Untracked,
            Some(quiet) if quiet >= service.settle_time => Self::Quiet(quiet),
            Some(quiet) => Self::Busy(quiet),
        })
    }

    /// Whether the backend can be removed without a connection lost.
    #[must_use]
    pub const fn is_safe(self) -> bool {
        !matches!(self, Self::Busy(_))
    }
}

/// How many settling slots name `backend` as their previous owner: the flows in them that nobody remembers are its.
#[must_use]
pub fn held_slots(service: &ServiceSample, backend: &BackendSample) -> usize {
    service.slots.previous.iter().filter(|previous| **previous == backend.id).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::Health,
        sample::{BackendId, Counters, Slots},
        service::{Affinity, Forwarding, Protocol},
    };

    fn drained(quiet: Option<Duration>, tracking: Tracking) -> (ServiceSample, BackendSample) {
        let backend = BackendSample {
            id: BackendId(7),
            name: "b7".to_owned(),
            address: "10.0.0.7:80".parse().unwrap(),
            weight: 100,
            state: BackendState::Draining,
            slots: 0,
            counters: Counters::default(),
            quiet,
            by_hand: Vec::new(),
            health: Health::Unknown,
        };
        let service = ServiceSample {
            name: "web".to_owned(),
            address: "192.0.2.10:80".parse().unwrap(),
            protocol: Protocol::Tcp,
            forwarding: Forwarding::Ipip,
            affinity: Affinity::None,
            tracking,
            settle_time: Duration::from_secs(10),
            counters: Counters::default(),
            unremembered: 0,
            is_checked: false,
            backends: vec![backend.clone()],
            slots: Slots {
                owner: [1, 2, 1].map(BackendId).into(),
                previous: [7, 0, 7].map(BackendId).into(),
                hits: [0; 3].into(),
            },
            cilium: None,
        };
        (service, backend)
    }

    #[test]
    fn it_is_safe_once_it_was_quiet_for_the_settle_time() {
        let progress = |quiet: Option<u64>, tracking| {
            let (service, backend) = drained(quiet.map(Duration::from_millis), tracking);
            DrainProgress::of(&service, &backend).unwrap()
        };
        let settling = Tracking::Settling;
        assert_eq!(progress(None, settling), DrainProgress::Unused);
        assert_eq!(progress(Some(0), settling), DrainProgress::Busy(Duration::ZERO));
        assert!(!progress(Some(9_999), settling).is_safe());
        assert_eq!(progress(Some(10_000), settling), DrainProgress::Quiet(Duration::from_secs(10)));
        assert!(progress(Some(10_000), settling).is_safe());
        assert!(!progress(Some(9_999), Tracking::Always).is_safe());
        assert_eq!(progress(Some(0), Tracking::Never), DrainProgress::Untracked);
    }

    #[test]
    fn an_active_one_is_in_no_drain() {
        let (service, backend) = drained(None, Tracking::Settling);
        let active = BackendSample { state: BackendState::Active, ..backend };
        assert_eq!(DrainProgress::of(&service, &active), None);
    }

    #[test]
    fn slots_that_hold_it_are_those_that_name_it_as_previous_owner() {
        let (service, backend) = drained(None, Tracking::Settling);
        assert_eq!(held_slots(&service, &backend), 2);
    }
}
