//! Where in a configuration something was found, and the list of what breaks a rule.

use std::fmt;

/// Where in a configuration: a service, one of its backends, and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The index of the service; `None` for what concerns no single one. 0 where one service was checked by itself.
    pub service: Option<usize>,
    /// The index of the backend in its service.
    pub backend: Option<usize>,
    /// The key in the configuration.
    pub key: &'static str,
}

/// Something that was found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding<T> {
    /// Where, by index.
    pub place: Place,
    /// Where, in words: `backend web-1 of service web`.
    pub subject: String,
    /// What was found.
    pub what: T,
}

impl<T: fmt::Display> fmt::Display for Finding<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.subject, self.place.key, self.what)
    }
}

/// The rules that are broken, one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRules(pub Vec<Finding<super::Rule>>);

impl fmt::Display for BrokenRules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, broken) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{broken}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BrokenRules {}
