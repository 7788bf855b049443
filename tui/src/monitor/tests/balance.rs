//! What backends get beside what they should, by chance or not; and the slots that are hit most.

use std::time::Duration;

use maglev_core::{
    change::Change,
    health::Health,
    sample::{Sample, ServiceSample},
    service::Affinity,
};

use super::support::Bench;
use crate::{
    monitor::view::ViewName,
    source::{ChangeRequest, Checker, Source as _},
};

/// The next second, with something done to the sample of web before the monitor sees it.
fn pass_with(bench: &mut Bench, alter: impl FnOnce(&mut ServiceSample)) {
    bench.simulation.advance(Duration::from_secs(1));
    let mut sample = bench.simulation.sample().unwrap();
    alter(web(&mut sample));
    bench.show(Ok(sample), Duration::ZERO);
}

fn web(sample: &mut Sample) -> &mut ServiceSample {
    sample.services.iter_mut().find(|service| service.name == "web").unwrap()
}

fn hit(service: &mut ServiceSample, slot: usize, packets: u64) {
    let mut hits = service.slots.hits.to_vec();
    hits[slot] += packets;
    service.slots.hits = hits.into();
}

#[test]
fn new_connections_by_the_flow_hash_are_chance() {
    let mut bench = Bench::new(ViewName::Backends).after(1);
    let before: u64 = bench.model.data.service().unwrap().counters.new_connections;
    bench.pass(30);
    bench
        .resize(120, 40)
        .press("b")
        .expect("IS IT")
        .expect("New connections beside slots: no more than chance");
    bench.expect("on 4 degrees of freedom").expect("Holm");
    let grown = bench.model.data.service().unwrap().counters.new_connections - before;
    assert!(grown > 10_000);
    let text = bench.text();
    let rows = text.lines().filter(|line| line.contains('■') && line.contains(" chance "));
    assert_eq!(rows.count(), 5, "{text}");
    bench.press("b");
    assert_eq!(bench.model.active(), ViewName::Backends);
}

#[test]
fn one_that_gets_more_than_its_slots_have_is_told() {
    let mut bench = Bench::new(ViewName::Balance).after(3);
    for second in 1..10 {
        pass_with(&mut bench, |service| service.backends[2].counters.new_connections += 200 * second);
    }
    bench.resize(120, 40).expect("New connections beside slots: more than chance").expect("p <.0001");
    let text = bench.text();
    let row = |name: &str| text.lines().find(|line| line.contains(&format!("■ {name} "))).unwrap().to_owned();
    assert!(row("b3").contains("MORE") && row("b1").contains("LESS"), "{text}");
    bench.press(":sort z<Enter>").expect("▼Z");
    let text = bench.text();
    assert!(text.lines().nth(3).unwrap().contains("b3"), "{text}");
}

#[test]
fn another_table_begins_anew() {
    let mut bench = Bench::new(ViewName::Backends).after(20);
    bench.press("b").expect("In the 20 s since the table last changed").press("2jd<Tab><Enter>b");
    bench.expect("In the moment since the table last changed").expect("too few yet to tell");
    bench.pass(10);
    bench.resize(120, 40).expect("In the 10 s").expect("on 3 degrees of freedom");
    // Weights that are not seen in the table are no new table, and a count that goes back is a new beginning.
    pass_with(&mut bench, |service| service.backends[0].counters.new_connections = 0);
    bench.expect("In the moment since");
}

#[test]
fn where_connections_are_not_independent_no_test_applies() {
    let mut services = crate::simulation::demonstration();
    for service in &mut services {
        service.affinity = Affinity::SourceIp;
    }
    let look = super::support::look(
        crate::terminal::capability::ColourDepth::Indexed,
        crate::terminal::capability::Glyphs::Unicode,
    );
    let mut bench = Bench::of(services, ViewName::Balance, look).after(5);
    bench.resize(120, 40).expect("no test applies, for all connections of a client go to one backend");
    assert!(!bench.text().contains("degrees of freedom"));
}

#[test]
fn elephants_are_listed_marked_and_gone_to() {
    let mut bench = Bench::new(ViewName::Hot).after(2);
    bench.resize(120, 40);
    for second in 1..9 {
        pass_with(&mut bench, |service| {
            hit(service, 77, 9000 * second);
            hit(service, 4711, 5000 * second);
        });
    }
    let text = bench.text();
    let rows: Vec<&str> = text.lines().skip(3).take(3).collect();
    assert!(rows[0].contains(" 77 ") && rows[0].contains("ELEPHANT"), "{text}");
    assert!(rows[1].contains("4,711") && rows[1].contains("ELEPHANT"), "{text}");
    assert!(!rows[2].contains("ELEPHANT"), "{text}");
    bench.expect("2 are elephants");
    // The share is of what was measured.
    let rates = bench.model.data.service_history().unwrap().slots.rates();
    let share = 100.0 * rates[77] / rates.iter().sum::<f32>();
    assert!(rows[0].contains(&format!("{share:.1}%")), "{share}: {text}");

    bench.press("j<Enter>");
    assert_eq!((bench.model.active(), bench.model.slots().cursor()), (ViewName::Slots, 4711));
    assert!(!bench.text().contains('◆') || bench.text().contains("by owner"));
    bench.press("c").expect("by hits").expect("◆ 2 elephant slots, the hottest");
    assert_eq!(
        bench.text().matches('◆').count(),
        1 + 2 + 1,
        "the legend, both slots, and the cursor of the small map"
    );
    bench.press("b").expect("what differs: 77 (b1, ").press("<Enter>");
    assert_eq!(bench.model.active(), ViewName::Hot);
}

#[test]
fn a_hot_slot_stays_chosen_while_others_overtake_it() {
    let mut bench = Bench::new(ViewName::Hot).after(2);
    for _ in 0..4 {
        pass_with(&mut bench, |service| {
            (50..60).for_each(|slot| hit(service, slot, 20_000 - 100 * slot as u64));
        });
    }
    bench.press("jjjy");
    assert!(bench.clipboard.starts_with("slot 53 of web: "), "{}", bench.clipboard);
    for _ in 0..8 {
        pass_with(&mut bench, |service| {
            (50..60).for_each(|slot| hit(service, slot, 100_000 + 10_000 * slot as u64));
        });
    }
    bench.press("y");
    assert!(bench.clipboard.starts_with("slot 53 of web: "), "{}", bench.clipboard);
    bench.press("<Enter>");
    assert_eq!(bench.model.slots().cursor(), 53);
}

#[test]
fn nobody_running_the_checks_is_always_on_screen() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.model.data.checker = Checker::Nobody;
    bench.expect("NOT CHECKED").expect("nobody runs them: maglev-top up --foreground");
    bench.press("y").expect("NOT CHECKED").expect("to the clipboard");
    bench.model.data.checker = Checker::Process(4711);
    assert!(!bench.text().contains("NOT CHECKED"));
}

#[test]
fn one_that_is_down_has_neither_slots_nor_a_share() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    let down = vec![Change::SetHealth("b2".to_owned(), Health::Unhealthy)];
    bench.simulation.execute(&ChangeRequest::of("web", down)).unwrap();
    bench.pass(2);
    let text = bench.press("j").text();
    let row = text.lines().find(|line| line.contains("■ b2")).unwrap();
    assert!(row.contains("DOWN") && row.contains("0.0%"), "{text}");
    bench.expect("It is down: its checks fail.");
}
