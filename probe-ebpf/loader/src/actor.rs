//! Who makes a change: for the record of events.

use std::{fs, process};

use nix::unistd::Uid;

/// What stands in the terminal's place of changes that follow from checks.
const HEALTH_CHECK: &str = "health check";

/// The user, process and terminal of whoever calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    pub(crate) user: u32,
    pub(crate) process: u32,
    pub(crate) terminal: String,
}

impl Actor {
    pub(crate) fn current() -> Self {
        // Behind sudo it is the one who called it that matters.
        let user = std::env::var("SUDO_UID").ok().and_then(|text| text.parse().ok());
        let terminal = fs::read_link("/proc/self/fd/0")
            .ok()
            .and_then(|path| path.to_str().and_then(|path| path.strip_prefix("/dev/")).map(str::to_owned))
            .filter(|name| name.starts_with("pts/") || name.starts_with("tty"))
            .unwrap_or_default();
        Self { user: user.unwrap_or_else(|| Uid::current().as_raw()), process: process::id(), terminal }
    }

    /// The health checks of this process: the terminal's place says so.
    pub(crate) fn health_check() -> Self {
        Self { terminal: HEALTH_CHECK.to_owned(), ..Self::current() }
    }

    /// In words: `root on pts/1, process 4711`.
    pub(crate) fn in_words(user: u32, process: u32, terminal: &str) -> String {
        if terminal == HEALTH_CHECK {
            return format!("{HEALTH_CHECK}, process {process}");
        }
        let name = nix::unistd::User::from_uid(Uid::from_raw(user))
            .ok()
            .flatten()
            .map_or_else(|| format!("user {user}"), |user| user.name);
        if terminal.is_empty() {
            format!("{name}, process {process}")
        } else {
            format!("{name} on {terminal}, process {process}")
        }
    }
}
