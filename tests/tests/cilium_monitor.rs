//! The monitor on a Cilium node, in a real terminal: what it shows of maps that change under it.

use std::{fs, num::NonZeroU16, path::Path, process::Command};

use maglev_core::reassignment::Reassignment;
use maglev_tests::{Frontend, Rig, Terminal, maglev_top, story, table_of};

const COLUMNS: NonZeroU16 = NonZeroU16::new(130).unwrap();
const ROWS: NonZeroU16 = NonZeroU16::new(40).unwrap();
const ADDRESS: &str = "192.0.2.10:80";

fn words(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let words = ["--pins", folder, "--run-dir", "/nonexistent", "--interval", "200ms", "--no-observer"];
    words.map(str::to_owned).to_vec()
}

fn open(rig: &Rig) -> Terminal {
    let words = words(&rig.folder);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Terminal::start(maglev_top(), &words, COLUMNS, ROWS)
}

fn end(mut monitor: Terminal) {
    monitor.press("q");
    assert_eq!(monitor.end(), 0);
}

/// The service of one frontend, with backends of those ids at 10.244.0.<id>:8080.
fn frontend<'a>(usable: &'a [u32], unusable: &'a [u32]) -> Frontend<'a> {
    Frontend { id: 5, address: ADDRESS, flags: 0x60, word: 0, usable, unusable }
}

/// A node of one service with three backends; `more` of them are in the map besides.
fn plain(size: u32) -> Option<Rig> {
    let rig = Rig::new(size)?;
    for id in 1..=4 {
        rig.backend(id, format!("10.244.0.{id}:8080").parse().unwrap(), 6, 0);
    }
    rig.frontend(&frontend(&[1, 2, 3], &[]));
    rig.table(5, false, &table_of(&[1, 2, 3], size));
    Some(rig)
}

/// Slots that change owner from one table to the next, and those that have to.
fn moves(before: &[u32], now: &[u32]) -> (u32, u32) {
    let moves = Reassignment::between(before, now);
    (moves.moved(), moves.minimum())
}

/// The line of the screen that holds all of these words.
fn has_line(screen: &str, words: &[&str]) -> bool {
    screen.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn services_are_shown_with_their_tables_and_the_reasons_why_not() {
    let Some(rig) = story() else { return };
    let mut monitor = open(&rig);
    monitor.wait_until("every table is verified", |screen| screen.matches("present, matches").count() == 6);
    let screen = monitor.text();
    for line in [
        &["192.0.2.10:80/tcp", "LoadBalancer", "3/5", "251", "present, matches"][..],
        &["192.0.2.11:443/tcp", "LoadBalancer", "0/0", "absent: l7-redirect, Envoy on port 15735"],
        &["0.0.0.0:30080/tcp", "NodePort", "absent: wildcard"],
        &["10.0.0.5:30080/tcp", "NodePort", "present, matches"],
        &["10.96.0.10:80/tcp", "ClusterIP", "absent: cluster-ip"],
        &["192.0.2.12:80/tcp", "stale: no-backends"],
        &["192.0.2.15:80/tcp", "absent: random"],
        &["169.254.20.10:53/tcp", "absent: local-redirect"],
        &["READ-ONLY: the tables are Cilium's"],
        &["7 tables of 251 slots"],
        &["seed JLfvgnHc2kaSUFaI, the default, as the tables tell"],
    ] {
        assert!(has_line(&screen, line), "no line has {line:?}:\n{screen}");
    }
    for unknown in ["WEIGHT", "HELD", "PKT/S", "BIT/S", "SETTLING", "VERDICT"] {
        assert!(!screen.contains(unknown), "{unknown} is not known of Cilium:\n{screen}");
    }
    // The Gateway's, in words.
    monitor.press("/192.0.2.11\r");
    monitor.wait_for("this is by design, and Maglev plays no part");
    monitor.press("2");
    monitor.wait_for("no backends");
    monitor.press("1");
    monitor.wait_for("TABLE");
    monitor.press("\x1b");
    monitor.wait_for("192.0.2.15:80");
    monitor.press("/192.0.2.10\r");
    monitor.wait_for("It has a table, since it is a LoadBalancer with 3 usable backends");
    monitor.press("2");
    monitor.wait_for("terminating");
    let screen = monitor.text();
    assert!(has_line(&screen, &["10.244.0.5:8080", "quarantined", "0"]), "{screen}");
    for unknown in ["WEIGHT", "DUE", "HELD", "PKT/S", "drains"] {
        assert!(!screen.contains(unknown), "{unknown} is not known of Cilium:\n{screen}");
    }
    monitor.press("3c");
    monitor.wait_for("hits are not counted");
    monitor.press("d");
    monitor.wait_for("read-only: the tables are Cilium's");
    end(monitor);
}

#[test]
fn scaling_up_and_a_pod_that_ends_are_events_with_what_they_moved() {
    let Some(rig) = plain(1021) else { return };
    let mut monitor = open(&rig);
    monitor.wait_for("present, matches");
    monitor.press("4");
    monitor.wait_for("nothing was changed yet");

    let (three, four) = (table_of(&[1, 2, 3], 1021), table_of(&[1, 2, 3, 4], 1021));
    rig.frontend(&frontend(&[1, 2, 3, 4], &[]));
    rig.table(5, false, &four);
    let (moved, minimum) = moves(&three, &four);
    monitor.wait_until("the rebuild is there", |screen| {
        has_line(
            screen,
            &[
                "rebuild",
                ADDRESS,
                "10.244.0.4:8080",
                &moved.to_string(),
                &minimum.to_string(),
                "in: 10.244.0.4",
            ],
        )
    });
    monitor.press("2");
    monitor.wait_until("it has slots", |screen| has_line(screen, &["10.244.0.4:8080", "active", "25"]));
    monitor.press("4");

    rig.backend(2, "10.244.0.2:8080".parse().unwrap(), 6, 1);
    rig.frontend(&frontend(&[1, 3, 4], &[2]));
    let after = table_of(&[1, 3, 4], 1021);
    rig.table(5, false, &after);
    let (moved, minimum) = moves(&four, &after);
    monitor.wait_until("its end is there", |screen| {
        has_line(screen, &["terminating", "10.244.0.2:8080", "was active"])
            && has_line(
                screen,
                &["rebuild", "10.244.0.2:8080", &moved.to_string(), &minimum.to_string(), "out: 10.244.0.2"],
            )
    });
    monitor.press("2");
    monitor.wait_until("it has no slots left", |screen| {
        has_line(screen, &["10.244.0.2:8080", "terminating", " 0 "])
    });
    // By age: what has moved is young.
    monitor.press("3cc");
    monitor.wait_for("by age");
    monitor.wait_for("not seen to change");
    end(monitor);
}

#[test]
fn a_table_built_anew_a_slot_written_over_and_a_table_that_goes_are_told_apart() {
    let Some(rig) = plain(251) else { return };
    let mut monitor = open(&rig);
    monitor.wait_for("present, matches");
    monitor.press("4");
    let mut owners = table_of(&[1, 2, 3], 251);
    let table = rig.table(5, false, &owners);
    monitor.wait_until("the same table in a new map", |screen| {
        has_line(screen, &["rebuild", "inner map", "was"])
    });

    owners[17] = owners[17] % 3 + 1;
    table.overwrite(&owners);
    monitor.wait_until("one slot", |screen| has_line(screen, &["overwrite", "written over", " 1 "]));
    monitor.press("1");
    monitor.wait_for("present, 1 slot WRONG");

    rig.drop_table(5, false);
    monitor.wait_for("absent: unknown");
    monitor.press("4");
    monitor.wait_until("it is gone", |screen| has_line(screen, &["drop", "table absent: unknown"]));
    rig.remove(&frontend(&[1, 2, 3], &[]));
    rig.frontend(&Frontend {
        id: 6,
        address: "192.0.2.20:80",
        flags: 0x60,
        word: 0,
        usable: &[1],
        unusable: &[],
    });
    rig.table(5, false, &owners);
    monitor.wait_until("the services are told", |screen| {
        has_line(screen, &["leaves", ADDRESS]) && has_line(screen, &["appears", "192.0.2.20:80"])
    });
    monitor.press("1");
    monitor.wait_for("stale: a table (v4) of id 5, which is no service's");
    end(monitor);
}

#[test]
fn maps_made_anew_under_the_monitor_are_opened_anew() {
    let Some(mut rig) = plain(251) else { return };
    let mut monitor = open(&rig);
    monitor.wait_for("present, matches");

    // Another table size: the agent makes the Maglev maps anew.
    rig.resize(1021);
    monitor.press("4");
    monitor.wait_until("for a while there is no table", |screen| {
        has_line(screen, &["new-map", "cilium_lb4_maglev"]) && has_line(screen, &["drop", ADDRESS])
    });
    rig.table(5, false, &table_of(&[1, 2, 3], 1021));
    monitor
        .wait_until("the new size is told", |screen| has_line(screen, &["resize", "1,021 slots, were 251"]));
    // One that goes and comes back is compared with the one that it was.
    rig.drop_table(5, false);
    monitor.wait_until("the table is gone", |screen| screen.matches("drop").count() == 2);
    rig.table(5, false, &table_of(&[1, 2, 3], 1021));
    monitor.wait_until("no slot has moved", |screen| has_line(screen, &["rebuild", " 0 ", "was"]));

    // An agent that takes over nothing: every map is another, and for a while they are empty.
    rig.restart();
    monitor.wait_until("the service is gone", |screen| has_line(screen, &["leaves", ADDRESS]));
    // Ids are given anew, and the same backends are the same.
    for id in 1..=3 {
        rig.backend(10 - id, format!("10.244.0.{id}:8080").parse().unwrap(), 6, 0);
    }
    rig.frontend(&frontend(&[9, 8, 7], &[]));
    let renumbered: Vec<u32> = table_of(&[1, 2, 3], 1021).iter().map(|id| 10 - id).collect();
    rig.table(5, false, &renumbered);
    monitor.wait_until("it is back", |screen| has_line(screen, &["appears", ADDRESS]));
    monitor.press("1");
    monitor.wait_for("present, matches");
    end(monitor);
}

#[test]
fn backends_are_known_by_their_addresses_when_ids_are_given_anew() {
    let Some(rig) = plain(251) else { return };
    let mut monitor = open(&rig);
    monitor.wait_for("present, matches");
    monitor.press("4");
    for id in 1..=3 {
        rig.backend(10 + id, format!("10.244.0.{id}:8080").parse().unwrap(), 6, 0);
    }
    let renumbered: Vec<u32> = table_of(&[1, 2, 3], 251).iter().map(|id| 10 + id).collect();
    rig.table(5, false, &renumbered);
    rig.frontend(&frontend(&[11, 12, 13], &[]));
    monitor.wait_for("rebuild");
    let screen = monitor.text();
    assert!(has_line(&screen, &["rebuild", " 0 "]), "no slot has moved:\n{screen}");
    end(monitor);
}

#[test]
fn the_monitor_waits_for_maps_that_are_gone_and_goes_on() {
    let Some(rig) = plain(251) else { return };
    let mut monitor = open(&rig);
    monitor.wait_for("present, matches");
    let pin = rig.folder.join("cilium_lb4_services_v2");
    let aside = rig.folder.join("aside");
    let v6 = rig.folder.join("cilium_lb6_services_v2");
    fs::remove_file(&v6).unwrap();
    fs::rename(&pin, &aside).unwrap();
    monitor.wait_for("no sample: there are no load-balancing maps of Cilium's");
    assert!(monitor.text().contains(ADDRESS), "what was known is still shown:\n{}", monitor.text());
    fs::rename(&aside, &pin).unwrap();
    monitor.wait_until("samples come again", |screen| !screen.contains("no sample"));
    end(monitor);
}

#[test]
fn without_maps_or_with_words_in_the_wrong_place_nothing_opens() {
    let output = |words: &[&str]| Command::new(maglev_top()).args(words).output().unwrap();
    let none = output(&["--pins", "/nonexistent"]);
    let error = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.status.code() == Some(1) && error.contains("no load-balancing maps"), "{error}");
    let before = output(&["--pins", "/nonexistent", "cilium", "maps"]);
    let error = String::from_utf8_lossy(&before.stderr).into_owned();
    assert!(before.status.code() == Some(2) && error.contains("behind the command"), "{error}");
}
