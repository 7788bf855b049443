//! What a frame says of itself, read from slices.

use std::net::IpAddr;

use maglev_probe_abi::Verdict;

/// How many extension headers of an IPv6 packet are followed.
const MOST_EXTENSIONS: usize = 6;

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;

/// Two bytes in network order.
pub(crate) fn half(bytes: &[u8], place: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(place..place + 2)?.try_into().ok()?))
}

/// A frame: its link layer, and what lies behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) destination: &'a [u8],
    pub(crate) source: &'a [u8],
    /// Up to two VLAN tags, each with the type that announces it.
    pub(crate) tags: &'a [u8],
    /// 4 or 6.
    pub(crate) family: u8,
    /// From the IP header to the frame's end.
    pub(crate) rest: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) fn read(frame: &'a [u8]) -> Result<Self, Verdict> {
        let mut place = 12;
        let mut kind = half(frame, place).ok_or(Verdict::Malformed)?;
        while matches!(kind, 0x8100 | 0x88a8) && place < 20 {
            place += 4;
            kind = half(frame, place).ok_or(Verdict::Malformed)?;
        }
        let family = match kind {
            0x0800 => 4,
            0x86dd => 6,
            _ => return Err(Verdict::NotIp),
        };
        Ok(Self {
            destination: &frame[..6],
            source: &frame[6..12],
            tags: &frame[12..place],
            family,
            rest: &frame[place + 2..],
        })
    }
}

/// Which part of a packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    First,
    Later,
}

impl Part {
    fn of(begins: u16, is_followed: bool) -> Self {
        if begins != 0 {
            Self::Later
        } else if is_followed {
            Self::First
        } else {
            Self::Whole
        }
    }
}

/// An IP packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) class: u8,
    pub(crate) time_to_live: u8,
    pub(crate) part: Part,
    pub(crate) identification: u32,
    pub(crate) protocol: u8,
    /// All of it, without what fills the frame up.
    pub(crate) bytes: &'a [u8],
    /// How long its headers are, with options or extension headers.
    pub(crate) headers: usize,
}

impl<'a> Packet<'a> {
    /// Reads a packet that must be there as its header says.
    pub(crate) fn read(family: u8, bytes: &'a [u8]) -> Result<Self, Verdict> {
        let (place, before) = if family == 4 { (2, 0) } else { (4, 40) };
        let length = before + usize::from(half(bytes, place).ok_or(Verdict::Malformed)?);
        let whole = bytes.get(..length).ok_or(Verdict::Malformed)?;
        let packet = Self::read_headers(family, bytes)?;
        if length < packet.headers {
            return Err(Verdict::Malformed);
        }
        Ok(Self { bytes: whole, ..packet })
    }

    /// Reads headers of a packet of which there may be less than they say.
    pub(crate) fn read_headers(family: u8, bytes: &'a [u8]) -> Result<Self, Verdict> {
        if family == 4 { Self::ipv4(bytes) } else { Self::ipv6(bytes) }.ok_or(Verdict::Malformed)?
    }

    fn ipv4(bytes: &'a [u8]) -> Option<Result<Self, Verdict>> {
        let header: [u8; 20] = bytes.get(..20)?.try_into().ok()?;
        let headers = usize::from(header[0] & 15) * 4;
        if header[0] >> 4 != 4 || headers < 20 {
            return None;
        }
        let fragment = half(&header, 6)?;
        let address = |place: usize| {
            IpAddr::from([header[place], header[place + 1], header[place + 2], header[place + 3]])
        };
        Some(Ok(Self {
            source: address(12),
            destination: address(16),
            class: header[1],
            time_to_live: header[8],
            part: Part::of(fragment & 0x1fff, fragment & 0x2000 != 0),
            identification: half(&header, 4)?.into(),
            protocol: header[9],
            bytes,
            headers,
        }))
    }

    fn ipv6(bytes: &'a [u8]) -> Option<Result<Self, Verdict>> {
        let header = bytes.get(..40)?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let address =
            |place: usize| Some(IpAddr::from(<[u8; 16]>::try_from(&header[place..place + 16]).ok()?));
        let mut packet = Self {
            source: address(8)?,
            destination: address(24)?,
            class: header[0] << 4 | header[1] >> 4,
            time_to_live: header[7],
            part: Part::Whole,
            identification: 0,
            protocol: header[6],
            bytes,
            headers: 40,
        };
        let mut extensions = 0;
        while packet.part != Part::Later
            && matches!(packet.protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
        {
            if extensions == MOST_EXTENSIONS {
                return Some(Err(Verdict::ExtensionHeaders));
            }
            let start = packet.headers;
            let [next, units]: [u8; 2] = bytes.get(start..start + 2)?.try_into().ok()?;
            if packet.protocol == FRAGMENT {
                let place = half(bytes, start + 2)?;
                packet.part = Part::of(place >> 3, place & 1 != 0);
                packet.identification =
                    u32::from(half(bytes, start + 4)?) << 16 | u32::from(half(bytes, start + 6)?);
                packet.headers += 8;
            } else {
                packet.headers += (usize::from(units) + 1) * 8;
            }
            packet.protocol = next;
            extensions += 1;
        }
        Some(Ok(packet))
    }

    pub(crate) fn family(&self) -> u8 {
        if self.source.is_ipv4() { 4 } else { 6 }
    }

    /// What is behind its headers.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.headers..).unwrap_or(&[])
    }
}
