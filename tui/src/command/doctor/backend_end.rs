//! The backends' end, where doctor is run there: what takes the outer header off, and what may drop packets behind it.

use std::net::{IpAddr, Ipv4Addr};

use maglev_core::service::Forwarding;
use maglev_probe::survey::{Device, Origin, Way};

use super::{
    finding::{Found, Judgement},
    scene::{Scene, Standing, Subject},
};

/// The name of the program that takes outer headers off, as the kernel has it.
const DECAPSULATING: &str = "maglev_decap";

/// An address that clients might have: one for documentation (RFC 5737), which is routed as most are.
const SOME_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// Whether outer headers are taken off at a device by our program.
fn decapsulates(device: &Device) -> bool {
    device.interface.holder.as_ref().is_some_and(|holder| holder.name == DECAPSULATING)
}

/// Whether a device is one that the kernel takes outer headers off by.
fn is_tunnel(device: &Device) -> bool {
    device.is_up && matches!(device.kind.as_deref(), Some("ipip" | "sit" | "ip6tnl"))
}

fn backend_ends(scene: &Scene) -> impl Iterator<Item = &Subject> {
    scene.subjects.iter().filter(|subject| subject.standing == Standing::BackendEnd)
}

pub(super) fn decapsulation(scene: &Scene) -> Vec<Found> {
    let mut found: Vec<Found> = scene
        .devices
        .iter()
        .filter(|device| decapsulates(device))
        .map(|device| {
            Judgement::ok("maglev-top takes outer headers off here").about(device.interface.name.clone())
        })
        .collect();
    let is_tunnelled =
        |subject: &Subject| subject.services.iter().any(|service| service.forwarding == Forwarding::Ipip);
    for subject in backend_ends(scene).filter(|subject| is_tunnelled(subject)) {
        if found.is_empty() {
            let tunnels: Vec<&str> = scene
                .devices
                .iter()
                .filter(|device| is_tunnel(device))
                .map(|device| device.interface.name.as_str())
                .collect();
            found.push(judge_tunnels(&tunnels).about(subject.name.clone()));
        }
    }
    found
}

fn judge_tunnels(tunnels: &[&str]) -> Judgement {
    if tunnels.is_empty() {
        Judgement::fault(
            "nothing takes the outer header off: what the balancer sends is dropped here",
            "`maglev-top decap --interface IF`, or `modprobe ipip; ip link set dev tunl0 up` (ip6tnl for IPv6 outside)",
        )
    } else {
        Judgement::ok(format!("the kernel takes outer headers off by {}", tunnels.join(", ")))
    }
}

pub(super) fn reverse_path_filter(scene: &Scene) -> Vec<Found> {
    let back = Way::to(SOME_CLIENT, &Origin::default()).map(|way| way.hops).unwrap_or_default();
    scene
        .devices
        .iter()
        .filter(|device| decapsulates(device) || is_tunnel(device))
        .filter_map(|device| {
            let filter = device.reverse_path_filter?;
            let leads_back = back.iter().any(|hop| hop.interface == device.interface.index);
            Some(
                judge_filter(filter, leads_back, &device.interface.name).about(device.interface.name.clone()),
            )
        })
        .collect()
}

/// What comes out of a tunnel has clients' addresses: a strict filter drops it unless answers leave the same way.
fn judge_filter(filter: u8, leads_back: bool, interface: &str) -> Judgement {
    match filter {
        1 if leads_back => Judgement::ok("strict, and answers to clients leave by this interface"),
        1 => Judgement::fault(
            "strict: packets of clients come in here, and answers leave elsewhere, so the kernel drops them",
            format!(
                "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{interface}.rp_filter=0 (the stricter of the two counts)"
            ),
        ),
        2 => Judgement::ok("loose: clients are let through that there is any way back to"),
        _ => Judgement::ok("off"),
    }
}

pub(super) fn address_resolution(scene: &Scene) -> Vec<Found> {
    let is_on_segment = |subject: &Subject| {
        subject
            .services
            .iter()
            .any(|service| service.forwarding == Forwarding::L2 && service.address.is_ipv4())
    };
    if !backend_ends(scene).any(is_on_segment) {
        return Vec::new();
    }
    scene
        .devices
        .iter()
        .filter(|device| device.is_running && !device.is_loopback)
        .filter_map(|device| Some(judge_answers(device.arp_ignore?).about(device.interface.name.clone())))
        .collect()
}

fn judge_answers(arp_ignore: u8) -> Judgement {
    if arp_ignore == 0 {
        Judgement::warning(
            "it answers ARP for the service's address too, which is on `lo`: a router on this segment may send around the balancer",
            "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
        )
    } else {
        Judgement::ok("it answers ARP for its own addresses alone")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn a_strict_filter_lets_clients_through_only_where_answers_leave() {
        assert_eq!(judge_filter(1, false, "tunl0").verdict, Verdict::Fault);
        assert_eq!(judge_filter(1, true, "eth0").verdict, Verdict::Ok);
        assert_eq!(judge_filter(2, false, "tunl0").verdict, Verdict::Ok);
        assert_eq!(judge_filter(0, false, "tunl0").verdict, Verdict::Ok);
    }

    #[test]
    fn something_takes_the_outer_header_off() {
        assert_eq!(judge_tunnels(&[]).verdict, Verdict::Fault);
        assert_eq!(judge_tunnels(&["tunl0"]).verdict, Verdict::Ok);
        assert_eq!(judge_answers(0).verdict, Verdict::Warning);
        assert_eq!(judge_answers(1).verdict, Verdict::Ok);
    }
}
