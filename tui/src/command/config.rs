//! Reading configuration files; `config show`.

use std::{fs, path::Path};

use maglev_core::config::{Config, Parsed};

use super::{Context, print};
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

/// Prints the running state as a configuration.
pub(super) fn show(context: &Context<'_>) -> Result<(), Failure> {
    let config = context.datapath()?.config()?;
    let text = config.to_toml();
    if context.json() {
        let document: toml::Table = text.parse().map_err(|error: toml::de::Error| Failure::of(&error))?;
        print::json(&document)?;
    } else {
        print::line(text.trim_end())?;
    }
    // An emergency may have left what no file may say: a service without a backend, weights that are ignored.
    match Config::parse("the running state", &text) {
        Ok(_) => Ok(()),
        Err(errors) => Err(Failure::Failed(format!(
            "this is what runs, but `up` and `apply` would refuse it as a file:\n{errors}"
        ))),
    }
}
