//! A host with routes to the backends, in a namespace of its own; what there is of them is said once, for the kernel and
//! for the oracle.

use std::{net::IpAddr, process::Command, time::Duration};

use maglev_lab::{End, Interface, MacAddress, Namespace};
use maglev_probe_abi::Verdict;

use crate::site::{MTU, Ways};

const NEAR: [u8; 6] = [2, 0, 0, 0, 1, 1];
const FAR: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// Where the kernel's routes lead to a backend.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the backend itself, on the segment.
    Neighbour,
    /// To a router there.
    Router,
    /// To the segment, where nobody answers.
    Nobody,
    /// Nowhere, for this reason.
    Nowhere(Verdict),
}

impl Way {
    /// That to the backend of that number.
    pub(crate) fn to(number: u32) -> Self {
        match number {
            1 => Self::Neighbour,
            2 => Self::Router,
            3 => Self::Nobody,
            // Packets of IPv6 are not forwarded.
            4 | 5 => Self::Nowhere(Verdict::ForwardingOff),
            _ => Self::Nowhere(Verdict::NoRoute),
        }
    }
}

/// The host, for as long as it is kept.
pub(crate) struct Host {
    pub(crate) namespace: Namespace,
    /// The link to the neighbour, where there are routes.
    link: Option<(Interface, Interface)>,
}

impl Host {
    /// One without any link, where frames come in by loopback.
    pub(crate) fn alone() -> Self {
        let namespace = Namespace::new("fuzz").unwrap();
        Interface::find(&namespace, "lo").unwrap().set_mtu(MTU.try_into().unwrap()).unwrap();
        Self { namespace, link: None }
    }

    /// One with a neighbour that is the first backend, and the router to the second.
    pub(crate) fn with_routes() -> (Self, Ways) {
        let mut host = Self::alone();
        let router = Namespace::new("fuzz-router").unwrap();
        let end = |namespace, name, mac| End {
            namespace,
            name,
            mac: MacAddress::new(mac),
            mtu: MTU.try_into().unwrap(),
            index: None,
        };
        let link =
            Interface::create_pair(&end(&host.namespace, "near", NEAR), &end(&router, "far", FAR)).unwrap();
        link.0.add_address(IpAddr::from([10, 0, 0, 100]), 24).unwrap();
        link.0.set_up().unwrap();
        link.1.set_up().unwrap();
        link.0.wait_until_running(Duration::from_secs(5)).unwrap();
        host.namespace.set_sysctl("net/ipv4/ip_forward", "1").unwrap();
        host.namespace.set_sysctl("net/ipv6/conf/all/forwarding", "0").unwrap();
        let mac = MacAddress::new(FAR).to_string();
        for arguments in [
            &["neighbour", "replace", "10.0.0.1", "lladdr", &mac, "dev", "near", "nud", "permanent"][..],
            &["route", "add", "10.0.0.2", "via", "10.0.0.1"],
        ] {
            let run = || Command::new("ip").args(arguments).status();
            assert!(host.namespace.run(run).unwrap().unwrap().success(), "{arguments:?}");
        }
        host.link = Some(link);
        (host, Ways::Routes { hop: (FAR, NEAR) })
    }
}
