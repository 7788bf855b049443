//! Sees to it that the process ends when it has to, even where its loop is stuck.

use std::{
    io,
    os::fd::AsFd as _,
    process,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use signal_hook::consts::signal::SIGHUP;

use super::{
    session::{end_with_this_thread, restore},
    tty::{Readiness, Tty, wait},
};

/// How long the loop may take from being told to end to having ended.
const GRACE: Duration = Duration::from_secs(3);
/// How often the terminal is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is done before the process is ended without its loop: the caller's last chance to clean up.
pub type OnAbandon = Box<dyn FnOnce() + Send>;

#[derive(Debug, Default)]
struct State {
    ended: bool,
    /// Since when the loop is asked to end, and by which signal.
    asked: Option<(Instant, i32)>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that watches the terminal and the loop. Dropped, it lets the process be.
#[derive(Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
}

/// Tells the watchdog that the loop was asked to end.
#[derive(Clone, Debug)]
pub struct Asked(Arc<Shared>);

impl Asked {
    /// The loop was asked to end by that signal; from now it has some seconds.
    pub fn to_end(&self, signal: i32) {
        self.0.state().asked.get_or_insert((Instant::now(), signal));
        self.0.changed.notify_all();
    }
}

impl Watchdog {
    /// Watches. `tell` is called once when the terminal is gone.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(
        tty: Tty,
        tell: impl FnOnce() + Send + 'static,
        on_abandon: Option<OnAbandon>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let watchdog = Self { shared: Arc::clone(&shared) };
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            end_with_this_thread();
            watch(&tty, &shared, tell, on_abandon);
        })?;
        Ok(watchdog)
    }

    /// What to tell when the loop is asked to end.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked(Arc::clone(&self.shared))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
    }
}

fn watch(tty: &Tty, shared: &Shared, tell: impl FnOnce(), on_abandon: Option<OnAbandon>) {
    let mut tell = Some(tell);
    let signal = loop {
        let state = shared.state();
        let (state, _) = shared.changed.wait_timeout(state, INTERVAL).unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            return;
        }
        if let Some((since, signal)) = state.asked
            && since.elapsed() >= GRACE
        {
            break signal;
        }
        drop(state);
        let gone = [tty.input(), tty.output()].into_iter().any(|end| {
            !matches!(
                wait(end.as_fd(), PollFlags::empty(), None, Some(Duration::ZERO)),
                Ok(Readiness::Ready | Readiness::NotYet)
            )
        });
        if gone && let Some(tell) = tell.take() {
            tell();
            shared.state().asked.get_or_insert((Instant::now(), SIGHUP));
        }
    };
    restore(tty);
    if let Some(on_abandon) = on_abandon {
        on_abandon();
    }
    process::exit(128 + signal);
}
