//! A slot is found by its number, by a flow, and by a backend; what is not there is said.

use maglev_core::{flow::hash_v4, seed::HashSeed};

use super::support::Bench;
use crate::monitor::view::ViewName;

fn search(bench: &mut Bench, words: &str) -> u32 {
    bench.press("/").press(words).press("<Enter>");
    bench.model.slots().cursor()
}

#[test]
fn a_slot_is_found_by_its_number() {
    let mut bench = Bench::new(ViewName::Slots).after(2);
    assert_eq!(search(&mut bench, "slot 1234"), 1234);
    assert_eq!(search(&mut bench, "7"), 7);
    assert_eq!(search(&mut bench, "16,380"), 16_380);
    bench.expect("slot 16,380: ");
    assert_eq!(search(&mut bench, "16381"), 16_380, "there is no such slot");
    bench.expect("they are 0 to 16,380");
}

#[test]
fn why_no_slot_is_the_hottest_is_said() {
    let mut bench = Bench::new(ViewName::Slots);
    bench
        .press("<Right>M")
        .expect("which slots are hit is not known yet: that takes two looks, one every 1 s");
    assert_ne!(bench.model.slots().cursor(), 0, "the cursor stays");
    bench.press("H").expect("which slots are hit is not known yet");
    bench.pass(1);
    bench.press("HM");
    assert!(!bench.text().contains("not known yet"));
    let rates = bench.model.data.service_history().unwrap().slots.rates();
    let most = rates.iter().copied().fold(0.0, f32::max);
    assert_eq!(rates[bench.model.slots().cursor() as usize].to_bits(), most.to_bits());
}

#[test]
fn a_flow_is_found_where_the_program_would_send_it() {
    let mut bench = Bench::new(ViewName::Slots).after(2);
    let seed = HashSeed::default().jhash_v4();
    let slot = hash_v4([198, 51, 100, 7], 40_000, 80, 6, seed) % 16_381;
    assert_eq!(search(&mut bench, "flow 198.51.100.7:40000"), slot);
    bench.expect("where 198.51.100.7:40000 falls");
    bench.press("<Right>");
    assert_eq!(bench.model.slots().flow(), None, "the cursor has left its slot");
    bench.press("<Left>");
    assert_eq!(search(&mut bench, "198.51.100.7:40000"), slot);
    assert_eq!(search(&mut bench, "198.51.100.7"), slot);
    bench.expect("told apart by their ports");
    bench.press("<Esc>");
    search(&mut bench, "[2001:db8::1]:1");
    bench.expect("two families");
}

#[test]
fn a_backend_is_found_where_it_is_hit_most() {
    let mut bench = Bench::new(ViewName::Slots).after(3);
    for name in ["b2", "backend b3"] {
        let slot = search(&mut bench, name);
        let name = name.trim_start_matches("backend ");
        let service = bench.model.data.service().unwrap();
        let owner = bench.model.data.backend_of(service.slots.owner[slot as usize]).unwrap();
        assert_eq!(owner.name, name);
        let rates = bench.model.data.service_history().unwrap().slots.rates();
        let most = (0..rates.len()).filter(|at| service.slots.owner[*at] == owner.id).map(|at| rates[at]);
        assert!(most.fold(0.0, f32::max) <= rates[slot as usize]);
    }
    search(&mut bench, "backend b99");
    bench.expect("web has no backend \"b99\"");
    bench.press("<Esc>");
    search(&mut bench, "what");
    bench.expect("is no slot, no flow and no backend");
}

#[test]
fn leaving_the_search_leaves_the_cursor() {
    let mut bench = Bench::new(ViewName::Slots).after(1);
    search(&mut bench, "99");
    bench.press("/5<Esc>");
    assert!(bench.model.dialog().is_none());
    assert_eq!(bench.model.slots().cursor(), 99);
}
