//! Keys at random: nothing panics, and what must hold does.

use fastrand::Rng;

use super::support::{Bench, look};
use crate::{
    monitor::{trace::KEPT, view::ViewName},
    simulation::demonstration,
    terminal::capability::{ColourDepth, Glyphs},
};

const KEYS: [&str; 75] = [
    "<Tab>",
    "<BackTab>",
    "<Enter>",
    "<Esc>",
    "<Up>",
    "<Down>",
    "<Left>",
    "<Right>",
    "<Home>",
    "<End>",
    "<PageUp>",
    "<PageDown>",
    "<Backspace>",
    "1",
    "2",
    "3",
    "4",
    "5",
    "?",
    "a",
    "d",
    "e",
    "x",
    "w",
    "u",
    "u",
    "c",
    "C",
    "+",
    "+",
    "-",
    "0",
    "n",
    "N",
    "m",
    "/",
    ":",
    "y",
    "s",
    "s",
    "S",
    "b",
    "7",
    "h",
    "j",
    "k",
    "l",
    "g",
    "G",
    "[",
    "]",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "^",
    "$",
    "M",
    "v",
    "v",
    "V",
    "<",
    ">",
    " ",
    "p",
    "H",
    "X",
    "<C-f>",
    "<C-l>",
    "<Tab>",
    "<Enter>",
    "t",
    "t",
];

/// What random keys hit upon too seldom.
const CHANGES: [&str; 10] = [
    "<Esc>2d<Tab><Enter>",
    "<Esc>e<Tab><Enter>",
    "<Esc>3a<Enter><Tab><Enter>",
    "<Esc>x<Tab><Enter>",
    "<Esc>u<Tab><Enter>",
    "<Esc>2w5<Enter><Tab><Enter>",
    "<Esc>3/198.51.100.7:4000<Enter>t",
    "<Esc>2jds",
    "<Esc>2w9<Enter>s",
    "<Esc>p<Tab><Enter>",
];

fn check(bench: &Bench) {
    let data = &bench.model.data;
    let service = data.service().expect("a service is chosen");
    assert!(
        bench.model.slots().cursor() < u32::try_from(service.slots.len()).unwrap()
            || bench.model.active() != ViewName::Slots
    );
    let window = bench.model.slots().window();
    if bench.model.active() == ViewName::Slots && window.rows > 0 && window.columns > 0 {
        assert!(window.pixel_of(bench.model.slots().cursor()).is_some(), "{window:?}");
    }
    if let Some(backend) = data.backend.as_ref().filter(|_| !service.backends.is_empty()) {
        assert!(
            service.backends.iter().any(|other| other.name == *backend),
            "{backend} is chosen and not there"
        );
    }
    if let Some(dialog) = bench.model.dialog() {
        let (target, _) = dialog.target();
        assert!(
            data.services().iter().any(|service| service.name == target),
            "{target} is asked about and not there"
        );
    }
    assert!(data.undos.len() <= 100);
    match bench.model.slots().trace() {
        Some(trace) => {
            assert_eq!((trace.service(), bench.model.tab()), (service.name.as_str(), ViewName::Slots));
            assert!(trace.is_under_way() || bench.trace.is_none(), "{trace:?}");
            assert!(trace.kept() <= KEPT);
        }
        None => assert!(bench.trace.is_none(), "nobody sees what is traced"),
    }
    if let Some(frozen) = &data.time.frozen {
        assert!(!data.time.ring.is_empty());
        assert!(frozen.strip.shown < frozen.strip.ticks.len());
        assert!(!matches!(bench.model.dialog(), Some(crate::monitor::dialog::Dialog::Preview(_))));
    }
    for staged in data.stage.services() {
        assert!(data.services().iter().any(|service| service.name == staged.service), "{}", staged.service);
    }
    if let Some(what_if) = &data.what_if {
        assert!(bench.model.dialog().is_some(), "what would be is shown without its change");
        assert_eq!(Some(&what_if.plan.service), data.service.as_ref());
        assert_eq!(what_if.plan.after.len(), service.slots.len());
    }
    if !data.stage.changes().is_empty() && data.size.width >= 34 && data.size.height >= 3 {
        assert!(bench.text().contains("STAGED"));
    }
    for service in data.services() {
        assert!(
            service.slots.owner.iter().all(|owner| {
                owner.is_none() || service.backends.iter().any(|backend| backend.id == *owner)
            })
        );
    }
    if data.identity.simulated && data.size.width >= 12 && data.size.height >= 3 {
        assert!(bench.text().contains("SIMULATED"));
    }
}

#[test]
fn thousands_of_keys() {
    let mut random = Rng::with_seed(4);
    // Small tables: there is more to go wrong in as many steps.
    let mut services = demonstration();
    services[0].table_size = 251;
    let mut bench = Bench::of(services, ViewName::Backends, look(ColourDepth::Indexed, Glyphs::Unicode));
    for step in 0..7000 {
        bench.press(KEYS[random.usize(..KEYS.len())]);
        match random.u8(..) {
            0..20 => bench.pass(1),
            20..26 => {
                bench.resize(random.u16(1..140), random.u16(1..50));
            }
            26 => bench.deaf = true,
            27..30 => bench.listen(),
            30..50 => {
                bench.press(CHANGES[random.usize(..CHANGES.len())]);
            }
            50..60 => bench.click(random.u16(..200), random.u16(..60), random.u8(..3)),
            _ => {}
        }
        if step % 7 == 0 {
            bench.buffer();
            check(&bench);
        }
    }
    let changes = bench.simulation_events();
    assert!(changes > 50, "only {changes} changes were made");
}

#[test]
fn every_size() {
    for view in ViewName::ALL {
        for depth in [ColourDepth::None, ColourDepth::Indexed] {
            let mut bench = Bench::of(demonstration(), view, look(depth, Glyphs::Unicode)).after(1);
            for (width, height) in [
                (1, 1),
                (1, 50),
                (50, 1),
                (2, 2),
                (3, 3),
                (5, 4),
                (10, 5),
                (39, 9),
                (59, 15),
                (60, 16),
                (500, 200),
                (500, 1),
                (1, 200),
            ] {
                bench.resize(width, height);
                bench.buffer();
                for dialog in ["d", "a", "w", "x", "D", "dsp", "pX"] {
                    bench.press(dialog);
                    bench.buffer();
                    bench.press("<Esc>");
                }
                for _ in 0..3 {
                    bench.press("c++<Down><Right>");
                    bench.buffer();
                }
                bench.press("0");
            }
        }
    }
}
