//! What user space keeps in the kernel beside what the program reads: the truth that outlives whoever wrote it.

/// The room for a name; it is filled up with zeros.
pub const NAME_BYTES: usize = 64;

/// The bit in a key of the backends' identities that makes it an entry of the journal: what that backend is to be once
/// the change under way is decided.
pub const JOURNAL: u32 = 1 << 31;

/// `phase`: it is up.
pub const PHASE_RUNNING: u32 = 0;
/// `phase`: it is being brought up.
pub const PHASE_STARTING: u32 = 1;
/// `phase`: it is being taken down.
pub const PHASE_ENDING: u32 = 2;

/// How many events are kept.
pub const EVENTS: u32 = 256;

/// `kind`: nothing is checked.
pub const CHECK_NONE: u8 = 0;
/// `kind`: a check connects.
pub const CHECK_TCP: u8 = 1;
/// `kind`: a check connects, asks over HTTP, and looks at the status.
pub const CHECK_HTTP: u8 = 2;

/// `via`: a check goes to the backend's own address.
pub const VIA_DIRECT: u8 = 0;
/// `via`: a check goes as the packets of clients do.
pub const VIA_TUNNEL: u8 = 1;

/// `health`: nothing is known.
pub const HEALTH_UNKNOWN: u8 = 0;
/// `health`: the backend's checks succeed.
pub const HEALTH_HEALTHY: u8 = 1;
/// `health`: the backend's checks fail, and it has no slots.
pub const HEALTH_UNHEALTHY: u8 = 2;
/// `health`: the backend's checks fail, and it keeps its slots, for there is no other.
pub const HEALTH_KEPT: u8 = 3;

/// What is checked of the backends of a service.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// `CHECK_…`.
    pub kind: u8,
    /// So many checks have to succeed in a row.
    pub rise: u8,
    /// So many have to fail in a row.
    pub fall: u8,
    /// `VIA_…`.
    pub via: u8,
    /// The port that is checked, in the host's order; 0 for the backend's own.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
    /// The time from one check to the next.
    pub interval_milliseconds: u32,
    /// The time that a check may take.
    pub timeout_milliseconds: u32,
    /// The statuses that are good, as ranges with both ends in them; zeros where there are no more.
    pub statuses: [[u16; 2]; 8],
    /// The path that is asked for, filled up with zeros.
    pub path: [u8; 128],
    /// The host that is asked for, filled up with zeros; empty for the address.
    pub host: [u8; 128],
}

/// Everything that is said of a service, its backends apart.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceIdentity {
    /// Its name.
    pub name: [u8; NAME_BYTES],
    /// Its address; of an IPv4 address the first four bytes, the rest zero.
    pub address: [u8; 16],
    /// Its port, in the host's order.
    pub port: u16,
    /// 4 or 6.
    pub family: u8,
    /// The number of its protocol in an IP header.
    pub protocol: u8,
    /// How many slots it has.
    pub table_size: u32,
    /// Its first slot.
    pub first_slot: u32,
    /// `FORWARDING_…`.
    pub forwarding: u8,
    /// `TRACKING_…`.
    pub tracking: u8,
    /// `AFFINITY_…`.
    pub affinity: u8,
    /// 1 once it is being removed: the next writer finishes that.
    pub leaving: u8,
    /// The settle time.
    pub settle_milliseconds: u64,
    /// The settle limit; 0 for none.
    pub settle_limit_milliseconds: u64,
    /// The hash seed.
    pub seed: [u8; 12],
    /// Zero.
    pub reserved: [u8; 20],
    /// What is checked of its backends.
    pub health: HealthSettings,
}

/// Everything that is said of a backend, in one element, so that nobody ever finds half of it.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendIdentity {
    /// Its name.
    pub name: [u8; NAME_BYTES],
    /// Its address; of an IPv4 address the first four bytes, the rest zero.
    pub address: [u8; 16],
    /// Its port, in the host's order.
    pub port: u16,
    /// 4 or 6.
    pub family: u8,
    /// `BACKEND_…`; one that is gone is on its way out, and the next writer finishes that.
    pub state: u8,
    /// Its weight.
    pub weight: u32,
    /// The service's number.
    pub service: u32,
    /// Counts who had this number.
    pub generation: u32,
    /// When it was removed, in milliseconds since boot; 0 while it is there.
    pub removed_at: u64,
    /// The weight that the configuration gave it when it was last applied.
    pub configured_weight: u32,
    /// The state that the configuration gave it then, `BACKEND_…`: `BACKEND_GONE` where it had no such backend. One that
    /// is gone and was configured has been removed by hand.
    pub configured_state: u8,
    /// `HEALTH_…`: what its checks say of it.
    pub health: u8,
    /// How often it has failed of late: the more often, the longer it has to be well to be put in again.
    pub failures: u8,
    /// Zero.
    pub padding: u8,
    /// When its health last changed, in milliseconds since boot.
    pub health_since: u64,
}

/// The state as a whole.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// How many rows of slots there are.
    pub rows: u32,
    /// How many processors have rows in the slot counters.
    pub processors: u32,
    /// Zero.
    pub padding: u32,
    /// Grows by one when a change begins and by one when it has ended: odd while one is under way.
    pub state_version: u64,
    /// How many events there were.
    pub events: u64,
    /// The inode of the network namespace that the datapath was attached in.
    pub network_namespace: u64,
    /// The largest generation that was given to a backend.
    pub generation: u32,
    /// `PHASE_…`: one that is not up and that nobody is working on was cut short.
    pub phase: u32,
    /// 1 once the change under way is decided: whoever comes next carries the journal out, and before that drops it.
    pub decided: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// A change on record.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts the events, from 1; 0 for none.
    pub sequence: u64,
    /// When it was, in nanoseconds since 1970.
    pub at: u64,
    /// Who did it.
    pub user: u32,
    /// By which process.
    pub process: u32,
    /// Slots that changed owner.
    pub moved: u32,
    /// Slots that had to.
    pub minimum: u32,
    /// What was done, filled up with zeros.
    pub action: [u8; 16],
    /// At which terminal, filled up with zeros.
    pub terminal: [u8; 16],
    /// To which service.
    pub service: [u8; NAME_BYTES],
    /// To which backend.
    pub backend: [u8; NAME_BYTES],
    /// What else there is to say of it.
    pub detail: [u8; 128],
}
