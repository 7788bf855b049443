//! Services that track every flow, or none.

use maglev_core::slot::{Epoch, SlotWord};
use maglev_probe_abi::{
    BACKEND_DRAINING, BACKEND_GONE, ServiceRecord, TRACKING_ALWAYS, TRACKING_NEVER, TrackedFlow,
};

use crate::{
    frames::{Flags, client, tcp, udp},
    support::{LAG, SETTLE_MILLISECONDS, Scene, TCP, UDP, now},
};

fn always(record: &mut ServiceRecord) {
    record.tracking = TRACKING_ALWAYS;
}

fn give(scene: &mut Scene, owner: u32) {
    scene.programs.put_slot(scene.slot(client(1)), SlotWord::new(owner, 0, Epoch::new(1)));
}

fn tracked(scene: &Scene) -> Option<TrackedFlow> {
    scene.programs.tracked(&Scene::key(client(1)))
}

fn datagram() -> Vec<u8> {
    udp(client(1), b"data")
}

#[test]
fn a_flow_without_connection_stays_where_it_began() {
    let Some(mut scene) = Scene::of(UDP, always) else { return };
    assert_eq!(scene.backend_of(&datagram()), 1);
    let entry = tracked(&scene).unwrap();
    assert_eq!((entry.backend, entry.generation), (1, 7));
    assert!((now() - 1000..=now()).contains(&entry.last_packet));
    give(&mut scene, 2);
    assert_eq!(scene.backend_of(&datagram()), 1);
    assert_eq!(scene.backend_of(&udp(client(2), b"data")), 1, "another slot");
    let counters = scene.programs.backend_counters(1);
    assert_eq!((counters.packets, counters.new_connections, counters.held_packets), (3, 2, 1));
    assert_eq!(scene.programs.service_counters().new_connections, 2);
    // A backend that drains keeps its flows.
    scene.set_backend(1, |backend| backend.state = BACKEND_DRAINING);
    assert_eq!(scene.backend_of(&datagram()), 1);
}

#[test]
fn a_flow_that_was_silent_for_a_settle_time_begins_anew() {
    let Some(mut scene) = Scene::of(UDP, always) else { return };
    give(&mut scene, 2);
    let silent_for = |scene: &mut Scene, milliseconds| {
        let entry =
            TrackedFlow { backend: 1, generation: 7, last_packet: now().saturating_sub(milliseconds) };
        scene.programs.put_tracked(Scene::key(client(1)), entry);
        scene.backend_of(&datagram())
    };
    // The time since boot may be less than the settle time.
    scene.change_service(|record| record.settle_milliseconds = 20_000);
    assert_eq!(silent_for(&mut scene, 19_000), 1);
    assert_eq!(silent_for(&mut scene, 20_000 + LAG), 2);
    let entry = tracked(&scene).unwrap();
    assert_eq!((entry.backend, entry.generation), (2, 7));
    let counters = scene.programs.service_counters();
    assert_eq!((counters.packets, counters.new_connections, counters.held_packets), (2, 1, 1));
}

#[test]
fn an_entry_is_refreshed_in_steps() {
    let Some(mut scene) = Scene::of(UDP, always) else { return };
    let mut refreshed = |settle, silence| {
        scene.change_service(|record| record.settle_milliseconds = settle);
        let last_packet = now() - silence;
        scene
            .programs
            .put_tracked(Scene::key(client(1)), TrackedFlow { backend: 1, generation: 7, last_packet });
        scene.backend_of(&datagram());
        tracked(&scene).unwrap().last_packet != last_packet
    };
    assert!(!refreshed(SETTLE_MILLISECONDS, 0));
    assert!(!refreshed(SETTLE_MILLISECONDS, 100));
    assert!(refreshed(SETTLE_MILLISECONDS, 250 + LAG));
    assert!(refreshed(800, 50 + LAG), "the sixteenth part of a short settle time");
    assert!(!refreshed(3200, 5));
}

#[test]
fn an_entry_of_another_generation_or_of_nobody_is_void() {
    let Some(mut scene) = Scene::of(UDP, always) else { return };
    assert_eq!(scene.backend_of(&datagram()), 1);
    give(&mut scene, 2);
    scene.set_backend(1, |backend| backend.generation = 8);
    assert_eq!(scene.backend_of(&datagram()), 2);
    assert_eq!(tracked(&scene).unwrap().backend, 2);
    give(&mut scene, 3);
    scene.set_backend(2, |backend| backend.state = BACKEND_GONE);
    assert_eq!(scene.backend_of(&datagram()), 3);
    assert_eq!(scene.programs.service_counters().new_connections, 3);
}

#[test]
fn a_tracked_connection_stays_and_one_opened_anew_avoids_who_drains() {
    let Some(mut scene) = Scene::of(TCP, always) else { return };
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Syn)), 1);
    give(&mut scene, 2);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Ack)), 1);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Syn)), 1, "a retransmission");
    scene.set_backend(1, |backend| backend.state = BACKEND_DRAINING);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Ack)), 1);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Rst)), 1);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Syn)), 2);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Ack)), 2);
    assert_eq!(scene.programs.service_counters().new_connections, 3, "as many as SYNs");
}

#[test]
fn a_reset_makes_no_entry() {
    let Some(scene) = Scene::of(TCP, always) else { return };
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Rst)), 1);
    assert_eq!(tracked(&scene), None);
    assert_eq!(scene.backend_of(&tcp(client(1), Flags::Ack)), 1);
    assert_eq!(tracked(&scene).map(|entry| entry.backend), Some(1));
    assert_eq!(scene.programs.service_counters().new_connections, 0);
}

#[test]
fn a_packet_that_is_not_sent_makes_no_entry() {
    let Some(mut scene) = Scene::of(UDP, always) else { return };
    scene.change_service(|record| record.forwarding = 9);
    assert_eq!(scene.programs.balance(&datagram()).verdict, "inconsistent");
    assert_eq!(tracked(&scene), None);
}

#[test]
fn without_tracking_a_packet_goes_to_the_owner() {
    let Some(mut scene) = Scene::of(UDP, |record| record.tracking = TRACKING_NEVER) else { return };
    for owner in [1, 2, 3] {
        // Whatever the previous owner: settling is for those who ask for it.
        scene.programs.put_slot(scene.slot(client(1)), SlotWord::new(owner, 4, Epoch::new(1)));
        assert_eq!(scene.backend_of(&datagram()), owner);
    }
    assert_eq!(tracked(&scene), None);
    let counters = scene.programs.service_counters();
    assert_eq!((counters.packets, counters.new_connections, counters.held_packets), (3, 0, 0));
}
