//! Which addresses services, backends and outer headers may have.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Rule;
use crate::{
    config::Datapath,
    health::Via,
    service::{Backend, Forwarding, Service},
};

/// Says whether packets can be for that address and port.
pub(super) fn check_endpoint(address: SocketAddr) -> Result<(), Rule> {
    let ip = address.ip();
    if address.port() == 0 {
        return Err(Rule::NoPort);
    }
    if ip.is_unspecified() {
        return Err(Rule::Unspecified(ip));
    }
    if ip.is_multicast() {
        return Err(Rule::Multicast(ip));
    }
    match address {
        SocketAddr::V4(v4) if v4.ip().is_broadcast() => Err(Rule::Broadcast(ip)),
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Err(Rule::Zone(v6.scope_id())),
        _ => Ok(()),
    }
}

/// Says whether the service's packets can get to the backend.
pub(super) fn check_family(service: &Service, backend: &Backend, datapath: &Datapath) -> Result<(), Rule> {
    let v4 = backend.address.is_ipv4();
    match service.forwarding {
        Forwarding::Ipip => {
            let source =
                if v4 { datapath.tunnel_source_v4.is_some() } else { datapath.tunnel_source_v6.is_some() };
            if source { Ok(()) } else { Err(Rule::NoTunnelSource { v4 }) }
        }
        Forwarding::L2 | Forwarding::Observe if v4 != service.address.is_ipv4() => Err(Rule::OtherFamily {
            forwarding: service.forwarding,
            service_is_v4: service.address.is_ipv4(),
        }),
        Forwarding::L2 | Forwarding::Observe => Ok(()),
    }
}

/// Says whether the backend's checks can take the way of the service's packets.
pub(super) fn check_tunnel(service: &Service, backend: &Backend) -> Result<(), Rule> {
    let service_is_v4 = service.address.is_ipv4();
    // Where packets stay as they are, families that differ have an error of their own.
    let is_checked = service.forwarding == Forwarding::Ipip && goes_through_tunnel(service);
    if is_checked && backend.address.is_ipv4() != service_is_v4 {
        return Err(Rule::TunnelCheckFamily { service_is_v4 });
    }
    Ok(())
}

/// Says whether there is a way that the checks of a service can take.
pub(super) fn check_via(service: &Service) -> Result<(), Rule> {
    if service.forwarding == Forwarding::Observe && goes_through_tunnel(service) {
        return Err(Rule::TunnelCheckObserved);
    }
    Ok(())
}

fn goes_through_tunnel(service: &Service) -> bool {
    service.health.as_ref().is_some_and(|check| check.via == Via::Tunnel)
}

/// Says whether outer headers can come from there.
pub(super) fn check_source(source: IpNet) -> Result<(), Rule> {
    let address = source.addr();
    if source.trunc() != source {
        return Err(Rule::HostBits(source.trunc().to_string()));
    }
    let nobody = address.is_unspecified() || address.is_multicast();
    if nobody || matches!(address, IpAddr::V4(v4) if v4.is_broadcast()) {
        return Err(Rule::TunnelSource(address));
    }
    Ok(())
}
