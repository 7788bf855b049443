//! What is wrong with a configuration file, and where.

use std::fmt;

use crate::rules::{Rule, Warning};

/// One thing that is wrong: file, line, key and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key, with those above it: `services.backends.weight`. Empty where the text is not even TOML.
    pub key: String,
    /// What is wrong.
    pub reason: Reason,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is not TOML.
    #[error("{0}")]
    Syntax(String),
    /// There is no such key.
    #[error("unknown key; there may be {}", known.join(", "))]
    UnknownKey {
        /// The keys that may be there.
        known: &'static [&'static str],
    },
    /// A key has to be there and is not.
    #[error("missing; {0}")]
    Missing(&'static str),
    /// A value is of another kind.
    #[error("expected {expected}, and this is {found}")]
    Kind {
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A value of the right kind says nothing.
    #[error("{0}")]
    Value(String),
    /// A rule is broken.
    #[error("{0}")]
    Rule(Rule),
}

/// Everything that is wrong with a file, one thing at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One thing that is allowed and may not be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key, with those above it.
    pub key: String,
    /// What it is.
    pub warning: Warning,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.key.is_empty() { "" } else { ": " };
        write!(formatter, "{}:{}: {}{separator}{}", self.file, self.line, self.key, self.reason)
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}: {}", self.file, self.line, self.key, self.warning)
    }
}
