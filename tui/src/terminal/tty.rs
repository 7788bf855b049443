//! The terminal's descriptors, and whether anybody is at the other end.

use std::{
    fs::File,
    io::{self, IsTerminal as _},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The terminal's two ends of this process: where keys come from and where frames go.
#[derive(Debug)]
pub struct Tty {
    input: File,
    output: File,
}

impl Tty {
    /// The terminal on standard input and output; keys come from the controlling terminal where input is another.
    ///
    /// # Errors
    ///
    /// When standard output is no terminal or there is none to take keys from.
    pub fn open() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::other("standard output is not a terminal"));
        }
        let input = if io::stdin().is_terminal() {
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            File::options().read(true).write(true).open("/dev/tty")?
        };
        // A descriptor of its own: the standard library's standard output writes line by line.
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { input, output })
    }

    /// Descriptors of their own for another thread.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { input: self.input.try_clone()?, output: self.output.try_clone()? })
    }

    /// Where frames go, for oneself.
    #[must_use]
    pub fn into_output(self) -> File {
        self.output
    }

    /// Where keys come from.
    #[must_use]
    pub const fn input(&self) -> &File {
        &self.input
    }

    /// Where frames go.
    #[must_use]
    pub const fn output(&self) -> &File {
        &self.output
    }
}

/// What a descriptor was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// There is something to read, or room to write.
    Ready,
    /// Nothing yet.
    NotYet,
    /// Nobody is at the other end.
    Gone,
}

/// Waits until `descriptor` is ready for `wanted`, hung up, or `wake` has something to read.
///
/// # Errors
///
/// When the kernel will not wait; an interruption by a signal is [`Readiness::NotYet`].
pub fn wait(
    descriptor: BorrowedFd<'_>,
    wanted: PollFlags,
    wake: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
) -> io::Result<Readiness> {
    let mut waiting = vec![PollFd::from_borrowed_fd(descriptor, wanted)];
    waiting.extend(wake.map(|wake| PollFd::from_borrowed_fd(wake, PollFlags::IN)));
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut waiting, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Readiness::NotYet),
        Err(error) => return Err(error.into()),
    }
    let seen = waiting[0].revents();
    Ok(if seen.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        Readiness::Gone
    } else if seen.intersects(wanted) {
        Readiness::Ready
    } else {
        Readiness::NotYet
    })
}
