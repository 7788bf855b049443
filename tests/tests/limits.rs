//! What does not fit is refused before anything is touched, and what the kernel refuses half-way is taken back.

use std::{fs, time::Instant};

use aya::maps::{HashMap, Map, MapData};
use maglev_core::{
    change::Change,
    config::Config,
    service::{Backend, BackendState, Service},
};
use maglev_probe::{ApplyTerms, Datapath, DatapathError, Instance};
use maglev_probe_abi::{BackendIdentity, EVENTS, MAX_BACKENDS, MAX_SERVICES};
use maglev_tests::{Audit, Plot, Site};

fn plot() -> Plot {
    Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }
}

/// `count` more services of that table size, each with a backend of its own.
fn more(config: &Config, count: u16, table_size: u32) -> Config {
    let mut config = config.clone();
    let model = config.services[0].clone();
    for number in 0..count {
        let mut service = Service { name: format!("more-{number}"), table_size, ..model.clone() };
        service.address.set_port(10_000 + number);
        service.backends.truncate(1);
        service.backends[0].address.set_port(10_000 + number);
        config.services.push(service);
    }
    config
}

fn apply(site: &Site, config: &Config) -> Result<(), DatapathError> {
    let terms = ApplyTerms { break_connections: true, ..ApplyTerms::default() };
    site.topology.balancer().run(|| site.datapath.apply(config, terms).map(drop)).unwrap()
}

/// Brings up another instance in the site, attached elsewhere.
fn up_beside(site: &Site, name: &str, config: &Config) -> Result<Instance, DatapathError> {
    let instance = Instance::new(&format!("{}-{name}", site.datapath.instance().name())).unwrap();
    let mut config = config.clone();
    config.datapath.interfaces = vec![site.topology.backends()[4].balancer_side().name().to_owned()];
    site.topology.balancer().run(|| maglev_probe::up(&instance, &config)).unwrap().map(|_| instance)
}

fn down(site: &Site, instance: &Instance) {
    site.topology.balancer().run(|| maglev_probe::down(instance)).unwrap().unwrap();
}

#[test]
fn slots_are_given_out_to_the_last_row_and_no_further() {
    let Some(site) = Site::start(&plot()) else { return };
    // 65,536 slots are 128 rows of 512; `web` and `dns` have one each, and each of these three.
    let full = more(&site.config, 42, 1021 + 512 - 2);
    assert_eq!(full.services.last().unwrap().table_size.div_ceil(512), 3);
    apply(&site, &full).unwrap();
    let audit = Audit::open(&site.datapath.pins());
    audit.between_changes();
    let before = audit.meta();

    let refused = apply(&site, &more(&site.config, 43, 1531)).unwrap_err();
    assert!(matches!(refused, DatapathError::Full { most: 65_536, .. }), "{refused:?}");
    assert!(refused.to_string().contains("datapath.max-slots"), "{refused}");
    assert_eq!(audit.meta(), before, "a refused change has changed something");
    assert_eq!(site.sample().services.len(), 44);

    // What leaves makes room for what comes; in pieces it makes none for what is in one piece.
    let mut exchanged = full.clone();
    exchanged.services.retain(|service| service.name != "more-7");
    exchanged.services.push(Service { name: "instead".to_owned(), ..full.services[9].clone() });
    exchanged.services.last_mut().unwrap().address.set_port(9);
    apply(&site, &exchanged).unwrap();
    audit.between_changes();
    let mut pieces = exchanged.clone();
    pieces.services.retain(|service| !["more-1", "more-3", "more-5"].contains(&service.name.as_str()));
    let mut large = exchanged.services[2].clone();
    "large".clone_into(&mut large.name);
    large.address.set_port(8);
    large.table_size = 4093;
    pieces.services.push(large);
    let before = audit.meta();
    let refused = apply(&site, &pieces).unwrap_err();
    assert!(matches!(refused, DatapathError::Full { .. }), "{refused:?}");
    assert_eq!(audit.meta(), before);
    site.connect().request().unwrap();
}

#[test]
fn services_are_counted_before_the_first_is_added() {
    let Some(site) = Site::start(&plot()) else { return };
    let many = u16::try_from(MAX_SERVICES).unwrap();
    let mut config = more(&site.config, many - 3, 251);
    config.datapath.max_slots = 2 * MAX_SERVICES * 512;
    let begun = Instant::now();
    let instance = up_beside(&site, "many", &config).unwrap();
    println!("{} services in {:?}", config.services.len(), begun.elapsed());
    let datapath = Datapath::open(&instance).unwrap();
    assert_eq!(datapath.services().unwrap().len(), 1023);
    let mut one_more = config.clone();
    let mut last = config.services[0].clone();
    "one-too-many".clone_into(&mut last.name);
    last.address.set_port(7);
    one_more.services.push(last);
    let before = Audit::open(instance.folder()).meta();
    let terms = ApplyTerms::default();
    let refused = site.topology.balancer().run(|| datapath.apply(&one_more, terms)).unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "there is no room for another service: at most 1023 fit");
    assert_eq!(Audit::open(instance.folder()).meta(), before);
    Audit::open(instance.folder()).between_changes();
    down(&site, &instance);

    let refused = up_beside(&site, "more", &one_more).unwrap_err();
    assert!(matches!(refused, DatapathError::Full { .. }), "{refused:?}");
    assert!(
        !Instance::all().unwrap().iter().any(|other| other.name().ends_with("-more")),
        "something is left"
    );
}

#[test]
fn backends_fill_every_number_and_change_all_at_once() {
    let Some(site) = Site::start(&plot()) else { return };
    let most = MAX_BACKENDS - 1;
    let mut config = site.config.clone();
    config.datapath.max_slots = 1 << 21;
    config.services.truncate(1);
    config.services[0].table_size = 1_000_003;
    let backend = |number: u32| {
        let [.., high, low] = number.to_be_bytes();
        Backend {
            name: format!("n{number}"),
            address: format!("10.99.{high}.{low}:80").parse().unwrap(),
            weight: 100,
            state: BackendState::Active,
            health: maglev_core::health::Health::Unknown,
        }
    };
    config.services[0].backends = (1..=most).map(backend).collect();
    // They are reached by nobody, and need no next hop.
    config.datapath.gateway_mac = Some([2, 0, 0, 0, 0, 1]);
    config.services[0].forwarding = maglev_core::service::Forwarding::Ipip;
    let instance = up_beside(&site, "full", &config).unwrap();
    let datapath = Datapath::open(&instance).unwrap();
    let name = config.services[0].name.clone();
    let audit = Audit::open(instance.folder());
    let change = |changes: &[Change]| {
        let request = maglev_probe::Request::of(&name, changes);
        site.topology.balancer().run(|| datapath.change(&request)).unwrap()
    };
    let before = audit.meta();
    let refused = change(&[Change::Add(backend(most + 1))]).unwrap_err();
    assert_eq!(refused.to_string(), "there is no room for another backend: at most 16383 fit");
    assert_eq!(audit.meta(), before);

    // A number is given again once nobody has it.
    change(&[Change::Remove("n5".to_owned())]).unwrap();
    change(&[Change::Add(backend(most + 1))]).unwrap();
    // All of them at once: the journal has room.
    let weights: Vec<Change> = (100..most).map(|n| Change::SetWeight(format!("n{n}"), 50)).collect();
    change(&weights).unwrap();
    audit.between_changes();
    down(&site, &instance);
}

/// The identities of backends, as bytes.
type Identities = HashMap<MapData, u32, [u8; size_of::<BackendIdentity>()]>;

#[test]
fn a_map_that_is_full_in_the_middle_of_a_change_leaves_nothing_of_it() {
    let Some(site) = Site::start(&plot()) else { return };
    let instance = site.datapath.instance().clone();
    let mut connections: Vec<_> = (0..10).map(|_| site.connect()).collect();
    // The identities in a map with room for them and for one entry of the journal.
    let pin = instance.maps().join("backend_ids");
    let old: Identities = Map::HashMap(MapData::from_pin(&pin).unwrap()).try_into().unwrap();
    let all: Vec<_> = old.iter().map(Result::unwrap).collect();
    let mut small = Identities::create(u32::try_from(all.len()).unwrap() + 1, 0).unwrap();
    for (number, identity) in &all {
        small.insert(number, identity, 0).unwrap();
    }
    fs::remove_file(&pin).unwrap();
    small.pin(&pin).unwrap();
    let datapath = Datapath::open(&instance).unwrap();
    let change = |changes: &[Change]| {
        let request = maglev_probe::Request::of("web", changes);
        site.topology.balancer().run(|| datapath.change(&request)).unwrap()
    };
    let audit = Audit::open(instance.folder());
    let before = audit.identities();

    let refused = change(&[Change::Drain("b1".into()), Change::SetWeight("b2".into(), 7)]).unwrap_err();
    assert!(matches!(refused, DatapathError::Undone { .. }), "{refused:?}");
    assert_eq!(refused.to_string(), "nothing was changed");
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    let room = all.len() + 1;
    assert!(cause.ends_with(&format!("maps/backend_ids is full: it has room for {room} entries")), "{cause}");
    audit.between_changes();
    assert_eq!(audit.identities(), before);
    // One alone fits.
    change(&[Change::Drain("b1".into())]).unwrap();
    audit.between_changes();
    for connection in &mut connections {
        connection.request().unwrap();
    }
}

#[test]
fn the_oldest_events_make_room_for_the_newest() {
    let Some(site) = Site::start(&plot()) else { return };
    let audit = Audit::open(&site.datapath.pins());
    let first = audit.meta().events;
    for weight in 0..EVENTS + 30 {
        let weight = u16::try_from(100 + weight).unwrap();
        site.change(&[Change::SetWeight("b1".to_owned(), weight + 1)]).unwrap();
    }
    audit.between_changes();
    let events = site.sample().events;
    assert_eq!(events.len(), EVENTS as usize);
    assert_eq!(events.last().unwrap().sequence, first + u64::from(EVENTS) + 30);
    assert!(events.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
    assert_eq!(events.last().unwrap().detail, format!("to {}", 100 + EVENTS + 30));
}

#[test]
fn more_slots_than_there_is_memory_for_are_refused_in_words() {
    let Some(site) = Site::start(&plot()) else { return };
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes: u64 = memory.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap();
    // Each of the maps of slots would take 32 GiB.
    if kilobytes > 30 << 20 {
        return println!("skipped: this host has the memory");
    }
    let mut config = site.config.clone();
    config.datapath.max_slots = u32::MAX;
    let refused = up_beside(&site, "huge", &config).unwrap_err();
    assert!(matches!(refused, DatapathError::NoMemory { .. }), "{refused:?}");
    assert!(refused.to_string().contains("make datapath.max-slots smaller"), "{refused}");
    assert!(
        !Instance::all().unwrap().iter().any(|other| other.name().ends_with("-huge")),
        "something is left"
    );
    site.connect().request().unwrap();
}
