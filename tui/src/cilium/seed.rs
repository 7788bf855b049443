//! Where the hash seed comes from, when nobody says it.

use std::{fs, path::Path};

use maglev_core::{
    cilium::{Node, recognises},
    seed::HashSeed,
};

/// Where the agent's container has its configuration.
const CONFIG_MAP: &str = "/tmp/cilium/config-map/bpf-lb-maglev-hash-seed";

/// The seed, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownSeed {
    pub(crate) seed: HashSeed,
    pub(crate) source: &'static str,
}

/// The seed that was given; else the node's; else the default, where a table tells that it is that.
pub(crate) fn find(given: Option<HashSeed>, run_dir: &Path, node: &Node) -> Option<KnownSeed> {
    let default = HashSeed::default();
    let known = |seed, source| Some(KnownSeed { seed, source });
    if let Some(seed) = given {
        return known(seed, "given with --seed");
    }
    let configured = fs::read_to_string(CONFIG_MAP).ok().and_then(|text| text.trim().parse().ok());
    if let Some(seed) = configured {
        return known(seed, "from the agent's configuration");
    }
    // The header has two of the seed's three words: enough to tell whether it is the default.
    match header_word(run_dir) {
        Some(word) if word == default.jhash_v4() => return known(default, "the default, says node_config.h"),
        Some(_) => return None,
        None => {}
    }
    let recognised = node.frontends.iter().any(|frontend| recognises(frontend, &default));
    if recognised { known(default, "the default, as the tables tell") } else { None }
}

fn header_word(run_dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(run_dir.join("state/globals/node_config.h")).ok()?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("#define HASH_INIT4_SEED"))?;
    let word = line.trim();
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}
