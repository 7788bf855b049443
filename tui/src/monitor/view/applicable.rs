//! Which columns hold anything: of a Cilium node neither weights nor held packets are known, and hits only where they
//! are counted. What is not known is left out, and never drawn as zero.

use maglev_core::cilium::Counted;

/// Whether the column of that heading holds something where so much is counted.
#[must_use]
pub fn applies(title: &str, counted: Counted) -> bool {
    match title {
        "WEIGHT" | "DUE%" | "BIT/S" | "HELD/S" | "SETTLING" => counted == Counted::Everything,
        "PKT/S" | "NEW/S" | "NEW%" | "TREND" => counted != Counted::Nothing,
        _ => true,
    }
}
