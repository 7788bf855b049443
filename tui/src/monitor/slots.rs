//! The slots of a service: what is known of each, and what of them a screen has room for.

pub mod draw;
pub mod history;
pub mod legend;
pub mod raster;
pub mod search;
pub mod story;
pub mod view;
pub mod what_if;
pub mod window;
