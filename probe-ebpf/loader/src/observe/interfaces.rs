//! Which interfaces are observed where none is named.

use std::{io, net::IpAddr};

use crate::{
    kernel::{program_name, tcx_programs},
    network::{Device, Origin, ingress_filters, next_hops},
};

/// What Cilium's program is called that meets packets from outside, in 15 characters (`bpf/bpf_host.c`); the filter
/// that runs it, where it is no tcx program, goes by that name and its interface's.
const FROM_OUTSIDE: &str = "cil_from_netdev";

/// What Cilium's programs on the XDP hook begin with.
const XDP: &str = "cil_xdp";

/// Addresses that nobody has (RFC 5737, RFC 3849): the way to them is that to anywhere.
const ANYWHERE: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// An interface that was chosen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub interface: String,
    /// Why, in words.
    pub reason: &'static str,
}

/// The interfaces that packets from outside come in by: those that have Cilium's program for them, and that of the
/// default route.
///
/// # Errors
///
/// When the kernel does not list its interfaces.
pub fn choose() -> io::Result<Vec<Chosen>> {
    let ways: Vec<u32> = ANYWHERE
        .iter()
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .filter_map(|address| next_hops(address, &Origin::default()).ok())
        .flatten()
        .map(|hop| hop.interface)
        .collect();
    let chosen = Device::all()?.into_iter().filter_map(|device| {
        let interface = &device.interface;
        let reason = if interface.holder.as_ref().is_some_and(|holder| holder.name.starts_with(XDP)) {
            "Cilium's XDP program is on it"
        } else if has_program_from_outside(interface.index) {
            "Cilium's program for packets from outside is on it"
        } else if ways.contains(&interface.index) && !device.is_loopback {
            "the default route leads over it"
        } else {
            return None;
        };
        Some(Chosen { interface: device.interface.name, reason })
    });
    Ok(chosen.collect())
}

fn has_program_from_outside(interface: u32) -> bool {
    // Kernels before 6.6 know no such programs, and have none.
    let programs = tcx_programs(interface).unwrap_or_default();
    let programs = programs.into_iter().filter_map(|id| program_name(id).ok());
    let filters = ingress_filters(interface).unwrap_or_default();
    programs.chain(filters).any(|name| name.starts_with(FROM_OUTSIDE))
}
