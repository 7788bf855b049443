//! The ways to the backends: routes, who is next on them, and how large a packet fits.

use std::{collections::BTreeMap, net::IpAddr};

use maglev_core::{
    config::AttachMode,
    service::{Forwarding, Service},
};
use maglev_probe::survey::{Device, Hop, Neighbour, Resolution, Way};

use super::{
    finding::{Found, Judgement},
    scene::{Scene, Standing, Subject},
};

/// The subjects that send packets from here.
fn balancers(scene: &Scene) -> impl Iterator<Item = &Subject> {
    scene.subjects.iter().filter(|subject| subject.standing != Standing::BackendEnd)
}

pub(super) fn route(scene: &Scene) -> Vec<Found> {
    let mut found = Vec::new();
    for subject in balancers(scene) {
        for (address, service) in subject.routed() {
            let Some(way) = scene.ways.get(&address) else { continue };
            let interface = |hop: &Hop| interface_name(scene, hop);
            found.push(judge_route(address, service.forwarding, way, &interface).about(backend(address)));
        }
    }
    found
}

fn judge_route(
    address: IpAddr,
    forwarding: Forwarding,
    way: &Result<Way, String>,
    interface: &dyn Fn(&Hop) -> String,
) -> Judgement {
    match way {
        Err(why) => Judgement::fault(
            format!("there is no way to it ({why}): its packets are dropped"),
            format!("ip route add {address} via GATEWAY dev IF"),
        ),
        Ok(way) if way.is_local => Judgement::fault(
            "it is one of this host's own addresses: the kernel tells the program no way to itself",
            "a backend on another host",
        ),
        Ok(way) => {
            let router = way.hops.iter().find(|hop| hop.next != address);
            if let Some(router) = router.filter(|_| forwarding == Forwarding::L2) {
                return Judgement::fault(
                    format!(
                        "it is behind router {}, where `l2` cannot reach it: its packets are dropped",
                        router.next
                    ),
                    "forwarding = \"ipip\" for its service, or a backend on the same segment",
                );
            }
            let listed =
                |words: &dyn Fn(&Hop) -> String| way.hops.iter().map(words).collect::<Vec<_>>().join(" and ");
            if router.is_none() {
                Judgement::ok(format!("it is on the segment of {}", listed(interface)))
            } else {
                let by = listed(&|hop| format!("{} by {}", hop.next, interface(hop)));
                Judgement::ok(format!("the way leads through {by}"))
            }
        }
    }
}

pub(super) fn neighbour(scene: &Scene) -> Vec<Found> {
    let mut found = Vec::new();
    for subject in balancers(scene) {
        // Many backends may be behind one router.
        let mut hops = BTreeMap::new();
        for (address, _) in subject.routed() {
            if let Some(Ok(way)) = scene.ways.get(&address)
                && !way.is_local
            {
                hops.extend(way.hops.iter().map(|hop| ((hop.next, hop.interface), hop)));
            }
        }
        for hop in hops.into_values() {
            let judgement = judge_neighbour(subject.standing, hop, &interface_name(scene, hop));
            found.push(judgement.about(format!("next hop {}", hop.next)));
        }
    }
    found
}

fn judge_neighbour(standing: Standing, hop: &Hop, interface: &str) -> Judgement {
    let keep =
        format!("ip neigh replace {} dev {interface} managed (`maglev-top apply` does it too)", hop.next);
    let ask = format!(
        "is it up, and on the segment of {interface}? `ping {}`; then `ip neigh show dev {interface}`",
        hop.next
    );
    let is_running = standing == Standing::Running;
    let Some(Neighbour { resolution, is_managed, hardware_address }) = hop.neighbour else {
        return if is_running {
            Judgement::fault(
                "nobody has asked for its hardware address, and XDP sends no ARP: its packets are dropped",
                keep,
            )
        } else {
            Judgement::ok("nobody has asked for its hardware address yet; `up` has the kernel do it")
        };
    };
    let at = hardware_address.map_or_else(String::new, |octets| format!(" at {}", hardware(octets)));
    match resolution {
        Resolution::Failed | Resolution::Asked if is_running => Judgement::fault(
            "nobody answers for it: its hardware address is not known, and its packets are dropped",
            ask,
        ),
        Resolution::Failed | Resolution::Asked => {
            Judgement::warning("nobody answers for it: its hardware address is not known", ask)
        }
        Resolution::Fixed => Judgement::ok(format!("it was written down by hand{at}")),
        Resolution::Confirmed | Resolution::Unconfirmed if is_managed => {
            Judgement::ok(format!("it is{at}, and is kept resolved"))
        }
        Resolution::Confirmed | Resolution::Unconfirmed if is_running => Judgement::warning(
            format!(
                "it is{at}, but nothing keeps it resolved: it may be forgotten at any time, and packets dropped then"
            ),
            keep,
        ),
        Resolution::Confirmed | Resolution::Unconfirmed => {
            Judgement::ok(format!("it is{at}; `up` has it kept resolved"))
        }
    }
}

/// How a packet's size changes on its way, and who bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Passage {
    /// The largest packet that comes in.
    ingress: u32,
    /// The largest that goes out.
    egress: u32,
    /// The outer header's length.
    outer: u32,
    /// Whether clients speak IPv6.
    is_ipv6: bool,
}

pub(super) fn packet_size(scene: &Scene) -> Vec<Found> {
    let mut found = Vec::new();
    for subject in balancers(scene) {
        let Some(ingress) = subject
            .interfaces
            .iter()
            .filter_map(|name| scene.device(name))
            .max_by_key(|device| device.interface.mtu)
        else {
            continue;
        };
        // Backends that are reached alike are judged once.
        let mut passages = BTreeMap::<(Passage, String), Vec<IpAddr>>::new();
        for (service, address) in subject.legs() {
            let is_routed = subject.routed().contains_key(&address);
            let (egress, interface) = match scene.ways.get(&address) {
                _ if !is_routed => (ingress.interface.mtu, ingress.interface.name.clone()),
                Some(Ok(way)) if !way.is_local => {
                    let devices = way.hops.iter().filter_map(|hop| scene.device_at(hop.interface));
                    let Some(device) = devices.min_by_key(|device| device.interface.mtu) else { continue };
                    (
                        way.mtu.unwrap_or(device.interface.mtu).min(device.interface.mtu),
                        device.interface.name.clone(),
                    )
                }
                _ => continue,
            };
            let passage = Passage {
                ingress: ingress.interface.mtu,
                egress,
                outer: outer_length(service, address),
                is_ipv6: service.address.is_ipv6(),
            };
            passages.entry((passage, interface)).or_default().push(address);
        }
        // By what is said: one line for as many backends as it is true of.
        for ((passage, interface), mut addresses) in passages {
            addresses.dedup();
            let about = match addresses[..] {
                [address] => backend(address),
                _ => format!("{} backends by {interface}", addresses.len()),
            };
            found.push(judge_size(passage, &interface).about(about));
        }
    }
    found
}

/// How much longer a packet to that backend gets.
fn outer_length(service: &Service, backend: IpAddr) -> u32 {
    match (service.forwarding, backend) {
        (Forwarding::Ipip, IpAddr::V4(_)) => 20,
        (Forwarding::Ipip, IpAddr::V6(_)) => 40,
        (Forwarding::L2 | Forwarding::Observe, _) => 0,
    }
}

fn judge_size(passage: Passage, interface: &str) -> Judgement {
    let Passage { ingress, egress, outer, is_ipv6 } = passage;
    // RFC 8200, section 5, and RFC 791: what every way takes.
    let (least, headers, family) = if is_ipv6 { (1280, 60, "IPv6") } else { (576, 40, "IPv4") };
    let largest = egress.saturating_sub(outer);
    let larger =
        format!("ip link set dev {interface} mtu {} (and as much on the whole way there)", ingress + outer);
    if largest >= ingress {
        Judgement::ok(format!(
            "packets of up to {ingress} bytes come in, and fit with {outer} more in {egress}"
        ))
    } else if largest < least {
        Judgement::fault(
            format!(
                "{interface} takes {egress} bytes, which leaves {largest} beside the outer header: less than the {least} that any {family} packet may have"
            ),
            larger,
        )
    } else {
        let segment = largest - headers;
        Judgement::warning(
            format!(
                "packets of up to {ingress} bytes come in, and {interface} takes {egress} with {outer} of outer header: those larger than {largest} are dropped (too-big) unless the backends announce an MSS of {segment} at most"
            ),
            format!("{larger}; or at the backends, on the route to clients: advmss {segment}"),
        )
    }
}

pub(super) fn redirect_target(scene: &Scene) -> Vec<Found> {
    let mut found = Vec::new();
    for subject in balancers(scene) {
        let ingress: Vec<&Device> = subject.interfaces.iter().filter_map(|name| scene.device(name)).collect();
        let mut targets = BTreeMap::new();
        for address in subject.routed().into_keys() {
            if let Some(Ok(way)) = scene.ways.get(&address)
                && !way.is_local
            {
                let devices = way.hops.iter().filter_map(|hop| scene.device_at(hop.interface));
                let is_elsewhere = |index| !ingress.iter().all(|one: &&Device| one.interface.index == index);
                targets.extend(
                    devices
                        .map(|device| (device.interface.index, device))
                        .filter(|&(index, _)| is_elsewhere(index)),
                );
            }
        }
        let is_generic = subject.attach_mode == AttachMode::Generic
            || ingress.iter().all(|device| {
                device.interface.holder.as_ref().is_some_and(|holder| holder.mode == "generic")
            });
        for device in targets.into_values() {
            found.push(judge_target(is_generic, device).about(device.interface.name.clone()));
        }
    }
    found
}

/// Whether what XDP redirects to a device is sent by it.
fn judge_target(is_generic: bool, device: &Device) -> Judgement {
    if !device.is_up || !device.is_running {
        return Judgement::fault(
            "backends are behind it, and it is switched off or has no carrier",
            format!("ip link set dev {} up", device.interface.name),
        );
    }
    if is_generic {
        return Judgement::ok("the program is attached generic, and sends by any interface");
    }
    match device.xdp {
        Some(features) if features.takes_redirected() => {
            Judgement::ok("it sends what the program redirects to it")
        }
        Some(_) if device.kind.as_deref() == Some("veth") => Judgement::fault(
            "it does not send what the program redirects to it: a veth does once its peer polls",
            "`ethtool -K PEER gro on` at its peer, or any XDP program there",
        ),
        Some(_) => Judgement::fault(
            format!(
                "its driver ({}) does not send what XDP redirects to it: packets to the backends behind it vanish",
                device.driver.as_deref().unwrap_or("unknown")
            ),
            "backends by the interface that packets come in by, attach-mode = \"generic\", or another driver",
        ),
        None => Judgement::skipped(
            "kernels before 6.3 do not say whether a driver sends what XDP redirects to it",
        ),
    }
}

fn backend(address: IpAddr) -> String {
    format!("backend {address}")
}

fn interface_name(scene: &Scene, hop: &Hop) -> String {
    scene
        .device_at(hop.interface)
        .map_or_else(|| format!("#{}", hop.interface), |device| device.interface.name.clone())
}

fn hardware(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    fn hop() -> Hop {
        Hop { next: "10.0.1.11".parse().unwrap(), interface: 4, neighbour: None }
    }

    fn way() -> Way {
        Way { is_local: false, hops: vec![hop()], mtu: None }
    }

    #[test]
    fn ways_lead_to_other_hosts_and_l2_to_the_segment() {
        let address = "10.0.1.11".parse().unwrap();
        let judge = |forwarding, way| judge_route(address, forwarding, &way, &|_| "eth1".to_owned()).verdict;
        let gateway = Hop { next: "10.0.0.1".parse().unwrap(), ..hop() };
        let by_router = Way { hops: vec![hop(), gateway], ..way() };
        assert_eq!(judge(Forwarding::Ipip, Ok(way())), Verdict::Ok);
        assert_eq!(judge(Forwarding::Ipip, Ok(by_router.clone())), Verdict::Ok);
        assert_eq!(judge(Forwarding::L2, Ok(by_router)), Verdict::Fault);
        assert_eq!(judge(Forwarding::L2, Ok(way())), Verdict::Ok);
        assert_eq!(judge(Forwarding::Ipip, Ok(Way { is_local: true, ..way() })), Verdict::Fault);
        assert_eq!(judge(Forwarding::Ipip, Err("network is unreachable".to_owned())), Verdict::Fault);
    }

    #[test]
    fn next_hops_are_known_and_kept_so() {
        use Resolution::{Asked, Confirmed, Failed, Fixed, Unconfirmed};
        let cases = [
            (Some((Confirmed, true)), Verdict::Ok, Verdict::Ok),
            (Some((Unconfirmed, true)), Verdict::Ok, Verdict::Ok),
            (Some((Confirmed, false)), Verdict::Warning, Verdict::Ok),
            (Some((Fixed, false)), Verdict::Ok, Verdict::Ok),
            (Some((Asked, true)), Verdict::Fault, Verdict::Warning),
            (Some((Failed, true)), Verdict::Fault, Verdict::Warning),
            (None, Verdict::Fault, Verdict::Ok),
        ];
        for (state, running, planned) in cases {
            let neighbour = state.map(|(resolution, is_managed)| Neighbour {
                resolution,
                is_managed,
                hardware_address: Some([2; 6]),
            });
            let hop = Hop { neighbour, ..hop() };
            assert_eq!(judge_neighbour(Standing::Running, &hop, "eth1").verdict, running, "{state:?}");
            assert_eq!(judge_neighbour(Standing::Planned, &hop, "eth1").verdict, planned, "{state:?}");
        }
    }

    #[test]
    fn packets_fit_with_their_outer_header_or_the_mss_is_told() {
        let judge =
            |ingress, egress, outer, is_ipv6| judge_size(Passage { ingress, egress, outer, is_ipv6 }, "eth1");
        assert_eq!(judge(1500, 1520, 20, false).verdict, Verdict::Ok);
        assert_eq!(judge(1500, 1500, 0, false).verdict, Verdict::Ok);
        let usual = judge(1500, 1500, 20, false);
        assert_eq!(usual.verdict, Verdict::Warning);
        assert!(usual.mend.unwrap().contains("mtu 1520 (and as much on the whole way there); or at the backends, on the route to clients: advmss 1440"));
        assert!(judge(1500, 1500, 40, true).mend.unwrap().ends_with("advmss 1400"));
        // 1280 is what every IPv6 way takes, and is left only by 1320.
        assert_eq!(judge(1500, 1320, 40, true).verdict, Verdict::Warning);
        assert_eq!(judge(1500, 1319, 40, true).verdict, Verdict::Fault);
        assert_eq!(judge(1500, 595, 20, false).verdict, Verdict::Fault);
        assert_eq!(judge(1500, 596, 20, false).verdict, Verdict::Warning);
    }
}
