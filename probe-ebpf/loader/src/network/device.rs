//! Interfaces with all that a datapath's working depends on.

use std::{fs, io, path::Path};

use netlink_packet_core::{DefaultNla, NLA_F_NESTED, NLM_F_DUMP};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};

use super::{
    generic::{ask, emitted, values},
    interface::Interface,
    netlink::request,
};

/// An interface of the calling thread's namespace, and what its driver can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The interface.
    pub interface: Interface,
    /// Whether it is switched on.
    pub is_up: bool,
    /// Whether it has a carrier, so that packets can come and go.
    pub is_running: bool,
    /// Whether it is the host's own way to itself.
    pub is_loopback: bool,
    /// What kind of virtual device it is, `veth` for example; `None` for hardware.
    pub kind: Option<String>,
    /// The name of its driver; `None` where it is not told.
    pub driver: Option<String>,
    /// What its driver can do for XDP; `None` where the kernel does not tell (before 6.3).
    pub xdp: Option<XdpFeatures>,
    /// What is switched on that merges packets before XDP sees them, by the kernel's names: `rx-lro`, `rx-gro-hw`.
    pub merging: Vec<String>,
    /// Whether the kernel forwards IPv4 packets that come in by it; `None` where it has no IPv4.
    pub forwards_ipv4: Option<bool>,
    /// Whether the kernel forwards IPv6 packets that come in by it; `None` where it has no IPv6.
    pub forwards_ipv6: Option<bool>,
    /// Its reverse path filter, the stricter of its own and everybody's: 0 none, 1 strict, 2 loose (RFC 3704).
    pub reverse_path_filter: Option<u8>,
    /// What it answers ARP for, the stricter of its own and everybody's: 0 any address of the host.
    pub arp_ignore: Option<u8>,
}

/// What a driver can do for XDP (`enum netdev_xdp_act`, `linux/netdev.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpFeatures(u64);

impl XdpFeatures {
    const BASIC: u64 = 1;
    const REDIRECT: u64 = 1 << 1;
    const NDO_XMIT: u64 = 1 << 2;
    const RX_SG: u64 = 1 << 5;

    /// The features in that set of bits.
    #[must_use]
    pub const fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether a program runs in the driver, and can pass, drop, send back and redirect.
    #[must_use]
    pub const fn is_native(self) -> bool {
        self.0 & (Self::BASIC | Self::REDIRECT) == Self::BASIC | Self::REDIRECT
    }

    /// Whether frames that XDP redirects to it are sent.
    #[must_use]
    pub const fn takes_redirected(self) -> bool {
        self.0 & Self::NDO_XMIT != 0
    }

    /// Whether frames of several pieces of memory reach a program, as those of large MTUs are.
    #[must_use]
    pub const fn takes_fragments(self) -> bool {
        self.0 & Self::RX_SG != 0
    }
}

impl Device {
    /// The device of that name.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none.
    pub fn by_name(name: &str) -> io::Result<Self> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        Self::get(message)
    }

    /// The device of that index.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none.
    pub fn by_index(index: u32) -> io::Result<Self> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        Self::get(message)
    }

    /// All of them.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    pub fn all() -> io::Result<Vec<Self>> {
        let answers = request(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(link).map(Self::of_message).collect())
    }

    fn get(message: LinkMessage) -> io::Result<Self> {
        let answers = match request(RouteNetlinkMessage::GetLink(message), 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                return Err(io::Error::new(io::ErrorKind::NotFound, error));
            }
            answers => answers?,
        };
        let found = answers.into_iter().find_map(link).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self::of_message(found))
    }

    fn of_message(link: LinkMessage) -> Self {
        let flags = link.header.flags;
        let kind = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(parts) => parts.iter().find_map(|part| match part {
                LinkInfo::Kind(kind) => Some(kind.to_string()),
                _ => None,
            }),
            _ => None,
        });
        let interface = Interface::of_message(link);
        let name = &interface.name;
        let switched_on =
            |family: &str| sysctl(&format!("{family}/conf/{name}/forwarding")).map(|value| value != 0);
        let stricter = |parameter: &str| {
            let of = |of: &str| sysctl(&format!("ipv4/conf/{of}/{parameter}"));
            of(name).map(|own| own.max(of("all").unwrap_or(0)))
        };
        Self {
            is_up: flags.contains(LinkFlags::Up),
            is_running: flags.contains(LinkFlags::Running),
            is_loopback: flags.contains(LinkFlags::Loopback),
            driver: driver(&interface).or_else(|| kind.clone()),
            kind,
            xdp: xdp_features(interface.index).ok(),
            merging: merging(name).unwrap_or_default(),
            forwards_ipv4: switched_on("ipv4"),
            forwards_ipv6: switched_on("ipv6"),
            reverse_path_filter: stricter("rp_filter"),
            arp_ignore: stricter("arp_ignore"),
            interface,
        }
    }
}

fn link(answer: RouteNetlinkMessage) -> Option<LinkMessage> {
    match answer {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    }
}

/// A number under `/proc/sys/net`, which shows the calling thread's network namespace.
fn sysctl(path: &str) -> Option<u8> {
    fs::read_to_string(Path::new("/proc/sys/net").join(path)).ok()?.trim().parse().ok()
}

/// The name of a device's driver, as sysfs has it; sysfs shows the network namespace that it was mounted in.
fn driver(interface: &Interface) -> Option<String> {
    let folder = Path::new("/sys/class/net").join(&interface.name);
    let index: u32 = fs::read_to_string(folder.join("ifindex")).ok()?.trim().parse().ok()?;
    let driver = fs::read_link(folder.join("device/driver")).ok()?;
    (index == interface.index).then(|| driver.file_name().map(|name| name.to_string_lossy().into_owned()))?
}

/// What the kernel's family `netdev` says of a device's driver (`Documentation/netlink/specs/netdev.yaml`).
fn xdp_features(index: u32) -> io::Result<XdpFeatures> {
    const DEVICE_GET: u8 = 1;
    const INTERFACE: u16 = 1;
    const FEATURES: u16 = 3;
    let interface = DefaultNla::new(INTERFACE, index.to_ne_bytes().to_vec());
    let answer = ask("netdev", DEVICE_GET, &[interface])?;
    let bits = values(&answer, FEATURES).first().and_then(|&bits| bits.try_into().ok());
    bits.map(|bits| XdpFeatures(u64::from_ne_bytes(bits))).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What merges packets before XDP sees them, as far as it is switched on (`linux/ethtool_netlink.h`).
fn merging(name: &str) -> io::Result<Vec<String>> {
    const FEATURES_GET: u8 = 11;
    const HEADER: u16 = 1;
    const HEADER_DEVICE_NAME: u16 = 2;
    const FEATURES_ACTIVE: u16 = 4;
    const BITSET_BITS: u16 = 3;
    const BIT: u16 = 1;
    const BIT_NAME: u16 = 2;
    let device = DefaultNla::new(HEADER_DEVICE_NAME, [name.as_bytes(), b"\0"].concat());
    let header = DefaultNla::new(HEADER | NLA_F_NESTED, emitted(&[device]));
    let answer = ask("ethtool", FEATURES_GET, &[header])?;
    let inside = |outer: Vec<&'_ [u8]>, kind: u16| -> Vec<Vec<u8>> {
        outer.into_iter().flat_map(|bytes| values(bytes, kind)).map(<[u8]>::to_vec).collect()
    };
    let mut level: Vec<Vec<u8>> = vec![answer];
    for kind in [FEATURES_ACTIVE, BITSET_BITS, BIT, BIT_NAME] {
        level = inside(level.iter().map(Vec::as_slice).collect(), kind);
    }
    Ok(level
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
        .filter(|name| matches!(name.as_str(), "rx-lro" | "rx-gro-hw"))
        .collect())
}
