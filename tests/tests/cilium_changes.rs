//! Maps that change while they are read, that are of another shape, and tables of other versions, scopes and clusters.

use std::{
    collections::BTreeSet,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use maglev_core::{
    cilium::{Family, Node},
    seed::HashSeed,
    table::{LookupTable, Turn},
};
use maglev_probe::cilium::{CiliumError, read};
use maglev_tests::{Frontend, Rig, maglev_top, table_of};
use serde_json::{Value, json};

const NOWHERE: &str = "/nonexistent";
const HASH: u32 = 1;
const ARRAY: u32 = 2;

fn service<'a>(id: u16, address: &'a str, usable: &'a [u32]) -> Frontend<'a> {
    Frontend { id, address, flags: 0x60, word: 0, usable, unusable: &[] }
}

/// A node of one service with three backends.
fn plain(size: u32) -> Option<Rig> {
    let rig = Rig::new(size)?;
    for id in 1..=4 {
        rig.backend(id, format!("10.244.0.{id}:8080").parse().unwrap(), 6, 0);
    }
    rig.frontend(&service(5, "192.0.2.10:80", &[1, 2, 3]));
    rig.table(5, false, &table_of(&[1, 2, 3], size));
    Some(rig)
}

fn run(rig: &Rig, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(maglev_top());
    command.arg("cilium").args(words).arg("--pins").arg(&rig.folder).args(["--run-dir", NOWHERE]);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn document(rig: &Rig, words: &[&str]) -> Value {
    let (status, output, error) = run(rig, &[words, &["-o", "json"]].concat());
    assert!(status == Some(0) || status == Some(3), "{words:?}: {error}");
    serde_json::from_str(&output).unwrap()
}

/// The table that these texts call for.
fn filled(texts: &[(u32, &str)], size: u32) -> Vec<u32> {
    let turns = texts.iter().map(|(owner, key)| Turn { owner: *owner, key: (*key).to_owned(), weight: 100 });
    LookupTable::fill(turns.collect(), size, HashSeed::default().murmur()).unwrap().slots().to_vec()
}

#[test]
fn whoever_reads_while_tables_are_swapped_and_maps_are_made_anew_gets_whole_tables() {
    let Some(mut rig) = plain(251) else { return };
    let folder = rig.folder.clone();
    let done = AtomicBool::new(false);
    let expected: Vec<Vec<u32>> =
        [251, 1021].iter().flat_map(|&size| [table_of(&[1, 2, 3], size), table_of(&[1, 2], size)]).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut changes = 0;
            while !done.load(Ordering::Relaxed) {
                let size = if changes / 16 % 2 == 0 { 251 } else { 1021 };
                if changes % 16 == 0 {
                    rig.resize(size);
                    // An agent takes a while between two sizes.
                    thread::sleep(std::time::Duration::from_millis(20));
                }
                let ids: &[u32] = if changes % 2 == 0 { &[1, 2, 3] } else { &[1, 2] };
                rig.table(5, false, &table_of(ids, size));
                changes += 1;
            }
        });
        // Whatever is found, the changes end.
        let _ended = SetAtEnd(&done);
        let (mut maps, mut outers) = (BTreeSet::new(), BTreeSet::new());
        while maps.len() < 50 || outers.len() < 5 {
            let reading = match read(&folder) {
                // Changes come faster than a busy machine reads.
                Err(CiliumError::Unsteady(_)) => continue,
                reading => reading.unwrap(),
            };
            // While it is being replaced it may be gone, and empty when it comes.
            let outer = reading.maps.iter().find(|map| map.name == "cilium_lb4_maglev");
            outers.extend(outer.map(|map| map.id));
            if let Some(table) = reading.snapshot.tables.get(&(Family::V4, 5)) {
                assert!(expected.contains(&table.slots), "a table that never was: {table:?}");
                maps.insert(table.map);
            }
        }
    });
}

/// Sets it, also where a test fails.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_map_of_another_shape_is_named_with_what_it_is_and_should_be() {
    for (name, shape, found) in [
        ("cilium_lb4_services_v2", (HASH, 12, 16, 64), "hash with keys of 12 and values of 16 bytes"),
        ("cilium_lb4_backends_v3", (ARRAY, 4, 12, 64), "array with keys of 4 and values of 12 bytes"),
        ("cilium_lb6_reverse_nat", (HASH, 4, 18, 64), "hash with keys of 4 and values of 18 bytes"),
        ("cilium_lb4_maglev", (HASH, 2, 4, 64), "hash with keys of 2 and values of 4 bytes"),
    ] {
        let Some(rig) = plain(251) else { return };
        rig.misshape(name, shape);
        let (status, _, error) = run(&rig, &["services"]);
        assert_eq!(status, Some(1), "{name}: {error}");
        assert!(error.contains(name) && error.contains(found) && error.contains("should be"), "{error}");
    }
    for shape in [(ARRAY, 4 * 251, 2), (HASH, 4, 251), (ARRAY, 1001, 1)] {
        let Some(rig) = plain(251) else { return };
        rig.misshape_tables(5, shape);
        let (status, _, error) = run(&rig, &["tables"]);
        assert_eq!(status, Some(1), "{error}");
        assert!(
            error.contains("cilium_lb4_maglev") && error.contains("one value, four bytes a slot"),
            "{error}"
        );
    }
}

#[test]
fn a_table_built_before_1_17_is_recognised_and_planned_as_such() {
    let Some(rig) = plain(1021) else { return };
    let texts = |ids: &[u32]| -> Vec<(u32, String)> {
        ids.iter().map(|id| (*id, format!("[10.244.0.{id}:8080,State:active]"))).collect()
    };
    let older = |ids: &[u32]| {
        let texts = texts(ids);
        filled(&texts.iter().map(|(id, text)| (*id, text.as_str())).collect::<Vec<_>>(), 1021)
    };
    rig.table(5, false, &older(&[1, 2, 3]));
    let told = document(&rig, &["verify"]);
    assert_eq!(told["seed"], "JLfvgnHc2kaSUFaI", "the seed is told from it");
    let verdict = &told["services"][0];
    assert_eq!(verdict["verdict"], "matches");
    assert!(verdict["reason"].as_str().unwrap().contains("before 1.17"), "{verdict}");
    let plan = document(&rig, &["plan", "--service", "5", "--add", "10.244.0.4:8080"]);
    let moved = older(&[1, 2, 3]).iter().zip(&older(&[1, 2, 3, 4])).filter(|(a, b)| a != b).count();
    // A backend that comes has another id in a plan: it is among the new owners all the same.
    assert_eq!(plan["moved"], moved);

    let mut wrong = older(&[1, 2, 3]);
    wrong[9] = wrong[9] % 3 + 1;
    rig.table(5, false, &wrong);
    let found = document(&rig, &["verify", "--seed", "JLfvgnHc2kaSUFaI"])["services"][0].clone();
    assert_eq!(found["verdict"], "differs");
    assert_eq!(found["differing-slots"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["differing-slots"][0]["slot"], 9, "{found}");
}

#[test]
fn two_scopes_have_backends_and_tables_of_their_own() {
    let Some(rig) = plain(251) else { return };
    let outside = Frontend { flags: 0x2064, ..service(30, "192.0.2.30:80", &[1]) };
    let inside = Frontend { flags: 0x2060, ..service(31, "192.0.2.30:80", &[1, 2]) };
    rig.frontend(&outside);
    rig.internal_frontend(&inside);
    rig.table(30, false, &table_of(&[1], 251));
    rig.table(31, false, &table_of(&[1, 2], 251));
    let services = document(&rig, &["services"])["services"].clone();
    let of = |id: u32| services.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone();
    assert_eq!(
        json!([of(30)["scope"], of(30)["backends"].as_array().unwrap().len()]),
        json!(["external", 1])
    );
    assert_eq!(
        json!([of(31)["scope"], of(31)["backends"].as_array().unwrap().len()]),
        json!(["internal", 2])
    );
    assert!(of(30)["flags"].as_array().unwrap().contains(&json!("two-scopes")));
    let verdicts = document(&rig, &["verify", "--service", "192.0.2.30:80"])["services"].clone();
    assert_eq!(json!([verdicts[0]["verdict"], verdicts[1]["verdict"]]), json!(["matches", "matches"]));
    let (status, _, error) =
        run(&rig, &["lookup", "--service", "192.0.2.30:80", "--flow", "198.51.100.7:4000"]);
    assert!(status == Some(2) && error.contains("id 30") && error.contains("id 31"), "{error}");
    assert_eq!(run(&rig, &["lookup", "--service", "31", "--flow", "198.51.100.7:4000"]).0, Some(0));
    let (_, text, _) = run(&rig, &["services"]);
    assert!(text.contains("192.0.2.30:80/tcp/internal"), "{text}");
}

#[test]
fn backends_in_another_cluster_of_a_mesh_are_hashed_with_its_number() {
    let Some(rig) = plain(251) else { return };
    rig.backend_of(20, "10.1.0.1:80".parse().unwrap(), 6, 0, 0);
    rig.backend_of(21, "10.1.0.1:80".parse().unwrap(), 6, 0, 3);
    rig.frontend(&service(40, "192.0.2.40:80", &[20, 21]));
    rig.table(
        40,
        false,
        &filled(&[(20, "[10.1.0.1:80/TCP,State:active]"), (21, "[10.1.0.1@3:80/TCP,State:active]")], 251),
    );
    assert_eq!(document(&rig, &["verify", "--service", "40"])["services"][0]["verdict"], "matches");
    let reading = read(&rig.folder).unwrap();
    let node = Node::of(reading.snapshot);
    let frontend = node.frontends.iter().find(|frontend| frontend.id == 40).unwrap();
    let clusters: Vec<u16> = frontend.usable.iter().map(|one| one.record.unwrap().cluster).collect();
    assert_eq!(clusters, [0, 3]);
}
