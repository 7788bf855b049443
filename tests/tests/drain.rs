//! A drain to its end: what holds a backend is told while something does, and nothing is called safe before it is.

use std::{
    process::Output,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use maglev_tests::{Plot, Site, eventually, maglev_top, run_in};
use serde_json::Value;

fn run(site: &Site, words: &[&str]) -> Output {
    let mut all = words.to_vec();
    all.extend(["--instance", site.datapath.instance().name()]);
    run_in(site.topology.balancer(), &all)
}

/// What `status` says of a backend of `web`.
fn reported(site: &Site, name: &str) -> Value {
    let output = run(site, &["status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let services = status["services"].as_array().unwrap();
    let web = services.iter().find(|service| service["name"] == "web").unwrap();
    web["backends"].as_array().unwrap().iter().find(|backend| backend["name"] == name).unwrap().clone()
}

#[test]
fn a_drain_is_waited_for_until_nothing_holds_it() {
    let Some(site) = Site::start(&Plot { settle_time: "2s", ..Plot::default() }) else { return };
    let site = &site;
    let mut connections = site.connect_to("b1", 3);
    let drain = ["backend", "drain", "--service", "web", "b1", "--wait", "--timeout"];
    let with_timeout = |timeout| [&drain[..], &[timeout]].concat();

    // Busy connections hold it, and time runs out.
    let stop = AtomicBool::new(false);
    let last_request = thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let mut last = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                for connection in &mut connections {
                    connection.request().unwrap();
                }
                last = Instant::now();
                thread::sleep(Duration::from_millis(100));
            }
            last
        });
        let late = run(site, &with_timeout("4s"));
        let busy = reported(site, "b1");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(late.status.code(), Some(1), "{late:?}");
        let error = String::from_utf8(late.stderr).unwrap();
        let words = [
            "b1 in service web still drains: it had a packet 0.",
            "settling slots name it as their previous owner",
        ];
        assert!(words.iter().all(|words| error.contains(words)), "{error}");
        let rate = error.split("; ").last().unwrap().split(", ").last().unwrap().trim();
        let rate: f64 = rate.strip_suffix(" packets/s are held").expect("a rate").parse().unwrap();
        // Three connections, ten requests a second each, a request and an acknowledgement at least.
        assert!(rate > 15.0, "{error}");
        assert_eq!(busy["safe-to-remove"], false, "{busy}");
        assert!(
            busy["held-slots"].as_u64() > Some(0) && busy["quiet-seconds"].as_f64() < Some(0.5),
            "{busy}"
        );
        requests.join().unwrap()
    });

    // Silence is told as long as it is.
    thread::sleep(Duration::from_millis(700));
    let quiet = reported(site, "b1")["quiet-seconds"].as_f64().unwrap();
    let elapsed = last_request.elapsed().as_secs_f64();
    assert!(quiet > 0.6 && quiet < elapsed + 0.1, "quiet for {quiet} s, {elapsed} s after the last request");

    // Who waited in vain waits on, and is told at the right time.
    let done = run(site, &with_timeout("10s"));
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(last_request.elapsed() >= Duration::from_secs(2), "it was told too soon");
    let safe = reported(site, "b1");
    assert_eq!(safe["safe-to-remove"], true, "{safe}");
    // Deadlines are a little later than they have to be.
    eventually("no slot names it any more", || reported(site, "b1")["held-slots"] == 0);
    let text = String::from_utf8(run(site, &["status"]).stdout).unwrap();
    let line = text.lines().find(|line| line.contains("b1 drains: quiet for")).expect("a line on the drain");
    assert!(line.ends_with(" s: safe to remove"), "{line}");
    assert_eq!(reported(site, "b2")["safe-to-remove"], Value::Null);
}

#[test]
fn one_that_never_got_a_packet_is_safe_at_once() {
    let Some(site) = Site::start(&Plot { settle_time: "60s", ..Plot::default() }) else { return };
    let _ = maglev_top();
    let begun = Instant::now();
    let done = run(&site, &["backend", "drain", "--service", "web", "b1", "--wait", "--timeout", "20s"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let found = reported(&site, "b1");
    assert_eq!((&found["quiet-seconds"], &found["safe-to-remove"]), (&Value::Null, &Value::Bool(true)));
    let text = String::from_utf8(run(&site, &["status"]).stdout).unwrap();
    assert!(text.contains("b1 drains: quiet, it never got a packet: safe to remove"), "{text}");
}

#[test]
fn an_instance_that_is_gone_is_not_one_that_has_drained() {
    let Some(site) = Site::start(&Plot { settle_time: "60s", ..Plot::default() }) else { return };
    let site = &site;
    let _ = maglev_top();
    let _connections = site.connect_to("b1", 3);
    let waited = thread::scope(|scope| {
        let words = ["backend", "drain", "--service", "web", "b1", "--wait", "--timeout", "120s"];
        let waited = scope.spawn(move || run(site, &words));
        eventually("b1 drains", || reported(site, "b1")["state"] == "draining");
        let instance = site.datapath.instance();
        site.topology.balancer().run(|| maglev_probe::down(instance)).unwrap().unwrap();
        site.topology.balancer().run(|| maglev_probe::up(instance, &site.config)).unwrap().unwrap();
        waited.join().unwrap()
    });
    assert_eq!(waited.status.code(), Some(1), "{waited:?}");
    let error = String::from_utf8(waited.stderr).unwrap();
    assert!(error.contains("was taken down before b1 in service web had drained"), "{error}");
}
