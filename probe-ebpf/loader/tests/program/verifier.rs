//! What the programs cost the kernel's verifier, which gives up after a million instructions.

use maglev_probe_abi::program;

use crate::support::Programs;

/// So many instructions it may look at, one as often as it is looked at: more than twice what it takes, and little enough
/// that a program is loaded in a moment. A function that is called from several places is looked at once if it is global,
/// and else once for each; a loop once for each round, and whatever comes after it for each of its ends.
const MOST: u32 = 200_000;

#[test]
fn the_verifier_has_little_to_do() {
    let Some(mut programs) = Programs::load(1) else { return };
    for name in [program::MAGLEV, program::DECAP] {
        let Some(count) = programs.program(name).info().unwrap().verified_instruction_count() else {
            println!("skipped: this kernel does not say how much its verifier did (Linux 5.16 and newer do)");
            return;
        };
        assert!(count <= MOST, "the verifier looked at {count} instructions of {name}, more than {MOST}");
    }
}
