//! Changes: what an operator presses, and what comes of it.

use maglev_core::{change::Change, health::Health, service::BackendState};

use super::support::Bench;
use crate::{
    monitor::{dialog::Dialog, message::Message, view::ViewName},
    source::{ChangeRequest, Source as _, SourceError},
};

fn state(bench: &Bench, name: &str) -> Option<BackendState> {
    let service = bench.model.data.service().unwrap();
    service.backends.iter().find(|backend| backend.name == name).map(|backend| backend.state)
}

#[test]
fn drain_is_d_tab_enter() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("jd").expect("Moves 3,307 slots of 16,381").expect("[>Cancel<]");
    bench.press("<Tab><Enter>").expect("web: drain b2: 3,307 slots moved of 16,381 (minimum 3,276)");
    assert_eq!(state(&bench, "b2"), Some(BackendState::Draining));
    bench.pass(2);
    bench.expect("DRAINING");
    assert!(bench.model.data.service().unwrap().slots.settling() > 3000);
}

#[test]
fn cancel_has_the_focus() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    for keys in ["d<Enter>", "d<Esc>", "dq", "d<Tab><BackTab><Enter>", "d<Tab><Tab><Enter>"] {
        bench.press(keys);
        assert!(bench.model.dialog().is_none());
        assert_eq!(state(&bench, "b1"), Some(BackendState::Active), "{keys}");
    }
}

#[test]
fn what_is_being_made_is_not_left_before_its_end_is_told() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("d<Tab>");
    bench.deaf = true;
    bench.press("<Enter><Esc>").expect("It is being made already").press("q<Enter>");
    assert!(bench.model.dialog().is_some());
    bench.listen();
    bench.expect("web: drain b1: ");
    assert!(bench.model.dialog().is_none());
    assert_eq!((state(&bench, "b1"), bench.model.data.undos.len()), (Some(BackendState::Draining), 1));
    // What was staged is not discarded while it is being made either, and stands no longer than that.
    bench.press("jdsp<Tab>");
    bench.deaf = true;
    bench.press("<Enter>X").expect("It is being made already");
    bench.listen();
    assert!(bench.model.data.stage.changes().is_empty());
    assert_eq!((state(&bench, "b2"), bench.model.data.undos.len()), (Some(BackendState::Draining), 2));
}

#[test]
fn a_change_that_fails_is_told_although_it_was_to_be_left() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("d<Tab>");
    bench.deaf = true;
    bench.press("<Enter><Esc>");
    let id = bench.model.data.requests;
    let error = SourceError { message: "the map is full".to_owned(), stale: false };
    bench.update(Message::Executed(id, Err(error)));
    bench.expect("This does not go: the map is full.");
    assert!(!bench.text().contains("being made"));
    bench.press("<Esc>");
    assert!(bench.model.dialog().is_none());
}

#[test]
fn nothing_is_done_before_the_plan_is_there() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.deaf = true;
    bench.press("d<Tab>").expect("Working out");
    assert!(!bench.text().contains("Nothing is done"));
    bench.press("<Enter>").expect("Nothing is done before that stands here. Press again then.");
    bench.deaf = false;
    bench.pass(1);
    assert_eq!(state(&bench, "b1"), Some(BackendState::Active));
}

#[test]
fn a_dialog_keeps_its_target_whatever_the_rows_do() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("jjd");
    for name in ["b1", "b2"] {
        let changes = vec![Change::Remove(name.to_owned())];
        let request = ChangeRequest::of("web", changes);
        bench.simulation.execute(&request).unwrap();
    }
    bench.pass(1);
    assert_eq!(bench.model.dialog().unwrap().target(), ("web", vec!["b3"]));
    // The plan was of a state that is gone: it is shown anew, with Cancel in focus, before anything is done.
    bench.expect("The state changed meanwhile").expect("[>Cancel<]");
    assert_eq!(state(&bench, "b3"), Some(BackendState::Active));
    bench.press("<Tab><Enter>");
    assert_eq!(state(&bench, "b3"), Some(BackendState::Draining));
    assert_eq!(state(&bench, "b4"), Some(BackendState::Active));
}

#[test]
fn changes_are_taken_back_one_by_one() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    let before = bench.model.data.service().unwrap().slots.owner.clone();
    bench.press("d<Tab><Enter>jx<Tab><Enter>");
    assert_eq!((state(&bench, "b1"), state(&bench, "b2")), (Some(BackendState::Draining), None));
    bench.press("gjw");
    bench.press("<Backspace><Backspace><Backspace>250<Enter><Tab><Enter>").expect("give b3 weight 250");
    bench.press("a<Enter><Tab><Enter>").expect("web: add b6");

    for words in ["remove b6", "give b3 weight 100", "add b2", "enable b1"] {
        bench.press("u").expect(&format!("Undo: {words}"));
        bench.press("<Tab><Enter>").expect(&format!("web: {words}"));
    }
    bench.press("u").expect("nothing was changed from here");
    let service = bench.model.data.service().unwrap();
    let names: Vec<_> = service.backends.iter().map(|backend| backend.name.as_str()).collect();
    assert_eq!(names, ["b1", "b2", "b3", "b4", "b5"]);
    // The one that came back has another number, and the same slots.
    let name = |id| service.backends.iter().find(|backend| backend.id == id).map(|b| b.name.clone());
    let number = |slot: usize| before[slot].0.to_string();
    assert!((0..before.len()).all(|slot| {
        let now = name(service.slots.owner[slot]).unwrap();
        now == format!("b{}", number(slot)) || now == "b2"
    }));
}

#[test]
fn what_cannot_be_taken_back_gives_way() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("d<Tab><Enter>jd<Tab><Enter>");
    let changes = vec![Change::Undrain("b2".to_owned())];
    let request = ChangeRequest::of("web", changes);
    bench.simulation.execute(&request).unwrap();
    bench.pass(1);
    bench.press("u").expect("backend b2 of service web is active already");
    bench.press("<Enter>u").expect("Undo: enable b1");
}

#[test]
fn the_last_active_backend_takes_a_word_more() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("d<Tab><Enter>jd<Tab><Enter>jd<Tab><Enter>jd<Tab><Enter>");
    bench.press("jd").expect("No backend would be left").expect("[ ] Space");
    bench.press("<Tab><Tab><Enter>").expect("Nothing is done before that is allowed here:");
    assert_eq!(state(&bench, "b5"), Some(BackendState::Active), "without the word nothing is done");
    bench.press(" ").expect("[x] Space");
    assert!(!bench.text().contains("Nothing is done"));
    bench.press("<Enter>");
    assert_eq!(state(&bench, "b5"), Some(BackendState::Draining));
}

#[test]
fn wrong_words_are_refused_in_words() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("w<Backspace><Backspace><Backspace>0<Enter>").expect("a weight is at least 1");
    bench.press("<Backspace>99999<Enter>").expect("is no weight");
    bench.press("<Esc>a<Tab>x<Enter>").expect("is no address");
    bench.press("<Esc>a").expect("b6").press("<Down>").expect("b7").press("<Down>").expect("b6");
    bench.press("<Esc>a<Backspace>1<Enter>").expect("service web already has a backend b1");
    assert!(matches!(bench.model.dialog(), Some(Dialog::Preview(_))));
    bench.press("<Tab><Enter>");
    assert!(bench.model.dialog().is_some() || state(&bench, "b6").is_none());
}

#[test]
fn where_one_may_only_look_nothing_is_asked() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.model.data.identity.read_only = Some("not root".to_owned());
    for key in ["a", "d", "e", "x", "w", "D", "E", "X", "u"] {
        bench.press(key).expect("read-only: not root");
        assert!(bench.model.dialog().is_none());
    }
}

/// The states of the backend of that name, service by service; `None` where it is not there.
fn everywhere(bench: &Bench, name: &str) -> Vec<Option<BackendState>> {
    let services = bench.model.data.services().iter();
    services
        .map(|service| {
            service.backends.iter().find(|backend| backend.name == name).map(|backend| backend.state)
        })
        .collect()
}

#[test]
fn a_machine_leaves_every_service_in_one_change_and_comes_back_in_one() {
    use BackendState::{Active, Draining};
    let mut bench = Bench::new(ViewName::Backends).after(2);
    let events = bench.simulation_events();
    bench.press("jD").expect("drain 10.0.1.12 in 2 services").expect("[>Cancel<]");
    bench.expect("dns             b2").expect("web             b2");
    bench.press("<Enter>");
    assert_eq!(everywhere(&bench, "b2"), [Some(Active); 2], "Cancel was pressed");

    bench.press("D<Tab><Enter>").expect("drain 10.0.1.12 in 2 services: 3,4").expect("slots moved of 16,890");
    assert_eq!(everywhere(&bench, "b2"), [Some(Draining); 2]);
    assert_eq!(bench.simulation_events(), events + 2);
    bench.press("D").expect("10.0.1.12 is draining already in every service that it is in");
    // By hand it is back in one of them: only the other one is left to do.
    bench.press("e<Tab><Enter>D").expect("drain b2 (web)").press("<Tab><Enter>");
    assert_eq!(everywhere(&bench, "b2"), [Some(Draining); 2]);

    bench.press("X<Tab><Enter>").expect("remove 10.0.1.12 in 2 services");
    assert_eq!(everywhere(&bench, "b2"), [None; 2]);
    bench.press("u").expect("Undo: add 10.0.1.12 in 2 services").press("<Tab><Enter>");
    assert_eq!(everywhere(&bench, "b2"), [Some(Draining); 2], "it came back as another one");
    // What was just put in stands last, until rows are put in order again.
    bench.pass(4);
    bench.press("gjE<Tab><Enter>").expect("enable 10.0.1.12 in 2 services");
    assert_eq!(everywhere(&bench, "b2"), [Some(Active); 2]);
}

#[test]
fn a_machine_that_is_the_last_one_anywhere_takes_a_word_more() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    // In web four of five drain, in dns none does.
    bench.press("d<Tab><Enter>jd<Tab><Enter>jd<Tab><Enter>jd<Tab><Enter>");
    bench.press("jD").expect("No backend would be left in web that takes").press("<Tab><Tab><Enter>");
    assert_eq!(everywhere(&bench, "b5"), [Some(BackendState::Active); 2], "without the word nothing is done");
    bench.press(" <Enter>");
    assert_eq!(everywhere(&bench, "b5"), [Some(BackendState::Draining); 2]);
}

#[test]
fn what_was_done_by_hand_is_told() {
    use maglev_core::sample::ByHand;
    let mut bench = Bench::new(ViewName::Backends).after(2);
    assert!(!bench.text().contains("By hand"));
    let sample = bench.model.data.sample.as_mut().unwrap();
    let web = sample.services.iter_mut().find(|service| service.name == "web").unwrap();
    web.backends[0].by_hand = vec![ByHand::State(BackendState::Active), ByHand::Weight(250)];
    web.backends[3].by_hand = vec![ByHand::Added];
    bench.expect("By hand since the last apply: b1 drained and weight 100 for 250, b4 added");
}

#[test]
fn among_slots_the_owner_under_the_cursor_is_meant() {
    let mut bench = Bench::new(ViewName::Slots).after(2);
    let slots = bench.model.data.service().unwrap().slots.clone();
    let owner = bench.model.data.backend_of(slots.owner[0]).unwrap().name.clone();
    bench.press("gd");
    assert_eq!(bench.model.dialog().unwrap().target(), ("web", vec![owner.as_str()]));
}

#[test]
fn what_a_backend_is_called_is_what_the_filter_finds() {
    let mut bench = Bench::new(ViewName::Backends).after(3);
    let health = |name: &str, health| Change::SetHealth(name.to_owned(), health);
    let changes = vec![
        health("b2", Health::Unhealthy),
        health("b4", Health::Unhealthy),
        Change::Drain("b4".to_owned()),
    ];
    bench.simulation.execute(&ChangeRequest::of("web", changes)).unwrap();
    bench.pass(3);
    bench.resize(120, 40).expect("DRAINING, DOWN").press("/down<Enter>");
    let text = bench.text();
    let listed =
        |name: &str| text.lines().any(|line| line.contains(&format!("{name} ")) && line.contains("■"));
    assert!(listed("b2") && listed("b4") && !listed("b1"), "{text}");
}
