//! `decap`

use maglev_core::config::AttachMode;
use maglev_probe::Decapsulation;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::print;
use crate::{cli::Decap, failure::Failure};

pub(super) fn run(words: &Decap) -> Result<(), Failure> {
    let mode: AttachMode = words.attach_mode.parse().map_err(|error| Failure::of(&error))?;
    // Before it is attached: a signal in between must not leave it there.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| Failure::of(&error))?;
    let decapsulation = Decapsulation::attach(&words.interface, mode)?;
    print::line(&format!("taking outer headers off at {}; end it with Ctrl-C", words.interface))?;
    signals.forever().next();
    drop(decapsulation);
    Ok(())
}
