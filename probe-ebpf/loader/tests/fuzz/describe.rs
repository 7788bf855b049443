//! Frames in words and digits.

use std::fmt::Write as _;

use crate::{
    oracle::headers::{Frame, Packet},
    support::{XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX},
};

/// The bytes as the corpus has them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that stand there, or `None` where none do.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect()
}

pub(crate) fn action(action: u32) -> &'static str {
    match action {
        XDP_DROP => "drop",
        XDP_PASS => "pass",
        XDP_TX => "transmit",
        XDP_REDIRECT => "redirect",
        _ => "abort",
    }
}

/// What the frame says of itself, as the oracle reads it.
pub(crate) fn describe(frame: &[u8]) -> String {
    let link = match Frame::read(frame) {
        Ok(link) => link,
        Err(verdict) => return format!("{} bytes, {}", frame.len(), verdict.word()),
    };
    let tags = hex(link.tags);
    match Packet::read(link.family, link.rest) {
        Ok(packet) => format!(
            "{} bytes, tags [{tags}], {} to {}, protocol {}, {:?}, identification {:#x}, time to live {}, {} bytes \
             of headers, payload {}",
            frame.len(),
            packet.source,
            packet.destination,
            packet.protocol,
            packet.part,
            packet.identification,
            packet.time_to_live,
            packet.headers,
            hex(packet.payload())
        ),
        Err(verdict) => {
            format!("{} bytes, tags [{tags}], IPv{}: {}", frame.len(), link.family, verdict.word())
        }
    }
}
