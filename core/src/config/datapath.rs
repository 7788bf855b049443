//! What the configuration says of the datapath as a whole.

use ipnet::{Ipv4Net, Ipv6Net};

use crate::words::words;

/// The slots there is room for when the configuration does not say.
pub const DEFAULT_MAX_SLOTS: u32 = 1 << 20;

/// Where the datapath is attached, and what is the same for all services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datapath {
    /// The interfaces that the program is attached to.
    pub interfaces: Vec<String>,
    /// How it is attached.
    pub attach_mode: AttachMode,
    /// The source of outer IPv4 headers: an address (all 32 bits), or a prefix whose host bits are the flow hash.
    pub tunnel_source_v4: Option<Ipv4Net>,
    /// The source of outer IPv6 headers: an address (all 128 bits), or a prefix whose host bits are the flow hash.
    pub tunnel_source_v6: Option<Ipv6Net>,
    /// The slots there is room for, of all services together; a service takes whole rows of them.
    pub max_slots: u32,
    /// Where every packet is sent next, so that no route is looked up.
    pub gateway_mac: Option<[u8; 6]>,
}

impl Default for Datapath {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            attach_mode: AttachMode::default(),
            tunnel_source_v4: None,
            tunnel_source_v6: None,
            max_slots: DEFAULT_MAX_SLOTS,
            gateway_mac: None,
        }
    }
}

/// How the program is attached to an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AttachMode {
    /// In the driver where it can, else generic.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack, after the packet has its socket buffer: works everywhere, and slower.
    Generic,
}

words! {
    AttachMode { Auto => "auto", Native => "native", Generic => "generic" }
}
