//! The interfaces that packets come in by.

use std::{net::IpAddr, path::Path};

use maglev_core::config::AttachMode;
use maglev_probe::{
    XdpHolder,
    survey::{Device, pin_of_program},
};

use super::{
    finding::{Found, Judgement},
    scene::{Scene, Standing, Subject},
};

/// The largest MTU at which a driver needs no packets in pieces, about: a page, less what XDP and the kernel take of it.
const LARGEST_IN_ONE_PIECE: u32 = 3498;

/// Says something of every interface of every subject.
fn of_each(scene: &Scene, judge: impl Fn(&Subject, &Device) -> Vec<Judgement>) -> Vec<Found> {
    let mut found = Vec::new();
    for subject in scene.subjects.iter().filter(|subject| subject.standing != Standing::BackendEnd) {
        for name in &subject.interfaces {
            let Some(device) = scene.device(name) else { continue };
            found.extend(judge(subject, device).into_iter().map(|judgement| judgement.about(name.clone())));
        }
    }
    found
}

pub(super) fn present(scene: &Scene) -> Vec<Found> {
    let mut found = Vec::new();
    for subject in scene.subjects.iter().filter(|subject| subject.standing != Standing::BackendEnd) {
        for name in &subject.interfaces {
            found.push(judge_presence(scene.device(name), &scene.devices).about(name.clone()));
        }
    }
    found
}

fn judge_presence(device: Option<&Device>, all: &[Device]) -> Judgement {
    let Some(device) = device else {
        let names: Vec<&str> = all.iter().map(|device| device.interface.name.as_str()).collect();
        return Judgement::fault(
            format!("there is no such interface in this network namespace; there is {}", names.join(", ")),
            "name one of those (--interface, or datapath.interfaces)",
        );
    };
    let name = &device.interface.name;
    if !device.is_up {
        return Judgement::fault("it is switched off", format!("ip link set dev {name} up"));
    }
    if !device.is_running {
        return Judgement::fault(
            "it has no carrier: no packet comes in",
            "look at the cable, the switch's port or the other end",
        );
    }
    let driver = device.driver.as_deref().unwrap_or("of an unknown driver");
    Judgement::ok(format!("it is up, {driver}, MTU {}", device.interface.mtu))
}

pub(super) fn holder(scene: &Scene) -> Vec<Found> {
    of_each(scene, |subject, device| {
        let holder = device.interface.holder.as_ref();
        let owner = holder
            .and_then(|holder| scene.instance_of_program(holder.program))
            .map(|pins| pins.instance.name().to_owned());
        let pin = match (holder, &owner) {
            (Some(holder), None) => pin_of_program(holder.program),
            _ => None,
        };
        let index = device.interface.index;
        let is_linked = scene
            .known_pins()
            .any(|pins| pins.is_at_home && pins.links.iter().any(|link| link.interface == index));
        let Some(holder) = holder else { return vec![judge_free(is_linked)] };
        vec![judge_holder(subject.standing, &device.interface.name, holder, owner.as_deref(), pin.as_deref())]
    })
}

fn judge_free(is_linked: bool) -> Judgement {
    if is_linked {
        Judgement::fault(
            "nobody holds its XDP hook, though an instance is linked to it: it was detached",
            "`maglev-top down`, then `up`",
        )
    } else {
        Judgement::ok("its XDP hook is free")
    }
}

fn judge_holder(
    standing: Standing,
    interface: &str,
    holder: &XdpHolder,
    owner: Option<&str>,
    pin: Option<&Path>,
) -> Judgement {
    if let Some(owner) = owner {
        let found = format!("instance {owner} holds its XDP hook ({})", holder.mode);
        return match standing {
            Standing::Running | Standing::Candidate | Standing::BackendEnd => Judgement::ok(found),
            Standing::Planned => Judgement::fault(
                format!("{found}: another cannot be brought up here"),
                format!(
                    "`maglev-top apply --instance {owner} --config FILE` changes that one, `down` ends it"
                ),
            ),
        };
    }
    let name = if holder.name.is_empty() { "a program without a name" } else { &holder.name };
    let at =
        pin.map_or_else(|| "pinned nowhere here".to_owned(), |pin| format!("pinned at {}", pin.display()));
    let found = format!(
        "somebody else's XDP program is on it: {name} (id {}, {}, {at})",
        holder.program, holder.mode
    );
    let off = if holder.mode == "generic" { "xdpgeneric off" } else { "xdp off" };
    let mend = format!(
        "if it may go: end what attached it, remove its pin, or `ip link set dev {interface} {off}`; else take another interface"
    );
    match standing {
        Standing::Candidate => Judgement::warning(found, mend),
        Standing::Running | Standing::Planned | Standing::BackendEnd => Judgement::fault(found, mend),
    }
}

pub(super) fn mode(scene: &Scene) -> Vec<Found> {
    of_each(scene, |subject, device| vec![judge_mode(subject.attach_mode, device)])
}

/// In which mode a program is attached, or would be.
fn judge_mode(wanted: AttachMode, device: &Device) -> Judgement {
    let can = device.xdp.map(|features| {
        features.is_native() && (device.interface.mtu <= LARGEST_IN_ONE_PIECE || features.takes_fragments())
    });
    let pieces = device.xdp.is_some_and(|features| features.is_native() && !features.takes_fragments());
    let why = if pieces {
        format!("the driver takes no packets in pieces, which MTU {} needs", device.interface.mtu)
    } else {
        "the driver has no XDP".to_owned()
    };
    let slow = "generic: every packet has its socket buffer made first, which takes several times as long";
    if let Some(holder) = &device.interface.holder {
        return match (holder.mode, wanted, can) {
            ("generic", AttachMode::Generic, _) => {
                Judgement::ok("attached generic, as the configuration says")
            }
            ("generic", _, Some(true)) => Judgement::warning(
                format!("attached {slow}; the driver can do better"),
                "`down` and `up` with attach-mode = \"native\", which says what the driver has against it",
            ),
            ("generic", _, _) => Judgement::ok(format!("attached {slow}; {why}")),
            (mode, ..) => Judgement::ok(format!("attached {mode}")),
        };
    }
    match (wanted, can) {
        (AttachMode::Generic, _) => {
            Judgement::ok(format!("it would be attached {slow}, as the configuration says"))
        }
        (_, Some(true)) => Judgement::ok("it would be attached native"),
        (AttachMode::Native, Some(false)) => Judgement::fault(
            format!("it cannot be attached native: {why}"),
            "attach-mode = \"auto\", or a smaller MTU",
        ),
        (AttachMode::Auto, Some(false)) => Judgement::ok(format!("it would be attached {slow}; {why}")),
        (_, None) => Judgement::skipped("kernels before 6.3 do not say what a driver can do; `up` tries"),
    }
}

pub(super) fn merging(scene: &Scene) -> Vec<Found> {
    of_each(scene, |_, device| vec![judge_merging(device)])
}

fn judge_merging(device: &Device) -> Judgement {
    let Device { merging, interface, .. } = device;
    if merging.is_empty() {
        return Judgement::ok("no packets are merged before the program sees them");
    }
    let switches: Vec<String> = merging.iter().map(|name| format!("{name} off")).collect();
    Judgement::warning(
        format!(
            "{} on: drivers refuse native XDP with it, or packets larger than the MTU reach the program",
            merging.join(" and ")
        ),
        format!("ethtool -K {} {}", interface.name, switches.join(" ")),
    )
}

pub(super) fn forwarding(scene: &Scene) -> Vec<Found> {
    of_each(scene, |subject, device| {
        let routed = subject.routed();
        let families = [
            ("ipv4", routed.keys().any(IpAddr::is_ipv4), device.forwards_ipv4),
            ("ipv6", routed.keys().any(IpAddr::is_ipv6), device.forwards_ipv6),
        ];
        families
            .into_iter()
            .filter(|(_, is_asked_for, _)| *is_asked_for)
            .map(|(family, _, forwards)| judge_forwarding(&device.interface.name, family, forwards))
            .collect()
    })
}

fn judge_forwarding(interface: &str, family: &str, forwards: Option<bool>) -> Judgement {
    let sysctl = format!("net.{family}.conf.{interface}.forwarding");
    match forwards {
        Some(true) => Judgement::ok(format!("{sysctl} is on: the kernel tells the program the way")),
        Some(false) => Judgement::fault(
            format!("{sysctl} is off: the kernel tells the program no way, and every packet is dropped"),
            format!("sysctl -w {sysctl}=1 (or set datapath.gateway-mac)"),
        ),
        None => Judgement::fault(
            format!("there is no {sysctl}: the kernel has no {family}, and there are backends of it"),
            "a kernel with it (ipv6.disable=0), or backends of the other family",
        ),
    }
}

#[cfg(test)]
mod tests {
    use maglev_probe::{Interface, survey::XdpFeatures};

    use super::{super::finding::Verdict, *};

    fn device() -> Device {
        Device {
            interface: Interface {
                index: 3,
                name: "eth0".to_owned(),
                mtu: 1500,
                hardware_address: [2, 0, 0, 0, 0, 1],
                holder: None,
            },
            is_up: true,
            is_running: true,
            is_loopback: false,
            kind: None,
            driver: Some("ixgbe".to_owned()),
            xdp: Some(XdpFeatures::of_bits(0b111)),
            merging: Vec::new(),
            forwards_ipv4: Some(true),
            forwards_ipv6: Some(true),
            reverse_path_filter: Some(0),
            arp_ignore: Some(0),
        }
    }

    fn held(mode: &'static str) -> XdpHolder {
        XdpHolder { program: 9, name: "guard".to_owned(), mode }
    }

    #[test]
    fn an_interface_is_there_and_on() {
        let all = [device()];
        assert_eq!(judge_presence(Some(&device()), &all).verdict, Verdict::Ok);
        let missing = judge_presence(None, &all);
        assert_eq!(missing.verdict, Verdict::Fault);
        assert!(missing.found.contains("eth0"), "{}", missing.found);
        assert_eq!(judge_presence(Some(&Device { is_up: false, ..device() }), &all).verdict, Verdict::Fault);
        assert_eq!(
            judge_presence(Some(&Device { is_running: false, ..device() }), &all).verdict,
            Verdict::Fault
        );
    }

    #[test]
    fn a_hook_is_free_ours_or_somebody_elses() {
        use Standing::{Candidate, Planned, Running};
        assert_eq!(judge_free(false).verdict, Verdict::Ok);
        assert_eq!(judge_free(true).verdict, Verdict::Fault);
        let cases = [
            (Running, "native", Some("default"), Verdict::Ok),
            (Planned, "native", Some("default"), Verdict::Fault),
            (Planned, "generic", None, Verdict::Fault),
            (Running, "native", None, Verdict::Fault),
            (Candidate, "native", None, Verdict::Warning),
        ];
        for (standing, mode, owner, verdict) in cases {
            let judgement = judge_holder(standing, "eth0", &held(mode), owner, None);
            assert_eq!(judgement.verdict, verdict, "{standing:?} {mode:?} {owner:?}");
        }
        let pin = Path::new("/sys/fs/bpf/guard");
        let judgement = judge_holder(Planned, "eth0", &held("native"), None, Some(pin));
        assert!(
            judgement.found.contains("guard (id 9, native, pinned at /sys/fs/bpf/guard)"),
            "{judgement:?}"
        );
    }

    #[test]
    fn modes_are_what_the_driver_can_do() {
        let native = device();
        let none = Device { xdp: Some(XdpFeatures::default()), ..device() };
        let jumbo = Device { interface: Interface { mtu: 9000, ..device().interface }, ..device() };
        let untold = Device { xdp: None, ..device() };
        assert!(judge_mode(AttachMode::Auto, &native).found.contains("native"));
        assert!(judge_mode(AttachMode::Auto, &none).found.contains("generic"));
        assert_eq!(judge_mode(AttachMode::Native, &none).verdict, Verdict::Fault);
        assert!(judge_mode(AttachMode::Native, &jumbo).found.contains("pieces"));
        let pieces = Device { xdp: Some(XdpFeatures::of_bits(0b10_0111)), ..jumbo };
        assert_eq!(judge_mode(AttachMode::Native, &pieces).verdict, Verdict::Ok);
        assert_eq!(judge_mode(AttachMode::Auto, &untold).verdict, Verdict::Skipped);
        let slow = Device {
            interface: Interface { holder: Some(held("generic")), ..device().interface },
            ..device()
        };
        assert_eq!(judge_mode(AttachMode::Auto, &slow).verdict, Verdict::Warning);
        assert_eq!(judge_mode(AttachMode::Generic, &slow).verdict, Verdict::Ok);
    }

    #[test]
    fn merging_and_forwarding_are_named_with_their_switches() {
        let merging = judge_merging(&Device { merging: vec!["rx-lro".to_owned()], ..device() });
        assert_eq!(merging.mend.as_deref(), Some("ethtool -K eth0 rx-lro off"));
        assert_eq!(judge_merging(&device()).verdict, Verdict::Ok);
        let off = judge_forwarding("eth0", "ipv4", Some(false));
        assert_eq!(off.verdict, Verdict::Fault);
        assert!(off.mend.unwrap().contains("sysctl -w net.ipv4.conf.eth0.forwarding=1"));
        assert_eq!(judge_forwarding("eth0", "ipv6", None).verdict, Verdict::Fault);
        assert_eq!(judge_forwarding("eth0", "ipv6", Some(true)).verdict, Verdict::Ok);
    }
}
