//! A program in tmux, as an operator has it: its screen as tmux shows it, and keys as tmux sends them.

use std::{
    ffi::OsStr,
    num::NonZeroU16,
    process::{Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long something may take to appear on screen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tmux server of one's own with a shell in it. It ends when this is dropped, and whatever runs in it loses its
/// terminal.
pub struct Tmux {
    socket: String,
    columns: NonZeroU16,
    rows: NonZeroU16,
}

impl Tmux {
    /// Starts a shell in a terminal of `columns` by `rows`; `None` where there is no tmux.
    ///
    /// # Panics
    ///
    /// When tmux is there and does not start.
    #[must_use]
    pub fn start(columns: NonZeroU16, rows: NonZeroU16) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Command::new("tmux").arg("-V").stdout(Stdio::null()).status().ok().filter(ExitStatus::success)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let tmux = Self { socket: format!("maglev-top-{}-{count}", std::process::id()), columns, rows };
        let size = [columns.to_string(), rows.to_string()];
        // No file of the operator's own: no status line, no other prefix key, no other shell.
        let words = ["-f", "/dev/null", "new-session", "-d", "-s", "story", "-x", &size[0], "-y", &size[1]];
        let settings = ["-e", "COLORTERM=truecolor", "-e", "LC_ALL=C.UTF-8", "-e", "NO_COLOR="];
        // A shell in between would take the prompt for its own.
        let shell = ["env", "PS1=shell> ", "bash", "--norc", "--noprofile", "-i"];
        let output = tmux.run(words.iter().chain(&settings).chain(&shell));
        assert!(output.status.success(), "tmux does not start: {}", String::from_utf8_lossy(&output.stderr));
        tmux.tell(["set-option", "-g", "status", "off"]);
        tmux.wait_for("shell>");
        Some(tmux)
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a (impl AsRef<OsStr> + ?Sized + 'a)>) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        command.args(words).output().expect("tmux is there")
    }

    /// Has tmux do something, and gives what it prints.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn tell<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> String {
        let words: Vec<&str> = words.into_iter().collect();
        let output = self.run(words.iter().copied());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {words:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys by tmux's names for them: `Enter`, `C-z`, `d`.
    pub fn press(&self, keys: &[&str]) {
        self.tell(["send-keys", "-t", "story"].into_iter().chain(keys.iter().copied()));
    }

    /// Types a text, character by character.
    pub fn write(&self, text: &str) {
        self.tell(["send-keys", "-t", "story", "-l", text]);
    }

    /// What is on screen, as lines of text.
    #[must_use]
    pub fn text(&self) -> String {
        self.tell(["capture-pane", "-p", "-t", "story"])
    }

    /// What is on screen, with its colours.
    ///
    /// # Panics
    ///
    /// When tmux does not tell.
    #[must_use]
    pub fn screen(&self) -> vt100::Parser {
        let mut parser = vt100::Parser::new(self.rows, self.columns, 0);
        let captured = self.tell(["capture-pane", "-p", "-e", "-N", "-t", "story"]);
        parser.process(captured.trim_end_matches('\n').replace('\n', "\r\n").as_bytes());
        parser
    }

    /// Waits until `wanted` is on screen, and gives the screen.
    ///
    /// # Panics
    ///
    /// When it does not appear, with what is there instead.
    #[expect(clippy::must_use_candidate, reason = "that it appeared is often all there is to know")]
    #[track_caller]
    pub fn wait_for(&self, wanted: &str) -> String {
        self.wait_until(wanted, |screen| screen.contains(wanted))
    }

    /// Waits until the screen is as wanted, and gives it.
    ///
    /// # Panics
    ///
    /// When it does not become so, with what is there instead.
    #[track_caller]
    pub fn wait_until(&self, what: &str, holds: impl FnMut(&str) -> bool) -> String {
        self.wait_long(what, PATIENCE, holds)
    }

    /// The same, for as long as that.
    ///
    /// # Panics
    ///
    /// When the screen does not become so, with what is there instead.
    #[track_caller]
    pub fn wait_long(&self, what: &str, patience: Duration, holds: impl FnMut(&str) -> bool) -> String {
        let shown = self.shows_within(patience, holds);
        shown.unwrap_or_else(|| panic!("waited in vain: {what}; the screen is\n{}", self.text()))
    }

    /// The screen, once it is as wanted; nothing where it does not become so in that time.
    pub fn shows_within(&self, patience: Duration, mut holds: impl FnMut(&str) -> bool) -> Option<String> {
        let begun = Instant::now();
        loop {
            let screen = self.text();
            if holds(&screen) {
                return Some(screen);
            }
            if begun.elapsed() > patience {
                return None;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The shell's process.
    ///
    /// # Panics
    ///
    /// When tmux does not tell.
    #[must_use]
    pub fn shell(&self) -> u32 {
        self.tell(["display-message", "-p", "-t", "story", "#{pane_pid}"]).trim().parse().expect("a number")
    }

    /// Takes the terminal away from whatever runs in it.
    pub fn take_terminal_away(&self) {
        self.tell(["kill-server"]);
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.run(["kill-server"]);
    }
}
