//! Each view, in text and in colour, as it stands after some seconds and a drain.

use std::fmt::Write as _;

use maglev_core::{change::Change, health::Health};
use ratatui::{buffer::Buffer, style::Color};

use super::support::{Bench, SIZES, look};
use crate::{
    monitor::view::ViewName,
    simulation::demonstration,
    source::{ChangeRequest, Checker, Source as _},
    terminal::capability::{ColourDepth, Glyphs},
};

/// The text, then which colours and modifiers each cell has, by letters that are explained at the end.
fn told(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width.max(1));
    let mut result = String::new();
    for row in buffer.content().chunks(width) {
        let text: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        writeln!(result, "|{text}|").unwrap();
    }
    let mut grid = |title: &str, of: &dyn Fn(&ratatui::buffer::Cell) -> String| {
        let mut seen: Vec<String> = Vec::new();
        writeln!(result, "\n{title}:").unwrap();
        for row in buffer.content().chunks(width) {
            let letters: String = row
                .iter()
                .map(|cell| {
                    let style = of(cell);
                    if style.is_empty() {
                        return '.';
                    }
                    let index = seen.iter().position(|other| *other == style).unwrap_or_else(|| {
                        seen.push(style);
                        seen.len() - 1
                    });
                    ('a'..='z').chain('A'..='Z').chain('0'..='9').nth(index).unwrap_or('?')
                })
                .collect();
            writeln!(result, "|{}", letters.trim_end_matches('.')).unwrap();
        }
        for (style, letter) in seen.iter().zip(('a'..='z').chain('A'..='Z').chain('0'..='9')) {
            writeln!(result, "{letter} = {style}").unwrap();
        }
    };
    let name = |colour: Color| if colour == Color::Reset { String::new() } else { colour.to_string() };
    grid("foreground", &|cell| {
        let modifier = if cell.modifier.is_empty() { String::new() } else { format!(" {:?}", cell.modifier) };
        format!("{}{modifier}", name(cell.fg))
    });
    grid("background", &|cell| name(cell.bg));
    result
}

pub(super) fn snapshot(name: &str, bench: &Bench) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told(&bench.buffer()));
    });
}

/// A service of which one backend drains and one is new.
fn busy(view: ViewName) -> Bench {
    let mut bench = Bench::new(ViewName::Backends).after(6);
    bench.press("jd<Tab><Enter>");
    bench.pass(4);
    bench.press("a<Enter><Tab><Enter>");
    bench.pass(2);
    bench.press(match view {
        ViewName::Services => "1",
        ViewName::Backends => "2",
        ViewName::Slots => "3",
        ViewName::Events => "4",
        ViewName::Processors => "5",
        ViewName::Balance => "b",
        ViewName::Hot => "H",
        ViewName::Help => "?",
    });
    bench
}

#[test]
fn each_view_at_each_size() {
    for view in ViewName::ALL {
        let mut bench = busy(view);
        for (width, height) in SIZES {
            bench.resize(width, height);
            snapshot(&format!("{}-{width}x{height}", view.title().replace(' ', "-")), &bench);
        }
    }
}

#[test]
fn frozen_scrubbed_and_compared() {
    let mut bench = busy(ViewName::Backends);
    bench.pass(20);
    bench.press("m<C-f>");
    snapshot("frozen-backends", &bench);
    bench.press("((");
    snapshot("scrubbed-backends", &bench);
    bench.press("v");
    snapshot("compared-backends", &bench);
    snapshot("compared-slots", bench.press("3"));
    for (width, height) in [(120, 40), (40, 10)] {
        bench.resize(width, height);
        snapshot(&format!("compared-slots-{width}x{height}"), &bench);
        bench.press("2");
        snapshot(&format!("compared-backends-{width}x{height}"), &bench);
        bench.press("3");
    }
    bench.look = look(ColourDepth::None, Glyphs::Ascii);
    bench.model.data.half_blocks = bench.look.half_blocks();
    bench.resize(80, 24);
    snapshot("plain-ascii-compared-slots", &bench);
    snapshot("plain-ascii-compared-backends", bench.press("2"));
    bench.press(" ");
    snapshot("plain-ascii-compared-live", &bench);
}

#[test]
fn slots_by_hits_by_age_and_zoomed() {
    let mut bench = busy(ViewName::Slots);
    snapshot("slots-by-hits", bench.press("c"));
    snapshot("slots-by-age", bench.press("c"));
    snapshot("slots-zoomed", bench.press("cM++++"));
}

#[test]
fn dialogs() {
    let mut bench = Bench::new(ViewName::Backends).after(3);
    snapshot("dialog-drain", bench.press("jd"));
    snapshot("dialog-machine", bench.press("<Esc>D"));
    snapshot("dialog-add", bench.press("<Esc>a"));
    snapshot("dialog-weight", bench.press("<Esc>w"));
    snapshot("dialog-palette", bench.press("<Esc>:dr"));
    snapshot("dialog-filter", bench.press("<Esc>s/b1"));
    bench.press("<Esc>ssssssssssss");
    bench.press("<Esc>gd<Tab><Enter>d<Esc>");
    for _ in 0..3 {
        bench.press("jd<Tab><Enter>");
    }
    snapshot("dialog-last-active", bench.press("jx"));
    bench.press("<Esc>ud");
    snapshot("dialog-undo", &bench);
    bench.resize(40, 10);
    snapshot("dialog-undo-40x10", &bench);
}

#[test]
fn what_a_change_would_do_beside_the_slots() {
    let mut bench = Bench::new(ViewName::Slots).after(5);
    bench.press("/b2<Enter>d");
    for (width, height) in [(200, 50), (120, 40), (80, 24), (60, 16), (40, 10)] {
        bench.resize(width, height);
        snapshot(&format!("what-if-{width}x{height}"), &bench);
    }
    bench.look = look(ColourDepth::None, Glyphs::Ascii);
    bench.model.data.half_blocks = false;
    bench.resize(80, 24);
    snapshot("what-if-plain-ascii", &bench);
}

#[test]
fn one_that_is_down_and_one_that_fails() {
    let mut bench = Bench::new(ViewName::Backends).after(3);
    let health = |name: &str, health| Change::SetHealth(name.to_owned(), health);
    let changes = vec![health("b2", Health::Unhealthy), health("b4", Health::Kept)];
    bench.simulation.execute(&ChangeRequest::of("web", changes)).unwrap();
    bench.pass(3);
    bench.model.data.checker = Checker::Nobody;
    bench.press("j");
    for (width, height) in SIZES {
        bench.resize(width, height);
        snapshot(&format!("down-{width}x{height}"), &bench);
    }
}

#[test]
fn what_is_staged() {
    let mut bench = Bench::new(ViewName::Backends).after(5);
    bench.press("jdsjw<Backspace><Backspace><Backspace>250<Enter>s]dsp");
    for (width, height) in [(120, 40), (80, 24), (40, 10)] {
        bench.resize(width, height);
        snapshot(&format!("staged-{width}x{height}"), &bench);
    }
    snapshot("staged-slots", bench.press("<Esc>3").resize(120, 40).press("p"));
}

#[test]
fn without_colour_and_without_blocks() {
    let mut bench = busy(ViewName::Slots);
    for (name, depth, glyphs) in [
        ("plain-ascii", ColourDepth::None, Glyphs::Ascii),
        ("plain-unicode", ColourDepth::None, Glyphs::Unicode),
        ("sixteen-ascii", ColourDepth::Sixteen, Glyphs::Ascii),
    ] {
        bench.look = look(depth, glyphs);
        bench.model.data.half_blocks = bench.look.half_blocks();
        bench.resize(80, 24);
        for view in ["2", "3", "3c"] {
            bench.press(view);
            snapshot(
                &format!(
                    "{name}-{}",
                    view.replace("3c", "hits").replace('3', "slots").replace('2', "backends")
                ),
                &bench,
            );
        }
        bench.press("cc");
    }
}

#[test]
fn nothing_to_show_yet() {
    let mut bench =
        Bench::of(demonstration(), ViewName::Backends, look(ColourDepth::Indexed, Glyphs::Unicode));
    snapshot("first-sample", &bench);
    bench.model.data.identity.read_only = Some("not root, and no group of viewers".to_owned());
    bench.press("<C-f>d");
    snapshot("frozen-read-only", &bench);
}
