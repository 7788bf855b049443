//! The XDP programs, run by the kernel on single packets (`BPF_PROG_TEST_RUN`), against maps that are filled by hand.
//!
//! `MAGLEV_EBPF_OBJECT=path` runs them on another object than the kept one. They need root: else each says that it was
//! skipped, and passes.

mod checks;
mod decap;
mod echo;
mod errors;
mod forwarding;
mod fragments;
mod frames;
mod hostile;
mod ipv6;
mod model;
mod passing;
mod quotes;
mod routes;
mod settling;
mod slots;
mod support;
mod tags;
mod tracking;
mod verifier;
