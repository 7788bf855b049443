//! Maglev without a kernel and without a screen: lookup tables as Cilium fills them, the flow hash, the rules by
//! which a slot settles after a change, plans, and the samples that a monitor shows.
//!
//! Without the feature `std` only [`flow`] and [`slot`] remain, `no_std` and free of allocation: the XDP program is
//! compiled from the same lines that are tested here.

#![cfg_attr(not(feature = "std"), no_std)]

pub mod flow;
pub mod slot;

#[cfg(feature = "std")]
pub mod balance;
#[cfg(feature = "std")]
pub mod change;
#[cfg(feature = "std")]
pub mod cilium;
#[cfg(feature = "std")]
pub mod config;
#[cfg(feature = "std")]
pub mod drain;
#[cfg(feature = "std")]
pub mod elephant;
#[cfg(feature = "std")]
pub mod forecast;
#[cfg(feature = "std")]
pub mod health;
#[cfg(feature = "model")]
pub mod model;
#[cfg(feature = "std")]
pub mod permutation;
#[cfg(feature = "std")]
pub mod plan;
#[cfg(feature = "std")]
pub mod reassignment;
#[cfg(feature = "std")]
pub mod rules;
#[cfg(feature = "std")]
pub mod sample;
#[cfg(feature = "std")]
pub mod seed;
#[cfg(feature = "std")]
pub mod service;
#[cfg(feature = "std")]
pub mod table;
#[cfg(feature = "std")]
pub mod words;
