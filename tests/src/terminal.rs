//! A program in a terminal of its own.

use std::{
    io::{Read as _, Write},
    num::NonZeroU16,
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long the program may take to show or do something.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program, and the screen that it has drawn so far. It is killed if it still runs when this is dropped.
pub struct Terminal {
    parser: vt100::Parser,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Starts a program in a terminal of `columns` by `rows`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &Path, words: &[&str], columns: NonZeroU16, rows: NonZeroU16) -> Self {
        let size = PtySize { rows: rows.get(), cols: columns.get(), pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("there is a pty");
        let mut command = CommandBuilder::new(program);
        command.args(words);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env_remove("NO_COLOR");
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("the pty is read");
        let input = pair.master.take_writer().expect("the pty is written");
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = vec![0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { parser: vt100::Parser::new(rows, columns, 0), output, input, child, _master: pair.master }
    }

    /// Presses keys, one after the other.
    ///
    /// # Panics
    ///
    /// When nobody is there to press them for.
    pub fn press(&mut self, keys: &str) {
        self.input
            .write_all(keys.as_bytes())
            .and_then(|()| self.input.flush())
            .expect("the program takes keys");
    }

    /// Follows what the program draws for a while.
    pub fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.parser.process(&bytes),
                Err(RecvTimeoutError::Timeout) => return,
                // It has left; what is waited for may still come about elsewhere.
                Err(RecvTimeoutError::Disconnected) => return thread::sleep(left),
            }
        }
    }

    /// Follows what the program draws until `wanted` is on screen.
    ///
    /// # Panics
    ///
    /// When it does not appear, with what is there instead.
    pub fn wait_for(&mut self, wanted: &str) {
        self.wait_until(wanted, |screen| screen.contains(wanted));
    }

    /// Follows what the program draws until the screen is as wanted.
    ///
    /// # Panics
    ///
    /// When it does not become so, with what is there instead.
    pub fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&str) -> bool) {
        let begun = Instant::now();
        while !holds(&self.text()) {
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}; the screen is\n{}", self.text());
            self.watch(Duration::from_millis(50));
        }
    }

    /// What is on screen, as lines of text.
    #[must_use]
    pub fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// What is on screen.
    #[must_use]
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// The program's process.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.process_id()
    }

    /// Kills the program at once, as `kill -9` does.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    /// Waits until the program has left, and gives its exit status.
    ///
    /// # Panics
    ///
    /// When it does not leave.
    #[must_use]
    pub fn end(mut self) -> u32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.exit_code();
            }
            assert!(begun.elapsed() < PATIENCE, "it does not leave; the screen is\n{}", self.text());
            self.watch(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has left already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
