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

use crate::error::Error;

const COLUMNS: NonZeroU16 = NonZeroU16::new(110).unwrap();
const ROWS: NonZeroU16 = NonZeroU16::new(32).unwrap();

/// How long the program may take to leave.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program, and the screen that it has drawn so far.
pub(super) struct Terminal {
    parser: vt100::Parser,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    pub(super) fn start(program: &Path, words: &[&str]) -> Result<Self, Error> {
        let size = PtySize { rows: ROWS.get(), cols: COLUMNS.get(), pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).map_err(failed)?;
        let mut command = CommandBuilder::new(program);
        command.args(words);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        let child = pair.slave.spawn_command(command).map_err(failed)?;
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().map_err(failed)?;
        let input = pair.master.take_writer().map_err(failed)?;
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { parser: vt100::Parser::new(ROWS, COLUMNS, 0), output, input, child, _master: pair.master })
    }

    /// Presses keys, one after the other.
    pub(super) fn press(&mut self, keys: &[u8]) -> Result<(), Error> {
        self.input.write_all(keys).and_then(|()| self.input.flush()).map_err(failed)
    }

    /// Follows what the program draws for a while.
    pub(super) fn watch(&mut self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        loop {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.parser.process(&bytes),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Terminal(format!(
                        "it ended early: {}",
                        self.parser.screen().contents()
                    )));
                }
            }
        }
    }

    pub(super) fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// Waits until the program has left.
    pub(super) fn end(mut self) -> Result<(), Error> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait().map_err(failed)?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().map_err(failed)?;
        Err(Error::Terminal("it did not leave when it was told to".to_owned()))
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Terminal(error.to_string())
}
