//! Interfaces, and the programs on their XDP hooks.

use std::io;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached},
};

use super::netlink::request;
use crate::kernel::program_name;

/// A network interface of the calling thread's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The largest packet that it takes, in bytes without the Ethernet header.
    pub mtu: u32,
    /// Its hardware address; all zero where it has none of six bytes.
    pub hardware_address: [u8; 6],
    /// Who holds its XDP hook; `None` where it is free.
    pub holder: Option<XdpHolder>,
}

/// A program on an XDP hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpHolder {
    /// The program's id.
    pub program: u32,
    /// Its name, cut to 15 characters by the kernel; empty where the kernel does not tell.
    pub name: String,
    /// `native`, `generic` or `hardware`.
    pub mode: &'static str,
}

impl Interface {
    /// The interface of that name.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none.
    pub fn by_name(name: &str) -> io::Result<Self> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        Self::get(message)
    }

    /// The interface of that index.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none.
    pub fn by_index(index: u32) -> io::Result<Self> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        Self::get(message)
    }

    fn get(message: LinkMessage) -> io::Result<Self> {
        let answers = match request(RouteNetlinkMessage::GetLink(message), 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                return Err(io::Error::new(io::ErrorKind::NotFound, error));
            }
            answers => answers?,
        };
        answers
            .into_iter()
            .find_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(Self::of_message(link)),
                _ => None,
            })
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn of_message(link: LinkMessage) -> Self {
        let mut interface = Self {
            index: link.header.index,
            name: String::new(),
            mtu: 0,
            hardware_address: [0; 6],
            holder: None,
        };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name = name,
                LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
                LinkAttribute::Address(address) => {
                    interface.hardware_address = address.try_into().unwrap_or_default();
                }
                LinkAttribute::Xdp(xdp) => interface.holder = XdpHolder::of_attributes(&xdp),
                _ => {}
            }
        }
        interface
    }
}

impl XdpHolder {
    fn of_attributes(attributes: &[LinkXdp]) -> Option<Self> {
        let mode = attributes.iter().find_map(|attribute| match attribute {
            LinkXdp::Attached(XdpAttached::Driver) => Some("native"),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => Some("generic"),
            LinkXdp::Attached(XdpAttached::Hardware) => Some("hardware"),
            LinkXdp::Attached(XdpAttached::Multiple) => Some("native and generic"),
            _ => None,
        })?;
        let program = attributes.iter().find_map(|attribute| match *attribute {
            LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
                Some(id)
            }
            _ => None,
        })?;
        Some(Self { program, name: program_name(program).unwrap_or_default(), mode })
    }
}
