//! What is read about the program, made from what it is dispatched by: the command line and the table of actions.

mod keys;
mod page;

pub use self::{keys::keys, page::page};
