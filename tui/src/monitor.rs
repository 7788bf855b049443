//! The monitor: one value of state, messages that change it, and views that only draw it.
//!
//! [`run`] opens it on a [`Source`]. Everything below works without a terminal too: [`model::Model`] takes messages
//! and draws into a buffer, and [`cycle::run`] drives it over any backend.

pub mod action;
pub mod colours;
pub mod command;
pub mod cycle;
pub mod data;
pub mod dialog;
pub mod forecast;

pub mod history;
pub mod host;
pub mod key;
pub mod keymap;
pub mod list;
pub mod matching;
pub mod message;
pub mod model;
pub mod number;
pub mod sampler;
pub mod slots;
pub mod stage;
pub mod standing;
pub mod trace;
pub mod view;
pub mod widget;

use std::{convert::Infallible, io, time::Duration};

use ratatui::{Terminal, buffer::Buffer, layout::Rect};

use self::{
    data::Data,
    host::{EarlyLook, TerminalHost},
    keymap::Keymap,
    model::Model,
    view::ViewName,
};
use crate::{
    source::Source,
    terminal::{
        background,
        capability::{Capability, ColourChoice},
        late::LateAnswer,
        look::Look,
        screen::Screen,
        session::Session,
        theme::{Theme, ThemeError},
        tty::Tty,
        watchdog::OnAbandon,
    },
};

/// How often to look where the link to the terminal is a thin one.
const SELDOM: Duration = Duration::from_secs(5);

/// How the monitor is to be.
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the command line of its own")]
#[expect(missing_debug_implementations, reason = "what is done on abandon cannot be shown")]
#[derive(Default)]
pub struct Options {
    /// The name of a theme, or its file; dark or light, as the terminal is, where none is given.
    pub theme: Option<String>,
    /// How long the terminal may take to say which it is; a twentieth of a second where nothing is said.
    pub patience: Option<Duration>,
    /// How many colours to use.
    pub colour: ColourChoice,
    /// Whether to do without blocks and lines even where the locale has them.
    pub ascii: bool,
    /// How often to look; as often as the source suggests where nothing is said.
    pub interval: Option<Duration>,
    /// The view to begin with.
    pub view: ViewName,
    /// The service to begin with.
    pub service: Option<String>,
    /// Whether to leave out the marks that keep a frame from being shown half drawn.
    pub unsynchronised: bool,
    /// Whether the mouse is listened to from the beginning.
    pub mouse: bool,
    /// Whether the link to the terminal is a thin one: less is sent, and less often.
    pub low_bandwidth: bool,
    /// The keys.
    pub keymap: Keymap,
    /// What to do before the process is ended by force, because its terminal is gone or it was told to end, and the
    /// loop has not ended for seconds.
    pub on_abandon: Option<OnAbandon>,
}

/// How the monitor ended. Whoever opened it cleans up, and then leaves with [`Ended::exit_status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The operator left.
    Quit,
    /// By a signal of that number.
    Signal(i32),
    /// Nobody is at the terminal any more.
    TerminalGone,
}

impl Ended {
    /// What the process's exit status says of it: 0, or 128 and the signal's number.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Quit => 0,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "signals are 1 to 64"
            )]
            Self::Signal(number) => 128 + number as u8,
            Self::TerminalGone => 129,
        }
    }
}

/// Why there is no monitor.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// There is no terminal.
    #[error("the monitor needs a terminal ({0}); without one, use `status`")]
    NoTerminal(io::Error),
    /// The terminal does not do what it is told.
    #[error("the terminal failed: {0}")]
    Terminal(#[from] io::Error),
    /// There is no such theme.
    #[error(transparent)]
    Theme(#[from] ThemeError),
    /// The source's thread panicked.
    #[error("reading the source ended in a panic; its message is above")]
    SourceGone,
}

impl From<Infallible> for MonitorError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Opens the monitor on a source, until the operator leaves, a signal ends it, or the terminal is gone.
///
/// The terminal is given back before this returns, and in a panic before its message is printed. Signals that were
/// caught stay caught: what the caller cleans up afterwards is not cut short by another Ctrl-C.
///
/// # Errors
///
/// When there is no terminal or no such theme, or when the source's thread panicked.
pub fn run(source: Box<dyn Source>, options: Options) -> Result<Ended, MonitorError> {
    let chosen = options.theme.as_deref().map(Theme::load).transpose()?;
    let capability = Capability::detect(options.colour, options.ascii);
    let tty = Tty::open().map_err(MonitorError::NoTerminal)?;
    let (identity, seed) = (source.identity(), source.seed());
    let thin = options.low_bandwidth.then_some(SELDOM);
    let interval = options.interval.or(thin).unwrap_or(identity.interval);
    let early = EarlyLook::start(source, interval)?;
    let (theme, awaited) = if let Some(theme) = chosen {
        (theme, false)
    } else {
        let patience = options.patience.unwrap_or(background::PATIENCE);
        let (name, awaited) = background::theme(&tty, capability.depth, patience)?;
        (Theme::load(name)?, awaited)
    };
    let look = Look::new(theme, capability);
    let mut look = if options.low_bandwidth { look.sparing() } else { look };

    let mut data = Data::new(identity, seed, look.half_blocks());
    data.service = options.service;
    data.keymap = options.keymap;
    data.interval = interval;
    data.mouse = options.mouse;
    let mut model = Model::new(data, options.view);

    let screen = Screen::new(tty.try_clone()?.into_output(), !options.unsynchronised, look.capability.depth);
    let mut host = TerminalHost::start(&tty, early, LateAnswer::new(awaited), options.on_abandon)?;
    let session = Session::enter(tty)?;
    if options.mouse {
        session.listen_to_mouse(true)?;
    }
    let mut terminal = Terminal::new(screen)?;
    let ended = cycle::run(&mut terminal, &mut look, &mut model, &mut host.during(&session));
    // First the screen, then the rest: whatever ends slowly does so where it can be seen.
    drop(session);
    drop(host);
    let (ended, keep_screen) = ended?;
    if keep_screen {
        print!("{}", text_of(&model, &look, terminal.size()?.into()));
    }
    Ok(ended)
}

/// What is on screen, as lines of text.
fn text_of(model: &Model, look: &Look, area: Rect) -> String {
    let mut buffer = Buffer::empty(area);
    model.draw(look, area, &mut buffer);
    let width = usize::from(area.width.max(1));
    let rows = buffer.content().chunks(width).map(|row| {
        let text: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", text.trim_end())
    });
    rows.collect()
}

#[cfg(test)]
mod tests;
