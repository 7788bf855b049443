//! Where hits of a Cilium node are counted, and by which hash, as words of the command line have it.

use std::io;

use maglev_core::seed::HashSeed;
use maglev_probe::observe::{Chosen, Hook, HookChoice, ObserverTerms, choose};

use crate::cli::{Counting, HookWord};

/// There is nowhere to count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NowhereToCount {
    /// The kernel does not list its interfaces.
    #[error("the interfaces cannot be listed")]
    Unlisted(#[from] io::Error),
    /// None has what packets from outside come in by.
    #[error(
        "no interface has Cilium's programs or the default route; name those that packets come in by with --interface"
    )]
    NoneFound,
}

impl Counting {
    /// The interfaces: those that were named, or those that packets from outside come in by, with the reason.
    pub(crate) fn interfaces(&self) -> Result<Vec<Chosen>, NowhereToCount> {
        let named = self.interface.iter();
        let mut chosen: Vec<Chosen> =
            named.map(|name| Chosen { interface: name.clone(), reason: "it was named" }).collect();
        if chosen.is_empty() {
            chosen = choose()?;
        }
        if chosen.is_empty() { Err(NowhereToCount::NoneFound) } else { Ok(chosen) }
    }

    /// How the observer computes slots, and where it sits.
    pub(crate) fn terms(&self, seed: HashSeed) -> ObserverTerms {
        ObserverTerms { seed, older_order: self.older_hash, hook: self.hook.choice() }
    }
}

impl HookWord {
    const fn choice(self) -> HookChoice {
        match self {
            Self::Auto => HookChoice::Auto,
            Self::Xdp => HookChoice::Only(Hook::NativeXdp),
            Self::Tcx => HookChoice::Only(Hook::Tcx),
            Self::XdpGeneric => HookChoice::Only(Hook::GenericXdp),
        }
    }
}
