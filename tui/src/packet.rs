//! What became of a packet, in words.

use maglev_probe::{
    Verdict,
    trace::{TracedBackend, TracedPacket},
};

/// The flags of TCP, from the lowest bit on (RFC 9293).
const FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

/// The name of a protocol, or its number.
pub(crate) fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        number => format!("protocol {number}"),
    }
}

/// The names of the flags that are set.
pub(crate) fn flags(bits: u8) -> Vec<&'static str> {
    FLAGS.iter().enumerate().filter(|(place, _)| bits >> place & 1 != 0).map(|(_, name)| *name).collect()
}

/// What was done with a packet, and why.
pub(crate) fn explanation(packet: &TracedPacket) -> String {
    let Some(verdict) = packet.verdict else { return "unknown".to_owned() };
    let what = meaning(verdict);
    match (verdict, &packet.backend) {
        (Verdict::NotAService, _) => {
            format!("{what} listens at {} ({})", packet.destination, protocol(packet.protocol))
        }
        (Verdict::Transmitted | Verdict::Redirected, Some(backend)) => {
            format!("{what} to {}", chosen(packet, backend))
        }
        (Verdict::Observed, Some(backend)) => format!("{what}; its backend is {}", chosen(packet, backend)),
        (_, Some(backend)) => format!("{what} (it was for {})", chosen(packet, backend)),
        (_, None) => what.to_owned(),
    }
}

/// What a verdict means, and what can be done about it.
const fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotIp => "passed to the host: it is not IP",
        Verdict::ExtensionHeaders => "passed to the host: more extension headers than are followed",
        Verdict::OtherProtocol => {
            "passed to the host: neither TCP nor UDP, nor an ICMP message that is balanced or answered"
        }
        Verdict::Malformed => "passed to the host: its headers contradict themselves or the frame's length",
        Verdict::Fragment => "passed to the host: a fragment of neither TCP nor UDP",
        Verdict::NotAService => "passed to the host: no service",
        Verdict::Observed => "only observed, and passed to the host",
        Verdict::Transmitted | Verdict::Redirected => "sent",
        Verdict::NoBackend => "dropped: its slot has no owner; undrain or add a backend",
        Verdict::BackendGone => "dropped: the backend that its slot names is gone",
        Verdict::NoRoute => "dropped: the kernel knows no way to the backend; `maglev-top doctor` says more",
        Verdict::NoNeighbour => {
            "dropped: the next hop's hardware address is not known; `maglev-top doctor` says more"
        }
        Verdict::ForwardingOff => {
            "dropped: the kernel does not forward here; `maglev-top doctor` names the sysctl"
        }
        Verdict::TooBig => {
            "dropped: with its outer header it is larger than the way takes; `maglev-top doctor` says the MSS that fits"
        }
        Verdict::NotOnSegment => "dropped: the backend is behind a router, where `l2` cannot reach it",
        Verdict::NoHeadroom => "dropped: the driver left no room for the outer header",
        Verdict::Inconsistent => "dropped: the maps contradict one another; `maglev-top doctor` says more",
        Verdict::FragmentWithoutFirst => {
            "passed to the host: a fragment whose first one did not come before it, within half a minute"
        }
        Verdict::TaggedElsewhere => {
            "dropped: it has VLAN tags, and the way to the backend leads by another interface; \
             give the VLAN an interface of its own, and attach there"
        }
        Verdict::TimeExceeded => {
            "dropped: its time to live ends here, and its sender is told so only so often; look for a loop of routes"
        }
        Verdict::TimeExceededAnswered => {
            "answered: its time to live ends here, and its sender is told so, as `traceroute` asks for"
        }
        Verdict::TooBigAnswered => {
            "answered: with its outer header it is larger than the way takes, and its sender is told what fits"
        }
        Verdict::ForeignQuote => "passed to the host: an ICMP error about a packet that no service has sent",
        Verdict::EchoAnswered => "answered: an echo request to a service's address",
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

    fn packet(verdict: Verdict) -> TracedPacket {
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
            verdict: Some(verdict),
        }
    }

    #[test]
    fn what_no_service_takes_is_told_by_address_port_and_protocol() {
        let words = explanation(&packet(Verdict::NotAService));
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
                ..packet(Verdict::Redirected)
            })
        };
        assert_eq!(sent("b1", None, None), "sent to b1 (10.0.0.1), its slot's owner");
        assert!(sent("b2", Some("b1"), None).contains("held, as a connection from before"));
        assert!(sent("b1", Some("b2"), Some("b1")).contains("where its flow is remembered"));
        assert!(sent("b3", Some("b2"), None).contains("took the place"));
    }

    #[test]
    fn flags_have_names() {
        assert_eq!(flags(0x12), ["syn", "ack"]);
        assert_eq!(flags(0), Vec::<&str>::new());
    }

    #[test]
    fn the_words_of_a_verdict_begin_with_what_was_done() {
        let done = ["passed to the host", "only observed", "sent", "dropped: ", "answered: "];
        for &verdict in Verdict::ALL {
            let words = explanation(&packet(verdict));
            assert!(done.iter().any(|done| words.starts_with(done)), "{}: {words}", verdict.word());
        }
        assert!(explanation(&packet(Verdict::TooBig)).contains("MSS"));
    }
}
