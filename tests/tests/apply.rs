//! What `apply` does not do unasked: undo what was done by hand, end connections, or send where the kernel does not forward.

use std::{fs, process::Output};

use maglev_core::change::Change;
use maglev_probe::DatapathError;
use maglev_tests::{Audit, Plot, Site, run_in};
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
        let path = std::env::temp_dir().join(format!("maglev-apply-{}-{name}.toml", std::process::id()));
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

#[test]
fn a_service_that_is_made_anew_keeps_what_was_done_by_hand() {
    let Some(site) = Site::start(&plot()) else { return };
    let site = &site;
    let text = site.config.to_toml();
    let file = Scratch::new("anew", &text.replacen("table-size = 251", "table-size = 509", 2));
    site.change(&[Change::Drain("b1".into()), Change::Add(site.spare("b4"))]).unwrap();
    site.change(&[Change::Remove("b2".into())]).unwrap();
    let (b2, b4) = (site.spare("b2").address, site.spare("b4").address);
    let kept = json!([
        format!("service web: b4 {b4} was added by hand; the configuration does not have it"),
        "service web: b1 was made draining by hand; the configuration says active",
        format!("service web: b2 {b2} was removed by hand; the configuration has it"),
    ]);
    let dry = document(&run(site, &["apply", "--config", &file.0, "--dry-run", "-o", "json"]));
    assert_eq!(dry["kept"], kept, "it is said before it is done");
    let done = document(&run(site, &["apply", "--config", &file.0, "--break-connections", "-o", "json"]));
    assert_eq!(done["kept"], kept);
    let found = || -> Vec<(String, String)> {
        let web = site.service("web");
        assert_eq!(web.slots.len(), 509);
        web.backends.iter().map(|one| (one.name.clone(), one.state.to_string())).collect()
    };
    let expected = [("b1", "draining"), ("b3", "active"), ("b4", "active")]
        .map(|(name, state)| (name.into(), state.into()));
    assert_eq!(found(), expected);
    Audit::open(&site.datapath.pins()).between_changes();

    // It is known to be by hand after that, too.
    let again = document(&run(site, &["apply", "--config", &file.0, "-o", "json"]));
    assert_eq!((&again["changes"], &again["kept"]), (&json!([]), &kept));
    let overridden = run(site, &["apply", "--config", &file.0, "--override"]);
    assert!(overridden.status.success(), "{overridden:?}");
    assert_eq!(found(), ["b1", "b2", "b3"].map(|name| (name.into(), "active".into())));
}

#[test]
fn what_would_end_connections_is_not_changed_unasked() {
    let Some(site) = Site::start(&plot()) else { return };
    let site = &site;
    let text = site.config.to_toml();
    let web = text.find("name = \"web\"").unwrap();
    let with = |from: &str, to: &str| {
        let at = web + text[web..].find(from).unwrap_or_else(|| panic!("no {from} in\n{text}"));
        format!("{}{}", &text[..at], text[at..].replacen(from, to, 1))
    };
    let file = Scratch::new("unasked", &text);
    let refuses = |changed: &str, words: &str| {
        file.write(changed);
        let version = site.sample().state_version;
        let refused = run(site, &["apply", "--config", &file.0]);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert!(error.contains(words) && error.contains("--break-connections"), "{error}");
        assert_eq!(site.sample().state_version, version);
    };
    refuses(
        &with("forwarding = \"ipip\"", "forwarding = \"observe\""),
        "its connections are with somebody else",
    );

    // Nothing settles: nobody is held anywhere.
    assert_eq!(site.service("web").slots.settling(), 0);
    let never = with("tracking = \"settling\"", "tracking = \"never\"");
    file.write(&never);
    assert!(run(site, &["apply", "--config", &file.0]).status.success());
    file.write(&text);
    assert!(run(site, &["apply", "--config", &file.0]).status.success());
    let _held = site.connect_to("b1", 3);
    site.change(&[Change::Drain("b1".into())]).unwrap();
    assert!(site.service("web").slots.settling() > 0);
    refuses(&never, "slots are settling");
    let done = run(site, &["apply", "--config", &file.0, "--break-connections"]);
    assert!(done.status.success(), "{done:?}");

    let always = with("tracking = \"settling\"", "tracking = \"always\"");
    file.write(&always);
    assert!(run(site, &["apply", "--config", &file.0]).status.success());
    refuses(&never, "remembered would be forgotten");
}

#[test]
fn where_the_kernel_does_not_forward_it_is_not_asked_to() {
    let Some(site) = Site::start(&plot()) else { return };
    let site = &site;
    let balancer = site.topology.balancer();
    let names: Vec<String> = balancer
        .run(|| site.datapath.interfaces().unwrap().into_iter().map(|one| one.name).collect())
        .unwrap();
    for name in &names {
        balancer.set_sysctl(&format!("net/ipv4/conf/{name}/forwarding"), "0").unwrap();
    }
    let version = site.sample().state_version;
    let spare = site.spare("b4");
    let refused = balancer.run(|| site.change(&[Change::Add(spare)])).unwrap().unwrap_err();
    assert!(matches!(refused, DatapathError::ForwardingOff { .. }), "{refused}");
    let text = site.config.to_toml().replace("10.81.0.254", "10.81.0.253");
    let file = Scratch::new("forwards", &text);
    let refused = run(site, &["apply", "--config", &file.0]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && error.contains("forwarding"), "{error}");
    assert_eq!(site.sample().state_version, version, "nothing was changed before that was known");
}
