//! maglev-top
fn main() {}
