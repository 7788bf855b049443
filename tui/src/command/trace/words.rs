//! What was decided of a packet, in words.

use maglev_probe::trace::{TracedBackend, TracedPacket};

/// The flags of TCP, from the lowest bit on (RFC 9293).
const FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

/// What verdicts mean that are not told from the packet.
const VERDICTS: &[(&str, &str)] = &[
    ("not-ip", "passed to the host: it is not IP"),
    ("extension-headers", "passed to the host: more extension headers than are followed"),
    ("other-protocol", "passed to the host: neither TCP nor UDP"),
    ("malformed", "passed to the host: its headers contradict themselves or the frame's length"),
    ("fragment", "passed to the host: it is a fragment"),
    ("no-backend", "dropped: its slot has no owner; undrain or add a backend"),
    ("backend-gone", "dropped: the backend that its slot names is gone"),
    ("no-route", "dropped: the kernel knows no way to the backend; `maglev-top doctor` says more"),
    ("no-neighbour", "dropped: the next hop's hardware address is not known; `maglev-top doctor` says more"),
    ("forwarding-off", "dropped: the kernel does not forward here; `maglev-top doctor` names the sysctl"),
    (
        "too-big",
        "dropped: with its outer header it is larger than the way takes; `maglev-top doctor` says the MSS that fits",
    ),
    ("not-on-segment", "dropped: the backend is behind a router, where `l2` cannot reach it"),
    ("no-headroom", "dropped: the driver left no room for the outer header"),
    ("inconsistent", "dropped: the maps contradict one another; `maglev-top doctor` says more"),
];

/// The name of a protocol, or its number.
pub(super) fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        number => format!("protocol {number}"),
    }
}

/// The names of the flags that are set.
pub(super) fn flags(bits: u8) -> Vec<&'static str> {
    FLAGS.iter().enumerate().filter(|(place, _)| bits >> place & 1 != 0).map(|(_, name)| *name).collect()
}

/// What was done with a packet, and why.
pub(super) fn explanation(packet: &TracedPacket) -> String {
    match (packet.verdict, &packet.backend) {
        ("not-a-service", _) => {
            format!(
                "passed to the host: no service listens at {} ({})",
                packet.destination,
                protocol(packet.protocol)
            )
        }
        ("transmitted" | "redirected", Some(backend)) => format!("sent to {}", chosen(packet, backend)),
        ("observed", Some(backend)) => {
            format!("only observed, and passed to the host; its backend is {}", chosen(packet, backend))
        }
        (verdict, backend) => {
            let what = VERDICTS.iter().find(|(word, _)| *word == verdict).map_or(verdict, |(_, what)| what);
            match backend {
                Some(backend) => format!("{what} (it was for {})", chosen(packet, backend)),
                None => what.to_owned(),
            }
        }
    }
}

/// The backend, and why it was chosen.
fn chosen(packet: &TracedPacket, backend: &TracedBackend) -> String {
    let TracedBackend { name, address } = backend;
    let is = |other: &Option<String>| other.as_ref() == Some(name);
    let why = if is(&packet.remembered) {
        "where its flow is remembered to be"
    } else if is(&packet.owner) {
        "its slot's owner"
    } else if is(&packet.previous) {
        "its slot's previous owner: held, as a connection from before the change"
    } else {
        "which took the place of another one that is gone"
    };
    format!("{name} ({}), {why}", address.ip())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn packet(verdict: &'static str) -> TracedPacket {
        TracedPacket {
            at: SystemTime::UNIX_EPOCH,
            interface: "eth0".to_owned(),
            client: "198.51.100.7:4000".parse().unwrap(),
            destination: "192.0.2.10:81".parse().unwrap(),
            protocol: 6,
            flags: 0x12,
            icmp_type: 0,
            length: 60,
            tags: 0,
            service: None,
            slot: None,
            owner: None,
            previous: None,
            remembered: None,
            backend: None,
            next_hop: None,
            verdict,
        }
    }

    #[test]
    fn what_no_service_takes_is_told_by_address_port_and_protocol() {
        let words = explanation(&packet("not-a-service"));
        assert_eq!(words, "passed to the host: no service listens at 192.0.2.10:81 (tcp)");
    }

    #[test]
    fn why_a_backend_was_chosen_is_told() {
        let sent = |owner: &str, previous: Option<&str>, remembered: Option<&str>| {
            explanation(&TracedPacket {
                owner: Some(owner.to_owned()),
                previous: previous.map(str::to_owned),
                remembered: remembered.map(str::to_owned),
                backend: Some(TracedBackend {
                    name: "b1".to_owned(),
                    address: "10.0.0.1:80".parse().unwrap(),
                }),
                ..packet("redirected")
            })
        };
        assert_eq!(sent("b1", None, None), "sent to b1 (10.0.0.1), its slot's owner");
        assert!(sent("b2", Some("b1"), None).contains("held, as a connection from before"));
        assert!(sent("b1", Some("b2"), Some("b1")).contains("where its flow is remembered"));
        assert!(sent("b3", Some("b2"), None).contains("took the place"));
    }

    #[test]
    fn flags_and_verdicts_have_words() {
        assert_eq!(flags(0x12), ["syn", "ack"]);
        assert_eq!(flags(0), Vec::<&str>::new());
        assert!(explanation(&packet("too-big")).contains("MSS"));
        // One of another version is told by its word alone.
        assert_eq!(explanation(&packet("quite-new")), "quite-new");
    }
}
