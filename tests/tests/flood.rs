//! A flood of SYNs, or of datagrams, disturbs nobody's connections, and grows no map.

use std::{
    collections::BTreeMap, fs, net::SocketAddr, net::SocketAddrV4, os::fd::AsFd, os::fd::AsRawFd as _,
    time::Duration,
};

use aya::maps::{Array, HashMap, Map, MapData};
use maglev_core::change::Change;
use maglev_lab::{TcpLoad, Traffic};
use maglev_probe_abi::{FlowKey, SettlingBucket, TRACKED_FLOWS, TrackedFlow, map};
use maglev_tests::{FloodKind, Plot, Site, eventually, flood};

fn established(site: &Site) -> Traffic {
    let traffic = site.traffic(TcpLoad {
        connections: 200,
        lifetime: Duration::from_secs(20)..=Duration::from_secs(60),
        requests_per_second: 4.0,
        ramp: Duration::from_millis(500),
        answer_timeout: Duration::from_secs(20),
        ..TcpLoad::default()
    });
    eventually("200 connections", || traffic.report().open == 200);
    traffic
}

fn pinned(site: &Site, name: &str) -> MapData {
    let folder = site.datapath.instance().folder();
    MapData::from_pin(folder.join("maps").join(name)).expect("a pinned map")
}

/// The memory that each map has, by name.
fn memory(site: &Site) -> BTreeMap<String, u64> {
    let folder = site.datapath.instance().folder().join("maps");
    let pins = fs::read_dir(folder).unwrap().map(|pin| pin.unwrap().file_name().into_string().unwrap());
    pins.map(|name| {
        let map = pinned(site, &name);
        let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd())).unwrap();
        let memory = told.lines().find_map(|line| line.strip_prefix("memlock:")).expect("what it locks");
        (name, memory.trim().parse().unwrap())
    })
    .collect()
}

/// Everything that is remembered of flows of settling slots.
fn remembered(site: &Site) -> Vec<[u8; size_of::<SettlingBucket>()]> {
    let map = Map::Array(pinned(site, map::SETTLING_FLOWS));
    let buckets: Array<_, [u8; size_of::<SettlingBucket>()]> = map.try_into().unwrap();
    buckets.iter().map(|bucket| bucket.unwrap()).collect()
}

fn target(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => panic!("{address} is no IPv4 address"),
    }
}

#[test]
fn a_flood_of_syns_disturbs_no_connection_and_grows_no_map() {
    let plot = Plot { settle_time: "60s", weights: vec![100; 6], ..Plot::default() };
    let Some(site) = Site::start(&plot) else { return };
    let traffic = established(&site);
    let client = site.topology.client().namespace();
    let (memory_before, nothing) = (memory(&site), remembered(&site));

    // Of a flood the half is lost in queues before it is balanced: enough is left.
    // Settled slots remember nothing, so there is nothing to fill.
    let before = site.service("web").counters.new_connections;
    flood(client, FloodKind::Syn, target(site.web()), 50_000);
    eventually("the flood arrives", || site.service("web").counters.new_connections >= before + 25_000);
    assert!(remembered(&site) == nothing, "SYNs to settled slots were remembered");

    // Half of the slots settle: what is remembered has its bound, and what finds no room goes where it needs none.
    let drains: Vec<Change> = ["b1", "b2", "b3"].map(|name| Change::Drain(name.to_owned())).into();
    let settling = site.change(&drains).unwrap().plans[0].moved;
    assert!(settling > 2000, "{settling} slots settle");
    let before = site.service("web").counters.new_connections;
    flood(client, FloodKind::Syn, target(site.web()), 250_000);
    eventually("the flood arrives", || site.service("web").counters.new_connections >= before + 125_000);
    let service = site.service("web");
    assert!(service.unremembered > 1000, "{} SYNs found no room", service.unremembered);
    assert!(remembered(&site) != nothing);

    // Whoever comes now is served too.
    let mut later: Vec<_> = (0..20).map(|_| site.connect()).collect();
    for connection in &mut later {
        connection.request().unwrap_or_else(|cause| panic!("a connection made in the flood broke: {cause}"));
    }
    assert_eq!(memory(&site), memory_before, "a map has grown");
    let report = traffic.stop();
    assert_eq!(report.broken.total(), 0, "{:?} {:#?}", report.broken, report.first_broken);
    println!(
        "{} SYNs; {} found no room to be remembered; of {} connections none broke",
        service.counters.new_connections, service.unremembered, report.opened
    );
}

#[test]
fn a_flood_of_datagrams_keeps_what_is_tracked_within_its_bound() {
    let Some(site) = Site::start(&Plot { settle_time: "60s", ..Plot::default() }) else { return };
    let traffic = established(&site);
    let memory_before = memory(&site);
    let before = site.service("dns").counters.packets;
    flood(site.topology.client().namespace(), FloodKind::Datagram, target(site.dns()), 250_000);
    eventually("the flood arrives", || site.service("dns").counters.packets >= before + 125_000);
    let tracked: HashMap<_, [u8; size_of::<FlowKey>()], [u8; size_of::<TrackedFlow>()]> =
        Map::LruHashMap(pinned(&site, map::TRACKED_FLOWS)).try_into().unwrap();
    let flows = tracked.keys().count();
    assert!(
        (TRACKED_FLOWS as usize / 2..=TRACKED_FLOWS as usize).contains(&flows),
        "{flows} flows are tracked"
    );
    assert_eq!(memory(&site), memory_before, "a map has grown");
    let report = traffic.stop();
    assert_eq!(report.broken.total(), 0, "{:?} {:#?}", report.broken, report.first_broken);
}
