//! Work that an interface leaves to its hardware or puts off, switched over the kernel's ethtool
//! netlink family: no `ethtool` binary, no ioctl.
//!
//! A frame that an XDP program redirects never meets the code that would fill in what was put off, so
//! the end that sends it must not put anything off.

use std::convert::Infallible;
use std::io;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLA_F_NESTED, NetlinkDeserializable, NetlinkHeader,
    NetlinkSerializable, NlasIterator,
};
use netlink_sys::constants::NETLINK_GENERIC;

use crate::error::LabError;
use crate::link::Interface;
use crate::netlink::Netlink;

/// A kind of work that is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// Checksums of packets sent.
    TransmitChecksum,
    /// Cutting TCP data into segments (TSO).
    TcpSegmentation,
    /// Cutting anything into segments (GSO).
    GenericSegmentation,
    /// Gathering a packet from pieces of memory.
    ScatterGather,
    /// Merging received segments (GRO). On a virtual Ethernet end it also makes the end poll, which
    /// it must for frames that XDP redirects to its peer to arrive.
    GenericReceive,
}

impl Offload {
    /// The kernel's names for it.
    fn features(self) -> &'static [&'static str] {
        match self {
            Self::TransmitChecksum => &["tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"],
            Self::TcpSegmentation => {
                &["tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp6-segmentation"]
            }
            Self::GenericSegmentation => &["tx-generic-segmentation", "tx-udp-segmentation"],
            Self::ScatterGather => &["tx-scatter-gather", "tx-scatter-gather-fraglist"],
            Self::GenericReceive => &["rx-gro"],
        }
    }
}

impl Interface {
    /// Switches these on or off.
    pub fn set_offloads(&self, offloads: &[Offload], on: bool) -> Result<(), LabError> {
        let bits = offloads.iter().flat_map(|offload| offload.features()).map(|feature| {
            let mut bit = vec![text(BIT_NAME, feature)];
            bit.extend(on.then(|| DefaultNla::new(BIT_VALUE, Vec::new())));
            nest(BIT, &bit)
        });
        let wanted = nest(BITSET_BITS, &bits.collect::<Vec<_>>());
        let no_reply = DefaultNla::new(HEADER_FLAGS, FLAG_OMIT_REPLY.to_ne_bytes().to_vec());
        let header = nest(HEADER, &[text(HEADER_DEVICE_NAME, self.name()), no_reply]);
        let state = if on { "on" } else { "off" };
        self.ethtool(FEATURES_SET, &[header, nest(FEATURES_WANTED, &[wanted])])
            .map_err(|error| error.while_doing(format!("switch {state} {offloads:?} of {self}")))
            .map(drop)
    }

    /// Whether any part of it is on.
    pub fn has_offload(&self, offload: Offload) -> Result<bool, LabError> {
        let failed = |error: Trouble| error.while_doing(format!("ask for the offloads of {self}"));
        let header = nest(HEADER, &[text(HEADER_DEVICE_NAME, self.name())]);
        let answers = self.ethtool(FEATURES_GET, &[header]).map_err(failed)?;
        let active = answers.first().map(|answer| active_features(answer.attributes()));
        let active = active.transpose().map_err(|error| failed(error.into()))?.unwrap_or_default();
        Ok(offload.features().iter().any(|feature| active.iter().any(|name| name == feature)))
    }

    fn ethtool(&self, command: u8, attributes: &[DefaultNla]) -> Result<Vec<Generic>, Trouble> {
        let mut netlink = Netlink::open(self.namespace(), NETLINK_GENERIC)?;
        let question = Generic::new(CONTROL_FAMILY, GET_FAMILY, &[text(FAMILY_NAME, "ethtool")]);
        let described = netlink.request(question, 0)?;
        let family = described.first().map(|answer| family_id(answer.attributes())).transpose()?.flatten();
        let family = family.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        Ok(netlink.request(Generic::new(family, command, attributes), 0)?)
    }
}

// linux/genetlink.h
const CONTROL_FAMILY: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const HEADER_LENGTH: usize = 4;

// linux/ethtool_netlink.h
const FEATURES_GET: u8 = 11;
const FEATURES_SET: u8 = 12;
const HEADER: u16 = 1;
const HEADER_DEVICE_NAME: u16 = 2;
const HEADER_FLAGS: u16 = 3;
const FLAG_OMIT_REPLY: u32 = 2;
const FEATURES_WANTED: u16 = 3;
const FEATURES_ACTIVE: u16 = 4;
const BITSET_BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// A generic netlink message with its attributes as bytes.
#[derive(Debug)]
struct Generic {
    family: u16,
    bytes: Vec<u8>,
}

impl Generic {
    fn new(family: u16, command: u8, attributes: &[DefaultNla]) -> Self {
        let version = 1;
        let mut bytes = vec![command, version, 0, 0];
        bytes.extend(emitted(attributes));
        Self { family, bytes }
    }

    fn attributes(&self) -> &[u8] {
        self.bytes.get(HEADER_LENGTH..).unwrap_or_default()
    }
}

impl NetlinkSerializable for Generic {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        self.bytes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.bytes);
    }
}

impl NetlinkDeserializable for Generic {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { family: header.message_type, bytes: payload.to_vec() })
    }
}

fn emitted(attributes: &[DefaultNla]) -> Vec<u8> {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

fn nest(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    DefaultNla::new(kind | NLA_F_NESTED, emitted(attributes))
}

fn text(kind: u16, words: &str) -> DefaultNla {
    DefaultNla::new(kind, [words.as_bytes(), b"\0"].concat())
}

fn family_id(attributes: &[u8]) -> Result<Option<u16>, DecodeError> {
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() == FAMILY_ID {
            return Ok(attribute.value().try_into().ok().map(u16::from_ne_bytes));
        }
    }
    Ok(None)
}

/// The names in the set of active features, which lists only those that are on.
fn active_features(attributes: &[u8]) -> Result<Vec<String>, DecodeError> {
    let mut names = Vec::new();
    for set in values(attributes, FEATURES_ACTIVE)? {
        for bits in values(set, BITSET_BITS)? {
            for bit in values(bits, BIT)? {
                for name in values(bit, BIT_NAME)? {
                    names.push(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned());
                }
            }
        }
    }
    Ok(names)
}

fn values(attributes: &[u8], kind: u16) -> Result<Vec<&[u8]>, DecodeError> {
    let mut found = Vec::new();
    let mut rest = attributes;
    while let Some(attribute) = NlasIterator::new(rest).next() {
        let attribute = attribute?;
        let (length, attribute_kind) = (usize::from(attribute.length()), attribute.kind());
        if attribute_kind == kind {
            found.push(&rest[HEADER_LENGTH..length]);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(found)
}

/// A failure that does not yet know what was being attempted.
enum Trouble {
    Lab(LabError),
    Io(io::Error),
}

impl Trouble {
    fn while_doing(self, attempted: String) -> LabError {
        match self {
            Self::Lab(error) => error,
            Self::Io(error) => LabError::new(attempted, error),
        }
    }
}

impl From<LabError> for Trouble {
    fn from(error: LabError) -> Self {
        Self::Lab(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<DecodeError> for Trouble {
    fn from(error: DecodeError) -> Self {
        Self::Io(io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
