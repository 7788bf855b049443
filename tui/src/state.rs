//! What is said of a backend's state and its health together, by commands and on screen alike.

use maglev_core::{health::Health, sample::BackendSample, service::BackendState};

/// The word for it. What is otherwise than it should be is in capitals.
#[must_use]
pub(crate) const fn in_words(backend: &BackendSample) -> &'static str {
    match (backend.state, backend.health) {
        (BackendState::Active, Health::Unhealthy) => "DOWN",
        (BackendState::Active, Health::Kept) => "FAILING",
        (BackendState::Active, Health::Healthy | Health::Unknown) => "active",
        (BackendState::Draining, Health::Unhealthy | Health::Kept) => "DRAINING, DOWN",
        (BackendState::Draining, Health::Healthy | Health::Unknown) => "DRAINING",
    }
}
