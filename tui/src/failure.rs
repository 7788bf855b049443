//! The one place that turns errors into words for people, and into an exit status.

use std::{error::Error, fmt::Write as _, process::ExitCode};

use maglev_core::config::ConfigErrors;
use maglev_probe::DatapathError;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// It failed: exit status 1.
    Failed(String),
    /// The words or the configuration are wrong: exit status 2.
    Refused(String),
    /// It ran and found a fault, which it has told: exit status 3.
    Fault,
}

impl Failure {
    /// The failure that an error is.
    pub fn of(error: &dyn Error) -> Self {
        Self::Failed(in_words(error))
    }

    /// Says it on standard error, and gives the exit status.
    #[must_use]
    pub fn tell(&self) -> ExitCode {
        match self {
            Self::Failed(words) => {
                eprintln!("maglev-top: {words}");
                ExitCode::from(1)
            }
            Self::Refused(words) => {
                eprintln!("{words}");
                ExitCode::from(2)
            }
            Self::Fault => ExitCode::from(3),
        }
    }
}

/// An error and its causes in one line: `cannot open …: permission denied`.
#[must_use]
pub fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors say what their cause says.
        if !words.contains(&text) {
            let _ = write!(words, ": {text}");
        }
        cause = error.source();
    }
    words
}

impl From<DatapathError> for Failure {
    fn from(error: DatapathError) -> Self {
        Self::of(&error)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Refused(errors.to_string())
    }
}
