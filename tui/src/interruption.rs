//! Signals that end a run without a screen, once it has done what is to be done first.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Instant,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    iterator::{Handle, Signals},
};

/// Waits for signals.
#[derive(Debug)]
pub(crate) struct Interruption {
    signals: Receiver<i32>,
    handle: Handle,
}

impl Interruption {
    /// From now on, no signal that asks for an end ends the process by itself.
    pub(crate) fn watch() -> io::Result<Self> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
        let handle = signals.handle();
        let (sender, receiver) = channel();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            signals.forever().take_while(|&signal| sender.send(signal).is_ok()).for_each(drop);
        })?;
        Ok(Self { signals: receiver, handle })
    }

    /// Waits until that moment, or for a signal, which it then returns.
    pub(crate) fn wait_until(&self, moment: Instant) -> Option<i32> {
        match self.signals.recv_timeout(moment.saturating_duration_since(Instant::now())) {
            Ok(signal) => Some(signal),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(moment.saturating_duration_since(Instant::now()));
                None
            }
        }
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        self.handle.close();
    }
}
