//! The mouse chooses what is under it, and what is chosen can be copied.

use super::support::Bench;
use crate::monitor::{
    key::code,
    message::{Effect, Message},
    view::ViewName,
};

/// Presses where those words begin on screen.
fn click(bench: &mut Bench, words: &str) {
    let text = bench.text();
    let (row, line) = text.lines().enumerate().find(|(_, line)| line.contains(words)).unwrap();
    let column = line.split(words).next().unwrap().chars().count();
    bench.click(u16::try_from(column).unwrap(), u16::try_from(row).unwrap(), 0);
}

#[test]
fn a_press_chooses_a_row_and_a_tab() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    click(&mut bench, "b4 ");
    assert_eq!(bench.model.data.backend.as_deref(), Some("b4"));
    bench.press("S");
    click(&mut bench, "b2 ");
    assert_eq!(bench.model.data.backend.as_deref(), Some("b2"), "whatever the order");
    bench.click(40, 4, 1);
    assert_eq!(bench.model.data.backend.as_deref(), Some("b3"), "the wheel is a step up");
    for (tab, view) in [
        ("services ", ViewName::Services),
        ("slots ", ViewName::Slots),
        ("events ", ViewName::Events),
        ("CPUs ", ViewName::Processors),
        ("backends ", ViewName::Backends),
    ] {
        click(&mut bench, tab);
        assert_eq!(bench.model.active(), view);
    }
    bench.press("d");
    click(&mut bench, "slots ");
    assert_eq!(bench.model.active(), ViewName::Backends, "a dialog is open");
}

#[test]
fn a_press_chooses_a_slot_and_the_wheel_zooms_there() {
    let mut bench = Bench::new(ViewName::Slots).after(2);
    let before = bench.model.slots().window();
    bench.click(7 + 10, 3 + 2, 0);
    assert_eq!(bench.model.slots().cursor(), before.slots_of(10, 4).start);
    bench.click(7 + 20, 3 + 3, 1);
    let slot = before.slots_of(20, 6).start;
    assert_eq!(bench.model.slots().cursor(), slot);
    let closer = bench.model.slots().window();
    assert!(closer.per_pixel < before.per_pixel && closer.shown().contains(&slot));
    bench.click(7 + 20, 3 + 3, 2);
    assert_eq!(bench.model.slots().window().per_pixel, before.per_pixel);
}

#[test]
fn what_is_chosen_is_copied_and_shown() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("jy").expect("to the clipboard: 10.0.1.12:80");
    assert_eq!(bench.clipboard, "10.0.1.12:80");
    bench.press("1y");
    assert_eq!(bench.clipboard, "192.0.2.10:80");
    bench.press("3/77<Enter>y");
    assert!(bench.clipboard.starts_with("slot 77: owned by b"), "{}", bench.clipboard);
    bench.press("2d<Tab><Enter>");
    bench.pass(1);
    bench.press("4y");
    assert!(bench.clipboard.contains("drain web b2: moved "), "{}", bench.clipboard);
}

#[test]
fn the_mouse_is_asked_for_by_name() {
    let mut bench = Bench::new(ViewName::Backends).after(1);
    let enter = || Message::Key(code(ratatui::crossterm::event::KeyCode::Enter).event());
    for listen in [true, false] {
        bench.press(":mouse");
        assert_eq!(bench.model.update(enter()), [Effect::Mouse(listen)]);
    }
}
