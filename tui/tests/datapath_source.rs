//! The monitor's source on a running datapath: it follows the instance through its lives.
//!
//! Where the privileges are missing, the test says so and is skipped.

use std::process;

use maglev_core::{change::Change, config::Config};
use maglev_lab::Topology;
use maglev_probe::{Instance, down, up};
use maglev_top::source::{ChangeRequest, Source as _, datapath::DatapathSource};

const CONFIG: &str = r#"
seed = "JLfvgnHc2kaSUFaI"

[datapath]
interfaces = ["client0"]
tunnel-source-v4 = "10.81.0.254"
max-slots = 512

[[services]]
name = "web"
address = "192.0.2.10:80"
protocol = "tcp"
table-size = 251
forwarding = "ipip"
backends = [{ name = "b1", address = "10.82.1.2:80" }, { name = "b2", address = "10.82.2.2:80" }]
"#;

/// Takes the datapath down also where the test fails.
struct Guard<'a>(&'a Instance);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.0.exists() {
            let _ = down(self.0);
        }
    }
}

#[test]
fn a_source_outlives_the_datapath_and_adopts_the_next() {
    let topology = match Topology::builder().backends(2).build() {
        Ok(topology) => topology,
        Err(error) if error.is_permission() => return println!("skipped: {error} (run as root)"),
        Err(error) => panic!("{error:?}"),
    };
    let config = Config::parse("test.toml", CONFIG).expect("a configuration that keeps the rules").config;
    let instance = Instance::new(&format!("test-{}-source", process::id())).expect("a good name");
    let _guard = Guard(&instance);
    let start = || topology.balancer().run(|| up(&instance, &config)).expect("a thread gets in");
    let end = || topology.balancer().run(|| down(&instance)).expect("a thread gets in").expect("it is down");

    match start() {
        Ok(_) => {}
        Err(error) if error.is_permission() => return println!("skipped: {error}"),
        Err(error) => panic!("{error:?}"),
    }
    let source = DatapathSource::open(&instance).expect("it is running");
    let mut source = source.within(topology.balancer().clone());
    let identity = source.identity();
    assert_eq!((identity.attached.as_str(), identity.read_only), ("client0 (native)", None));

    let first = source.sample().expect("maps are read");
    assert_eq!(first.services[0].backends.len(), 2);
    let request = |change| ChangeRequest {
        state_version: Some(first.state_version),
        ..ChangeRequest::of("web", vec![change])
    };
    let drain = request(Change::Drain("b1".to_owned()));
    let planned = source.plan(&drain).expect("it fits");
    assert_eq!(source.execute(&drain).expect("it fits"), planned);
    let late = source.execute(&request(Change::Undrain("b1".to_owned())));
    assert!(late.expect_err("it was planned on another state").stale);

    end();
    let gone = source.sample().expect_err("nothing is running").to_string();
    assert!(gone.contains("no datapath is running") && gone.contains("maglev-top up"), "{gone}");
    start().expect("it is up again");
    let next = source.sample().expect("it is running again");
    assert_eq!(next.state_version, first.state_version);
    assert!(next.services[0].backends.iter().all(|backend| backend.slots > 0), "{next:?}");
    end();
}
