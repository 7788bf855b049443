//! The monitor over a simulation whose time passes by hand.

mod balance;
mod bandwidth;
mod changes;
mod cycle;
mod lists;
mod mouse;
mod palette;
mod rates;
mod search;
mod snapshots;
mod staging;
mod support;
mod time;
mod trace;
mod walk;
