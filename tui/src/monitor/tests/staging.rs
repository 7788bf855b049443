//! What a change would do, shown before it is made; and several changes put together and made as one.

use maglev_core::{change::Change, service::BackendState};

use super::support::Bench;
use crate::{
    monitor::{dialog::Dialog, view::ViewName},
    source::{ChangeRequest, Source as _},
};

fn states(bench: &Bench, service: &str) -> String {
    let services = bench.model.data.services();
    let service = services.iter().find(|other| other.name == service).unwrap();
    let state = |state| if state == BackendState::Active { "" } else { "-" };
    let words = service
        .backends
        .iter()
        .map(|backend| format!("{}{}@{}", backend.name, state(backend.state), backend.weight));
    words.collect::<Vec<_>>().join(" ")
}

/// Somebody else's change.
fn elsewhere(bench: &mut Bench, change: Change) {
    bench.simulation.execute(&ChangeRequest::of("web", vec![change])).unwrap();
}

#[test]
fn slots_show_what_would_be_before_it_is() {
    let mut bench = Bench::new(ViewName::Slots).after(5);
    bench.resize(200, 50).press("/b2<Enter>d").expect("[>Cancel<]").expect("what if");
    bench.expect("3,307 would move").expect("packets a second go through them now");
    let what_if = bench.model.data.what_if.clone().unwrap();
    let web = bench.model.data.service().unwrap().clone();
    let index = |name: &str| what_if.plan.backends.iter().position(|backend| backend.name == name).unwrap();
    for (backend, gained) in [("b1", true), ("b2", false)] {
        let gains = what_if.load.gained(index(backend)).unwrap();
        assert_eq!(gains > 0.0, gained, "{backend}: {gains}");
    }
    // What is measured: the slots of the plan are those of the table, and the load is that of their hits.
    let history = bench.model.data.history.service("web").unwrap();
    let lost: f64 = (0..web.slots.len())
        .filter(|slot| what_if.plan.before[*slot] as usize == index("b2"))
        .map(|slot| f64::from(history.slots.rates()[slot]))
        .sum();
    assert!((what_if.load.gained(index("b2")).unwrap() + lost).abs() < 1e-6);
    bench.press("<Esc>");
    assert!(bench.model.data.what_if.is_none());
    assert!(!bench.text().contains("what if"));
}

#[test]
fn moved_slots_are_told_by_letters_too() {
    let mut bench = Bench::new(ViewName::Slots).after(2);
    bench.resize(200, 50).press("/b2<Enter>++++++d");
    let what_if = bench.model.data.what_if.clone().unwrap();
    let window = bench.model.slots().window();
    assert_eq!(window.per_pixel, 1);
    // The dialog stands to the right.
    let rows = bench.text().lines().skip(3).take(window.rows as usize).map(str::to_owned).collect::<Vec<_>>();
    let map: String = rows.iter().flat_map(|row| row.chars().take(124)).collect();
    // At a slot a letter every one that moves is a capital, the new owner's; every other one is a dot.
    let shown = window.shown();
    let range = shown.start as usize..shown.end as usize;
    let moved = range.clone().filter(|slot| what_if.plan.before[*slot] != what_if.plan.after[*slot]).count();
    let capitals = map.chars().filter(|letter| "ACDE".contains(*letter)).count();
    assert!(moved > 100 && capitals == moved, "{capitals} for {moved}\n{map}");
    assert!(map.chars().filter(|letter| *letter == '·').count() == range.len() - moved);
}

#[test]
fn a_dialog_elsewhere_has_a_small_heatmap_where_there_is_room() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.resize(120, 50).press("jd").expect("The slots as they would be").expect("A b1 +");
    assert!(bench.model.data.what_if.is_none(), "the slots are not on screen");
    bench.resize(80, 24);
    assert!(!bench.text().contains("The slots as they would be"), "{}", bench.text());
    bench.expect("Moves 3,307 slots of 16,381");
}

#[test]
fn one_that_is_added_has_a_colour_and_a_letter_of_its_own() {
    let mut bench = Bench::new(ViewName::Slots).after(2);
    bench.resize(200, 50).press("a<Enter>").expect("F b6 +");
}

#[test]
fn what_is_staged_is_made_as_one_and_taken_back_as_one() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    let before = (states(&bench, "web"), states(&bench, "dns"));
    let events = bench.simulation_events();
    bench.press("p").expect("nothing is staged: s stages a change");
    bench.press("jds").expect("staged: drain b2; 1 change waits: p").expect(" 1 STAGED ");
    assert_eq!(states(&bench, "web"), before.0, "nothing is done yet");
    bench.press("jw<Backspace><Backspace><Backspace>250<Enter>s").expect(" 2 STAGED ");
    bench.press("a<Enter>s").expect(" 3 STAGED ");
    bench.press("[jds").expect(" 4 STAGED ");
    bench.press("p").expect("web: drain b2").expect("web: give b3 weight 250").expect("web: add b6");
    bench.expect("[>Cancel<]").expect("SERVICE");
    bench.press("<Enter>");
    assert_eq!((states(&bench, "web"), states(&bench, "dns")), before, "Cancel was pressed");
    bench.expect(" 4 STAGED ").press("p<Tab><Enter>").expect("4 staged changes: ");
    assert_eq!(states(&bench, "web"), "b1@100 b2-@100 b3@250 b4@100 b5@100 b6@100");
    assert_ne!(states(&bench, "dns"), before.1);
    assert!(bench.model.data.stage.changes().is_empty());
    assert_eq!(bench.simulation_events(), events + 2, "a change a service");
    bench.press("u").expect("Undo: ").press("<Tab><Enter>");
    assert_eq!((states(&bench, "web"), states(&bench, "dns")), before);
    bench.press("u").expect("nothing was changed from here");
}

#[test]
fn staged_changes_build_on_one_another() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("ds").press("ds").expect("Not staged: backend b1 of service web is draining already");
    bench.press("<Esc>a<Enter>s").press("p").expect("web: drain b1").expect("web: add b6");
    bench.press("j").expect("▌web: add b6").press("x");
    assert_eq!(bench.model.data.stage.changes().len(), 1);
    bench.expect("web: drain b1").press("x").expect("nothing is staged any more");
    assert!(bench.model.dialog().is_none());
    bench.press("dsjdspX").expect("what was staged is discarded");
    assert!(bench.model.data.stage.changes().is_empty());
    assert_eq!(states(&bench, "web"), "b1@100 b2@100 b3@100 b4@100 b5@100");
}

#[test]
fn a_stage_of_another_state_is_planned_anew_and_says_so() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("dsjds");
    elsewhere(&mut bench, Change::Drain("b5".to_owned()));
    bench.pass(1);
    bench.press("p").expect("The state changed since this was staged").expect("[>Cancel<]");
    bench.press("<Esc>p");
    assert!(!bench.text().contains("The state changed"), "it is said once");
    // While it is open the same holds, and the focus goes back.
    bench.press("<Tab>");
    elsewhere(&mut bench, Change::Drain("b4".to_owned()));
    bench.pass(1);
    bench.expect("The state changed since this was staged").expect("[>Cancel<]");
    // And where the monitor did not see it yet, whoever makes the change does.
    bench.press("<Tab>");
    elsewhere(&mut bench, Change::SetWeight("b5".to_owned(), 7));
    bench.press("<Enter>").expect("the state changed").expect("[>Cancel<]");
    assert_eq!(states(&bench, "web"), "b1@100 b2@100 b3@100 b4-@100 b5-@7");
    bench.press("<Tab><Enter>");
    assert_eq!(states(&bench, "web"), "b1-@100 b2-@100 b3@100 b4-@100 b5-@7");
}

#[test]
fn what_is_staged_is_meant_for_the_backend_that_it_was_staged_for() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("dsjxs");
    let b1 = bench.model.data.service().unwrap().backends[0].clone();
    elsewhere(&mut bench, Change::Remove("b1".to_owned()));
    let back = crate::monitor::data::service_of(bench.model.data.service().unwrap()).backends[0].clone();
    assert_eq!(back.name, b1.name);
    elsewhere(&mut bench, Change::Add(back));
    bench.pass(1);
    bench.press("p").expect("Left out, for it does not fit what there is now: web: drain b1");
    assert_eq!(bench.model.dialog().unwrap().target(), ("web", vec!["b2"]));
    elsewhere(&mut bench, Change::Remove("b2".to_owned()));
    bench.pass(1);
    bench.expect("nothing that was staged fits any more");
    bench.press("<Esc>p").expect("nothing is staged");
}

#[test]
fn a_plan_that_the_state_has_overtaken_is_made_anew_and_says_so() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("d<Tab>");
    elsewhere(&mut bench, Change::Drain("b5".to_owned()));
    bench.pass(1);
    bench.expect("The state changed meanwhile").expect("[>Cancel<]").press("<Enter>");
    assert!(!states(&bench, "web").contains("b1-"));
}

#[test]
fn the_next_service_of_a_change_is_looked_at() {
    let mut bench = Bench::new(ViewName::Slots).after(2);
    bench.resize(200, 50).press("D");
    assert!(matches!(bench.model.dialog(), Some(Dialog::Preview(_))));
    let shown = |bench: &Bench| bench.model.data.what_if.as_ref().unwrap().plan.service.clone();
    assert_eq!(shown(&bench), "web");
    bench.press("]");
    assert_eq!((shown(&bench), bench.model.data.service.clone()), ("dns".to_owned(), Some("dns".to_owned())));
    bench.press("[");
    assert_eq!(shown(&bench), "web");
}
