//! How the operator wants the monitor, from a file: `~/.config/maglev-top/config.toml`.
//!
//! What the command line says comes first, then the environment, then the file, then what the program has it be.

mod read;
mod write;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use maglev_core::config::ConfigErrors;

use crate::{cli::Color, monitor::keymap::Keymap};

pub use self::write::defaults;

/// The environment's word for another file than the usual one.
pub const FILE: &str = "MAGLEV_TOP_PREFERENCES";

/// What a file says; where it says nothing, nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preferences {
    /// The name of a theme, or its file.
    pub theme: Option<String>,
    /// How many colours to use.
    pub color: Option<Color>,
    /// Whether to draw with ASCII alone.
    pub ascii: Option<bool>,
    /// How often to look.
    pub interval: Option<Duration>,
    /// Whether the mouse is listened to.
    pub mouse: Option<bool>,
    /// Whether the link to the terminal is a thin one.
    pub low_bandwidth: Option<bool>,
    /// The keys.
    pub keymap: Keymap,
}

/// Why there are no preferences.
#[derive(Debug, thiserror::Error)]
pub enum PreferencesError {
    /// The file is there and cannot be read, or was named and is not there.
    #[error("the preferences {path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it is wrong.
    #[error("{0}")]
    Wrong(ConfigErrors),
}

impl Preferences {
    /// What the file says that is meant: the one that `MAGLEV_TOP_PREFERENCES` names, else `maglev-top/config.toml` in
    /// `XDG_CONFIG_HOME` or `~/.config`; nothing where that is not there, or not for this process to read.
    ///
    /// Under `sudo` home is root's, where sudo says so: what root's keys do is not for a file to say that somebody else
    /// can write, unless root names it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is wrong.
    pub fn load() -> Result<Self, PreferencesError> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = set(FILE) {
            return Self::of_file(&path);
        }
        // A relative one is to be ignored, says the XDG Base Directory Specification.
        let base = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let Some(base) = base.or_else(|| Some(set("HOME")?.join(".config"))) else {
            return Ok(Self::default());
        };
        match Self::of_file(&base.join("maglev-top").join("config.toml")) {
            // One that may not be read is in the home of whom this process was before: it is somebody else's.
            Err(PreferencesError::Unreadable { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                Ok(Self::default())
            }
            other => other,
        }
    }

    fn of_file(path: &Path) -> Result<Self, PreferencesError> {
        let text = fs::read_to_string(path)
            .map_err(|source| PreferencesError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text).map_err(PreferencesError::Wrong)
    }

    /// What a file's text says; `file` is for the errors.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each with its line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        read::read(file, text)
    }
}
