use maglev_core::{change::Change, sample::ServiceSample};

use super::*;

fn simulation() -> Simulation {
    Simulation::by_hand(demonstration(), spares(), HashSeed::default(), 7).unwrap()
}

fn request(change: Change) -> ChangeRequest {
    ChangeRequest::of("web", vec![change])
}

fn web(sample: &Sample) -> &ServiceSample {
    sample.services.iter().find(|service| service.name == "web").unwrap()
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = || {
        let mut simulation = simulation();
        simulation.advance(Duration::from_secs(2));
        simulation.sample().unwrap()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_drained_backend_keeps_its_flows_until_they_end() {
    let mut simulation = simulation();
    let before = simulation.sample().unwrap();
    let plan = &simulation.execute(&request(Change::Drain("b2".to_owned()))).unwrap()[0];
    assert!(plan.minimum > 3000 && plan.moved >= plan.minimum);
    simulation.advance(Duration::from_secs(1));
    let during = simulation.sample().unwrap();
    let b2 = |sample: &Sample| {
        let backend = web(sample).backends.iter().find(|backend| backend.name == "b2").unwrap();
        (backend.slots, backend.counters, backend.quiet)
    };
    assert_eq!(b2(&during).0, 0);
    assert_eq!(b2(&during).1.new_connections, b2(&before).1.new_connections, "no new connection comes");
    assert!(b2(&during).1.held_packets > 0, "established ones stay");
    assert!(web(&during).slots.settling() > plan.minimum as usize * 9 / 10);
    assert!(web(&during).counters.held_packets > 0);

    simulation.advance(Duration::from_secs(300));
    let after = simulation.sample().unwrap();
    assert_eq!(web(&after).slots.settling(), 0, "its flows have ended");
    assert!(b2(&after).2.unwrap() > Duration::from_secs(10));
    assert_eq!(after.events.last().unwrap().action, "drain");
}

#[test]
fn a_removed_backend_is_gone_at_once() {
    let mut simulation = simulation();
    simulation.execute(&request(Change::Drain("b2".to_owned()))).unwrap();
    let sample = simulation.sample().unwrap();
    let id = web(&sample).backends.iter().find(|backend| backend.name == "b2").unwrap().id;
    simulation.execute(&request(Change::Remove("b2".to_owned()))).unwrap();
    let sample = simulation.sample().unwrap();
    assert!(web(&sample).slots.owner.iter().all(|owner| *owner != id && !owner.is_none()));
    assert!(web(&sample).slots.previous.iter().all(|previous| *previous != id));
    assert_eq!(web(&sample).backends.len(), 4);
}

#[test]
fn the_table_is_the_one_that_is_planned() {
    let mut simulation = simulation();
    let plan = &simulation.execute(&request(Change::Add(spares()[0].clone()))).unwrap()[0];
    let sample = simulation.sample().unwrap();
    for row in &plan.backends {
        let backend = web(&sample).backends.iter().find(|backend| backend.name == row.name).unwrap();
        assert_eq!(backend.slots, row.after, "{}", row.name);
    }
}

#[test]
fn a_change_planned_on_another_state_is_refused() {
    let mut simulation = simulation();
    let mut change = request(Change::Drain("b2".to_owned()));
    change.state_version = Some(simulation.sample().unwrap().state_version);
    simulation.plan(&change).unwrap();
    simulation.execute(&request(Change::Drain("b3".to_owned()))).unwrap();
    assert!(simulation.execute(&change).unwrap_err().stale);
}
