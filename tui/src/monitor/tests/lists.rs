//! Lists are filtered and sorted; what is chosen is a name, and a dialog's target never moves.

use super::support::Bench;
use crate::monitor::view::ViewName;

/// The names of the backends on screen, from the top.
fn backends(bench: &Bench) -> Vec<String> {
    let text = bench.text();
    let rows = text.lines().skip_while(|line| !line.contains("BACKEND")).skip(1);
    let name = |line: &str| line.get("▌".len()..).or(Some(line)).map(str::to_owned);
    rows.filter_map(name)
        .map_while(|line| line.split_once('■').map(|(_, rest)| rest.to_owned()))
        .filter_map(|rest| rest.split_whitespace().next().map(str::to_owned))
        .take_while(|name| name.starts_with('b'))
        .collect()
}

#[test]
fn a_filter_is_seen_while_it_is_typed_and_taken_back_by_escape() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    let all = backends(&bench);
    assert_eq!(all, ["b1", "b2", "b3", "b4", "b5"]);
    bench.press("/b3").expect("\"b3\": 1 of 5");
    assert_eq!(backends(&bench), ["b3"]);
    bench.press("<Esc>");
    assert_eq!(backends(&bench), all);
    bench.press("/ACTIVE b4<Enter>");
    assert_eq!(backends(&bench), ["b4"]);
    assert_eq!(bench.model.data.backend.as_deref(), Some("b4"), "what is left is chosen");
    bench.press("<Esc>");
    assert_eq!(backends(&bench), all);
    assert_eq!(bench.model.data.backend.as_deref(), Some("b4"));
}

#[test]
fn what_the_filter_leaves_out_is_not_changed() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("/nothing<Enter>d");
    assert!(bench.model.dialog().is_none());
    bench.expect("no backend is chosen");
    // A row that the filter loses while it is chosen is left alone too.
    bench.press("<Esc>/active<Enter>gjd<Tab><Enter>");
    bench.pass(1);
    assert_eq!(backends(&bench).len(), 4);
    bench.press("x");
    assert!(bench.model.dialog().is_none());
    bench.expect("no backend is chosen");
}

#[test]
fn sorting_moves_rows_and_not_what_is_chosen() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("jw7<Enter><Tab><Enter>");
    bench.pass(1);
    assert_eq!(bench.model.data.backend.as_deref(), Some("b2"));
    bench.press(":sort weight<Enter>").expect("by WEIGHT");
    let by_weight = backends(&bench);
    assert!(by_weight == ["b2", "b1", "b3", "b4", "b5"] || by_weight == ["b1", "b3", "b4", "b5", "b2"]);
    let weight = |name: &str| {
        let service = bench.model.data.service().unwrap();
        service.backends.iter().find(|backend| backend.name == name).unwrap().weight
    };
    assert!(by_weight.windows(2).all(|pair| weight(&pair[0]) >= weight(&pair[1])), "{by_weight:?}");
    assert_eq!(bench.model.data.backend.as_deref(), Some("b2"));
    bench.press("S").expect("by WEIGHT, reversed");
    let reversed = backends(&bench);
    assert_ne!(reversed, by_weight);
    assert_eq!(bench.model.data.backend.as_deref(), Some("b2"));
}

/// What stands under a heading, row by row: whole columns of text, by where the heading ends.
fn column(bench: &Bench, title: &str) -> Vec<f64> {
    let text = bench.text();
    let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let headings = lines.iter().position(|line| line.iter().collect::<String>().contains("BACKEND")).unwrap();
    let heading: String = lines[headings].iter().collect();
    let end = heading[..heading.find(title).unwrap()].chars().count() + title.len();
    let rows = lines[headings + 1..]
        .iter()
        .take_while(|line| line.get(1) == Some(&'■') || line.get(2) == Some(&'■'));
    let cell = |line: &Vec<char>| -> String {
        line[..end]
            .iter()
            .rev()
            .take_while(|character| **character != ' ')
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect()
    };
    rows.map(|line| cell(line).trim_end_matches('%').replace(',', "").parse().unwrap()).collect()
}

#[test]
fn every_column_can_be_sorted_by_and_is_marked() {
    let mut bench = Bench::new(ViewName::Backends).after(20);
    bench.resize(160, 30);
    bench.press("jw<Backspace><Backspace><Backspace>250<Enter><Tab><Enter>");
    bench.pass(12);
    for title in ["SLOT%", "NEW%", "DUE%", "SLOTS"] {
        bench
            .press(&format!(":sort {title}<Enter>"))
            .expect(&format!("▼{title}"))
            .expect(&format!("by {title}"));
        let falling = column(&bench, title);
        assert!(falling.len() == 5 && falling.is_sorted_by(|one, next| one >= next), "{title}: {falling:?}");
        bench.press("S").expect(&format!("▲{title}"));
        let rising = column(&bench, title);
        assert!(rising.is_sorted(), "{title}: {rising:?}");
        assert_eq!(bench.model.data.backend.as_deref(), Some("b2"), "what is chosen stays chosen");
    }
    // Its packets have just grown most.
    bench.press(":sort trend<Enter>").expect("TREND▼");
    assert_eq!(backends(&bench)[0], "b2");
    bench.press(":sort backend<Enter>").expect("BACKEND▲");
}

#[test]
fn what_a_table_shows_it_can_be_sorted_by() {
    for (view, titles) in [
        ("1", "SERVICE ADDRESS PROT ACTIVE SLOTS SETTLING PKT/S BIT/S NEW/S HELD/S TREND"),
        ("2", "BACKEND STATE WEIGHT SLOTS SLOT% PKT/S BIT/S NEW/S NEW% DUE% HELD/S TREND"),
        ("4", "NR WHAT SERVICE BACKEND MOVED MINIMUM EXCESS WHO"),
    ] {
        let mut bench = Bench::new(ViewName::Backends).after(2);
        bench.resize(200, 40).press(view);
        let headings = bench.text().lines().nth(2).unwrap().replace("TIME UTC", "");
        assert_eq!(headings.split_whitespace().collect::<Vec<_>>().join(" "), titles);
        for title in titles.split(' ') {
            bench.press(&format!(":sort {title}<Enter>")).expect(&format!("by {title}"));
        }
    }
}

#[test]
fn a_dialogs_target_stays_while_rows_move_under_it() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press(":sort pkt/s<Enter>gd");
    let target = bench.model.dialog().unwrap().target().1.join(" ");
    for _ in 0..10 {
        bench.pass(1);
        assert_eq!(bench.model.dialog().unwrap().target().1.join(" "), target);
    }
}

#[test]
fn services_and_events_are_lists_too() {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    bench.press("d<Tab><Enter>jd<Tab><Enter>ee<Tab><Enter>");
    bench.pass(1);
    bench.press("1/dns<Enter>");
    assert_eq!(bench.model.data.service.as_deref(), Some("dns"));
    bench.expect("\"dns\": 1 of ");
    bench.press("<Esc>4/undrain<Enter>");
    let text = bench.text();
    assert!(text.contains("\"undrain\": "), "{text}");
    assert!(!text.lines().skip(3).take(10).any(|line| line.contains(" drain ")), "{text}");
}
