//! Reading configuration files.

use std::{fs, path::Path};

use maglev_core::config::{Config, Parsed};

use super::print;
use crate::failure::Failure;

/// Reads a configuration, and says what is worth a word in it.
pub(super) fn read(path: &Path) -> Result<Config, Failure> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::Refused(format!("maglev-top: cannot read {name}: {error}")))?;
    let Parsed { config, warnings } = Config::parse(&name, &text)?;
    print::warnings(&warnings);
    Ok(config)
}
