//! Rates and gaps, through the whole monitor.

use std::time::Duration;

use super::support::Bench;
use crate::{
    monitor::view::ViewName,
    source::{Source as _, SourceError},
};

#[test]
fn rates_are_by_the_time_that_passed() {
    let mut bench = Bench::new(ViewName::Backends).after(1);
    let one = bench.model.data.service_history().unwrap().track.latest().unwrap();
    bench.simulation.advance(Duration::from_secs(4));
    bench.sample();
    let track = &bench.model.data.service_history().unwrap().track;
    let four = track.latest().unwrap();
    assert!((four.packets / one.packets - 1.0).abs() < 0.1, "{one:?} {four:?}");
    let known: Vec<bool> = track.last(9).map(|rates| rates.is_some()).collect();
    assert_eq!(
        known,
        [false, true, false, false, false, true],
        "three samples are missing, and shown as missing"
    );
}

#[test]
fn a_reset_is_no_spike() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    let mut sample = bench.simulation.sample().unwrap();
    sample.taken_at += Duration::from_secs(1);
    for service in &mut sample.services {
        service.counters = maglev_core::sample::Counters::default();
        service.slots.hits = service.slots.hits.iter().map(|_| 0).collect();
        for backend in &mut service.backends {
            backend.counters = maglev_core::sample::Counters::default();
        }
    }
    bench.show(Ok(sample), Duration::ZERO);
    let history = bench.model.data.service_history().unwrap();
    assert_eq!(history.track.latest(), None);
    assert!(!history.slots.known(), "the rates of before are not those of now");
    assert!(history.slots.rates().iter().all(|rate| *rate == 0.0));
}

#[test]
fn a_sample_that_fails_is_said_and_the_last_one_stays() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    let error = SourceError { message: "the map is gone; is the datapath up?".to_owned(), stale: false };
    bench.show(Err(error), Duration::ZERO);
    bench.expect("no sample: the map is gone; is the datapath up?").expect("b5");
    bench.pass(1);
    assert!(!bench.text().contains("no sample"));
}

#[test]
fn freezing_keeps_the_picture() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("<C-f>").expect("FROZEN");
    let before = bench.text();
    bench.pass(3);
    assert_eq!(bench.text(), before);
    bench.press("<C-f>");
    bench.pass(1);
    assert_ne!(bench.text(), before);
}

#[test]
fn a_late_sample_is_said() {
    let mut bench = Bench::new(ViewName::Backends).after(1);
    let result = bench.simulation.sample();
    let late = Duration::from_millis(340);
    bench.show(result, late);
    bench.expect("late by 340 ms").press(" ").expect("late by 340 ms").press("[");
    assert!(!bench.text().contains("late by"), "the one before was in time");
}
