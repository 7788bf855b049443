//! Keys and the mouse, in a thread of their own.

use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind, MouseEvent};
use rustix::event::PollFlags;

use super::{
    late::LateAnswer,
    session::end_with_this_thread,
    tty::{Readiness, Tty, wait},
};

/// What came from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was pressed, or its wheel turned.
    Mouse(MouseEvent),
}

impl Input {
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => Some(Self::Key(*key)),
            Event::Mouse(mouse) => Some(Self::Mouse(*mouse)),
            _ => None,
        }
    }
}

/// A thread that waits for keys. Dropped, it reads no more.
#[derive(Debug)]
pub struct InputThread {
    /// Its other end tells the thread to end: closing it wakes the thread.
    _wake: PipeWriter,
}

impl InputThread {
    /// Calls `notify` for each key and each press of the mouse, in a thread of its own, until `notify` returns false or
    /// the terminal is gone. What `late` takes for the terminal's answer is no key.
    ///
    /// # Errors
    ///
    /// When there is no descriptor or thread to be had.
    pub fn start(
        tty: Tty,
        late: LateAnswer,
        notify: impl FnMut(Input) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (wake, writer) = io::pipe()?;
        thread::Builder::new().name("keys".to_owned()).spawn(move || {
            end_with_this_thread();
            // An error here is the terminal's end, and that is the watchdog's to tell.
            let _ = read_keys(&tty, &wake, late, notify);
        })?;
        Ok(Self { _wake: writer })
    }
}

/// Reads keys for as long as there is somebody at the other end.
///
/// The wait is ours, because crossterm's own never returns from a terminal that is gone: it reads nothing, again and
/// again, at the price of a whole processor.
fn read_keys(
    tty: &Tty,
    wake: &PipeReader,
    mut late: LateAnswer,
    mut notify: impl FnMut(Input) -> bool,
) -> io::Result<()> {
    loop {
        let readiness = wait(tty.input().as_fd(), PollFlags::IN, Some(wake.as_fd()), None)?;
        let woken =
            !matches!(wait(wake.as_fd(), PollFlags::IN, None, Some(Duration::ZERO)), Ok(Readiness::NotYet));
        if woken || readiness == Readiness::Gone {
            return Ok(());
        }
        if readiness == Readiness::NotYet {
            continue;
        }
        // Not zero: what crossterm left in the terminal it is not told of again, and the wait above would spin.
        while event::poll(Duration::from_millis(20))? {
            let Some(input) = Input::of(&event::read()?) else { continue };
            let inputs = match input {
                Input::Key(key) => late.key(key).into_iter().map(Input::Key).collect(),
                other @ Input::Mouse(_) => vec![other],
            };
            if !inputs.into_iter().all(&mut notify) {
                return Ok(());
            }
        }
        if let Some(key) = late.quiet()
            && !notify(Input::Key(key))
        {
            return Ok(());
        }
    }
}
