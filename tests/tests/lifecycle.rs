//! Up, down and apply: what is cut short is begun anew or cleared away, and what was done by hand is not undone unasked.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use maglev_core::{change::Change, config::Config};
use maglev_probe::{ApplyTerms, Datapath, DatapathError, Instance};
use maglev_tests::{Audit, Plot, Site, maglev_top, run_in};
use serde_json::{Value, json};

fn plot() -> Plot {
    Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }
}

fn run(site: &Site, words: &[&str]) -> Output {
    let mut all = words.to_vec();
    all.extend(["--instance", site.datapath.instance().name()]);
    run_in(site.topology.balancer(), &all)
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A file that goes with its test.
struct Scratch(String);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("maglev-lifecycle-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path.display().to_string())
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The neighbours that are kept resolved for a datapath.
fn kept_neighbours(site: &Site) -> usize {
    let output =
        site.topology.balancer().run(|| Command::new("ip").args(["neigh", "show"]).output()).unwrap();
    let text = String::from_utf8(output.expect("ip runs").stdout).unwrap();
    text.lines().filter(|line| line.contains("managed")).count()
}

#[test]
fn the_running_state_is_a_configuration_that_changes_nothing() {
    let Some(site) = Site::start(&plot()) else { return };
    let site = &site;
    assert!(run(site, &["backend", "drain", "--service", "web", "b1"]).status.success());
    assert!(run(site, &["backend", "weight", "--service", "dns", "b2", "300"]).status.success());
    let shown = run(site, &["config", "show"]);
    assert!(shown.status.success(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    let config = Config::parse("shown", &text).expect("what is shown is a configuration").config;
    assert_eq!(config.datapath, site.config.datapath);
    let file = Scratch::new("shown", &text);
    let version = site.sample().state_version;
    let applied = run(site, &["apply", "--config", &file.0]);
    assert_eq!(
        String::from_utf8_lossy(&applied.stdout).trim(),
        "nothing to do: the running state is the configuration's"
    );
    assert!(applied.stderr.is_empty(), "{applied:?}");
    assert_eq!(site.sample().state_version, version);
    let status = document(&run(site, &["status", "--config", &file.0, "-o", "json"]));
    assert_eq!(status["differs"], json!([]));
    assert_eq!(document(&run(site, &["status", "-o", "json"])).get("differs"), None);
    // As JSON it is the same document.
    assert_eq!(document(&run(site, &["config", "show", "-o", "json"]))["services"][0]["name"], "dns");

    // What an emergency left, and no file may say.
    for name in ["b1", "b2", "b3"] {
        let removed = run(site, &["backend", "remove", "--service", "dns", name, "--force"]);
        assert!(removed.status.success(), "{removed:?}");
    }
    let shown = run(site, &["config", "show"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&shown.stderr).contains("would refuse it"), "{shown:?}");
}

#[test]
fn a_machine_leaves_all_its_services_in_one_change() {
    let Some(site) = Site::start(&plot()) else { return };
    let site = &site;
    let address = site.spare("b2").address.ip().to_string();
    let before = site.sample();
    let drained = document(&run(site, &["backend", "drain", "--address", &address, "-o", "json"]));
    let changes: Vec<_> = drained["changes"].as_array().unwrap().iter().collect();
    let of =
        |change: &Value| (change["action"].clone(), change["service"].clone(), change["backend"].clone());
    assert_eq!(
        changes.iter().map(|change| of(change)).collect::<Vec<_>>(),
        [("dns", "b2"), ("web", "b2")].map(|(service, name)| (json!("drain"), json!(service), json!(name)))
    );
    assert!(changes.iter().all(|change| change["minimum"].as_u64() > Some(0)));
    let after = site.sample();
    assert_eq!(after.state_version, before.state_version + 2, "it was not one change");
    assert_eq!(after.events.len(), before.events.len() + 2);
    for service in ["web", "dns"] {
        assert_eq!(run(site, &["table", "verify", "--service", service]).status.code(), Some(0));
    }
    let again = run(site, &["backend", "drain", "--address", &address]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("draining already"), "{again:?}");

    // Where one service would be left without an active backend, none changes.
    assert!(run(site, &["backend", "drain", "--service", "web", "b1"]).status.success());
    let version = site.sample().state_version;
    let last = site.spare("b3").address.ip().to_string();
    let refused = run(site, &["backend", "remove", "--address", &last]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("last active backend of service web"));
    assert_eq!(site.sample().state_version, version, "a refused change has changed something");
    assert!(site.service("dns").backends.iter().any(|backend| backend.name == "b3"));

    let _held = site.connect_to("b3", 1);
    let late =
        run(site, &["backend", "drain", "--address", &last, "--force", "--wait", "--timeout", "100ms"]);
    assert_eq!(late.status.code(), Some(1));
    let error = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(error.contains("b3 in service web still drains"), "{error}");
    assert!(run(site, &["backend", "undrain", "--address", &last]).status.success());
    assert!(run(site, &["backend", "remove", "--address", &address]).status.success());
    assert!(site.sample().services.iter().all(|service| service.backends.len() == 2));

    let stranger = run(site, &["backend", "drain", "--address", "10.9.9.9"]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("no service has a backend at 10.9.9.9"));
}

#[test]
fn apply_keeps_what_was_done_by_hand_and_says_so() {
    let Some(site) = Site::start(&plot()) else { return };
    let site = &site;
    let text = site.config.to_toml();
    let file = Scratch::new("by-hand", &text);
    let apply = |words: &[&str]| {
        let mut all = vec!["apply", "--config", &file.0, "-o", "json"];
        all.extend(words);
        document(&run(site, &all))
    };
    site.change(&[Change::Drain("b1".into()), Change::Add(site.spare("b4"))]).unwrap();
    site.change(&[Change::Remove("b2".into())]).unwrap();
    let b4 = site.spare("b4").address;
    let b2 = site.spare("b2").address;
    let kept = json!([
        format!("service web: b4 {b4} was added by hand; the configuration does not have it"),
        "service web: b1 was made draining by hand; the configuration says active",
        format!("service web: b2 {b2} was removed by hand; the configuration has it"),
    ]);
    let version = site.sample().state_version;
    for _ in 0..2 {
        let done = apply(&[]);
        assert_eq!((&done["changes"], &done["kept"]), (&json!([]), &kept));
    }
    assert_eq!(site.sample().state_version, version, "nothing was to do, and something was done");
    assert_eq!(document(&run(site, &["status", "--config", &file.0, "-o", "json"]))["differs"], kept);

    // What the file changes goes through, beside what is kept. The bystander's new weight is no deed of hands.
    let at = text.find("name = \"web\"").unwrap();
    let b3 = at + text[at..].find("name = \"b3\"").unwrap();
    let weighed = format!("{}{}", &text[..b3], text[b3..].replacen("weight = 100", "weight = 250", 1));
    file.write(&weighed);
    let done = apply(&[]);
    assert_eq!(done["changes"][0]["backend"], "b3");
    assert_eq!(done["kept"], kept);
    file.write(&text);
    let done = apply(&[]);
    assert_eq!((&done["changes"][0]["action"], &done["kept"]), (&json!("weight"), &kept));

    // One that comes back by hand is as before; the file's word on the rest only with --override.
    site.change(&[Change::Add(site.spare("b2"))]).unwrap();
    assert_eq!(apply(&[])["kept"].as_array().unwrap().len(), 2);
    let shown = run(site, &["apply", "--config", &file.0, "--dry-run"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("--override") && shown.contains("b1 was made draining by hand"), "{shown}");
    let done = apply(&["--override"]);
    let actions: Vec<_> =
        done["changes"].as_array().unwrap().iter().map(|one| one["action"].clone()).collect();
    assert_eq!((actions, &done["kept"]), (vec![json!("undrain"), json!("remove")], &json!([])));
    let web = site.service("web");
    assert_eq!(web.backends.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["b1", "b2", "b3"]);
    Audit::open(&site.datapath.pins()).between_changes();
}

#[test]
fn apply_sets_what_holds_for_all_services_and_says_what_it_cannot() {
    let Some(site) = Site::start(&plot()) else { return };
    let site = &site;
    let text = site.config.to_toml();
    let changed =
        text.replace("10.81.0.254", "10.81.0.253").replace("max-slots = 65536", "max-slots = 131072");
    let file = Scratch::new("settings", &changed);
    let dry = run(site, &["apply", "--config", &file.0, "--dry-run"]);
    let out = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(out.contains("tunnel-source-v4 10.81.0.254/32 → 10.81.0.253/32"), "{out}");
    assert!(String::from_utf8_lossy(&dry.stderr).contains("max-slots 65536 → 131072"), "{dry:?}");
    let done = document(&run(site, &["apply", "--config", &file.0, "-o", "json"]));
    assert_eq!(done["changes"][0]["action"], "settings");
    let shown = String::from_utf8(run(site, &["config", "show"]).stdout).unwrap();
    assert!(shown.contains("10.81.0.253"), "{shown}");

    // There is no room for this one: nothing is taken away before that is known.
    let large = text.replacen("table-size = 251", "table-size = 65521", 2).replace("65536", "200000");
    file.write(&large);
    let before = site.sample().state_version;
    let refused = run(site, &["apply", "--config", &file.0, "--break-connections"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("datapath.max-slots"), "{refused:?}");
    assert_eq!(site.sample().state_version, before);
    assert_eq!(site.sample().services.len(), 2);
}

#[test]
fn what_was_opened_in_an_earlier_life_changes_nothing_in_this_one() {
    let Some(site) = Site::start(&plot()) else { return };
    let instance = site.datapath.instance().clone();
    let again = || {
        maglev_probe::down(&instance)?;
        maglev_probe::up(&instance, &site.config)
    };
    site.topology.balancer().run(again).unwrap().unwrap();
    let error = site.change(&[Change::Drain("b1".into())]).unwrap_err();
    assert!(matches!(error, DatapathError::Replaced(_)), "{error}");
    Audit::open(instance.folder()).between_changes();
}

#[test]
fn a_failed_change_is_told_with_what_holds() {
    let Some(site) = Site::start(&plot()) else { return };
    // The kernel takes no more events, for good.
    let pin = site.datapath.pins().join("maps/events");
    let frozen = Command::new("bpftool").args(["map", "freeze", "pinned"]).arg(pin).status();
    if !frozen.is_ok_and(|status| status.success()) {
        return println!("skipped: bpftool does not freeze maps here");
    }
    let error = site.change(&[Change::Drain("b1".into())]).unwrap_err();
    assert!(matches!(error, DatapathError::Undone { .. }), "{error:?}");
    assert_eq!(error.to_string(), "nothing was changed");
    let cause = std::error::Error::source(&error).expect("the cause is kept").to_string();
    assert!(cause.contains("events"), "{cause}");
    let audit = Audit::open(&site.datapath.pins());
    audit.between_changes();
    assert_eq!(site.backend("b1").state, maglev_core::service::BackendState::Active);
}

#[test]
fn instances_share_what_they_both_need() {
    let Some(site) = Site::start(&plot()) else { return };
    let kept = kept_neighbours(&site);
    assert_eq!(kept, 3, "three backends, three next hops");
    let mut config = site.config.clone();
    config.datapath.interfaces = vec![site.topology.backends()[4].balancer_side().name().to_owned()];
    config.services.truncate(1);
    config.services[0].backends.push(site.spare("b4"));
    let second = Instance::new(&format!("{}-b", site.datapath.instance().name())).unwrap();
    let there = |work: &(dyn Fn() -> Result<(), DatapathError> + Sync)| {
        site.topology.balancer().run(work).unwrap().unwrap_or_else(|error| panic!("{error:?}"));
    };
    there(&|| maglev_probe::up(&second, &config).map(drop));
    assert_eq!(kept_neighbours(&site), 4);
    there(&|| maglev_probe::down(&second));
    assert_eq!(kept_neighbours(&site), 3, "the other instance's next hops were given up, or too few");
    site.connect().request().unwrap();
}

#[test]
fn up_and_down_that_are_killed_are_begun_anew() {
    let Some(site) = Site::start(&plot()) else { return };
    let balancer = site.topology.balancer();
    let mut config = site.config.clone();
    config.datapath.interfaces.push(site.topology.backends()[4].balancer_side().name().to_owned());
    let file = Scratch::new("up", &config.to_toml());
    let instance = site.datapath.instance();
    assert!(run(&site, &["down"]).status.success());
    assert_eq!(kept_neighbours(&site), 0);

    let killed = |command: &str, after: Duration| {
        let words: &[&str] = if command == "up" { &["up", "--config", &file.0] } else { &["down"] };
        let mut child = balancer
            .run(|| {
                Command::new(maglev_top())
                    .args(words)
                    .args(["--instance", instance.name()])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
            })
            .unwrap()
            .unwrap();
        thread::sleep(after);
        let _ = child.kill();
        child.wait().unwrap();
    };
    let up = |round: &str| {
        let up = run(&site, &["up", "--config", &file.0]);
        // A start that was through before it was killed is left alone.
        let running = String::from_utf8_lossy(&up.stderr).contains("running already");
        assert!(up.status.success() || running, "{round}: {up:?}");
        let datapath = Datapath::open(instance).unwrap();
        assert_eq!(balancer.run(|| datapath.interfaces()).unwrap().unwrap().len(), 2, "{round}");
        assert_eq!(datapath.sample().unwrap().services.len(), 2, "{round}");
        Audit::open(instance.folder()).between_changes();
    };
    for round in 0..16 {
        let after = Duration::from_millis(round * 12);
        killed("up", after);
        let half = Datapath::open(instance);
        assert!(
            matches!(half, Ok(_) | Err(DatapathError::HalfWay(_) | DatapathError::NotRunning { .. })),
            "{half:?}"
        );
        if round % 2 == 0 {
            up(&format!("after an up killed after {after:?}"));
        }
        let after = Duration::from_millis(round * 5);
        killed("down", after);
        up(&format!("after a down killed after {after:?}"));
        killed("down", after);
        let down = run(&site, &["down"]);
        let gone = String::from_utf8_lossy(&down.stderr).contains("no datapath is running");
        assert!(down.status.success() || gone, "{down:?}");
        assert!(!Path::new(instance.folder()).exists());
        assert_eq!(kept_neighbours(&site), 0, "next hops are kept for nobody");
    }
}

#[test]
fn a_plan_that_was_shown_is_the_plan_that_is_carried_out() {
    let Some(site) = Site::start(&plot()) else { return };
    let plan = site.datapath.plan_apply(&site.config, false).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    site.change(&[Change::Drain("b1".into())]).unwrap();
    let terms = ApplyTerms { state_version: Some(plan.state_version), ..ApplyTerms::default() };
    let refused = site.topology.balancer().run(|| site.datapath.apply(&site.config, terms)).unwrap();
    assert!(matches!(refused, Err(DatapathError::Stale { .. })), "{refused:?}");
}
