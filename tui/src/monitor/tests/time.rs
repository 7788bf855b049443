//! Time: freezing, going back, marks, comparing; through the whole monitor.

use std::time::Duration;

use fastrand::Rng;
use maglev_core::{
    change::Change,
    sample::{Counters, Sample},
};
use ratatui::buffer::Cell;

use super::support::{Bench, key};
use crate::{
    monitor::{
        dialog::Dialog,
        history::ring::SEGMENT,
        message::{Effect, Message, Order},
        view::ViewName,
    },
    source::{ChangeRequest, Source as _, SourceError},
};

/// Makes a change behind the monitor's back.
fn change(bench: &mut Bench, change: Change) {
    bench.simulation.execute(&ChangeRequest::of("web", vec![change])).unwrap();
}

/// What there is of each view between the tabs and what is below it.
fn content(bench: &mut Bench) -> Vec<Vec<Cell>> {
    let mut all = Vec::new();
    for view in ["1", "2", "3", "4", "5", "b", "H"] {
        bench.press(view);
        let buffer = bench.buffer();
        let width = usize::from(buffer.area.width);
        all.push(buffer.content()[2 * width..2 * width + 20 * width].to_vec());
    }
    all
}

/// What a moment was when it was now.
struct Seen {
    sample: Sample,
    backend: Option<String>,
    late: Duration,
    content: Vec<Vec<Cell>>,
}

#[test]
fn every_moment_is_shown_as_it_was_when_it_was_now() {
    let mut random = Rng::with_seed(8);
    let mut bench = Bench::new(ViewName::Services);
    let mut seen: Vec<Seen> = Vec::new();
    for second in 0..2 * SEGMENT + 20 {
        let names: Vec<String> =
            bench.model.data.service().unwrap().backends.iter().map(|backend| backend.name.clone()).collect();
        let name = names[random.usize(..names.len())].clone();
        match random.u8(..) {
            0..10 => change(&mut bench, Change::SetWeight(name, random.u16(1..300))),
            10..16 => drop(bench.simulation.execute(&ChangeRequest::of("web", vec![Change::Drain(name)]))),
            16..22 => drop(bench.simulation.execute(&ChangeRequest::of("web", vec![Change::Undrain(name)]))),
            22..27 if names.len() > 2 => {
                drop(bench.simulation.execute(&ChangeRequest::of("web", vec![Change::Remove(name)])));
            }
            27..33 => {
                let backend = maglev_core::service::Backend {
                    name: format!("c{}", random.u8(..4)),
                    address: format!("10.0.1.{}:80", random.u8(100..110)).parse().unwrap(),
                    ..bench.simulation.spares()[0].clone()
                };
                drop(bench.simulation.execute(&ChangeRequest::of("web", vec![Change::Add(backend)])));
            }
            33..38 => {
                let error = SourceError { message: "not now".to_owned(), stale: false };
                bench.show(Err(error), Duration::ZERO);
            }
            _ => {}
        }
        // Most looks come in time, some early, some after others were missed.
        let time = [1000, 1000, 1000, 1000, 200, 3300][random.usize(..6)];
        bench.simulation.advance(Duration::from_millis(time));
        let late = Duration::from_millis(if second % 9 == 0 { 250 } else { 0 });
        let result = bench.simulation.sample();
        bench.show(result, late);
        let shown = content(&mut bench);
        let data = &bench.model.data;
        let (sample, backend) = (data.sample.clone().unwrap(), data.backend.clone());
        seen.push(Seen { sample, backend, late: data.late, content: shown });
    }
    // The time bar takes a row of its own.
    bench.resize(80, 25).press("<C-f>^");
    // The first moment is from before the first change.
    let first = bench.model.data.shown_moment().unwrap();
    assert_eq!(first, 0);
    bench.press("]");
    let mut order: Vec<usize> = (0..seen.len()).collect();
    random.shuffle(&mut order);
    let mut at = 0_usize;
    for moment in order {
        while at < moment {
            let step = if moment - at >= 10 { 10 } else { 1 };
            bench.press(if step == 10 { "}" } else { "]" });
            at += step;
        }
        while at > moment {
            let step = if at - moment >= 10 { 10 } else { 1 };
            bench.press(if step == 10 { "{" } else { "[" });
            at -= step;
        }
        let Seen { sample, backend, late, content: shown } = &seen[moment];
        assert!(bench.model.data.sample.as_ref() == Some(sample), "moment {moment}");
        assert_eq!(bench.model.data.late, *late);
        bench.model.data.backend.clone_from(backend);
        assert!(content(&mut bench) == *shown, "moment {moment} is shown otherwise:\n{}", bench.text());
    }
    assert!(bench.model.data.time.ring.moments().any(|moment| moment.missing > 0));
    assert!(bench.model.data.time.ring.moments().filter(|moment| !moment.marks.is_empty()).count() > 10);
}

#[test]
fn behind_a_frozen_picture_time_goes_on() {
    let mut bench = Bench::new(ViewName::Backends).after(5);
    bench.press(" ").expect("FROZEN").expect("the latest").expect("6 of 6");
    let before = bench.text();
    bench.pass(4);
    assert_eq!(bench.text(), before);
    bench.press("]").expect("3 s back").expect("7 of 10");
    bench.press("$").expect("10 of 10");
    bench.press("]").expect("this is the latest moment");
    bench.press("^").expect("1 of 10").press("[").expect("this is the earliest moment that is kept");
    bench.press("<C-f>");
    assert!(!bench.text().contains("FROZEN"));
    let track = bench.model.data.service_history().unwrap().track;
    assert_eq!(track.last(100).flatten().count(), 9, "no sample is missing for having looked back");
}

#[test]
fn changes_mark_their_moments_and_so_does_m() {
    let mut bench = Bench::new(ViewName::Backends).after(3);
    bench.press("d<Tab><Enter>").pass(5);
    bench.press("m").expect("mark 1 is set at").press("m").expect("this moment is marked already");
    bench.pass(2);
    bench.press(" (").expect("mark 1").expect("2 s back");
    bench.press("(").expect("drain b1 (web) by root on pts/1");
    bench.press("(").expect("there is no mark before this one");
    bench.press("))").expect("there is no mark after this one");
    bench.press("[m").expect("mark 2 is set at").press("]").press("(").expect("mark 2");
    // Where there is no room for a bar, words tell.
    bench.resize(40, 10).press("(").expect("FROZEN").expect("drain b1");
}

#[test]
fn what_is_changed_is_what_is_there_now() {
    let mut bench = Bench::new(ViewName::Backends).after(3);
    bench.press(" [[d").expect("back to now");
    assert!(!bench.model.data.is_frozen());
    assert!(matches!(bench.model.dialog(), Some(Dialog::Preview(_))));
    bench.press("<Tab><Enter>").expect("web: drain b1");

    // What was chosen in the past is gone: nothing is done, whoever has its row.
    let mut bench = Bench::new(ViewName::Backends).after(3);
    bench.press("jj ");
    assert_eq!(bench.model.data.backend.as_deref(), Some("b3"));
    change(&mut bench, Change::Remove("b3".to_owned()));
    bench.pass(1);
    let events = bench.simulation_events();
    bench.press("d").expect("gone or another one by now, and nothing was don");
    assert!(bench.model.dialog().is_none() && !bench.model.data.is_frozen());

    // One that came back under its name is another.
    let old = bench.model.data.time.ring.moments().next().unwrap().number;
    let removed = bench.model.data.services()[0].clone();
    assert_eq!((old, removed.name.as_str()), (0, "dns"));
    let backend = maglev_core::service::Backend {
        name: "b3".to_owned(),
        address: "10.0.1.13:80".parse().unwrap(),
        ..bench.simulation.spares()[0].clone()
    };
    change(&mut bench, Change::Add(backend));
    bench.pass(1);
    bench.press(" ^jj");
    assert_eq!(bench.model.data.backend.as_deref(), Some("b3"));
    bench.press("d").expect("gone or another one by now");
    assert!(bench.model.dialog().is_none());
    assert_eq!(bench.simulation_events(), events + 1);

    // The palette is no way round it.
    bench.press(" ^:drain<Enter>").expect("back to now");
}

#[test]
fn an_instance_that_began_anew_leaves_a_gap_and_a_mark() {
    let mut bench = Bench::new(ViewName::Backends).after(4);
    let mut sample = bench.simulation.sample().unwrap();
    sample.taken_at += Duration::from_secs(1);
    sample.state_version = 0;
    // The counts are larger than before: that is no growth.
    for service in &mut sample.services {
        service.counters.packets *= 1000;
        for backend in &mut service.backends {
            backend.counters.packets *= 1000;
        }
    }
    sample.processors = vec![u64::MAX / 8; sample.processors.len()];
    let next = {
        let mut next = sample.clone();
        next.taken_at += Duration::from_secs(1);
        next.services
            .iter_mut()
            .for_each(|service| service.counters = Counters { packets: 7, ..Counters::default() });
        next
    };
    for sample in [sample, next] {
        bench.show(Ok(sample), Duration::ZERO);
        let data = &bench.model.data;
        let history = data.service_history().unwrap();
        assert_eq!(history.track.latest(), None);
        for backend in &data.service().unwrap().backends {
            assert_eq!(history.backend(backend.id).unwrap().latest(), None);
        }
    }
    bench.press(" ").expect("the counts of dns began anew, and 1 more");
    bench.press("(").expect("another instance: all counts began anew");
}

#[test]
fn a_look_that_failed_is_marked_where_it_is_missing() {
    let mut bench = Bench::new(ViewName::Backends).after(4);
    let error = SourceError { message: "the map is gone".to_owned(), stale: false };
    bench.show(Err(error), Duration::ZERO);
    bench.simulation.advance(Duration::from_secs(1));
    bench.pass(1);
    bench
        .resize(140, 30)
        .press(" ")
        .expect("no sample before: the map is gone")
        .expect("1 sample missing before it");
    // What fails while the picture stands still is told when it goes on.
    let error = SourceError { message: "gone again".to_owned(), stale: false };
    let before = bench.text();
    bench.show(Err(error), Duration::ZERO);
    assert_eq!(bench.text(), before);
    bench.press(" ").expect("no sample: gone again");
}

#[test]
fn right_after_a_change_it_is_compared_with_that_very_change() {
    let mut bench = Bench::new(ViewName::Backends).after(3);
    bench.press("d<Tab><Enter>").pass(3);
    // The second change is made, and its moment is the latest one.
    bench.press("jw<Backspace><Backspace><Backspace>250<Enter><Tab><Enter>").resize(120, 40);
    // Beside it stands what was before: one sees what the change did.
    bench.press("v").expect("BESIDE before").expect("weight b2 (web)");
    let line = bench.text().lines().find(|line| line.contains(" b2 ")).map(str::to_owned).unwrap();
    assert!(line.contains('+') || line.contains('-'), "{line}");
    bench.press("v");

    // The source has made it, and has not looked again yet.
    bench.press("jx<Tab>");
    let effects = bench.model.update(Message::Key(key("Enter")));
    let [Effect::Order(Order::Execute(id, request))] = &effects[..] else { panic!("{effects:?}") };
    let result = bench.simulation.execute(request);
    bench.update(Message::Executed(*id, result));
    bench.press("v").expect("compared with the change just made as soon as that is read");
    assert!(!bench.text().contains("BESIDE"));
    bench.sample();
    bench.expect("BESIDE").expect("remove b3 (web)");
    assert!(!bench.text().contains("as soon as"));
    // Of a frozen moment it is the mark before it that is of use, and not its own.
    bench.press("v (v").expect("BESIDE").expect("weight b2 (web)");
}

#[test]
fn a_moment_is_compared_with_a_mark() {
    let mut bench = Bench::new(ViewName::Backends).after(9);
    bench.press("v").expect("there is no mark to compare with");
    bench.press("m").pass(3);
    change(&mut bench, Change::Drain("b2".to_owned()));
    change(&mut bench, Change::Remove("b3".to_owned()));
    let again = maglev_core::service::Backend {
        name: "b3".to_owned(),
        address: "10.0.1.13:80".parse().unwrap(),
        ..bench.simulation.spares()[0].clone()
    };
    change(&mut bench, Change::Add(again));
    bench.pass(20);
    let mark = bench.model.data.marked_moments().last().unwrap().0;
    bench.model.data.compare_with(mark);
    bench
        .resize(100, 40)
        .expect("BESIDE")
        .expect("mark 1")
        .expect("active→DRAINING")
        .expect("new, active")
        .expect("gone");
    let comparison = bench.model.data.time.comparison.clone().unwrap();
    let service = bench.model.data.service().unwrap();
    let moved = comparison.moved(service).unwrap();
    let then = comparison.service("web").unwrap();
    let name = |service: &maglev_core::sample::ServiceSample, slot: usize| {
        let owner = service.slots.owner[slot];
        service
            .backends
            .iter()
            .find(|backend| backend.id == owner)
            .map(|backend| (backend.id, backend.name.clone()))
    };
    for slot in 0..service.slots.len() {
        assert_eq!(moved.differs[slot], name(then, slot) != name(service, slot), "slot {slot}");
    }
    assert_eq!(moved.count(), moved.differs.iter().filter(|differs| **differs).count());
    let rows = comparison.backends(&bench.model.data, service);
    assert_eq!(rows.len(), service.backends.len() + 1, "b3 of then and b3 of now are two");
    let more: i64 = rows
        .iter()
        .map(|row| {
            let slots = |figures: Option<crate::monitor::history::compare::Figures<'_>>| {
                figures.map_or(0, |figures| i64::from(figures.backend.slots))
            };
            slots(row.now) - slots(row.then)
        })
        .sum();
    assert_eq!(more, 0, "what some have more others have less");
    bench.press("3").expect("by new owner").expect("slots have another owner than at");
    // The one before, round again; then none.
    bench.press("V").expect("BESIDE").press("v");
    assert!(!bench.text().contains("BESIDE"));
    // The shown moment with itself: nothing is otherwise.
    bench.press(" ^").model.data.compare_with(0);
    bench.press("3").expect("0 of 16,381 slots have another owner");
    bench.press(":compare <Enter>").expect("BESIDE");
}
