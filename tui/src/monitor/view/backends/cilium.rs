//! What is to be said of a backend of Cilium's.

use std::fmt::Write as _;

use maglev_core::{
    cilium::{BackendState, Counted, ServiceFacts},
    sample::{BackendSample, ServiceSample},
};
use ratatui::{buffer::Buffer, layout::Rect, text::Span};

use crate::{
    monitor::{
        number::{count, percent},
        widget::text::{line, span, wrap},
    },
    terminal::look::Look,
};

/// What Cilium calls the state of a backend.
pub(super) fn state_of(facts: &ServiceFacts, backend: &BackendSample) -> BackendState {
    facts.states.get(&backend.id).copied().unwrap_or(BackendState::Unknown)
}

/// The state, in its colour.
pub(super) fn state(facts: &ServiceFacts, backend: &BackendSample, look: &Look) -> Span<'static> {
    let state = state_of(facts, backend);
    let style = match state {
        BackendState::Active => look.active(),
        BackendState::Terminating | BackendState::Maintenance => look.draining(),
        BackendState::Quarantined | BackendState::Unknown => look.error(),
    };
    span(state.word(), style)
}

/// What its state and its slots come to, in sentences.
pub(super) fn words(facts: &ServiceFacts, service: &ServiceSample, backend: &BackendSample) -> String {
    let gets = match (state_of(facts, backend), backend.gets_flows()) {
        (BackendState::Terminating, true) => {
            "Its pod ends, and as no backend is active it gets new connections all the same."
        }
        (BackendState::Terminating, false) => {
            "Its pod ends: it keeps the connections that it has, and gets no others."
        }
        (BackendState::Quarantined, _) => {
            "It is quarantined, for its checks fail: it gets no new connections."
        }
        (BackendState::Maintenance, _) => "It is in maintenance: it gets no new connections.",
        (BackendState::Unknown, _) => "It is not in the map of backends: packets for it are dropped.",
        (BackendState::Active, _) => "It is active.",
    };
    if service.slots.is_empty() {
        return format!("{gets} {}", facts.story);
    }
    #[expect(clippy::cast_precision_loss, reason = "a table has far fewer than 2^52 slots")]
    let slots = service.slots.len() as f64;
    let mut words = format!(
        "{gets} It owns {} of the slots ({} of {}).",
        percent(f64::from(backend.slots), slots),
        count(u64::from(backend.slots)),
        count(service.slots.len() as u64),
    );
    if service.counted() == Counted::HitsAndConnections {
        let _ = write!(
            words,
            " Since the observer counts: {} packets, {} connections.",
            count(backend.counters.packets),
            count(backend.counters.new_connections)
        );
    }
    words
}

/// Why a service without backends has none.
pub(super) fn without_backends(facts: &ServiceFacts, look: &Look, area: Rect, buffer: &mut Buffer) {
    let mut rest = line(span(" no backends", look.heading()), area, buffer);
    for text in wrap(&facts.story, rest.width.saturating_sub(2)) {
        rest = line(span(format!(" {text}"), look.text()), rest, buffer);
    }
}
