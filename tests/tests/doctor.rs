//! `doctor`: every fault that can be caused in a namespace is caused, and found; a healthy site has none.

use std::{fs, net::SocketAddr, process::Command};

use maglev_lab::Namespace;
use maglev_probe::trace::{TraceTerms, Tracer};
use maglev_tests::{Audit, Plot, Site, run_in};
use serde_json::Value;

fn plot() -> Plot {
    Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }
}

/// What doctor said, and its exit status.
struct Diagnosis {
    checks: Vec<Value>,
    status: Option<i32>,
}

impl Diagnosis {
    fn of(namespace: &Namespace, words: &[&str]) -> Self {
        let mut all = vec!["doctor", "-o", "json"];
        all.extend(words);
        let output = run_in(namespace, &all);
        let document: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(document["schema-version"], 1);
        let checks = document["checks"].as_array().expect("a list of checks").clone();
        for check in &checks {
            let keys: Vec<&String> = check.as_object().unwrap().keys().collect();
            assert_eq!(keys.len(), 5, "{check}");
            let needs_mend = matches!(check["verdict"].as_str(), Some("fault" | "warning"));
            assert_eq!(check["mend"].is_string(), needs_mend, "{check}");
        }
        Self { checks, status: output.status.code() }
    }

    fn of_site(site: &Site) -> Self {
        Self::of(site.topology.balancer(), &["--instance", site.datapath.instance().name()])
    }

    /// The findings of that verdict, those about other tests' instances apart.
    fn verdicts(&self, verdict: &str, site: Option<&Site>) -> Vec<String> {
        let own = site.map(|site| format!("instance {}", site.datapath.instance().name()));
        self.checks
            .iter()
            .filter(|check| check["verdict"] == verdict)
            .filter(|check| {
                let about = check["about"].as_str().unwrap();
                !about.starts_with("instance ") || own.as_deref() == Some(about)
            })
            .map(|check| format!("{} {}: {}", check["name"], check["about"], check["found"]))
            .collect()
    }

    /// Makes sure that there is a fault of that name, about that, in those words.
    #[track_caller]
    fn assert_fault(&self, name: &str, about: &str, words: &str) {
        let found = self.checks.iter().any(|check| {
            check["name"] == name
                && check["verdict"] == "fault"
                && check["about"].as_str().is_some_and(|text| text.contains(about))
                && check["found"].as_str().is_some_and(|text| text.contains(words))
        });
        assert!(found, "no fault {name} about {about} with {words:?}: {:#?}", self.verdicts("fault", None));
        assert_eq!(self.status, Some(3));
    }
}

#[test]
fn a_healthy_site_has_neither_faults_nor_warnings() {
    let Some(site) = Site::start(&plot()) else { return };
    let diagnosis = Diagnosis::of_site(&site);
    let own = Some(&site);
    assert_eq!(diagnosis.verdicts("fault", own), Vec::<String>::new());
    assert_eq!(diagnosis.verdicts("warning", own), Vec::<String>::new());
    // Each of these says something of a running site, and none is skipped.
    for name in [
        "program-loads",
        "pins",
        "state-version",
        "program-current",
        "links",
        "trace",
        "interface",
        "xdp-holder",
        "xdp-mode",
        "forwarding",
        "service-address",
        "route",
        "neighbour",
        "packet-size",
        "redirect-target",
        "drops",
    ] {
        let about_it = |check: &&Value| {
            check["name"] == name && !diagnosis.verdicts("ok", own).is_empty() && check["verdict"] == "ok"
        };
        assert!(diagnosis.checks.iter().any(|check| about_it(&check)), "{name} says nothing");
    }
    let words = ["doctor", "--instance", site.datapath.instance().name()];
    let text = String::from_utf8(run_in(site.topology.balancer(), &words).stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("ok") && line.contains("kernel-version")), "{text}");
    assert!(text.lines().last().unwrap().contains(" skipped"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours, and no terminal");
}

#[test]
fn who_traces_is_warned_of_while_it_lasts() {
    let Some(site) = Site::start(&plot()) else { return };
    let client = SocketAddr::new(site.client_addresses()[0], 0);
    let tracer = Tracer::begin(&site.datapath, TraceTerms { client, rate: 1 }).unwrap();
    let own = Some(&site);
    let warnings = Diagnosis::of_site(&site).verdicts("warning", own);
    let expected = format!("process {} traces it", std::process::id());
    assert!(warnings.iter().any(|found| found.contains(&expected)), "{warnings:?}");
    drop(tracer);
    assert_eq!(Diagnosis::of_site(&site).verdicts("warning", own), Vec::<String>::new());
}

#[test]
fn what_keeps_packets_from_backends_is_found_and_mended_as_said() {
    let Some(site) = Site::start(&plot()) else { return };
    let balancer = site.topology.balancer();
    let ingress = site.topology.client_side().name().to_owned();

    balancer.set_sysctl(&format!("net/ipv4/conf/{ingress}/forwarding"), "0").unwrap();
    let diagnosis = Diagnosis::of_site(&site);
    diagnosis.assert_fault("forwarding", &ingress, "is off");
    let mend = diagnosis.checks.iter().find(|check| check["name"] == "forwarding").unwrap()["mend"].clone();
    let mend = mend.as_str().unwrap().split(" (").next().unwrap().to_owned();
    let words: Vec<String> = mend.split(' ').map(str::to_owned).collect();
    let done = balancer.run(|| Command::new(&words[0]).args(&words[1..]).output()).unwrap().unwrap();
    assert!(done.status.success(), "{mend}: {done:?}");
    assert_eq!(
        Diagnosis::of_site(&site).verdicts("fault", Some(&site)),
        Vec::<String>::new(),
        "{mend} did not do"
    );

    // A backend that is gone from its segment: nobody answers for its address.
    let backend = &site.topology.backends()[0];
    backend.interface().remove_address(backend.address().into(), 24).unwrap();
    let hop = backend.address().to_string();
    let device = backend.balancer_side().name().to_owned();
    let flushed = balancer
        .run(|| Command::new("ip").args(["neigh", "del", &hop, "dev", &device]).output())
        .unwrap()
        .unwrap();
    assert!(flushed.status.success(), "{flushed:?}");
    Diagnosis::of_site(&site).assert_fault("neighbour", &hop, "nobody has asked");

    // An MTU that leaves less than every packet may have.
    let other = &site.topology.backends()[1];
    other.balancer_side().set_mtu(590).unwrap();
    Diagnosis::of_site(&site).assert_fault("packet-size", &other.address().to_string(), "leaves 570");
    // One that leaves less than what comes in.
    other.balancer_side().set_mtu(1500).unwrap();
    let diagnosis = Diagnosis::of_site(&site);
    let warned = diagnosis.verdicts("warning", Some(&site));
    assert!(warned.iter().any(|warning| warning.contains("MSS of 1440")), "{warned:#?}");

    // No way at all.
    let third = &site.topology.backends()[2];
    third.balancer_side().set_down().unwrap();
    let address = third.address().to_string();
    Diagnosis::of_site(&site).assert_fault("route", &address, "no way");
    // The service's own address at the balancer.
    site.topology.client_side().add_address(site.web().ip(), 32).unwrap();
    let warned = Diagnosis::of_site(&site).verdicts("warning", Some(&site));
    assert!(warned.iter().any(|warning| warning.contains("this host's own")), "{warned:#?}");
}

#[test]
fn interfaces_that_cannot_be_used_are_found_before_anything_is_brought_up() {
    let Some(site) = Site::start(&plot()) else { return };
    let backend = &site.topology.backends()[0];
    let (host, name) = (backend.namespace(), backend.interface().name().to_owned());
    Diagnosis::of(host, &["--interface", "eth77"]).assert_fault("interface", "eth77", "no such interface");
    // The decapsulating program is there already.
    let diagnosis = Diagnosis::of(host, &["--interface", &name]);
    diagnosis.assert_fault("xdp-holder", &name, "maglev_decap");
    assert!(diagnosis.verdicts("ok", None).iter().any(|ok| ok.contains("takes outer headers off here")));
    site.topology.client().interface().set_down().unwrap();
    let client = site.topology.client();
    Diagnosis::of(client.namespace(), &["--interface", client.interface().name()]).assert_fault(
        "interface",
        client.interface().name(),
        "switched off",
    );
    // Whoever is named and not there.
    let output = run_in(host, &["doctor", "--instance", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_was_cut_short_or_taken_from_an_instance_is_found() {
    let Some(site) = Site::start(&plot()) else { return };
    let instance = site.datapath.instance().clone();
    let about = format!("instance {}", instance.name());
    Audit::open(instance.folder()).begin_change(false, &|_| {}, 1);
    Diagnosis::of_site(&site).assert_fault("state-version", &about, "half done");
    // The mend that it names.
    let file = std::env::temp_dir().join(format!("maglev-doctor-{}.toml", std::process::id()));
    fs::write(&file, site.config.to_toml()).unwrap();
    let path = file.display().to_string();
    let applied =
        run_in(site.topology.balancer(), &["apply", "--config", &path, "--instance", instance.name()]);
    assert!(applied.status.success(), "{applied:?}");
    assert_eq!(Diagnosis::of_site(&site).verdicts("fault", Some(&site)), Vec::<String>::new());
    // With the configuration it says the same of what runs.
    let diagnosis =
        Diagnosis::of(site.topology.balancer(), &["--config", &path, "--instance", instance.name()]);
    assert_eq!(diagnosis.verdicts("fault", Some(&site)), Vec::<String>::new());
    fs::remove_file(&file).unwrap();

    fs::remove_file(instance.maps().join("verdicts")).unwrap();
    Diagnosis::of_site(&site).assert_fault("pins", &about, "maps/verdicts");
}

#[test]
fn a_backend_is_told_what_it_lacks() {
    let Some(site) = Site::start(&plot()) else { return };
    let file = std::env::temp_dir().join(format!("maglev-doctor-backend-{}.toml", std::process::id()));
    fs::write(&file, site.config.to_toml()).unwrap();
    let path = file.display().to_string();
    let backend = &site.topology.backends()[0];
    let diagnosis = Diagnosis::of(backend.namespace(), &["--config", &path]);
    assert_eq!(diagnosis.verdicts("fault", Some(&site)), Vec::<String>::new());
    let missing = |what: &str| diagnosis.verdicts("ok", None).iter().any(|ok| ok.contains(what));
    assert!(missing("as it must be at a backend"), "{:#?}", diagnosis.checks);
    // A host that has the backend's address, and nothing else of a backend.
    let stranger = Namespace::new("stranger").unwrap();
    let address = format!("{}/32", backend.address());
    let given = stranger
        .run(|| {
            Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
            Command::new("ip").args(["addr", "add", &address, "dev", "lo"]).status()
        })
        .unwrap()
        .unwrap();
    assert!(given.success());
    let diagnosis = Diagnosis::of(&stranger, &["--config", &path]);
    diagnosis.assert_fault("service-address", "service web", "not one of this host's own");
    diagnosis.assert_fault("decapsulation", &path, "nothing takes the outer header off");
    fs::remove_file(&file).unwrap();
}
