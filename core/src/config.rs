//! The configuration file: TOML, every key checked, every error with its line.

mod datapath;
mod error;
mod health;
mod lines;
mod read;
mod section;
mod write;

pub use datapath::{AttachMode, DEFAULT_MAX_SLOTS, Datapath};
pub use error::{ConfigError, ConfigErrors, ConfigWarning, Reason};
pub use ipnet::{Ipv4Net, Ipv6Net};

use crate::{seed::HashSeed, service::Service};

/// What a configuration file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The hash seed of every table and flow.
    pub seed: HashSeed,
    /// The datapath as a whole.
    pub datapath: Datapath,
    /// The services, in the order of the file.
    pub services: Vec<Service>,
}

/// A configuration that was read, and what is worth a word in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The configuration.
    pub config: Config,
    /// What is allowed and may not be meant, in the order of the lines.
    pub warnings: Vec<ConfigWarning>,
}

impl Config {
    /// Reads the text of a configuration file and holds it against every rule. `file` is its name in errors.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, as far as it can be told at once, in the order of the lines.
    pub fn parse(file: &str, text: &str) -> Result<Parsed, ConfigErrors> {
        read::read(file, text)
    }

    /// The text of a configuration file that says the same.
    ///
    /// # Panics
    ///
    /// Never: whatever a configuration can hold, TOML can.
    #[must_use]
    pub fn to_toml(&self) -> String {
        write::write(self)
    }
}
