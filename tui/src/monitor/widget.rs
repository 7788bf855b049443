//! What several views draw with.

pub mod graph;
pub mod table;
pub mod text;
