//! What reaches the monitor, and what it asks for.

use std::{net::SocketAddr, time::Duration};

use maglev_core::{plan::Plan, sample::Sample, seed::HashSeed, service::Backend};
use ratatui::{
    crossterm::event::{KeyEvent, MouseEvent},
    layout::Size,
};

use super::trace::TraceNews;
use crate::source::{ChangeRequest, Checker, Identity, Source, SourceError};

/// Something that happened.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was pressed, or its wheel turned.
    Mouse(MouseEvent),
    /// The terminal has that size now.
    Resize(Size),
    /// A sample was taken, or could not be.
    Sampled(Box<Sampled>),
    /// A plan that was asked for.
    Planned(u64, Result<Vec<Plan>, SourceError>),
    /// A change that was asked for.
    Executed(u64, Result<Vec<Plan>, SourceError>),
    /// What is told of a trace that was asked for.
    Traced(u64, TraceNews),
}

/// What came of looking at the source.
#[derive(Debug)]
pub struct Sampled {
    /// The sample.
    pub result: Result<Sample, SourceError>,
    /// What the source is by now: another instance may have taken its place.
    pub identity: Identity,
    /// The seed that the tables are filled with by now, where it is known.
    pub seed: Option<HashSeed>,
    /// Backends on offer.
    pub spares: Vec<Backend>,
    /// Who runs the health checks that are asked for.
    pub checker: Checker,
    /// How long after its time it was taken.
    pub late: Duration,
    /// What should lie between it and the sample before.
    pub interval: Duration,
}

impl Sampled {
    /// Looks at a source, that much too `late`, in the `interval` that was in force until now.
    pub fn look(source: &mut dyn Source, late: Duration, interval: Duration) -> Self {
        let result = source.sample();
        let checker = result.as_ref().map_or(Checker::Unknown, |sample| source.checker(sample));
        Self {
            result,
            identity: source.identity(),
            seed: source.seed(),
            spares: source.spares(),
            checker,
            late,
            interval,
        }
    }
}

/// Something that the monitor wants done; what comes of it is a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Leave; with what is on screen left as text, or not.
    Quit {
        /// Whether it is.
        keep_screen: bool,
    },
    /// Let go of the terminal and stop.
    Suspend,
    /// Draw everything anew.
    Repaint,
    /// Listen to the mouse, or no more.
    Mouse(bool),
    /// Put a text into the terminal's clipboard.
    Copy(String),
    /// Take on another theme, by its name.
    Theme(String),
    /// Something for the source.
    Order(Order),
}

/// Something that is asked of the source, in its own thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// What would that change move?
    Plan(u64, ChangeRequest),
    /// Make that change.
    Execute(u64, ChangeRequest),
    /// Look that often.
    Interval(Duration),
    /// Trace the packets of that client, and no other's.
    Trace(u64, SocketAddr),
    /// Trace nothing any more.
    EndTrace,
}
