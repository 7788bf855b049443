//! One version of maglev-top after another on one instance: the program is replaced without a packet lost, what can be
//! adopted is, and what cannot is refused in words, and can be taken down.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use aya::{
    maps::{Array, Map, MapData, PerCpuArray},
    programs::{
        ProgramInfo,
        links::{FdLink, PinnedLink},
    },
};
use maglev_core::change::Change;
use maglev_lab::{Load, TcpLoad, Traffic, UdpLoad};
use maglev_probe::Datapath;
use maglev_tests::{Audit, Plot, Site, eventually, maglev_top, write_altered_object};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use serde_json::Value;

/// Files that go with their test.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new(site: &Site) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("maglev-versions-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let scratch = Self { folder: std::env::temp_dir().join(name) };
        fs::create_dir(&scratch.folder).unwrap();
        fs::write(scratch.config(), site.config.to_toml()).unwrap();
        write_altered_object(&scratch.object());
        scratch
    }

    fn config(&self) -> PathBuf {
        self.folder.join("site.toml")
    }

    /// The object of another version.
    fn object(&self) -> PathBuf {
        self.folder.join("altered.bpf.o")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The binary of this version, or with `object` that of another one.
fn command(site: &Site, words: &[&str], object: Option<&Path>) -> Command {
    let mut command = Command::new(maglev_top());
    command.args(words).args(["--instance", site.datapath.instance().name()]);
    if let Some(object) = object {
        command.env("MAGLEV_EBPF_OBJECT", object);
    }
    command
}

fn run(site: &Site, words: &[&str], object: Option<&Path>) -> Output {
    site.topology.balancer().run(|| command(site, words, object).output()).unwrap().unwrap()
}

fn up(site: &Site, scratch: &Scratch, object: Option<&Path>) -> Output {
    run(site, &["up", "--config", scratch.config().to_str().unwrap(), "-o", "json"], object)
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What a command says that is refused.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The ids of each link and of the program under it.
fn links(site: &Site) -> Vec<(u32, u32)> {
    let links = site.datapath.instance().links().unwrap();
    links
        .iter()
        .map(|link| {
            let info = FdLink::from(PinnedLink::from_pin(link).unwrap()).info().unwrap();
            (info.id(), info.program_id())
        })
        .collect()
}

fn pinned_program(site: &Site) -> u32 {
    ProgramInfo::from_pin(site.datapath.instance().program()).unwrap().id()
}

/// Packets that came in on the interface that clients are behind.
fn received(site: &Site) -> u64 {
    let interface = site.topology.client_side().name().to_owned();
    let table = site.topology.balancer().run(|| fs::read_to_string("/proc/thread-self/net/dev"));
    let table = table.unwrap().unwrap();
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{interface}:")));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).expect("a line of the interface")
}

fn counted(site: &Site) -> u64 {
    site.sample().verdicts.iter().map(|(_, count)| count).sum()
}

#[test]
fn the_program_is_replaced_under_load_without_a_packet_lost() {
    let Some(site) = Site::start(&Plot { settle_time: "60s", ..Plot::default() }) else { return };
    let scratch = Scratch::new(&site);
    // Connections that only the settling slots keep, and some that only their memory does.
    let mut connections = site.connect_to("b1", 3);
    site.change(&[Change::Drain("b1".to_owned())]).unwrap();
    connections.extend((0..30).map(|_| site.connect()));

    // Until what the connections have sent has come in.
    thread::sleep(Duration::from_millis(200));
    let (received_before, counted_before) = (received(&site), counted(&site));
    let tcp = TcpLoad {
        targets: vec![site.web()],
        connections: 60,
        lifetime: Duration::from_millis(200)..=Duration::from_secs(3),
        requests_per_second: 20.0,
        ..TcpLoad::default()
    };
    let udp =
        UdpLoad { targets: vec![site.dns()], flows: 20, datagrams_per_second: 50.0, ..UdpLoad::default() };
    let load = Load { sources: site.client_addresses(), tcp, udp, ..Load::default() };
    let traffic = Traffic::start(site.topology.client().namespace(), load).unwrap();
    eventually("there is traffic", || traffic.report().open >= 40);

    let before = links(&site);
    let mut programs = vec![pinned_program(&site)];
    for round in 0..20 {
        let object = (round % 2 == 0).then(|| scratch.object());
        let done = document(&up(&site, &scratch, object.as_deref()));
        let now = links(&site);
        assert_eq!(now[0].0, before[0].0, "it is another link");
        assert_eq!(now[0].1, pinned_program(&site));
        assert_eq!(done["replaced-program"]["from"], *programs.last().unwrap());
        assert_eq!(done["replaced-program"]["to"], now[0].1);
        programs.push(now[0].1);
        for connection in &mut connections {
            connection.request().unwrap();
        }
        // The same once more is refused, and changes nothing.
        let again = refusal(&up(&site, &scratch, object.as_deref()));
        assert!(again.contains("running already, with the program of this version"), "{again}");
        assert_eq!(links(&site), now);
    }
    programs.sort_unstable();
    programs.dedup();
    assert_eq!(programs.len(), 21, "programs are the same: {programs:?}");

    let report = traffic.stop();
    assert_eq!(report.broken.total(), 0, "{:?}", report.first_broken);
    assert_eq!(report.failed_to_connect, 0, "{:?}", report.last_failure);
    assert_eq!((report.udp.lost, report.udp.switches), (0, 0), "{:?}", report.udp);
    assert!(report.udp.answered > 500 && report.opened > 60, "hardly any traffic: {report:?}");
    drop(connections);
    eventually("every packet that came in has one verdict", || {
        received(&site) - received_before == counted(&site) - counted_before
    });
    println!(
        "20 replacements, {} packets, {} connections and {} datagrams: none lost",
        counted(&site) - counted_before,
        report.opened,
        report.udp.answered
    );
    assert_eq!(site.sample().events.iter().filter(|event| event.action == "program").count(), 20);
    Audit::open(&site.datapath.pins()).between_changes();
}

#[test]
fn a_replacement_that_is_killed_is_finished_by_the_next() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let mut config = site.config.clone();
    config.datapath.interfaces.push(site.topology.backends()[4].balancer_side().name().to_owned());
    let scratch = Scratch::new(&site);
    fs::write(scratch.config(), config.to_toml()).unwrap();
    assert!(run(&site, &["down"], None).status.success());
    document(&up(&site, &scratch, None));
    // Their next hops are resolved by the time that they are sent to.
    eventually("connections are made", || (0..20).all(|_| site.connect().request().is_ok()));
    let before: Vec<u32> = links(&site).into_iter().map(|(link, _)| link).collect();
    assert_eq!(before.len(), 2);
    let mut connections: Vec<_> = (0..20).map(|_| site.connect()).collect();

    // How long a replacement takes here; it is killed at moments from its beginning to after its end.
    let begun = Instant::now();
    document(&up(&site, &scratch, Some(&scratch.object())));
    document(&up(&site, &scratch, None));
    let whole = begun.elapsed() / 2;

    let mut cut_short = 0;
    for round in 0..24 {
        let object = (round % 2 == 0).then(|| scratch.object());
        let words = ["up", "--config", scratch.config().to_str().unwrap()].map(str::to_owned);
        let mut child = site
            .topology
            .balancer()
            .run(|| {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let mut command = command(&site, &words, object.as_deref());
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
            })
            .unwrap()
            .unwrap();
        thread::sleep(whole * round / 14);
        let _ = child.kill();
        child.wait().unwrap();
        let found = links(&site);
        assert_eq!(found.iter().map(|(link, _)| *link).collect::<Vec<_>>(), before, "a link was lost");
        for connection in &mut connections {
            connection.request().unwrap();
        }
        let done = up(&site, &scratch, object.as_deref());
        cut_short += usize::from(done.status.success());
        assert!(done.status.success() || refusal(&done).contains("running already"), "{done:?}");
        let program = pinned_program(&site);
        assert!(links(&site).iter().all(|(_, under)| *under == program), "the links have two programs");
        assert!(!site.datapath.instance().folder().join("program-next").exists(), "a pin is left over");
        Audit::open(site.datapath.instance().folder()).between_changes();
    }
    assert!(
        (1..24).contains(&cut_short),
        "the moments are badly chosen: {cut_short} of 24 were finished later"
    );
}

#[test]
fn a_foreign_schema_is_refused_in_words_and_can_be_taken_down() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let scratch = Scratch::new(&site);
    let instance = site.datapath.instance().clone();
    let mut connection = site.connect();
    Audit::open(instance.folder()).forge_meta(|meta| meta.schema = 7);
    let before = links(&site);
    let pin = instance.maps().join("meta").display().to_string();
    for words in [&["status"][..], &["backend", "drain", "--service", "web", "b1"], &[]] {
        let told = refusal(&run(&site, words, None));
        let known = format!("knows schema {}", maglev_probe_abi::SCHEMA);
        for part in [pin.as_str(), "schema 7", &known, "maglev-top down"] {
            assert!(told.contains(part), "{words:?}: no {part:?} in {told}");
        }
    }
    let told = refusal(&up(&site, &scratch, Some(&scratch.object())));
    assert!(told.contains("schema 7"), "{told}");
    assert_eq!(links(&site), before, "what cannot be read was changed");
    connection.request().unwrap();

    // An instance elsewhere is not kept from clearing up behind itself.
    let Some(other) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    assert!(run(&other, &["down"], None).status.success());
    let kept = other.topology.balancer().run(|| Command::new("ip").args(["neigh", "show"]).output());
    let kept = String::from_utf8(kept.unwrap().unwrap().stdout).unwrap();
    assert!(!kept.contains("managed"), "next hops are kept for nobody:\n{kept}");

    assert!(run(&site, &["down"], None).status.success());
    assert!(!instance.folder().exists());
    eventually("the hook is free", || {
        let interface = site.topology.client_side().name();
        let found = site.topology.balancer().run(|| maglev_probe::Interface::by_name(interface));
        found.unwrap().unwrap().holder.is_none()
    });
    document(&up(&site, &scratch, None));
    site.connect().request().unwrap();
}

#[test]
fn a_map_of_another_shape_is_refused_in_words_and_can_be_taken_down() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let scratch = Scratch::new(&site);
    let instance = site.datapath.instance().clone();
    let before = links(&site);
    // One that user space reads, and one that the program alone does.
    for (name, reads_it) in [("tracked_flows", false), ("settling_flows", false), ("meta", true)] {
        let pin = instance.maps().join(name);
        let aside = instance.folder().join("aside");
        fs::rename(&pin, &aside).unwrap();
        Array::<MapData, u32>::create(3, 0).unwrap().pin(&pin).unwrap();
        let told = refusal(&up(&site, &scratch, Some(&scratch.object())));
        for part in [
            pin.to_str().unwrap(),
            "found array with keys of 4 and values of 4 bytes, 3 entries",
            "expected",
            "maglev-top down",
        ] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
        let status = run(&site, &["status"], None);
        assert_eq!(status.status.success(), !reads_it, "{status:?}");
        if !reads_it {
            fs::rename(&aside, &pin).unwrap();
        }
    }
    assert_eq!(links(&site), before);
    assert!(run(&site, &["down"], None).status.success());
    assert!(!instance.folder().exists());
}

#[test]
fn counts_go_on_in_a_larger_map_where_a_version_has_more_of_them() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let scratch = Scratch::new(&site);
    let instance = site.datapath.instance().clone();
    let mut connection = site.connect();
    // As a version would have left it that knew two verdicts less.
    let pin = instance.maps().join("verdicts");
    let known: PerCpuArray<MapData, u64> =
        Map::PerCpuArray(MapData::from_pin(&pin).unwrap()).try_into().unwrap();
    let mut small = PerCpuArray::<MapData, u64>::create(known.len() - 2, 0).unwrap();
    for place in 0..small.len() {
        small.set(place, known.get(&place, 0).unwrap(), 0).unwrap();
    }
    fs::remove_file(&pin).unwrap();
    small.pin(&pin).unwrap();
    let before = links(&site);
    let counts = || {
        let verdicts = Datapath::open(&instance).unwrap().sample().unwrap().verdicts;
        verdicts.into_iter().map(|(_, count)| count).collect::<Vec<_>>()
    };
    assert_eq!(counts().len(), known.len() as usize - 2, "it is read as far as it goes");
    let counted: u64 = counts().iter().sum();

    // Whoever is killed in between leaves what there is at that moment, and an instance without this pin opens no more.
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    watch.add_watch(&instance.maps(), AddWatchFlags::IN_MOVE | AddWatchFlags::IN_DELETE).unwrap();
    let done = document(&up(&site, &scratch, None));
    let events = watch.read_events().unwrap();
    let of_pin = |event: &&InotifyEvent| event.name.as_deref() == Some("verdicts".as_ref());
    let met: Vec<AddWatchFlags> = events.iter().filter(of_pin).map(|event| event.mask).collect();
    assert_eq!(met, [AddWatchFlags::IN_MOVED_TO], "there was a moment without the pin: {events:?}");
    assert_eq!(done["replaced-program"]["maps-grown"], serde_json::json!(["verdicts"]));
    assert_eq!(counts().len(), known.len() as usize);
    assert_eq!(links(&site)[0].0, before[0].0);
    assert!(counts().iter().sum::<u64>() >= counted, "counts went back");
    let now: u64 = counts().iter().sum();
    for _ in 0..10 {
        connection.request().unwrap();
    }
    assert!(counts().iter().sum::<u64>() >= now + 10, "what comes is not counted");
    let no_pin_is_left_over = || {
        let names: Vec<_> =
            fs::read_dir(instance.maps()).unwrap().flatten().map(|pin| pin.file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().contains('-')), "left over: {names:?}");
    };
    no_pin_is_left_over();

    // As one leaves it that is killed after the exchange: the program, the same one, may count in the map that is gone.
    fs::hard_link(&pin, pin.with_file_name("verdicts-old")).unwrap();
    let program = pinned_program(&site);
    document(&up(&site, &scratch, None));
    assert_ne!(pinned_program(&site), program);
    no_pin_is_left_over();
    connection.request().unwrap();
}

#[test]
fn an_earlier_version_takes_over_from_one_that_counts_more() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let scratch = Scratch::new(&site);
    let instance = site.datapath.instance().clone();
    let pin = instance.maps().join("verdicts");
    let known: PerCpuArray<MapData, u64> =
        Map::PerCpuArray(MapData::from_pin(&pin).unwrap()).try_into().unwrap();
    let large = PerCpuArray::<MapData, u64>::create(known.len() + 2, 0).unwrap();
    fs::remove_file(&pin).unwrap();
    large.pin(&pin).unwrap();
    let before = links(&site);
    let done = document(&up(&site, &scratch, Some(&scratch.object())));
    assert_eq!(done["replaced-program"]["maps-grown"], serde_json::json!([]));
    assert_eq!(links(&site)[0].0, before[0].0);
    site.connect().request().unwrap();
    let sample = Datapath::open(&instance).unwrap().sample().unwrap();
    assert!(sample.verdicts.iter().map(|(_, count)| count).sum::<u64>() > 3, "{:?}", sample.verdicts);
}

#[test]
fn a_map_that_is_missing_is_made_where_it_may_be_empty() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let scratch = Scratch::new(&site);
    let instance = site.datapath.instance().clone();
    let mut connection = site.connect();
    let before = links(&site);
    let clock = instance.maps().join("clock");
    fs::remove_file(&clock).unwrap();
    assert!(run(&site, &["status"], None).status.success(), "user space does not read it");
    let done = document(&up(&site, &scratch, None));
    assert_eq!(done["replaced-program"]["maps-made"], serde_json::json!(["clock"]));
    assert!(clock.exists());
    let now = links(&site);
    assert_eq!(now[0].0, before[0].0);
    assert_ne!(now[0].1, before[0].1);
    connection.request().unwrap();
    site.change(&[Change::Drain("b1".to_owned())]).unwrap();
    connection.request().unwrap();

    let slots = instance.maps().join("slots");
    fs::remove_file(&slots).unwrap();
    for output in [run(&site, &["status"], None), up(&site, &scratch, Some(&scratch.object()))] {
        let told = refusal(&output);
        for part in [slots.to_str().unwrap(), "missing", "maglev-top down"] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
    }
    assert_eq!(links(&site), now, "what cannot be adopted was changed");
    connection.request().unwrap();
    assert!(run(&site, &["down"], None).status.success());
    assert!(!instance.folder().exists());
}
