//! Why a packet was passed, dropped or sent.

macro_rules! verdicts {
    ($(#[$about:meta])+ $name:ident: $($(#[$doc:meta])+ $variant:ident = $number:literal $word:literal,)+) => {
        $(#[$about])+
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])+ $variant = $number,)+ }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// How many there are.
            pub const COUNT: u32 = 0 $(+ { _ = Self::$variant; 1 })+;

            /// The word for it in JSON and on screen.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

verdicts! {
    /// What the balancer did with a packet, and why. Its number is its place in the map of verdicts.
    ///
    /// A packet for a service that only observes is passed whatever the verdict.
    Verdict:
    /// Passed: neither IPv4 nor IPv6.
    NotIp = 0 "not-ip",
    /// Passed: IPv6 with more extension headers than are followed.
    ExtensionHeaders = 1 "extension-headers",
    /// Passed: neither TCP nor UDP, nor one of those ICMP messages that are balanced or answered.
    OtherProtocol = 2 "other-protocol",
    /// Passed: shorter than its headers say, or headers that contradict themselves.
    Malformed = 3 "malformed",
    /// Passed: the first fragment of a packet that is neither TCP nor UDP.
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
    /// Dropped: larger than the way to the backend takes, and its sender was not told.
    TooBig = 14 "too-big",
    /// Dropped: the backend is behind a router, and `l2` cannot reach it there.
    NotOnSegment = 15 "not-on-segment",
    /// Dropped: there was no room for the outer header.
    NoHeadroom = 16 "no-headroom",
    /// Dropped: the maps contradict one another.
    Inconsistent = 17 "inconsistent",
    /// Passed: a fragment that no first one, balanced in the last half minute, came before.
    FragmentWithoutFirst = 18 "fragment-without-first",
    /// Dropped: it has VLAN tags, and the way to the backend leads by another interface.
    TaggedElsewhere = 19 "tagged-elsewhere",
    /// Dropped: its time to live ends here, and its sender was not told.
    TimeExceeded = 20 "time-exceeded",
    /// Answered in place of being sent on: its time to live ends here.
    TimeExceededAnswered = 21 "time-exceeded-answered",
    /// Answered in place of being sent on: larger than the way to the backend takes.
    TooBigAnswered = 22 "too-big-answered",
    /// Passed: an ICMP error about a packet that no service has sent.
    ForeignQuote = 23 "foreign-quote",
    /// Answered: an echo request to a service's address.
    EchoAnswered = 24 "echo-answered",
}

verdicts! {
    /// What the decapsulating program did with a packet, and why. Its number is its place in the map of its verdicts.
    /// All are passed to the stack.
    DecapVerdict:
    /// Its outer header was taken off.
    Decapsulated = 0 "decapsulated",
    /// Not IP in IP: left as it was.
    NotATunnel = 1 "not-a-tunnel",
    /// A tunnel's, but for another host's hardware address: left as it was.
    AnotherHost = 2 "another-host",
    /// A tunnel's, but a fragment, or shorter than its headers say, or not what they say: left as it was.
    Malformed = 3 "malformed",
}

verdicts! {
    /// What the observer on a Cilium node made of a packet. Its number is its place in the map of its verdicts. All are
    /// passed on as they came.
    ObserverVerdict:
    /// Counted in its slot.
    Counted = 0 "counted",
    /// For no frontend.
    NotAFrontend = 1 "not-a-frontend",
    /// For a frontend without a table.
    NoTable = 2 "no-table",
    /// For a frontend whose packets go to the node's Envoy.
    Redirected = 3 "l7-redirect",
    /// For a frontend without usable backends.
    NoBackends = 4 "no-backends",
    /// For a frontend whose slots there is no room to count, or that is not among those asked for.
    NotWatched = 5 "not-watched",
    /// Not IPv4 or IPv6.
    NotIp = 6 "not-ip",
    /// Not judged: neither TCP nor UDP nor SCTP; ICMP among them.
    OtherProtocol = 7 "other-protocol",
    /// Not judged: a later fragment whose first one was not met or was for no frontend, or any fragment of IPv6.
    Fragment = 8 "fragment",
    /// Not judged: in a VLAN, whose own interface it comes in by later.
    Tagged = 9 "tagged",
    /// Not judged: shorter than its headers say, or with more headers than Cilium follows.
    Malformed = 10 "malformed",
}

#[cfg(test)]
mod tests {
    use super::{DecapVerdict, ObserverVerdict, Verdict};

    #[test]
    fn numbers_are_places() {
        for (place, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, place, "{}", verdict.word());
        }
        for (place, verdict) in DecapVerdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, place, "{}", verdict.word());
        }
        for (place, verdict) in ObserverVerdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, place, "{}", verdict.word());
        }
    }
}
