//! Everything that a key does, the palette does by its name; and what is chosen when it opens is what it is done to.

use super::support::Bench;
use crate::monitor::{
    action::{Action, BINDINGS},
    dialog::Dialog,
    keymap::Keymap,
    message::Effect,
    view::ViewName,
};

#[test]
fn every_action_of_every_view_is_offered_with_its_keys() {
    for view in ViewName::ALL {
        let mut bench = Bench::new(view).after(1);
        bench.resize(100, 40);
        let keymap = Keymap::default();
        let here = BINDINGS.iter().filter(|b| b.contexts.iter().any(|c| view.contexts().contains(c)));
        for binding in here.filter(|binding| binding.action != Action::Palette) {
            bench.press(":").press(&binding.name());
            let text = bench.text();
            let row = text.lines().find(|line| line.contains(&format!("› {}", binding.name())));
            let row = row.unwrap_or_else(|| panic!("no {} in {view:?}:\n{text}", binding.name()));
            assert!(row.contains(&keymap.shown(binding)), "{row}");
            bench.press("<Esc>");
            assert!(bench.model.dialog().is_none());
        }
    }
}

#[test]
fn what_is_typed_is_completed_and_done() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press(":slo<Enter>");
    assert_eq!(bench.model.active(), ViewName::Slots);
    bench.press(":slot<Down><Enter>").expect("slot NUMBER");
    bench.press("1,234<Enter>").expect("slot 1,234");
    assert_eq!(bench.model.slots().cursor(), 1234);
    bench.press(":flow 198.51.100.7:40000<Enter>").expect("where 198.51.100.7:40000 falls");
    bench.press(":slot 99999<Enter>").expect("they are 0 to 16,380");
    bench.press(":service <Tab>").expect("service dns");
    bench.press("<Esc>2:backend b4<Enter>");
    assert_eq!(bench.model.data.backend.as_deref(), Some("b4"));
    bench.press(":drain<Enter>").expect("drain b4");
    assert!(matches!(bench.model.dialog(), Some(Dialog::Preview(_))));
    bench.press("<Esc>:what-not<Enter>").expect("nothing here is called \"what-not\"");
    bench.press("<Esc>:quit<Enter>");
    assert!(bench.quit);
}

#[test]
fn a_theme_is_asked_for_by_its_name() {
    let mut bench = Bench::new(ViewName::Backends).after(1);
    bench.press(":theme gruv");
    let accept = crate::monitor::key::code(ratatui::crossterm::event::KeyCode::Enter);
    let effects = bench.model.update(crate::monitor::message::Message::Key(accept.event()));
    assert_eq!(effects, [Effect::Theme("gruvbox".to_owned())]);
}

#[test]
fn what_is_read_only_is_said() {
    let mut bench = Bench::new(ViewName::Backends).after(1);
    bench.model.data.identity.read_only = Some("not root".to_owned());
    bench.press(":drain").expect("read-only    drain the backend");
    bench.press("<Enter>").expect("read-only: not root");
    bench.press("<Esc>");
    bench.press(":backends<Enter>");
    assert!(bench.model.dialog().is_none());
}

#[test]
fn another_backend_than_the_one_chosen_is_not_changed() {
    let mut bench = Bench::new(ViewName::Backends).after(1);
    bench.press("jj:drain");
    // While it is open, the chosen one is gone: its row is another's.
    bench.model.data.backend = Some("b1".to_owned());
    bench.press("<Enter>");
    assert!(bench.model.dialog().is_none());
    bench.expect("nothing was done");
}
