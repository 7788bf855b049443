//! The terminal as the monitor needs it: one write a frame, colours as far as they go, and a way back that holds
//! whatever ends the program.

pub mod background;
pub mod backlog;
pub mod capability;
pub mod colour;
pub mod encode;
pub mod frame;
pub mod input;
pub mod late;
pub mod look;
pub mod screen;
pub mod session;
pub mod signals;
pub mod theme;
pub mod tty;
pub mod watchdog;
