//! The packets of the flow that was looked for: shown as long as their slots are, and traced no longer.

use std::time::Duration;

use super::{snapshots::snapshot, support::Bench};
use crate::{
    monitor::{
        message::{Effect, Message, Order},
        trace::TraceNews,
        view::ViewName,
    },
    source::SourceError,
};

const FLOW: &str = "198.51.100.7:40000";

/// The slots of `web`, with a flow looked for.
fn found() -> Bench {
    let mut bench = Bench::new(ViewName::Slots).after(2);
    bench.press("/").press(FLOW).press("<Enter>");
    bench
}

#[test]
fn packets_are_shown_at_each_size() {
    let mut bench = found();
    bench.resize(120, 40);
    bench.press("t");
    bench.pass(3);
    // From now on the connection is held at its previous owner, and what is opened is at the next one.
    bench.press("d<Tab><Enter>");
    bench.pass(4);
    for (width, height) in [(120, 40), (80, 24), (60, 16), (40, 10)] {
        bench.resize(width, height);
        snapshot(&format!("trace-{width}x{height}"), &bench);
    }
}

#[test]
fn a_trace_begins_and_ends_with_its_key() {
    let mut bench = found();
    bench.press("t").expect("trace of 198.51.100.7:40000").expect("t ends it");
    bench.pass(2);
    bench.expect(" simulated").expect("its slot's owner");
    let shown = bench.model.slots().trace().unwrap().kept();
    bench.press("t");
    assert!(bench.trace.is_none(), "it goes on");
    bench.pass(3);
    let trace = bench.model.slots().trace().expect("what was told stays");
    assert_eq!((trace.is_under_way(), trace.kept()), (false, shown));
    bench.press("t");
    assert!(bench.trace.is_some(), "it does not begin anew");
    assert_eq!(bench.model.slots().trace().unwrap().kept(), 0);
    bench.press("<Esc>");
    assert!(bench.trace.is_none() && bench.model.slots().trace().is_none());
    assert!(!bench.text().contains("trace of"));
}

#[test]
fn leaving_the_slots_or_their_service_ends_it() {
    for (keys, ends) in
        [("2", true), ("<Tab>", true), ("]", true), ("?", false), ("?<Esc>", false), ("<Right>", false)]
    {
        let mut bench = found();
        bench.press("t").press(keys);
        assert_eq!(bench.trace.is_none(), ends, "{keys}");
        assert_eq!(bench.model.slots().trace().is_none(), ends, "{keys}");
    }
}

#[test]
fn whose_packets_is_asked_where_no_flow_was_looked_for() {
    let mut bench = Bench::new(ViewName::Slots).after(2);
    bench.press("t").expect("Trace a flow to web");
    bench.press("17<Enter>").expect("is no flow");
    bench.press("<Backspace><Backspace>").press(FLOW).press("<Enter>");
    bench.expect("where 198.51.100.7:40000 falls").expect("trace of 198.51.100.7:40000");
    // Away from its slot the same client is traced again.
    bench.press("t<Right>t").expect("trace of 198.51.100.7:40000");
    assert!(bench.trace.is_some());
}

#[test]
fn where_it_may_not_be_traced_the_reason_is_said() {
    let mut bench = found();
    bench.model.data.identity.read_only = Some("the pins may only be read".to_owned());
    bench.press("t").expect("no trace: the pins may only be read");
    assert!(bench.trace.is_none() && bench.model.slots().trace().is_none());
}

#[test]
fn what_ends_it_is_said() {
    let mut bench = found();
    bench.deaf = true;
    let effects = bench.model.update(Message::Key(super::support::key("t")));
    let [Effect::Order(Order::Trace(number, client))] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(client, FLOW.parse().unwrap());
    bench.expect("beginning");
    let message = "process 4711 is tracing this instance: one at a time".to_owned();
    let refused = TraceNews::Failed(SourceError { message, stale: false });
    bench.update(Message::Traced(number + 1, TraceNews::OutOfTime));
    bench.expect("beginning");
    bench.update(Message::Traced(number, refused));
    bench
        .expect("0 packets simulated · failed")
        .expect(" process 4711 is tracing this instance: one at a time ");
    // It is still said where another key has been pressed.
    bench.press("<Right>").expect("process 4711 is tracing");

    let mut bench = found();
    bench.press("t").pass(2);
    let number = bench.trace.as_ref().unwrap().0;
    bench.update(Message::Traced(number, TraceNews::Packets { packets: Vec::new(), lost: 7 }));
    bench.expect("simulated, 7 not");
    bench.update(Message::Traced(number, TraceNews::OutOfTime));
    bench.expect("over after 1 min").expect("its slot's owner");
}

#[test]
fn packets_of_a_source_without_any_are_not_waited_for() {
    let mut bench = found();
    bench.press("t<C-f>");
    bench.simulation.advance(Duration::from_secs(2));
    bench.expect("trace of").expect("no packet came in yet").expect("0 packets simulated");
}
