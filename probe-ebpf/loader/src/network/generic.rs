//! Generic netlink: families of messages that are found by name (`Documentation/networking/generic_netlink.rst`).

use std::{convert::Infallible, io};

use netlink_packet_core::{
    DefaultNla, Emitable as _, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlasIterator,
};
use netlink_sys::protocols::NETLINK_GENERIC;

use super::netlink::exchange;

// linux/genetlink.h
const CONTROL_FAMILY: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const HEADER_LENGTH: usize = 4;

/// Asks a family, in the calling thread's network namespace, and returns the attributes of what it answers first.
///
/// # Errors
///
/// `Unsupported` where the kernel has no such family.
pub(super) fn ask(family: &str, command: u8, attributes: &[DefaultNla]) -> io::Result<Vec<u8>> {
    let name = DefaultNla::new(FAMILY_NAME, [family.as_bytes(), b"\0"].concat());
    let described = match first(Generic::new(CONTROL_FAMILY, GET_FAMILY, &[name])) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            return Err(io::Error::new(io::ErrorKind::Unsupported, error));
        }
        described => described?,
    };
    let id = values(&described, FAMILY_ID).first().and_then(|&id| id.try_into().ok());
    let id = id.map(u16::from_ne_bytes).ok_or(io::ErrorKind::Unsupported)?;
    first(Generic::new(id, command, attributes))
}

/// What attributes of that kind hold, among `attributes`.
pub(super) fn values(attributes: &[u8], kind: u16) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = attributes;
    while let Some(Ok(attribute)) = NlasIterator::new(rest).next() {
        let length = usize::from(attribute.length());
        if attribute.kind() == kind {
            found.extend(rest.get(HEADER_LENGTH..length));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The bytes of attributes, to be put into another one.
pub(super) fn emitted(attributes: &[DefaultNla]) -> Vec<u8> {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

fn first(question: Generic) -> io::Result<Vec<u8>> {
    let answers = exchange(NETLINK_GENERIC, question, 0)?;
    let answer = answers.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
    Ok(answer.bytes.get(HEADER_LENGTH..).unwrap_or_default().to_vec())
}

/// A message, with its attributes as bytes.
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
