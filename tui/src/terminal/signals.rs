//! Signals, turned into messages: nothing is done in a handler, and nothing exits on its own.

use std::{io, thread};

use signal_hook::{
    consts::signal::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH},
    iterator::{Handle, Signals},
};

use super::session::end_with_this_thread;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To end: TERM, HUP, INT or QUIT, by number.
    End(i32),
    /// To let go of the terminal and stop.
    Stop,
    /// To draw everything anew: the process goes on after a stop.
    Continue,
    /// To look how large the terminal is.
    Resize,
}

/// A thread that waits for signals. Dropped, it ends.
#[derive(Debug)]
pub struct SignalThread {
    handle: Handle,
}

impl SignalThread {
    /// Calls `notify` for each signal, in a thread of its own, until `notify` returns false.
    ///
    /// # Errors
    ///
    /// When a handler cannot be installed.
    pub fn start(mut notify: impl FnMut(Signal) -> bool + Send + 'static) -> io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH])?;
        let handle = signals.handle();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            end_with_this_thread();
            for number in signals.forever() {
                let signal = match number {
                    SIGTSTP => Signal::Stop,
                    SIGCONT => Signal::Continue,
                    SIGWINCH => Signal::Resize,
                    number => Signal::End(number),
                };
                if !notify(signal) {
                    break;
                }
            }
        })?;
        Ok(Self { handle })
    }
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Stops this process as the terminal's stop key would, until it is told to go on.
///
/// # Errors
///
/// When the process cannot be stopped.
pub fn stop_here() -> io::Result<()> {
    signal_hook::low_level::emulate_default_handler(SIGTSTP)
}
