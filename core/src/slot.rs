//! Slots and how they settle: the words that user space and the XDP program share, and the rules by which both read
//! them. The rules stand here once; the program is compiled from these lines.
//!
//! A slot without a previous owner is *settled*: its packets go to its owner. A slot that changes owner is *settling*
//! until its deadline: connections opened in that time are remembered and go to where they were opened, packets of
//! any other connection go to the owner before the change.

/// How many bits of a slot's word name a backend.
pub const OWNER_BITS: u32 = 20;

/// How many bits an epoch has.
pub const EPOCH_BITS: u32 = 24;

/// How many bits of a deadline are its time, in milliseconds since boot: 34 years.
pub const TIME_BITS: u32 = 40;

/// User space leaves alone a settling slot with less than this to go, in milliseconds: its deadline would pass between
/// the look and the store.
pub const GUARD_MILLISECONDS: u64 = 1000;

/// A deadline is put off only where that gains at least this much, in milliseconds: the word is shared by all
/// processors, and a store for each packet would have them wait for one another.
pub const PUT_OFF_STEP_MILLISECONDS: u64 = 16;

/// How far a packet's time may be behind the clock, in milliseconds: it is that of the last tick but one, of ten
/// milliseconds at most.
pub const LAG_MILLISECONDS: u64 = 50;

/// A deadline with no more than this to go, in milliseconds, is put off no longer: a processor whose time is ahead may
/// hold it for passed already, and send new connections to the owner without remembering them.
pub const LATE_MILLISECONDS: u64 = 50;

/// Deadlines are so much later than the settle time asks for, in milliseconds, that a connection is given up only after
/// a whole settle time of silence: what is not put off because it is late, or because that gains too little, and what
/// a packet's time lags.
pub const SLACK_MILLISECONDS: u64 = LATE_MILLISECONDS + PUT_OFF_STEP_MILLISECONDS + LAG_MILLISECONDS;

const OWNER_MASK: u64 = (1 << OWNER_BITS) - 1;
const EPOCH_MASK: u32 = (1 << EPOCH_BITS) - 1;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// The previous owner of a slot that settles for the sake of what is remembered, and has neither an owner nor the one
/// before any more. No backend has this number.
pub const NOBODY: u32 = (1 << OWNER_BITS) - 1;

/// Counts the settling periods of a slot, round and round through 24 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch(u32);

impl Epoch {
    /// The epoch of that number, of which the low 24 bits count.
    #[must_use]
    #[inline(always)]
    pub const fn new(number: u32) -> Self {
        Self(number & EPOCH_MASK)
    }

    /// Its number, less than 2^24.
    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The one after it.
    #[must_use]
    #[inline(always)]
    pub const fn next(self) -> Self {
        Self::new(self.0.wrapping_add(1))
    }

    /// Whether it comes after `other`, as long as the two are less than 2^23 apart.
    #[must_use]
    #[inline(always)]
    pub const fn is_after(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0) & EPOCH_MASK;
        ahead != 0 && ahead < 1 << (EPOCH_BITS - 1)
    }
}

/// A slot: its owner, its previous owner and its epoch in one word of eight bytes, written by user space alone and
/// with one store, so that nobody ever sees half a change.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SlotWord(pub u64);

impl SlotWord {
    /// The word of those parts. Backends are numbered from 1; 0 is none.
    #[must_use]
    #[inline(always)]
    pub const fn new(owner: u32, previous: u32, epoch: Epoch) -> Self {
        Self(
            (owner as u64 & OWNER_MASK)
                | ((previous as u64 & OWNER_MASK) << OWNER_BITS)
                | ((epoch.0 as u64) << (2 * OWNER_BITS)),
        )
    }

    /// The backend that gets the slot's new connections; 0 is none.
    #[must_use]
    #[inline(always)]
    pub const fn owner(self) -> u32 {
        (self.0 & OWNER_MASK) as u32
    }

    /// The backend that had the slot before, as long as its connections may be alive; 0 is none.
    #[must_use]
    #[inline(always)]
    pub const fn previous(self) -> u32 {
        ((self.0 >> OWNER_BITS) & OWNER_MASK) as u32
    }

    /// The settling period that the slot is or was last in.
    #[must_use]
    #[inline(always)]
    pub const fn epoch(self) -> Epoch {
        Epoch::new((self.0 >> (2 * OWNER_BITS)) as u32)
    }

    /// Whether the slot is settling at `now`, in milliseconds since boot.
    #[must_use]
    #[inline(always)]
    pub const fn phase(self, deadline: Deadline, now: u64) -> Phase {
        if self.previous() == 0 {
            Phase::Settled
        } else if deadline.epoch().0 == self.epoch().0 {
            if now < deadline.time() { Phase::Settling } else { Phase::Settled }
        } else if deadline.epoch().is_after(self.epoch()) {
            // User space is about to publish the next period, so it saw that this one was over.
            Phase::Settled
        } else {
            // A late store of the last period went over the deadline of this one.
            Phase::SettlingWithoutDeadline
        }
    }
}

/// Until when a slot settles, and in which epoch that holds. User space and the program both write it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Deadline(pub u64);

impl Deadline {
    /// The deadline at `time`, in milliseconds since boot, of which the low 40 bits count.
    #[must_use]
    #[inline(always)]
    pub const fn new(epoch: Epoch, time: u64) -> Self {
        Self((time & TIME_MASK) | ((epoch.0 as u64) << TIME_BITS))
    }

    /// The settling period that it belongs to.
    #[must_use]
    #[inline(always)]
    pub const fn epoch(self) -> Epoch {
        Epoch::new((self.0 >> TIME_BITS) as u32)
    }

    /// When it passes, in milliseconds since boot.
    #[must_use]
    #[inline(always)]
    pub const fn time(self) -> u64 {
        self.0 & TIME_MASK
    }

    /// Whether it passes so soon that it is put off no longer.
    #[must_use]
    #[inline(always)]
    pub const fn is_late(self, epoch: Epoch, now: u64) -> bool {
        self.epoch().0 == epoch.0 && self.time() <= now + LATE_MILLISECONDS
    }

    /// The deadline to store after a packet at `now` went to another than the slot's owner; `None` where the one
    /// there is good enough, or it is too late. `limit` is the last moment of the period, `u64::MAX` for none.
    ///
    /// A packet that could not be remembered, `unremembered`, has no other way to be found again: it is never too late
    /// for that.
    #[must_use]
    #[inline(always)]
    pub const fn put_off(
        self,
        epoch: Epoch,
        now: u64,
        settle_time: u64,
        limit: u64,
        unremembered: bool,
    ) -> Option<Self> {
        let wanted = now + settle_time + SLACK_MILLISECONDS;
        let time = if wanted < limit { wanted } else { limit };
        let fresh = self.epoch().0 != epoch.0;
        let gains = time >= self.time() + PUT_OFF_STEP_MILLISECONDS;
        if fresh || gains && (unremembered || !self.is_late(epoch, now)) {
            Some(Self::new(epoch, time))
        } else {
            None
        }
    }
}

/// Whether a slot is settling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its packets go to its owner.
    Settled,
    /// It changed owner, and its deadline has not passed.
    Settling,
    /// It changed owner a moment ago, and whoever sees it stores its deadline.
    SettlingWithoutDeadline,
}

/// What kind of TCP segment a packet is, as far as settling goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A SYN without ACK: it opens a connection, or opens it once more.
    Opening,
    /// It ends a connection, and so is no sign that one goes on.
    Reset,
    /// Anything else: it belongs to a connection.
    Other,
}

impl Segment {
    /// The segment with those flags, the fourteenth byte of a TCP header.
    #[must_use]
    #[inline(always)]
    pub const fn of_flags(flags: u8) -> Self {
        const SYN: u8 = 0x02;
        const RST: u8 = 0x04;
        const ACK: u8 = 0x10;
        if flags & RST != 0 {
            Self::Reset
        } else if flags & (SYN | ACK) == SYN {
            Self::Opening
        } else {
            Self::Other
        }
    }
}

/// What is remembered of a flow, if its epoch is its slot's and its owner is still the one that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recalled {
    /// Nothing.
    Nothing,
    /// It was opened at `owner`.
    At {
        /// The backend's number.
        owner: u32,
        /// Whether that backend is active, and not draining.
        active: bool,
    },
}

/// Where a packet of a settling slot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To that backend.
    To(u32),
    /// To the slot's owner if the flow can be remembered, else to its previous owner, which needs no memory.
    Remember,
}

/// Where a segment of a settling slot goes; `late` says that the deadline is put off no longer.
#[must_use]
#[inline(always)]
pub const fn route(word: SlotWord, segment: Segment, recalled: Recalled, late: bool) -> Route {
    match (segment, recalled) {
        // A retransmission. At an owner that drains it would be a new connection at a backend that is to get none; and
        // what is opened late must be where it is found once the slot has settled.
        (Segment::Opening, Recalled::At { owner, active: true }) if !late || owner == word.owner() => {
            Route::To(owner)
        }
        // Nothing to remember: what is not remembered goes to the previous owner, and that is the owner.
        (Segment::Opening, Recalled::Nothing) if word.owner() == word.previous() => Route::To(word.owner()),
        (Segment::Opening, _) if word.owner() == 0 => Route::To(0),
        (Segment::Opening, _) => Route::Remember,
        (_, Recalled::At { owner, .. }) => Route::To(owner),
        (_, Recalled::Nothing) => Route::To(word.previous()),
    }
}

/// What user space stores to give a slot another owner, the deadline and limit first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// Nothing: it has that owner.
    Unchanged,
    /// The word alone: there is nothing to settle.
    Word(SlotWord),
    /// The deadline, then the word.
    DeadlineThenWord(Deadline, SlotWord),
    /// Not now: its deadline is too near. Look again when it has passed.
    Wait,
}

/// How user space gives a slot to `owner` at `now` (milliseconds since boot).
///
/// `holds` says whether the connections that the present owner has are to stay with it; `settle_time` is in
/// milliseconds.
#[must_use]
pub const fn reassign(
    word: SlotWord,
    deadline: Deadline,
    owner: u32,
    now: u64,
    settle_time: u64,
    holds: bool,
) -> Rewrite {
    let settling = !matches!(word.phase(deadline, now), Phase::Settled);
    if owner == word.owner() && (settling || word.previous() == 0) {
        return Rewrite::Unchanged;
    }
    let latest = if deadline.epoch().is_after(word.epoch()) { deadline.epoch() } else { word.epoch() };
    if settling {
        if is_near(word, deadline, now) {
            return Rewrite::Wait;
        }
        // The oldest previous owner stays: younger connections are remembered, in this epoch. One that stepped in for
        // another, and leaves as well, is followed by whoever follows it.
        let previous = if !holds && word.previous() == word.owner() || word.previous() == NOBODY {
            stand_in(owner)
        } else {
            word.previous()
        };
        Rewrite::DeadlineThenWord(
            Deadline::new(word.epoch(), now + settle_time + SLACK_MILLISECONDS),
            SlotWord::new(owner, previous, word.epoch()),
        )
    } else if owner == word.owner() || !holds || word.owner() == 0 {
        Rewrite::Word(SlotWord::new(owner, 0, latest))
    } else {
        let epoch = latest.next();
        Rewrite::DeadlineThenWord(
            Deadline::new(epoch, now + settle_time + SLACK_MILLISECONDS),
            SlotWord::new(owner, word.owner(), epoch),
        )
    }
}

/// How user space forgets a backend that is leaving and was a slot's previous owner: the present owner steps in, and
/// the slot goes on settling for the sake of what is remembered.
#[must_use]
pub const fn forget_previous(word: SlotWord, deadline: Deadline, leaving: u32, now: u64) -> Rewrite {
    if word.previous() != leaving || leaving == 0 {
        return Rewrite::Unchanged;
    }
    match word.phase(deadline, now) {
        Phase::Settled => Rewrite::Word(SlotWord::new(word.owner(), 0, word.epoch())),
        _ if is_near(word, deadline, now) => Rewrite::Wait,
        _ => Rewrite::Word(SlotWord::new(word.owner(), stand_in(word.owner()), word.epoch())),
    }
}

/// How user space gives a slot to `owner`, and takes those out of it who are leaving: both at once, in one store.
///
/// `settles` says whether the service remembers the flows of settling slots.
#[must_use]
pub fn change(
    word: SlotWord,
    deadline: Deadline,
    owner: u32,
    now: u64,
    settle_time: u64,
    settles: bool,
    is_leaving: impl Fn(u32) -> bool,
) -> Rewrite {
    let leaving = if is_leaving(word.previous()) { word.previous() } else { 0 };
    let stepped_in = match forget_previous(word, deadline, leaving, now) {
        Rewrite::Wait => return Rewrite::Wait,
        Rewrite::Word(stepped_in) => stepped_in,
        Rewrite::Unchanged | Rewrite::DeadlineThenWord(..) => word,
    };
    let holds = settles && !is_leaving(word.owner());
    match reassign(stepped_in, deadline, owner, now, settle_time, holds) {
        Rewrite::Unchanged if stepped_in != word => Rewrite::Word(stepped_in),
        rewrite => rewrite,
    }
}

/// The previous owner of a slot of which `owner` is to step in for the one that leaves.
const fn stand_in(owner: u32) -> u32 {
    if owner == 0 { NOBODY } else { owner }
}

/// Whether a settling slot's deadline passes so soon that a store might come after it.
const fn is_near(word: SlotWord, deadline: Deadline, now: u64) -> bool {
    deadline.epoch().0 == word.epoch().0 && deadline.time() < now + GUARD_MILLISECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: u64 = 10_000;

    fn store(rewrite: Rewrite, word: &mut SlotWord, deadline: &mut Deadline) {
        match rewrite {
            Rewrite::Unchanged | Rewrite::Wait => {}
            Rewrite::Word(new) => *word = new,
            Rewrite::DeadlineThenWord(new_deadline, new) => (*deadline, *word) = (new_deadline, new),
        }
    }

    #[test]
    fn a_change_takes_out_who_leaves_and_gives_the_slot_in_one_store() {
        let word = SlotWord::new(2, 1, Epoch::new(5));
        let deadline = Deadline::new(Epoch::new(5), 11_000);
        let change = |owner, leaving: &[u32], now| {
            change(word, deadline, owner, now, SETTLE, true, |number| leaving.contains(&number))
        };
        let settles = |owner, previous| {
            Rewrite::DeadlineThenWord(
                Deadline::new(Epoch::new(5), 15_000 + SLACK_MILLISECONDS),
                SlotWord::new(owner, previous, Epoch::new(5)),
            )
        };
        assert_eq!(change(2, &[3], 5000), Rewrite::Unchanged);
        assert_eq!(change(2, &[1], 5000), Rewrite::Word(SlotWord::new(2, 2, Epoch::new(5))));
        assert_eq!(change(3, &[1], 5000), settles(3, 2));
        assert_eq!(change(3, &[2], 5000), settles(3, 1));
        assert_eq!(change(3, &[1, 2], 5000), settles(3, 3));
        assert_eq!(change(2, &[1], 10_500), Rewrite::Wait);
        assert_eq!(change(3, &[1, 2], 11_000), Rewrite::Word(SlotWord::new(3, 0, Epoch::new(5))));
    }

    #[test]
    fn words_keep_their_parts() {
        let word = SlotWord::new(0xf_ffff, 0xa_bcde, Epoch::new(0xff_fffe));
        assert_eq!((word.owner(), word.previous(), word.epoch().number()), (0xf_ffff, 0xa_bcde, 0xff_fffe));
        let deadline = Deadline::new(Epoch::new(7), (1 << 40) - 1);
        assert_eq!((deadline.epoch().number(), deadline.time()), (7, (1 << 40) - 1));
    }

    #[test]
    fn epochs_go_round() {
        assert!(Epoch::new(0).is_after(Epoch::new(0xff_ffff)));
        assert!(!Epoch::new(0xff_ffff).is_after(Epoch::new(0)));
        assert!(!Epoch::new(5).is_after(Epoch::new(5)));
        assert_eq!(Epoch::new(0xff_ffff).next(), Epoch::new(0));
    }

    #[test]
    fn a_settled_slot_that_changes_owner_settles_until_its_deadline() {
        let (mut word, mut deadline) = (SlotWord::new(1, 0, Epoch::new(4)), Deadline::default());
        store(reassign(word, deadline, 2, 1000, SETTLE, true), &mut word, &mut deadline);
        assert_eq!(word, SlotWord::new(2, 1, Epoch::new(5)));
        assert_eq!(deadline, Deadline::new(Epoch::new(5), 11_000 + SLACK_MILLISECONDS));
        assert_eq!(word.phase(deadline, 10_999 + SLACK_MILLISECONDS), Phase::Settling);
        assert_eq!(word.phase(deadline, 11_000 + SLACK_MILLISECONDS), Phase::Settled);
    }

    #[test]
    fn a_second_change_keeps_the_oldest_previous_owner_and_the_epoch() {
        let word = SlotWord::new(2, 1, Epoch::new(5));
        let deadline = Deadline::new(Epoch::new(5), 11_000);
        assert_eq!(
            reassign(word, deadline, 3, 5000, SETTLE, true),
            Rewrite::DeadlineThenWord(
                Deadline::new(Epoch::new(5), 15_000 + SLACK_MILLISECONDS),
                SlotWord::new(3, 1, Epoch::new(5))
            )
        );
        assert_eq!(reassign(word, deadline, 3, 10_001, SETTLE, true), Rewrite::Wait);
        // Once it has passed the slot settles anew, for the owner that it had until now.
        assert_eq!(
            reassign(word, deadline, 3, 11_000, SETTLE, true),
            Rewrite::DeadlineThenWord(
                Deadline::new(Epoch::new(6), 21_000 + SLACK_MILLISECONDS),
                SlotWord::new(3, 2, Epoch::new(6))
            )
        );
    }

    #[test]
    fn every_order_of_the_loads_of_a_publication_is_settled_or_settling_as_it_must() {
        let (old, old_deadline) = (SlotWord::new(2, 1, Epoch::new(5)), Deadline::new(Epoch::new(5), 11_000));
        let Rewrite::DeadlineThenWord(new_deadline, new) =
            reassign(old, old_deadline, 3, 12_000, SETTLE, true)
        else {
            panic!("a lapsed slot is settled, and its change starts a period");
        };
        assert_eq!(old.phase(old_deadline, 12_000), Phase::Settled);
        assert_eq!(old.phase(new_deadline, 12_000), Phase::Settled);
        assert_eq!(new.phase(new_deadline, 12_000), Phase::Settling);
        assert_eq!(new.phase(old_deadline, 12_000), Phase::SettlingWithoutDeadline);
    }

    #[test]
    fn removal_ends_what_the_backend_held() {
        let (word, deadline) = (SlotWord::new(2, 1, Epoch::new(5)), Deadline::new(Epoch::new(5), 11_000));
        assert_eq!(
            forget_previous(word, deadline, 1, 5000),
            Rewrite::Word(SlotWord::new(2, 2, Epoch::new(5)))
        );
        assert_eq!(
            forget_previous(word, deadline, 1, 11_000),
            Rewrite::Word(SlotWord::new(2, 0, Epoch::new(5)))
        );
        assert_eq!(forget_previous(word, deadline, 9, 5000), Rewrite::Unchanged);
        // The present owner of a settled slot leaves: nobody has connections worth holding.
        assert_eq!(
            reassign(SlotWord::new(1, 0, Epoch::new(5)), deadline, 3, 5000, SETTLE, false),
            Rewrite::Word(SlotWord::new(3, 0, Epoch::new(5)))
        );
    }

    #[test]
    fn segments_of_a_settling_slot_go_where_their_connection_is() {
        let word = SlotWord::new(2, 1, Epoch::new(5));
        let at = |owner, active| Recalled::At { owner, active };
        let route = |word, segment, recalled| route(word, segment, recalled, false);
        assert_eq!(route(word, Segment::Opening, Recalled::Nothing), Route::Remember);
        assert_eq!(route(word, Segment::Opening, at(3, true)), Route::To(3));
        assert_eq!(route(word, Segment::Opening, at(3, false)), Route::Remember);
        assert_eq!(route(word, Segment::Other, at(3, false)), Route::To(3));
        assert_eq!(route(word, Segment::Other, Recalled::Nothing), Route::To(1));
        assert_eq!(route(word, Segment::Reset, Recalled::Nothing), Route::To(1));
        let nobody = SlotWord::new(0, 1, Epoch::new(5));
        assert_eq!(route(nobody, Segment::Opening, Recalled::Nothing), Route::To(0));
        let stepped_in = SlotWord::new(2, 2, Epoch::new(5));
        assert_eq!(route(stepped_in, Segment::Opening, Recalled::Nothing), Route::To(2));
        assert_eq!(route(stepped_in, Segment::Opening, at(3, false)), Route::Remember);
    }

    #[test]
    fn flags_tell_the_segment() {
        assert_eq!(Segment::of_flags(0x02), Segment::Opening);
        assert_eq!(Segment::of_flags(0xc2), Segment::Opening);
        assert_eq!(Segment::of_flags(0x12), Segment::Other);
        assert_eq!(Segment::of_flags(0x10), Segment::Other);
        assert_eq!(Segment::of_flags(0x06), Segment::Reset);
        assert_eq!(Segment::of_flags(0x14), Segment::Reset);
    }

    #[test]
    fn deadlines_are_put_off_in_steps_and_up_to_the_limit() {
        let epoch = Epoch::new(5);
        let deadline = Deadline::new(epoch, 11_000 + SLACK_MILLISECONDS);
        let to = |time| Some(Deadline::new(epoch, time + SLACK_MILLISECONDS));
        let put_off = |now, limit| deadline.put_off(epoch, now, SETTLE, limit, false);
        assert_eq!(put_off(1015, u64::MAX), None);
        assert_eq!(put_off(1016, u64::MAX), to(11_016));
        assert_eq!(put_off(5000, 11_010 + SLACK_MILLISECONDS), None);
        assert_eq!(put_off(5000, 12_000 + SLACK_MILLISECONDS), to(12_000));
        let before = Deadline::new(Epoch::new(4), 99_000);
        assert_eq!(before.put_off(epoch, 5000, SETTLE, u64::MAX, false), to(15_000));
    }

    #[test]
    fn late_deadlines_are_put_off_for_those_alone_who_have_no_other_way() {
        let (epoch, word) = (Epoch::new(5), SlotWord::new(2, 1, Epoch::new(5)));
        let deadline = Deadline::new(epoch, 11_000);
        let late = 11_000 - LATE_MILLISECONDS;
        assert!(deadline.put_off(epoch, late - 1, SETTLE, u64::MAX, false).is_some());
        assert_eq!(deadline.put_off(epoch, late, SETTLE, u64::MAX, false), None);
        assert!(deadline.put_off(epoch, late, SETTLE, u64::MAX, true).is_some());
        assert!(deadline.put_off(epoch.next(), late, SETTLE, u64::MAX, false).is_some());
        let at = |owner| Recalled::At { owner, active: true };
        assert_eq!(route(word, Segment::Opening, at(3), true), Route::Remember);
        assert_eq!(route(word, Segment::Opening, at(2), true), Route::To(2));
        assert_eq!(route(word, Segment::Other, at(3), true), Route::To(3));
    }

    #[test]
    fn who_stepped_in_and_leaves_is_named_no_more() {
        let deadline = Deadline::new(Epoch::new(5), 11_000);
        let given = |word, owner, holds| match reassign(word, deadline, owner, 5000, SETTLE, holds) {
            Rewrite::DeadlineThenWord(_, word) => (word.owner(), word.previous()),
            other => panic!("{other:?}"),
        };
        let stepped_in = SlotWord::new(2, 2, Epoch::new(5));
        assert_eq!(given(stepped_in, 3, true), (3, 2));
        assert_eq!(given(stepped_in, 3, false), (3, 3));
        assert_eq!(given(stepped_in, 0, false), (0, NOBODY));
        assert_eq!(given(SlotWord::new(0, NOBODY, Epoch::new(5)), 3, true), (3, 3));
        // What is remembered at others holds on.
        assert_eq!(
            forget_previous(SlotWord::new(0, 1, Epoch::new(5)), deadline, 1, 5000),
            Rewrite::Word(SlotWord::new(0, NOBODY, Epoch::new(5)))
        );
    }
}
