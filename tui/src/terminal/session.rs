//! Taking the terminal over, and giving it back however the program ends.

use std::{
    cell::Cell,
    io::{self, Write as _},
    os::fd::AsFd as _,
    panic, process,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use rustix::event::PollFlags;

use super::tty::{Readiness, Tty, wait};

/// The other screen, without autowrap.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?7l\x1b[2J";
/// Presses and the wheel, and numbers for places: no word of the mouse merely moving, for that is traffic.
const LISTEN: &[u8] = b"\x1b[?1000h\x1b[?1006h";
const LISTEN_NO_MORE: &[u8] = b"\x1b[?1006l\x1b[?1000l";
/// A frame may have been cut short: end it, then the mouse, colours, cursor, autowrap and the screen before.
const LEAVE: &[u8] = b"\x1b[?2026l\x1b[?1006l\x1b[?1000l\x1b[0m\x1b[?25h\x1b[?7h\x1b[?1049l";

/// Whether a session has the terminal. The panic hook knows nothing else.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// The terminal while the monitor has it. Dropped, it gives it back.
#[derive(Debug)]
pub struct Session {
    tty: Tty,
    mouse: AtomicBool,
}

impl Session {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// When it does not let itself be taken over.
    pub fn enter(tty: Tty) -> io::Result<Self> {
        install_panic_hook();
        let session = Self { tty, mouse: AtomicBool::new(false) };
        session.resume()?;
        Ok(session)
    }

    /// Takes it over again after [`Session::suspend`].
    ///
    /// # Errors
    ///
    /// When it does not let itself be taken over.
    pub fn resume(&self) -> io::Result<()> {
        ACTIVE.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        self.tty.output().write_all(ENTER)?;
        if self.mouse.load(Ordering::SeqCst) {
            self.tty.output().write_all(LISTEN)?;
        }
        Ok(())
    }

    /// Listens to the mouse, or no more; after a stop as before it.
    ///
    /// # Errors
    ///
    /// When the terminal takes nothing.
    pub fn listen_to_mouse(&self, listen: bool) -> io::Result<()> {
        self.mouse.store(listen, Ordering::SeqCst);
        self.tty.output().write_all(if listen { LISTEN } else { LISTEN_NO_MORE })
    }

    /// Puts a text into the terminal's clipboard (OSC 52). Whether the terminal does so it does not tell.
    ///
    /// # Errors
    ///
    /// When the terminal takes nothing.
    pub fn copy(&self, text: &str) -> io::Result<()> {
        let text = BASE64_STANDARD.encode(text);
        self.tty.output().write_all(format!("\x1b]52;c;{text}\x1b\\").as_bytes())
    }

    /// Gives it back for a while.
    pub fn suspend(&self) {
        restore(&self.tty);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        restore(&self.tty);
    }
}

/// Gives the terminal back if a session has it; as well as it goes, for there may be nobody to take it.
pub fn restore(tty: &Tty) {
    if !ACTIVE.swap(false, Ordering::SeqCst) {
        return;
    }
    // A terminal that takes nothing (held with Ctrl-S, a link that hangs) must not hold the end of the program.
    let patience = Some(Duration::from_millis(200));
    if matches!(wait(tty.output().as_fd(), PollFlags::OUT, None, patience), Ok(Readiness::Ready)) {
        let _ = tty.output().write_all(LEAVE);
    }
    let _ = disable_raw_mode();
}

/// What a program that panics ends with.
const PANICKED: i32 = 101;

thread_local! {
    /// Whether a panic of this thread ends the program.
    static IS_NEEDED: Cell<bool> = const { Cell::new(false) };
}

/// Has a panic of the calling thread end the program, once a session has begun: a monitor that has lost its keys or its
/// signals, or shows what nobody follows any more, does not go on as if nothing had been.
pub fn end_with_this_thread() {
    IS_NEEDED.set(true);
}

/// Has a panic give the terminal back before it prints, so that its message is seen and not lost with the screen.
fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            if let Ok(tty) = Tty::open() {
                restore(&tty);
            }
            previous(information);
            if IS_NEEDED.get() {
                process::exit(PANICKED);
            }
        }));
    });
}
