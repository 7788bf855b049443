//! Why a packet was passed, dropped or sent.

macro_rules! verdicts {
    ($($(#[$doc:meta])+ $variant:ident = $number:literal $word:literal,)+) => {
        /// What the program did with a packet, and why. Its number is its place in the map of verdicts.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Verdict { $($(#[$doc])+ $variant = $number,)+ }

        impl Verdict {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in JSON and on screen.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

verdicts! {
    /// Passed: neither IPv4 nor IPv6.
    NotIp = 0 "not-ip",
    /// Passed: IPv6, which this program does not balance yet.
    Ipv6 = 1 "ipv6",
    /// Passed: neither TCP nor UDP.
    OtherProtocol = 2 "other-protocol",
    /// Passed: shorter than its headers say, or headers that contradict themselves.
    Malformed = 3 "malformed",
    /// Passed: a fragment, of which only the first one names its ports.
    Fragment = 4 "fragment",
    /// Passed: for no service.
    NotAService = 5 "not-a-service",
    /// Passed: counted for its service, which only observes.
    Observed = 6 "observed",
    /// Sent out of the interface that it came in by.
    Transmitted = 7 "transmitted",
    /// Sent out of another interface.
    Redirected = 8 "redirected",
    /// Dropped: its slot has no owner.
    NoBackend = 9 "no-backend",
    /// Dropped: the backend that its slot names is gone.
    BackendGone = 10 "backend-gone",
    /// Dropped: the kernel has no route to the backend, or one that forbids it.
    NoRoute = 11 "no-route",
    /// Dropped: the next hop's MAC address is not known (yet).
    NoNeighbour = 12 "no-neighbour",
    /// Dropped: the kernel does not forward on this interface.
    ForwardingOff = 13 "forwarding-off",
    /// Dropped: larger than the way to the backend takes.
    TooBig = 14 "too-big",
    /// Dropped: the backend is behind a router, and `l2` cannot reach it there.
    NotOnSegment = 15 "not-on-segment",
    /// Dropped: there was no room for the outer header.
    NoHeadroom = 16 "no-headroom",
    /// Dropped: the maps contradict one another.
    Inconsistent = 17 "inconsistent",
}

/// How many verdicts there are.
const VERDICTS: u32 = Verdict::ALL.len() as u32;

impl Verdict {
    /// How many there are.
    pub const COUNT: u32 = VERDICTS;
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn numbers_are_places() {
        for (place, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, place, "{}", verdict.word());
        }
    }
}
