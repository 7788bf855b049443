//! Kernel routes.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use crate::error::LabError;
use crate::link::{Interface, family_of};
use crate::namespace::Namespace;
use crate::netlink::configure;

/// A route of a namespace's main table.
#[derive(Clone, Debug)]
pub struct Route {
    destination: IpAddr,
    prefix_length: u8,
    gateway: Option<IpAddr>,
    interface: Option<u32>,
}

impl Route {
    /// A route to the addresses that share the first `prefix_length` bits with `destination`.
    #[must_use]
    pub fn new(destination: IpAddr, prefix_length: u8) -> Self {
        Self { destination, prefix_length, gateway: None, interface: None }
    }

    /// A route to one address.
    #[must_use]
    pub fn to(address: IpAddr) -> Self {
        Self::new(address, if address.is_ipv4() { 32 } else { 128 })
    }

    /// Its packets go to that router.
    #[must_use]
    pub fn via(mut self, gateway: IpAddr) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// Its packets leave by that interface; without a router, the destination is on its link.
    #[must_use]
    pub fn through(mut self, interface: &Interface) -> Self {
        self.interface = Some(interface.index());
        self
    }

    /// Adds it; it must not be there yet.
    pub fn add(&self, namespace: &Namespace) -> Result<(), LabError> {
        let message = RouteNetlinkMessage::NewRoute(self.message());
        configure(namespace, message, NLM_F_CREATE | NLM_F_EXCL, &|| self.attempted("add", namespace))
            .map(drop)
    }

    /// Adds it, in place of the one to the same destination if there is one.
    pub fn replace(&self, namespace: &Namespace) -> Result<(), LabError> {
        let message = RouteNetlinkMessage::NewRoute(self.message());
        configure(namespace, message, NLM_F_CREATE | NLM_F_REPLACE, &|| self.attempted("replace", namespace))
            .map(drop)
    }

    /// Removes it; what it leaves unsaid (router, interface) may be anything.
    pub fn remove(&self, namespace: &Namespace) -> Result<(), LabError> {
        let mut message = self.message();
        // The scope that stands for any, when a route is removed.
        message.header.scope = RouteScope::NoWhere;
        configure(namespace, RouteNetlinkMessage::DelRoute(message), 0, &|| {
            self.attempted("remove", namespace)
        })
        .map(drop)
    }

    fn attempted(&self, verb: &str, namespace: &Namespace) -> String {
        format!("{verb} the route to {self} in {}", namespace.name())
    }

    fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family_of(self.destination);
        message.header.destination_prefix_length = self.prefix_length;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = if self.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Destination(self.destination.into()));
        message.attributes.extend(self.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
        message.attributes.extend(self.interface.map(RouteAttribute::Oif));
        message
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.destination, self.prefix_length)
    }
}
