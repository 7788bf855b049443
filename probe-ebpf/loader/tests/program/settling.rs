//! Settling: each of its rules, as the kernel runs them.

use std::{net::SocketAddrV4, thread, time::Duration};

use maglev_core::slot::{
    Deadline, Epoch, GUARD_MILLISECONDS, LATE_MILLISECONDS, NOBODY, SLACK_MILLISECONDS, SlotWord,
};
use maglev_probe_abi::{
    AFFINITY_SOURCE, BACKEND_DRAINING, BACKEND_GONE, BackendCounters, FLOWS_PER_BUCKET, SettlingBucket,
    SettlingFlow,
};

use crate::{
    frames::{Flags, client, tcp},
    support::{FIRST_SLOT, LAG, SETTLE_MILLISECONDS, Scene, TABLE_SIZE, TCP, XDP_DROP, now},
};

const EPOCH: Epoch = Epoch::new(5);

/// A scene in which the first client's slot goes from the first backend to the second one, half of its settle time
/// being over.
struct Settling {
    scene: Scene,
    slot: u32,
    deadline: Deadline,
}

impl Settling {
    fn new() -> Option<Self> {
        Self::of(|_| {})
    }

    fn of(change: impl FnOnce(&mut maglev_probe_abi::ServiceRecord)) -> Option<Self> {
        let mut scene = Scene::of(TCP, change)?;
        let slot = scene.slot(client(1));
        let deadline = Deadline::new(EPOCH, now() + SETTLE_MILLISECONDS / 2);
        scene.programs.put_deadline(slot, deadline);
        scene.programs.put_slot(slot, SlotWord::new(2, 1, EPOCH));
        Some(Self { scene, slot, deadline })
    }

    /// Where a packet of the first client goes.
    fn to(&self, flags: Flags) -> u32 {
        self.scene.backend_of(&tcp(client(1), flags))
    }

    fn is_put_off(&self) -> bool {
        let deadline = self.scene.programs.deadline(self.slot);
        if deadline == self.deadline {
            return false;
        }
        assert_eq!(deadline.epoch(), EPOCH);
        let expected = now() + SETTLE_MILLISECONDS + SLACK_MILLISECONDS;
        assert!((expected - 1000..=expected).contains(&deadline.time()), "{deadline:?}");
        true
    }

    fn give(&mut self, owner: u32, previous: u32, epoch: Epoch) {
        self.scene.programs.put_slot(self.slot, SlotWord::new(owner, previous, epoch));
    }

    fn deadline_at(&mut self, epoch: Epoch, time: u64) {
        self.deadline = Deadline::new(epoch, time);
        self.scene.programs.put_deadline(self.slot, self.deadline);
    }

    /// The bucket of the first client.
    fn bucket(&self) -> SettlingBucket {
        self.scene.programs.bucket(self.scene.bucket_of(client(1)))
    }

    /// The entries of that bucket that are taken.
    fn entries(&self) -> Vec<SettlingFlow> {
        self.bucket().flows.into_iter().filter(|flow| flow.key.service != 0).collect()
    }

    /// What is remembered of the first client at that backend.
    fn memory(&self, owner: u32, generation: u32) -> SettlingFlow {
        SettlingFlow {
            key: Scene::key(client(1)),
            word: SlotWord::new(owner, 0, EPOCH).0,
            generation,
            slot: self.slot,
        }
    }

    /// Fills the first client's bucket up, with entries of that slot and epoch.
    fn fill_bucket(&mut self, slot: u32, epoch: Epoch) -> SettlingBucket {
        let mut bucket = self.bucket();
        for (number, flow) in (100..).zip(&mut bucket.flows) {
            *flow = SettlingFlow {
                key: Scene::key(client(number)),
                word: SlotWord::new(2, 0, epoch).0,
                generation: 7,
                slot,
            };
        }
        self.scene.programs.put_bucket(self.scene.bucket_of(client(1)), bucket);
        bucket
    }
}

#[test]
fn a_connection_opened_goes_to_the_owner_and_is_remembered() {
    let Some(settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Syn), 2);
    assert_eq!(settling.entries(), [settling.memory(2, 7)]);
    assert_eq!(settling.to(Flags::Ack), 2, "what follows goes there too");
    assert_eq!(settling.to(Flags::Syn), 2, "as do retransmissions");
    assert_eq!(settling.to(Flags::Rst), 2);
    assert_eq!(settling.entries().len(), 1);
    assert!(!settling.is_put_off());
    let counters = settling.scene.programs.service_counters();
    assert_eq!((counters.held_packets, counters.unremembered, counters.new_connections), (0, 0, 2));
}

#[test]
fn a_connection_made_before_goes_to_the_previous_owner_and_puts_the_deadline_off() {
    let Some(settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Ack), 1);
    assert!(settling.is_put_off());
    assert_eq!(settling.to(Flags::SynAck), 1);
    assert_eq!(settling.entries(), []);
    let counters = settling.scene.programs.backend_counters(1);
    assert_eq!((counters.packets, counters.held_packets, counters.new_connections), (2, 2, 0));
    assert_eq!(settling.scene.programs.service_counters().held_packets, 2);
    assert_eq!(settling.scene.programs.backend_counters(2), BackendCounters::default());
}

#[test]
fn a_reset_goes_where_its_connection_is_and_puts_nothing_off() {
    let Some(settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Rst), 1);
    assert!(!settling.is_put_off());
    assert_eq!(settling.scene.programs.backend_counters(1).held_packets, 1);
}

#[test]
fn deadlines_are_put_off_in_steps() {
    let Some(mut settling) = Settling::new() else { return };
    settling.deadline_at(EPOCH, now() + SETTLE_MILLISECONDS + SLACK_MILLISECONDS - 2);
    settling.to(Flags::Ack);
    // Unless the machine stood still in between, that is too little to gain.
    if now() + SETTLE_MILLISECONDS + SLACK_MILLISECONDS < settling.deadline.time() + 16 {
        assert!(!settling.is_put_off());
    }
    thread::sleep(Duration::from_millis(16 + 2 + LAG));
    settling.to(Flags::Ack);
    assert!(settling.is_put_off());
}

#[test]
fn a_late_deadline_is_put_off_for_those_alone_who_cannot_be_remembered() {
    let Some(mut settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Syn), 2);
    settling.give(3, 1, EPOCH);
    // Should the machine stand still meanwhile, the deadline passes: again, then.
    for _ in 0..100 {
        settling.scene.programs.put_bucket(settling.scene.bucket_of(client(1)), SettlingBucket::default());
        settling.deadline_at(EPOCH, now() + LATE_MILLISECONDS - LAG - 1);
        let unknown = settling.to(Flags::Ack);
        let is_put_off = settling.is_put_off();
        let mut bucket = settling.bucket();
        bucket.flows[0] = settling.memory(2, 7);
        settling.scene.programs.put_bucket(settling.scene.bucket_of(client(1)), bucket);
        let remembered = settling.to(Flags::Ack);
        // Opened once more it goes where it is found when the slot has settled.
        let opened = settling.to(Flags::Syn);
        let is_put_off = is_put_off || settling.is_put_off();
        settling.fill_bucket(settling.slot, EPOCH);
        let unremembered = settling.to(Flags::Syn);
        if now() < settling.deadline.time() {
            assert_eq!((unknown, remembered, opened, unremembered), (1, 2, 3, 1));
            assert!(!is_put_off);
            assert!(settling.is_put_off());
            return;
        }
    }
    panic!("this machine is too slow to be in time");
}

#[test]
fn where_nobody_is_left_to_step_in_what_is_remembered_holds_on() {
    let Some(mut settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Syn), 2);
    settling.give(0, NOBODY, EPOCH);
    settling.scene.set_backend(2, |backend| backend.state = BACKEND_DRAINING);
    assert_eq!(settling.to(Flags::Ack), 2);
    settling.scene.programs.put_bucket(settling.scene.bucket_of(client(1)), SettlingBucket::default());
    for flags in [Flags::Ack, Flags::Syn] {
        let outcome = settling.scene.programs.balance(&tcp(client(1), flags));
        assert_eq!((outcome.verdict, outcome.action), ("no-backend", XDP_DROP));
    }
    settling.give(3, NOBODY, EPOCH);
    assert_eq!(settling.to(Flags::Ack), 3);
}

#[test]
fn a_slot_whose_deadline_has_passed_is_settled() {
    let Some(mut settling) = Settling::new() else { return };
    settling.deadline_at(EPOCH, now() - LAG);
    for flags in [Flags::Ack, Flags::Syn, Flags::Rst] {
        assert_eq!(settling.to(flags), 2);
    }
    assert!(!settling.is_put_off());
    assert_eq!(settling.entries(), [], "nothing need be remembered");
}

#[test]
fn a_deadline_of_a_period_to_come_says_that_the_last_one_is_over() {
    let Some(mut settling) = Settling::new() else { return };
    settling.deadline_at(EPOCH.next(), now() + SETTLE_MILLISECONDS);
    assert_eq!(settling.to(Flags::Ack), 2);
    assert_eq!(settling.to(Flags::Syn), 2);
    assert_eq!(settling.scene.programs.deadline(settling.slot), settling.deadline);
    // And the word that follows it begins the next one, at the end of which the epoch goes round.
    settling.give(3, 2, EPOCH.next());
    assert_eq!(settling.to(Flags::Ack), 2);
    settling.give(3, 2, Epoch::new(0xff_ffff));
    settling.deadline_at(Epoch::new(0), now() + SETTLE_MILLISECONDS);
    assert_eq!(settling.to(Flags::Ack), 3);
}

#[test]
fn a_deadline_of_a_period_before_is_replaced_by_whoever_sees_it() {
    for flags in [Flags::Syn, Flags::Ack, Flags::Rst] {
        let Some(mut settling) = Settling::new() else { return };
        settling.deadline_at(Epoch::new(4), now() + 10 * SETTLE_MILLISECONDS);
        let expected = if matches!(flags, Flags::Syn) { 2 } else { 1 };
        assert_eq!(settling.to(flags), expected);
        assert!(settling.is_put_off(), "{flags:?}");
    }
}

#[test]
fn deadlines_are_put_off_no_further_than_the_limit() {
    let Some(mut settling) =
        Settling::of(|record| record.settle_limit_milliseconds = 2 * SETTLE_MILLISECONDS)
    else {
        return;
    };
    let limit = Deadline::new(EPOCH, settling.deadline.time() + 1000);
    settling.scene.programs.put_limit(settling.slot, limit);
    assert_eq!(settling.to(Flags::Ack), 1);
    assert_eq!(settling.scene.programs.deadline(settling.slot), limit);
    assert_eq!(settling.to(Flags::Ack), 1);
    assert_eq!(settling.scene.programs.deadline(settling.slot), limit);
    // The limit of another period is none of this one's.
    settling.scene.programs.put_limit(settling.slot, Deadline::new(Epoch::new(4), limit.time()));
    assert_eq!(settling.to(Flags::Ack), 1);
    assert!(settling.is_put_off());
    // Nor is one that the service does not ask for.
    settling.scene.programs.put_limit(settling.slot, limit);
    settling.scene.programs.put_deadline(settling.slot, settling.deadline);
    settling.scene.change_service(|record| record.settle_limit_milliseconds = 0);
    assert_eq!(settling.to(Flags::Ack), 1);
    assert!(settling.is_put_off());
}

#[test]
fn a_second_change_leaves_every_connection_where_it_is() {
    let Some(mut settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Syn), 2);
    settling.give(3, 1, EPOCH);
    assert_eq!(settling.to(Flags::Ack), 2, "it was opened there");
    assert!(settling.is_put_off(), "it is held there");
    assert_eq!(settling.to(Flags::Syn), 2, "a retransmission, at an owner that is active");
    assert_eq!(settling.scene.programs.backend_counters(2).held_packets, 2);
    // Once the owner that it was opened at drains, a connection opened anew goes elsewhere, and takes the memory along.
    settling.scene.set_backend(2, |backend| backend.state = BACKEND_DRAINING);
    assert_eq!(settling.to(Flags::Ack), 2);
    assert_eq!(settling.to(Flags::Syn), 3);
    assert_eq!(settling.entries(), [settling.memory(3, 7)]);
    assert_eq!(settling.to(Flags::Ack), 3);
}

#[test]
fn what_was_remembered_in_another_period_is_forgotten() {
    let Some(mut settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Syn), 2);
    settling.give(3, 2, EPOCH.next());
    settling.deadline_at(EPOCH.next(), now() + SETTLE_MILLISECONDS);
    settling.give(3, 4, EPOCH.next());
    assert_eq!(settling.to(Flags::Ack), 4, "not where it was opened in the period before");
    assert_eq!(settling.to(Flags::Syn), 3);
    assert_eq!(settling.entries().len(), 1, "its own place is taken again");
}

#[test]
fn what_was_remembered_of_another_generation_is_forgotten() {
    let Some(mut settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Syn), 2);
    settling.give(3, 1, EPOCH);
    settling.scene.set_backend(2, |backend| backend.generation = 8);
    assert_eq!(settling.to(Flags::Ack), 1);
    assert_eq!(settling.to(Flags::Syn), 3);
    assert_eq!(settling.entries(), [settling.memory(3, 7)]);
}

#[test]
fn what_was_remembered_of_a_backend_that_is_gone_is_forgotten() {
    let Some(mut settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Syn), 2);
    settling.give(3, 1, EPOCH);
    settling.scene.set_backend(2, |backend| backend.state = BACKEND_GONE);
    assert_eq!(settling.to(Flags::Ack), 1);
    // Where the previous owner is gone too, the owner takes what there is.
    settling.scene.set_backend(1, |backend| backend.state = BACKEND_GONE);
    assert_eq!(settling.to(Flags::Ack), 3);
}

#[test]
fn where_the_owner_has_stepped_in_for_the_previous_one_nothing_is_remembered() {
    let Some(mut settling) = Settling::new() else { return };
    assert_eq!(settling.to(Flags::Syn), 2);
    settling.give(3, 3, EPOCH);
    assert_eq!(settling.to(Flags::Ack), 2, "what is remembered stays");
    assert_eq!(settling.scene.backend_of(&tcp(client(2), Flags::Syn)), 1, "another slot is none of this");
    let Some(mut settling) = Settling::new() else { return };
    settling.give(3, 3, EPOCH);
    assert_eq!(settling.to(Flags::Syn), 3);
    assert_eq!(settling.to(Flags::Ack), 3);
    assert_eq!(settling.entries(), []);
    assert!(!settling.is_put_off());
}

#[test]
fn an_owner_that_is_gone_is_not_remembered() {
    let Some(mut settling) = Settling::new() else { return };
    settling.scene.set_backend(2, |backend| backend.state = BACKEND_GONE);
    let outcome = settling.scene.programs.balance(&tcp(client(1), Flags::Syn));
    assert_eq!((outcome.verdict, outcome.action), ("backend-gone", XDP_DROP));
    assert_eq!(settling.entries(), []);
    assert_eq!(settling.to(Flags::Ack), 1);
}

#[test]
fn a_full_bucket_gives_up_nothing_that_lives() {
    let Some(mut settling) = Settling::new() else { return };
    let full = settling.fill_bucket(settling.slot, EPOCH);
    assert_eq!(settling.to(Flags::Syn), 1, "the previous owner needs no memory");
    assert!(settling.is_put_off());
    assert_eq!(settling.bucket(), full);
    assert_eq!(settling.to(Flags::Ack), 1);
    let counters = settling.scene.programs.service_counters();
    assert_eq!((counters.unremembered, counters.held_packets, counters.new_connections), (1, 2, 1));
    // A flow that has a place in it keeps it.
    let mut with_the_first = full;
    with_the_first.flows[4] = settling.memory(2, 6);
    settling.scene.programs.put_bucket(settling.scene.bucket_of(client(1)), with_the_first);
    assert_eq!(settling.to(Flags::Syn), 2);
    let mut expected = full;
    expected.flows[4] = settling.memory(2, 7);
    assert_eq!(settling.bucket(), expected);
}

#[test]
fn a_full_bucket_takes_the_place_of_an_entry_whose_period_is_over() {
    let Some(mut settling) = Settling::new() else { return };
    let full = settling.fill_bucket(settling.slot, EPOCH);
    for place in 0..FLOWS_PER_BUCKET {
        let mut bucket = full;
        bucket.flows[place].word = SlotWord::new(2, 0, Epoch::new(4)).0;
        settling.scene.programs.put_bucket(settling.scene.bucket_of(client(1)), bucket);
        assert_eq!(settling.to(Flags::Syn), 2, "of an epoch before, in place {place}");
        bucket.flows[place] = settling.memory(2, 7);
        assert_eq!(settling.bucket(), bucket);
    }
}

#[test]
fn a_full_bucket_takes_the_place_of_an_entry_whose_slot_has_settled() {
    let Some(mut settling) = Settling::new() else { return };
    let another = if settling.slot == FIRST_SLOT { FIRST_SLOT + TABLE_SIZE - 1 } else { FIRST_SLOT };
    let lives = |settling: &mut Settling, word: SlotWord, deadline: Deadline| {
        let mut bucket = settling.fill_bucket(settling.slot, EPOCH);
        bucket.flows[3].slot = another;
        settling.scene.programs.put_bucket(settling.scene.bucket_of(client(1)), bucket);
        settling.scene.programs.put_slot(another, word);
        settling.scene.programs.put_deadline(another, deadline);
        let lives = settling.to(Flags::Syn) == 1;
        assert_eq!(settling.bucket().flows[3] == bucket.flows[3], lives);
        lives
    };
    let (word, later) = (SlotWord::new(2, 1, EPOCH), now() + SETTLE_MILLISECONDS);
    assert!(lives(&mut settling, word, Deadline::new(EPOCH, later)));
    let long_ago = now() - LAG - GUARD_MILLISECONDS;
    assert!(!lives(&mut settling, word, Deadline::new(EPOCH, long_ago)), "its deadline has passed");
    assert!(
        lives(&mut settling, word, Deadline::new(EPOCH, now() - LAG)),
        "its deadline has just passed, and another processor may be putting it off"
    );
    assert!(
        !lives(&mut settling, word, Deadline::new(EPOCH.next(), later)),
        "the next period is about to begin"
    );
    assert!(
        lives(&mut settling, word, Deadline::new(Epoch::new(4), now())),
        "its deadline is to be stored yet"
    );
    assert!(!lives(&mut settling, SlotWord::new(2, 0, EPOCH), Deadline::new(EPOCH, later)), "it is settled");
    assert!(
        !lives(&mut settling, SlotWord::new(2, 1, Epoch::new(6)), Deadline::new(Epoch::new(6), later)),
        "it is in another period"
    );
}

#[test]
fn an_entry_of_a_slot_that_there_is_not_any_more_is_dead() {
    let Some(mut settling) = Settling::new() else { return };
    let mut bucket = settling.fill_bucket(settling.slot, EPOCH);
    bucket.flows[5].slot = 1_000_000;
    settling.scene.programs.put_bucket(settling.scene.bucket_of(client(1)), bucket);
    assert_eq!(settling.to(Flags::Syn), 2);
    assert_eq!(settling.bucket().flows[5], settling.memory(2, 7));
}

#[test]
fn flows_of_one_bucket_do_not_meet() {
    let Some(mut settling) = Settling::new() else { return };
    // All slots settle; the flows are some that share the first client's bucket.
    settling.scene.settle_all(Deadline::new(EPOCH, now() + SETTLE_MILLISECONDS));
    settling.scene.give_all(|_| SlotWord::new(2, 1, EPOCH));
    let wanted = settling.scene.bucket_of(client(1));
    let sharing: Vec<SocketAddrV4> = (1..=255_u8)
        .flat_map(|third| {
            (1..=60_000).step_by(7).map(move |port| SocketAddrV4::new([203, 0, 113, third].into(), port))
        })
        .filter(|client| settling.scene.bucket_of(*client) == wanted)
        .take(FLOWS_PER_BUCKET + 2)
        .collect();
    assert_eq!(sharing.len(), FLOWS_PER_BUCKET + 2);
    let opened: Vec<u32> =
        sharing.iter().map(|client| settling.scene.backend_of(&tcp(*client, Flags::Syn))).collect();
    assert_eq!(opened, [2, 2, 2, 2, 2, 2, 1, 1]);
    assert_eq!(settling.scene.programs.service_counters().unremembered, 2);
    let followed: Vec<u32> =
        sharing.iter().map(|client| settling.scene.backend_of(&tcp(*client, Flags::Ack))).collect();
    assert_eq!(followed, opened);
}

#[test]
fn clients_with_affinity_are_spread_over_the_buckets() {
    let Some(settling) = Settling::of(|record| record.affinity = AFFINITY_SOURCE) else { return };
    let mut buckets = std::collections::BTreeMap::<_, u32>::new();
    let mut from = client(1);
    for port in 1024..=u16::MAX {
        from.set_port(port);
        assert_eq!(settling.scene.slot(from), settling.scene.slot(client(1)));
        *buckets.entry(settling.scene.bucket_of(from)).or_default() += 1;
    }
    assert!(buckets.len() > 10_000, "{}", buckets.len());
    assert!(buckets.values().all(|flows| *flows <= 6), "all ports of one client find room");
    from.set_port(50_000);
    assert_eq!(settling.scene.backend_of(&tcp(from, Flags::Syn)), 2);
    assert_eq!(settling.scene.backend_of(&tcp(from, Flags::Ack)), 2);
    from.set_port(50_001);
    assert_eq!(settling.scene.backend_of(&tcp(from, Flags::Ack)), 1);
}
