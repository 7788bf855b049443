//! Telling what becomes of packets, while somebody asks.
//!
//! The balancer begins with a tail call into a slot that is empty: to the kernel's compiler that is an instruction that
//! does nothing, until a tracer puts a program there. What it puts there is this same balancer, built with the feature
//! `trace`, in which the functions here note what is decided of a packet and tell it in the end. Without the feature
//! they are nothing.

#[cfg(not(feature = "trace"))]
mod hand_over;
#[cfg(feature = "trace")]
mod match_packet;
#[cfg(feature = "trace")]
mod tell;

#[cfg(not(feature = "trace"))]
pub(crate) use hand_over::{begin, chosen, end, leaves, remembered, slot};
#[cfg(feature = "trace")]
pub(crate) use tell::{begin, chosen, end, leaves, remembered, slot};
