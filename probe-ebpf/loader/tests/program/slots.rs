//! Slots without owner, and owners that are gone.

use maglev_core::slot::{Deadline, Epoch, SlotWord};
use maglev_probe_abi::{
    BACKEND_DRAINING, BACKEND_GONE, ServiceCounters, TRACKING_ALWAYS, TRACKING_NEVER, TRACKING_SETTLING,
};

use crate::{
    frames::{Flags, client, tcp},
    support::{Outcome, SETTLE_MILLISECONDS, Scene, TCP, XDP_DROP, now},
};

#[test]
fn a_slot_without_owner_drops_and_says_so() {
    for tracking in [TRACKING_NEVER, TRACKING_SETTLING, TRACKING_ALWAYS] {
        let Some(mut scene) = Scene::of(TCP, |record| record.tracking = tracking) else { return };
        scene.programs.put_slot(scene.slot(client(1)), SlotWord::new(0, 0, Epoch::new(1)));
        for flags in [Flags::Syn, Flags::Ack] {
            let frame = tcp(client(1), flags);
            let dropped = Outcome { verdict: "no-backend", action: XDP_DROP, frame: frame.clone() };
            assert_eq!(scene.programs.balance(&frame), dropped);
        }
        assert_eq!(scene.programs.service_counters(), ServiceCounters::default());
        assert_eq!(scene.programs.slot_hits(), [(scene.slot(client(1)), 2)].into());
        assert_eq!(scene.programs.tracked(&Scene::key(client(1))), None);
    }
}

#[test]
fn an_owner_that_is_gone_drops_and_says_so() {
    for tracking in [TRACKING_NEVER, TRACKING_SETTLING, TRACKING_ALWAYS] {
        let Some(mut scene) = Scene::of(TCP, |record| record.tracking = tracking) else { return };
        scene.set_backend(1, |backend| backend.state = BACKEND_GONE);
        let frame = tcp(client(1), Flags::Syn);
        let dropped = Outcome { verdict: "backend-gone", action: XDP_DROP, frame: frame.clone() };
        assert_eq!(scene.programs.balance(&frame), dropped);
        // A number beyond the last one is nobody's either.
        scene.programs.put_slot(scene.slot(client(1)), SlotWord::new(1_000_000, 0, Epoch::new(1)));
        assert_eq!(scene.programs.balance(&frame), dropped);
        assert_eq!(scene.programs.tracked(&Scene::key(client(1))), None);
    }
}

#[test]
fn an_owner_that_drains_still_owns() {
    let Some(mut scene) = Scene::new() else { return };
    scene.set_backend(1, |backend| backend.state = BACKEND_DRAINING);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Syn)), 1);
}

#[test]
fn where_the_previous_owner_is_gone_the_owner_steps_in() {
    let Some(mut scene) = Scene::new() else { return };
    let slot = scene.slot(client(1));
    let deadline = Deadline::new(Epoch::new(5), now() + SETTLE_MILLISECONDS / 2);
    scene.programs.put_deadline(slot, deadline);
    scene.programs.put_slot(slot, SlotWord::new(2, 1, Epoch::new(5)));
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Ack)), 1);
    assert_ne!(scene.programs.deadline(slot), deadline, "it was put off");
    scene.programs.put_deadline(slot, deadline);
    scene.set_backend(1, |backend| backend.state = BACKEND_GONE);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Ack)), 2);
    assert_eq!(scene.programs.deadline(slot), deadline, "nobody is held");
    assert_eq!(scene.programs.service_counters().held_packets, 1);
    // With both gone there is nobody; without an owner, likewise.
    scene.set_backend(2, |backend| backend.state = BACKEND_GONE);
    assert_eq!(scene.programs.balance(&tcp(client(1), Flags::Ack)).verdict, "backend-gone");
    scene.programs.put_slot(slot, SlotWord::new(0, 1, Epoch::new(5)));
    assert_eq!(scene.programs.balance(&tcp(client(1), Flags::Ack)).verdict, "no-backend");
    // A previous owner that is there keeps its connections, though nobody gets new ones.
    scene.set_backend(1, |_| {});
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Ack)), 1);
    assert_eq!(scene.programs.balance(&tcp(client(1), Flags::Syn)).verdict, "no-backend");
}
