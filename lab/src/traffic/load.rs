//! How much traffic, of what kind.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::LabError;

/// A load: who talks to whom, how much, and for how long at most.
#[derive(Clone, Debug)]
pub struct Load {
    /// The same seed gives the same lifetimes and pauses.
    pub seed: u64,
    /// It stops by itself after this time: an hour unless said.
    pub limit: Duration,
    /// The client's addresses, given to flows in turn; with none of the target's family the kernel chooses.
    pub sources: Vec<IpAddr>,
    /// The connections.
    pub tcp: TcpLoad,
    /// The datagrams.
    pub udp: UdpLoad,
}

impl Default for Load {
    /// No targets yet, so no traffic; see [`TcpLoad`] and [`UdpLoad`] for the rates.
    fn default() -> Self {
        Self {
            seed: 1,
            limit: Duration::from_secs(3600),
            sources: Vec::new(),
            tcp: TcpLoad::default(),
            udp: UdpLoad::default(),
        }
    }
}

/// TCP connections. Each greets, makes requests at its pace, and closes when its lifetime is over; another
/// one takes its place.
#[derive(Clone, Debug)]
pub struct TcpLoad {
    /// Services to connect to, in turn. None: no connections.
    pub targets: Vec<SocketAddr>,
    /// How many at once.
    pub connections: u32,
    /// How many attempts to connect altogether, if that is to end.
    pub connection_limit: Option<u64>,
    /// How long one lives, at random.
    pub lifetime: RangeInclusive<Duration>,
    /// Requests a second on each connection, on average.
    pub requests_per_second: f64,
    /// Bytes that each request is longer by, at most 32 KiB.
    pub padding: usize,
    /// The time in which the first ones are opened, evenly.
    pub ramp: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
}

impl Default for TcpLoad {
    /// 300 connections of 2 to 20 seconds, 2.5 requests a second each: some 3,000 packets a second.
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            connections: 300,
            connection_limit: None,
            lifetime: Duration::from_secs(2)..=Duration::from_secs(20),
            requests_per_second: 2.5,
            padding: 0,
            ramp: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(5),
        }
    }
}

/// UDP flows: each a port that sends datagrams and awaits each one's answer; when its lifetime is over
/// another port takes its place.
#[derive(Clone, Debug)]
pub struct UdpLoad {
    /// Services to send to, in turn. None: no datagrams.
    pub targets: Vec<SocketAddr>,
    /// How many at once.
    pub flows: u32,
    /// How long one lives, at random.
    pub lifetime: RangeInclusive<Duration>,
    /// Datagrams a second of each flow, on average.
    pub datagrams_per_second: f64,
    /// How long an answer may take before it counts as lost.
    pub answer_timeout: Duration,
}

impl Default for UdpLoad {
    /// 40 flows of 5 to 30 seconds, 4 datagrams a second each.
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            flows: 40,
            lifetime: Duration::from_secs(5)..=Duration::from_secs(30),
            datagrams_per_second: 4.0,
            answer_timeout: Duration::from_secs(1),
        }
    }
}

impl Load {
    /// Refuses rates that are no rates.
    pub(super) fn check(&self) -> Result<(), LabError> {
        let rates = [
            ("requests a second", self.tcp.requests_per_second),
            ("datagrams a second", self.udp.datagrams_per_second),
        ];
        for (what, rate) in rates {
            // Beyond the bounds a pause would be shorter than the timer's grain, or longer than any run.
            if !(0.001..=1000.0).contains(&rate) {
                return Err(LabError::Invalid(format!("{what} of a flow are 0.001 to 1000, not {rate}")));
            }
        }
        Ok(())
    }
}
