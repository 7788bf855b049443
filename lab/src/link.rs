//! Virtual Ethernet pairs and the interfaces at their ends.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::error::LabError;
use crate::namespace::Namespace;
use crate::netlink::configure;

/// The longest name that the kernel takes for an interface, in bytes.
const LONGEST_NAME: usize = 15;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The address of these octets.
    #[must_use]
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// Its octets, first on the wire first.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(formatter, "{first:02x}")?;
        rest.into_iter().try_for_each(|octet| write!(formatter, ":{octet:02x}"))
    }
}

/// What one end of a pair shall be.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Where the end lies.
    pub namespace: &'a Namespace,
    /// The interface's name there, at most 15 bytes.
    pub name: &'a str,
    /// Its Ethernet address.
    pub mac: MacAddress,
    /// Its largest packet, in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Its index; the kernel's choice if none. The kernel tells at once that a link is up if its ends'
    /// indices differ, and else takes a second.
    pub index: Option<u32>,
}

/// An interface in a namespace.
#[derive(Clone, Debug)]
pub struct Interface {
    namespace: Namespace,
    name: String,
    index: u32,
    mac: MacAddress,
}

impl Interface {
    /// Makes a virtual Ethernet pair; both ends are down at first.
    pub fn create_pair(first: &End<'_>, second: &End<'_>) -> Result<(Self, Self), LabError> {
        if first.index.is_none() && second.index.is_some() {
            // The kernel heeds the index of a pair's second end only if the first has one too.
            return Self::create_pair(second, first)
                .map(|(made_second, made_first)| (made_first, made_second));
        }
        let attempted = || {
            let (left, right) = (first.namespace.name(), second.namespace.name());
            format!("link {} in {left} to {} in {right}", first.name, second.name)
        };
        if let Some(long) = [first.name, second.name].into_iter().find(|name| name.len() > LONGEST_NAME) {
            return Err(LabError::Invalid(format!(
                "an interface's name has at most {LONGEST_NAME} bytes: {long}"
            )));
        }
        let mut peer = described(second);
        peer.attributes.push(LinkAttribute::NetNsFd(second.namespace.as_fd().as_raw_fd()));
        let mut message = described(first);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        configure(first.namespace, RouteNetlinkMessage::NewLink(message), flags, &attempted)?;
        Ok((Self::find(first.namespace, first.name)?, Self::find(second.namespace, second.name)?))
    }

    /// The interface of that name.
    pub fn find(namespace: &Namespace, name: &str) -> Result<Self, LabError> {
        let link = told_of(namespace, name)?;
        let mac =
            mac_of(&link).ok_or_else(|| LabError::Invalid(format!("{name} has no Ethernet address")))?;
        Ok(Self { namespace: namespace.clone(), name: name.to_owned(), index: link.header.index, mac })
    }

    /// The names of all interfaces of a namespace.
    pub fn names(namespace: &Namespace) -> Result<Vec<String>, LabError> {
        let attempted = || format!("list the interfaces in {}", namespace.name());
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = configure(namespace, question, NLM_F_DUMP, &attempted)?;
        let attributes = answers.into_iter().flat_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => link.attributes,
            _ => Vec::new(),
        });
        Ok(attributes
            .filter_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name),
                _ => None,
            })
            .collect())
    }

    /// Where it lies.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its name in its namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its index in its namespace.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its Ethernet address.
    #[must_use]
    pub fn mac(&self) -> MacAddress {
        self.mac
    }

    /// Brings it up.
    pub fn set_up(&self) -> Result<(), LabError> {
        self.switch(LinkFlags::Up, "bring up")
    }

    /// Takes it down: a cable pulled. Its routes go with it.
    pub fn set_down(&self) -> Result<(), LabError> {
        self.switch(LinkFlags::empty(), "take down")
    }

    /// Waits until it carries packets. The kernel puts the news that a link is up off for as long as a
    /// second, and drops whatever is sent before.
    pub fn wait_until_running(&self, patience: Duration) -> Result<(), LabError> {
        let deadline = Instant::now() + patience;
        while !told_of(&self.namespace, &self.name)?.header.flags.contains(LinkFlags::Running) {
            if Instant::now() > deadline {
                return Err(LabError::Failed {
                    attempted: format!("get {self} running"),
                    source: io::ErrorKind::TimedOut.into(),
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn switch(&self, flags: LinkFlags, verb: &str) -> Result<(), LabError> {
        let mut message = self.addressed();
        message.header.flags = flags;
        message.header.change_mask = LinkFlags::Up;
        self.change(message, &|| format!("{verb} {self}"))
    }

    /// Sets its largest packet, in bytes, without the Ethernet header.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), LabError> {
        let mut message = self.addressed();
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.change(message, &|| format!("set the MTU of {self} to {mtu}"))
    }

    fn addressed(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        message
    }

    fn change(&self, message: LinkMessage, attempted: &dyn Fn() -> String) -> Result<(), LabError> {
        configure(&self.namespace, RouteNetlinkMessage::SetLink(message), 0, attempted).map(drop)
    }

    /// Gives it an address, usable at once.
    pub fn add_address(&self, address: IpAddr, prefix_length: u8) -> Result<(), LabError> {
        let attempted = || format!("give {self} the address {address}/{prefix_length}");
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        let message = self.with_address(address, prefix_length);
        configure(&self.namespace, RouteNetlinkMessage::NewAddress(message), flags, &attempted).map(drop)
    }

    /// Takes an address from it.
    pub fn remove_address(&self, address: IpAddr, prefix_length: u8) -> Result<(), LabError> {
        let attempted = || format!("take the address {address}/{prefix_length} from {self}");
        let message = self.with_address(address, prefix_length);
        configure(&self.namespace, RouteNetlinkMessage::DelAddress(message), 0, &attempted).map(drop)
    }

    fn with_address(&self, address: IpAddr, prefix_length: u8) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = family_of(address);
        message.header.prefix_len = prefix_length;
        message.header.flags = AddressHeaderFlags::Nodad;
        message.header.scope = AddressScope::Universe;
        message.header.index = self.index;
        message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        message
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {}", self.name, self.namespace.name())
    }
}

pub(crate) fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn told_of(namespace: &Namespace, name: &str) -> Result<LinkMessage, LabError> {
    let mut question = LinkMessage::default();
    question.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let attempted = || format!("find the interface {name} in {}", namespace.name());
    let answers = configure(namespace, RouteNetlinkMessage::GetLink(question), 0, &attempted)?;
    let mut links = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    links.next().ok_or_else(|| LabError::new(attempted(), io::Error::from(io::ErrorKind::NotFound)))
}

fn described(end: &End<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = end.index.unwrap_or_default();
    message.attributes = vec![
        LinkAttribute::IfName(end.name.to_owned()),
        LinkAttribute::Address(end.mac.octets().to_vec()),
        LinkAttribute::Mtu(end.mtu),
    ];
    message
}

fn mac_of(link: &LinkMessage) -> Option<MacAddress> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(octets) => octets.as_slice().try_into().ok().map(MacAddress),
        _ => None,
    })
}
