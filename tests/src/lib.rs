//! End-to-end tests: hosts in network namespaces, real packets through the real program, and the real binary.
//!
//! Each test makes a [`Site`] of its own, so that they run side by side; what a site makes goes with it, also when
//! its test fails. Without the privileges a test says so and is skipped.

mod audit;
mod binary;
mod cable;
mod cilium;
mod flood;
mod object;
mod renamed;
mod site;
pub mod story;
mod tap;
mod terminal;
mod tmux;

pub use audit::Audit;
pub use binary::{maglev_top, run_in};
pub use cable::{Cable, NODE, OUTSIDE};
pub use cilium::{
    Clients, Frontend, KIND_SERVICES, Rig, Table, kind_node, scale_up, segment, story, table_of,
    watch_kind_node,
};
pub use flood::{FloodKind, flood};
pub use object::{kept_object, write_altered_object};
pub use renamed::renamed_observer;
pub use site::{Plot, SERVICE, SERVICE_V6, Site, eventually, new_instance};
pub use tap::Tap;
pub use terminal::Terminal;
pub use tmux::Tmux;
