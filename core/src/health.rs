//! Health: what a service asks to have checked of its backends, how checks add up to a verdict, and what a verdict
//! does to the service. No clock and no socket: time is passed in, and so is what a check found.

mod check;
mod consequence;
mod streak;

pub use check::{CheckKind, HealthCheck, HttpCheck, MAX_STATUS_RANGES, MAX_TEXT, StatusError, Statuses, Via};
pub use consequence::{Verdict, consequences};
pub use streak::{CALM, LONGEST_HOLD_DOWN, Streak, failures_after, hold_down};

/// What is known of a backend's health, apart from what the operator wants of it: a backend gets new flows where it is
/// active and not [`Health::Unhealthy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// Nothing: it is not checked, or its first checks are under way. It is taken for healthy.
    #[default]
    Unknown,
    /// Its checks succeed.
    Healthy,
    /// Its checks fail: it has no slots, and no flow is held for it.
    Unhealthy,
    /// Its checks fail, and it keeps its slots: without it the service would have no backend that gets new flows.
    Kept,
}

impl Health {
    /// What programs are told: `None` where nothing is known.
    #[must_use]
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Healthy => Some("healthy"),
            Self::Unhealthy | Self::Kept => Some("unhealthy"),
        }
    }

    /// Whether its checks fail.
    #[must_use]
    pub const fn fails(self) -> bool {
        matches!(self, Self::Unhealthy | Self::Kept)
    }
}
