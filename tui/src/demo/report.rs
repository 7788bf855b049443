//! What a run without a screen tells afterwards.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use maglev_core::{sample::Sample, service::Tracking};
use maglev_lab::Report as Conversations;
use serde::Serialize;

use crate::command::report::{BackendReport, ChangeReport};

/// How many broken connections are told of one by one.
const MOST_TOLD: usize = 5;

/// The report. As JSON it is what `demo --headless -o json` prints, the schema's version apart; as text it is for
/// people.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    simulated: bool,
    packets: u64,
    connections: Connections,
    backends: Vec<BackendRow>,
    changes: Vec<ChangeReport>,
    #[serde(skip)]
    conversations: Conversations,
    #[serde(skip)]
    tracking: Tracking,
}

/// Connections that the clients made. A simulation makes none.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Connections {
    opened: u64,
    completed: u64,
    /// Reset, timed out or answered by another backend after they were made.
    broken: u64,
}

/// A backend of a service.
#[derive(Clone, Debug, Serialize)]
struct BackendRow {
    service: String,
    #[serde(flatten)]
    backend: BackendReport,
}

impl Report {
    /// The report of a run that ended with `sample`. Without conversations it was a simulation.
    pub(super) fn new(
        sample: &Sample,
        changes: Vec<ChangeReport>,
        tracking: Tracking,
        conversations: Option<Conversations>,
    ) -> Self {
        let rows = sample.services.iter().flat_map(|service| {
            service.backends.iter().map(|backend| BackendRow {
                service: service.name.clone(),
                backend: BackendReport::new(service, backend),
            })
        });
        let simulated = conversations.is_none();
        let conversations = conversations.unwrap_or_default();
        Self {
            simulated,
            packets: sample.services.iter().map(|service| service.counters.packets).sum(),
            connections: Connections {
                opened: conversations.opened,
                completed: conversations.completed,
                broken: conversations.broken.total(),
            },
            backends: rows.collect(),
            changes,
            conversations,
            tracking,
        }
    }

    /// What in it must not be, in words. A service that tracks nothing is expected to break connections.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let Connections { opened, broken, .. } = self.connections;
        if self.simulated {
            None
        } else if opened == 0 {
            let why = self.conversations.last_failure.as_deref().unwrap_or("none was tried");
            Some(format!("no connection was made: {why}"))
        } else if broken > 0 && self.tracking != Tracking::Never {
            Some(format!("{broken} of {opened} connections broke, and none should have"))
        } else {
            None
        }
    }

    fn write_connections(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connections { opened, completed, broken } = self.connections;
        writeln!(formatter, "{opened} connections opened, {completed} completed, {broken} broken")?;
        let causes = self.conversations.broken;
        let causes = [
            (causes.reset, "reset"),
            (causes.timed_out, "timed out"),
            (causes.answered_by_another, "answered by another backend"),
            (causes.closed_by_server, "closed by the server"),
            (causes.other, "otherwise"),
        ];
        for (count, cause) in causes.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(formatter, "  {count} {cause}")?;
        }
        for one in self.conversations.first_broken.iter().take(MOST_TOLD) {
            let backend = one.backend.as_deref().unwrap_or("a backend that had not greeted");
            let at = one.at.as_secs_f64();
            writeln!(formatter, "  at {at:.1} s from {} to {backend}: {}", one.source, one.cause)?;
        }
        let udp = &self.conversations.udp;
        writeln!(formatter, "{} datagrams sent, {} answered, {} lost", udp.sent, udp.answered, udp.lost)
    }

    fn write_backends(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TITLES: [&str; 9] =
            ["SERVICE", "BACKEND", "ADDRESS", "STATE", "SLOTS", "PACKETS", "BYTES", "NEW", "HELD"];
        const FIRST_NUMBER: usize = 4;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(TITLES);
        table.add_rows(self.backends.iter().map(|BackendRow { service, backend }| {
            [
                service.clone(),
                backend.name.clone(),
                backend.address.clone(),
                backend.state.to_owned(),
                backend.slots.to_string(),
                backend.packets.to_string(),
                backend.bytes.to_string(),
                backend.new_connections.to_string(),
                backend.held_packets.to_string(),
            ]
        }));
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if place >= FIRST_NUMBER {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().try_for_each(|line| writeln!(formatter, "{}", line.trim_end()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.simulated {
            writeln!(formatter, "{} packets, all of them simulated", self.packets)?;
        } else {
            writeln!(formatter, "{} packets", self.packets)?;
            self.write_connections(formatter)?;
        }
        let moved: u64 = self.changes.iter().map(|change| u64::from(change.moved)).sum();
        let minimum: u64 = self.changes.iter().map(|change| u64::from(change.minimum)).sum();
        let count = self.changes.len();
        writeln!(formatter, "{count} changes moved {moved} slots; at least {minimum} had to move\n")?;
        self.write_backends(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(opened: u64, resets: u64, tracking: Tracking) -> Report {
        let mut conversations = Conversations { opened, ..Conversations::default() };
        conversations.broken.reset = resets;
        Report::new(&Sample::default(), Vec::new(), tracking, Some(conversations))
    }

    #[test]
    fn broken_connections_are_a_fault_unless_they_are_expected() {
        assert_eq!(report(10, 0, Tracking::Settling).fault(), None);
        assert!(report(10, 1, Tracking::Settling).fault().is_some());
        assert!(report(10, 1, Tracking::Always).fault().is_some());
        assert_eq!(report(10, 1, Tracking::Never).fault(), None);
    }

    #[test]
    fn a_run_without_connections_shows_nothing() {
        assert!(report(0, 0, Tracking::Settling).fault().is_some());
        let simulated = Report::new(&Sample::default(), Vec::new(), Tracking::Settling, None);
        assert_eq!(simulated.fault(), None);
        assert!(simulated.to_string().contains("simulated"));
    }
}
