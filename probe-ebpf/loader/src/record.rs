//! Services and backends as the records that the kernel keeps, and back.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use maglev_core::{
    config::{Datapath, Ipv4Net, Ipv6Net},
    health::{CheckKind, Health, HealthCheck, HttpCheck, Statuses, Via},
    sample::ByHand,
    seed::HashSeed,
    service::{Affinity, Backend, BackendState, Forwarding, Protocol, Service, Tracking},
};
use maglev_probe_abi as abi;

/// `text`, cut to `N` bytes and filled up with zeros.
pub(crate) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes = [0; N];
    bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
    bytes
}

/// The text before the zeros.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

pub(crate) const fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

pub(crate) fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
        IpAddr::V6(address) => address.octets(),
    }
}

pub(crate) fn address(octets: [u8; 16], family: u8) -> IpAddr {
    if family == 6 {
        Ipv6Addr::from(octets).into()
    } else {
        Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into()
    }
}

pub(crate) const fn state(state: BackendState) -> u8 {
    match state {
        BackendState::Active => abi::BACKEND_ACTIVE,
        BackendState::Draining => abi::BACKEND_DRAINING,
    }
}

/// What is kept of a service; its first slot is chosen by the caller.
pub(crate) fn service_identity(service: &Service, seed: &HashSeed, first_slot: u32) -> abi::ServiceIdentity {
    abi::ServiceIdentity {
        name: padded(&service.name),
        address: octets(service.address.ip()),
        port: service.address.port(),
        family: family(service.address.ip()),
        protocol: service.protocol.number(),
        table_size: service.table_size,
        first_slot,
        forwarding: match service.forwarding {
            Forwarding::Ipip => abi::FORWARDING_IPIP,
            Forwarding::L2 => abi::FORWARDING_L2,
            Forwarding::Observe => abi::FORWARDING_OBSERVE,
        },
        tracking: match service.tracking {
            Tracking::Settling => abi::TRACKING_SETTLING,
            Tracking::Always => abi::TRACKING_ALWAYS,
            Tracking::Never => abi::TRACKING_NEVER,
        },
        affinity: match service.affinity {
            Affinity::None => abi::AFFINITY_NONE,
            Affinity::SourceIp => abi::AFFINITY_SOURCE,
        },
        leaving: 0,
        settle_milliseconds: milliseconds(service.settle_time),
        settle_limit_milliseconds: service.settle_limit.map_or(0, milliseconds),
        seed: seed.bytes(),
        reserved: [0; 20],
        health: health_settings(service.health.as_ref()),
    }
}

/// The service that an identity keeps, without its backends.
pub(crate) fn service(identity: &abi::ServiceIdentity) -> Service {
    Service {
        name: text(&identity.name),
        address: SocketAddr::new(address(identity.address, identity.family), identity.port),
        protocol: if identity.protocol == Protocol::Udp.number() { Protocol::Udp } else { Protocol::Tcp },
        table_size: identity.table_size,
        forwarding: match identity.forwarding {
            abi::FORWARDING_L2 => Forwarding::L2,
            abi::FORWARDING_OBSERVE => Forwarding::Observe,
            _ => Forwarding::Ipip,
        },
        affinity: if identity.affinity == abi::AFFINITY_SOURCE { Affinity::SourceIp } else { Affinity::None },
        tracking: match identity.tracking {
            abi::TRACKING_ALWAYS => Tracking::Always,
            abi::TRACKING_NEVER => Tracking::Never,
            _ => Tracking::Settling,
        },
        settle_time: Duration::from_millis(identity.settle_milliseconds),
        settle_limit: (identity.settle_limit_milliseconds != 0)
            .then(|| Duration::from_millis(identity.settle_limit_milliseconds)),
        health: health_check(&identity.health),
        backends: Vec::new(),
    }
}

/// What is kept of what a service has checked.
fn health_settings(check: Option<&HealthCheck>) -> abi::HealthSettings {
    let none = abi::HealthSettings {
        kind: abi::CHECK_NONE,
        rise: 0,
        fall: 0,
        via: abi::VIA_DIRECT,
        port: 0,
        reserved: 0,
        interval_milliseconds: 0,
        timeout_milliseconds: 0,
        statuses: [[0; 2]; 8],
        path: [0; 128],
        host: [0; 128],
    };
    let Some(check) = check else { return none };
    let milliseconds = |time| u32::try_from(milliseconds(time)).unwrap_or(u32::MAX);
    let settings = abi::HealthSettings {
        kind: abi::CHECK_TCP,
        rise: check.rise,
        fall: check.fall,
        via: match check.via {
            Via::Direct => abi::VIA_DIRECT,
            Via::Tunnel => abi::VIA_TUNNEL,
        },
        port: check.port.unwrap_or(0),
        interval_milliseconds: milliseconds(check.interval),
        timeout_milliseconds: milliseconds(check.timeout),
        ..none
    };
    let CheckKind::Http(http) = &check.kind else { return settings };
    let mut statuses = none.statuses;
    for (kept, &(first, last)) in statuses.iter_mut().zip(http.status.ranges()) {
        *kept = [first, last];
    }
    abi::HealthSettings {
        kind: abi::CHECK_HTTP,
        statuses,
        path: padded(&http.path),
        host: padded(http.host.as_deref().unwrap_or_default()),
        ..settings
    }
}

/// What a service has checked.
fn health_check(settings: &abi::HealthSettings) -> Option<HealthCheck> {
    let ranges =
        || settings.statuses.iter().filter(|range| range[0] != 0).map(|&[first, last]| (first, last));
    let kind = match settings.kind {
        abi::CHECK_TCP => CheckKind::Tcp,
        abi::CHECK_HTTP => CheckKind::Http(HttpCheck {
            path: text(&settings.path),
            host: Some(text(&settings.host)).filter(|host| !host.is_empty()),
            status: Statuses::of_ranges(ranges().collect()).unwrap_or_default(),
        }),
        _ => return None,
    };
    Some(HealthCheck {
        kind,
        interval: Duration::from_millis(settings.interval_milliseconds.into()),
        timeout: Duration::from_millis(settings.timeout_milliseconds.into()),
        rise: settings.rise,
        fall: settings.fall,
        port: (settings.port != 0).then_some(settings.port),
        via: if settings.via == abi::VIA_TUNNEL { Via::Tunnel } else { Via::Direct },
    })
}

pub(crate) const fn health(health: Health) -> u8 {
    match health {
        Health::Unknown => abi::HEALTH_UNKNOWN,
        Health::Healthy => abi::HEALTH_HEALTHY,
        Health::Unhealthy => abi::HEALTH_UNHEALTHY,
        Health::Kept => abi::HEALTH_KEPT,
    }
}

const fn health_of(health: u8) -> Health {
    match health {
        abi::HEALTH_HEALTHY => Health::Healthy,
        abi::HEALTH_UNHEALTHY => Health::Unhealthy,
        abi::HEALTH_KEPT => Health::Kept,
        _ => Health::Unknown,
    }
}

/// Where packets of a service are looked up.
pub(crate) fn service_key(identity: &abi::ServiceIdentity) -> abi::ServiceKey {
    abi::ServiceKey {
        address: identity.address,
        port: identity.port.to_be(),
        protocol: identity.protocol,
        family: identity.family,
    }
}

/// Where a service's address is looked up, whatever the port and protocol.
pub(crate) fn address_key(identity: &abi::ServiceIdentity) -> abi::ServiceKey {
    abi::ServiceKey { port: 0, protocol: 0, ..service_key(identity) }
}

/// What the program reads of a service.
pub(crate) fn service_record(number: u32, identity: &abi::ServiceIdentity, rows: u32) -> abi::ServiceRecord {
    let seed = HashSeed::from_bytes(identity.seed);
    abi::ServiceRecord {
        number,
        first_slot: identity.first_slot,
        table_size: identity.table_size,
        hash_seed: if identity.family == 6 { seed.jhash_v6() } else { seed.jhash_v4() },
        rows,
        forwarding: identity.forwarding,
        tracking: identity.tracking,
        affinity: identity.affinity,
        padding: 0,
        settle_milliseconds: identity.settle_milliseconds,
        settle_limit_milliseconds: identity.settle_limit_milliseconds,
        reserved: 0,
    }
}

/// What the program reads of a datapath's settings.
pub(crate) fn settings(datapath: &Datapath) -> abi::Settings {
    let mut settings = abi::Settings {
        gateway: datapath.gateway_mac.unwrap_or_default(),
        has_gateway: datapath.gateway_mac.is_some().into(),
        ..abi::Settings::default()
    };
    if let Some(source) = &datapath.tunnel_source_v4 {
        settings.tunnel_source_v4 = source.network().octets();
        settings.tunnel_host_mask_v4 = source.hostmask().octets();
    }
    if let Some(source) = &datapath.tunnel_source_v6 {
        settings.tunnel_source_v6 = source.network().octets();
        settings.tunnel_prefix_v6 = source.prefix_len().into();
    }
    settings
}

/// What a running datapath's settings say, as far as services depend on it.
pub(crate) fn datapath(settings: &abi::Settings) -> Datapath {
    let prefix_v4 = u32::from_be_bytes(settings.tunnel_host_mask_v4).leading_zeros();
    let source_v4 = Ipv4Addr::from(settings.tunnel_source_v4);
    let source_v6 = Ipv6Addr::from(settings.tunnel_source_v6);
    let prefix = |length: u32| u8::try_from(length).unwrap_or(u8::MAX);
    Datapath {
        tunnel_source_v4: (!source_v4.is_unspecified())
            .then(|| Ipv4Net::new(source_v4, prefix(prefix_v4)).ok())
            .flatten(),
        tunnel_source_v6: (!source_v6.is_unspecified())
            .then(|| Ipv6Net::new(source_v6, prefix(settings.tunnel_prefix_v6)).ok())
            .flatten(),
        gateway_mac: (settings.has_gateway != 0).then_some(settings.gateway),
        ..Datapath::default()
    }
}

/// What is kept of a backend.
pub(crate) fn backend_identity(backend: &Backend, service: u32, generation: u32) -> abi::BackendIdentity {
    abi::BackendIdentity {
        name: padded(&backend.name),
        address: octets(backend.address.ip()),
        port: backend.address.port(),
        family: family(backend.address.ip()),
        state: state(backend.state),
        weight: backend.weight.into(),
        service,
        generation,
        removed_at: 0,
        configured_weight: 0,
        configured_state: abi::BACKEND_GONE,
        health: health(backend.health),
        failures: 0,
        padding: 0,
        health_since: 0,
    }
}

/// Notes in an identity what the configuration says of the backend; nothing, if it has no such backend.
pub(crate) fn set_configured(identity: &mut abi::BackendIdentity, configured: Option<&Backend>) {
    identity.configured_state = configured.map_or(abi::BACKEND_GONE, |backend| state(backend.state));
    identity.configured_weight = configured.map_or(0, |backend| backend.weight.into());
}

/// The backend as the configuration last had it, if it had it.
pub(crate) fn configured(identity: &abi::BackendIdentity) -> Option<Backend> {
    let as_configured = abi::BackendIdentity {
        state: identity.configured_state,
        weight: identity.configured_weight,
        ..*identity
    };
    (identity.configured_state != abi::BACKEND_GONE).then(|| backend(&as_configured))
}

/// What was done to a backend by hand since a configuration was last applied.
pub(crate) fn by_hand(identity: &abi::BackendIdentity) -> Vec<ByHand> {
    let Some(configured) = configured(identity) else { return vec![ByHand::Added] };
    let Backend { state, weight, .. } = backend(identity);
    let state = (state != configured.state).then_some(ByHand::State(configured.state));
    let weight = (weight != configured.weight).then_some(ByHand::Weight(configured.weight));
    state.into_iter().chain(weight).collect()
}

/// The backend that an identity keeps.
pub(crate) fn backend(identity: &abi::BackendIdentity) -> Backend {
    Backend {
        name: text(&identity.name),
        address: SocketAddr::new(address(identity.address, identity.family), identity.port),
        weight: u16::try_from(identity.weight).unwrap_or(u16::MAX),
        state: if identity.state == abi::BACKEND_ACTIVE {
            BackendState::Active
        } else {
            BackendState::Draining
        },
        health: health_of(identity.health),
    }
}

/// What the program reads of a backend: it derives from what is kept of it. One that is unhealthy is not there for
/// new flows, whatever the operator wants of it.
pub(crate) const fn backend_record(identity: &abi::BackendIdentity) -> abi::BackendRecord {
    abi::BackendRecord {
        address: identity.address,
        generation: identity.generation,
        state: match (identity.state, identity.health) {
            (abi::BACKEND_ACTIVE, abi::HEALTH_UNHEALTHY) => abi::BACKEND_DRAINING,
            (state, _) => state,
        },
        family: identity.family,
        padding: 0,
        service: identity.service,
        reserved: 0,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_too_long_are_cut_between_characters() {
        assert_eq!(text(&padded::<4>("abcé")), "abc");
        assert_eq!(text(&padded::<4>("abcd")), "abcd");
        assert_eq!(text(&padded::<8>("")), "");
    }

    #[test]
    fn settings_survive_the_kernel() {
        let one = Datapath {
            tunnel_source_v4: Some("100.64.7.0/24".parse().unwrap()),
            tunnel_source_v6: Some("fd00::2/128".parse().unwrap()),
            gateway_mac: Some([2, 0, 0, 0, 0, 1]),
            ..Datapath::default()
        };
        assert_eq!(datapath(&settings(&one)), one);
        assert_eq!(settings(&one).tunnel_host_mask_v4, [0, 0, 0, 255]);
        assert_eq!(datapath(&settings(&Datapath::default())), Datapath::default());
    }

    #[test]
    fn services_and_backends_survive_the_kernel() {
        let one = Service {
            name: "web".into(),
            address: "192.0.2.10:80".parse().unwrap(),
            protocol: Protocol::Udp,
            table_size: 251,
            forwarding: Forwarding::L2,
            affinity: Affinity::SourceIp,
            tracking: Tracking::Always,
            settle_time: Duration::from_secs(600),
            settle_limit: Some(Duration::from_secs(3600)),
            health: None,
            backends: Vec::new(),
        };
        let tcp = HealthCheck {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(10),
            rise: 2,
            fall: 255,
            port: Some(8080),
            via: Via::Tunnel,
        };
        let http = HttpCheck {
            path: "/ready".into(),
            host: Some("web".into()),
            status: "200,204,301-302".parse().unwrap(),
        };
        let http = HealthCheck { kind: CheckKind::Http(http), port: None, via: Via::Direct, ..tcp.clone() };
        for health in [None, Some(tcp), Some(http)] {
            let one = Service { health, ..one.clone() };
            assert_eq!(service(&service_identity(&one, &HashSeed::default(), 512)), one);
        }
        let two = Backend {
            name: "b1".into(),
            address: "[2001:db8::1]:8080".parse().unwrap(),
            weight: 7,
            state: BackendState::Draining,
            health: Health::Kept,
        };
        assert_eq!(backend(&backend_identity(&two, 1, 9)), two);
    }

    #[test]
    fn what_was_done_by_hand_is_what_the_configuration_says_otherwise() {
        let one = Backend {
            name: "b1".into(),
            address: "10.0.0.1:80".parse().unwrap(),
            weight: 7,
            state: BackendState::Draining,
            health: Health::Unknown,
        };
        let mut identity = backend_identity(&one, 1, 9);
        assert_eq!(by_hand(&identity), [ByHand::Added]);
        set_configured(&mut identity, Some(&one));
        assert_eq!(by_hand(&identity), []);
        let other = Backend { weight: 100, state: BackendState::Active, ..one };
        set_configured(&mut identity, Some(&other));
        assert_eq!(by_hand(&identity), [ByHand::State(BackendState::Active), ByHand::Weight(100)]);
    }
}
