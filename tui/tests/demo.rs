//! `maglev-top demo` without a screen, as it is run by hand: what it reports, and that nothing of it is left.
//!
//! Where the privileges are missing, the tests that need them say so and are skipped.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use maglev_lab::Namespace;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PINS: &str = "/sys/fs/bpf/maglev-top";

/// Each run is a load for the whole machine: they are made one after another.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process may do what a demo does; says so if not.
fn may_run() -> bool {
    if let Err(error) = Namespace::new("trial") {
        println!("skipped: {error} (run as root)");
        return false;
    }
    // The root of a user namespace may make network namespaces, and load no program.
    let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_root = users.split_whitespace().eq(["0", "0", "4294967295"]);
    if !is_root {
        println!("skipped: this is a user namespace, from which no program can be loaded");
    }
    is_root
}

/// A demo that is running.
struct Demo {
    process: Child,
}

impl Demo {
    fn start(words: &[&str]) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_maglev-top"))
            .args(["demo", "--headless", "-o", "json"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        Self { process }
    }

    /// Waits until packets flow, and returns the instance's name and the id of its sweeper's process.
    fn wait_until_up(&mut self) -> (String, u32) {
        let begun = Instant::now();
        loop {
            if let Some((process, name)) =
                sweepers().into_iter().find(|(process, _)| self.has_child(*process))
                && links_of(&name) > 0
            {
                return (name, process);
            }
            let ended = self.process.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "the demo ended early: {ended:?}");
            assert!(begun.elapsed() < Duration::from_secs(20), "the demo does not come up");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn has_child(&self, process: u32) -> bool {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{}", self.process.id()))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the demo can be signalled");
    }

    /// Waits for its end; what it printed is the report.
    fn end(mut self) -> (ExitStatus, String) {
        let mut printed = String::new();
        self.process.stdout.take().expect("a pipe").read_to_string(&mut printed).expect("text");
        (self.process.wait().expect("it can be waited for"), printed)
    }
}

/// The sweepers that are running, by process id, and the instances that they are for.
fn sweepers() -> Vec<(u32, String)> {
    let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
    let name_of = |process: &u32| {
        let words = fs::read(format!("/proc/{process}/cmdline")).ok()?;
        let mut words = words.split(|&byte| byte == 0).skip(1);
        let is_sweeper = words.next() == Some(b"demo-sweep");
        is_sweeper.then(|| String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned())
    };
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, name_of(&process)?)))
        .collect()
}

fn links_of(instance: &str) -> usize {
    let pins = fs::read_dir(Path::new(PINS).join(instance)).into_iter().flatten().flatten();
    pins.filter(|pin| pin.file_name().to_string_lossy().starts_with("link-")).count()
}

fn interfaces() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/class/net").expect("there is /sys").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether anything of a demo is left. Its name may be another demo's by now, which then has a sweeper.
fn is_left(instance: &str, sweeper: u32) -> bool {
    let sweepers = sweepers();
    let is_swept = sweepers.iter().all(|(process, _)| *process != sweeper);
    let is_reused = || sweepers.iter().any(|(_, name)| name == instance);
    !is_swept || Path::new(PINS).join(instance).exists() && !is_reused()
}

/// Waits until nothing of a demo is left, but no longer than `patience`.
fn assert_gone(instance: &str, sweeper: u32, patience: Duration) {
    let begun = Instant::now();
    while is_left(instance, sweeper) {
        assert!(begun.elapsed() < patience, "{instance} is still there after {patience:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn number(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("no number {pointer} in {report}"))
}

#[test]
fn drains_and_undrains_under_load_break_no_connection() {
    let _machine = alone();
    if !may_run() {
        return;
    }
    let before = interfaces();
    let mut demo = Demo::start(&["--duration", "5s"]);
    let (instance, sweeper) = demo.wait_until_up();
    let (status, printed) = demo.end();
    assert_gone(&instance, sweeper, Duration::ZERO);
    assert_eq!(interfaces(), before);

    let report: Value = serde_json::from_str(&printed).expect("a report in JSON");
    assert!(status.success(), "{status}: {report}");
    assert_eq!((&report["schema-version"], &report["simulated"]), (&1.into(), &false.into()), "{report}");
    let opened = number(&report, "/connections/opened");
    assert!(opened >= 300, "{report}");
    assert_eq!(number(&report, "/connections/completed"), opened, "{report}");
    assert_eq!(number(&report, "/connections/broken"), 0, "{report}");

    let backends = report["backends"].as_array().expect("backends");
    assert_eq!(backends.len(), 10, "five of each service: {report}");
    let web = || backends.iter().filter(|backend| backend["service"] == "web");
    assert!(web().all(|backend| number(backend, "/packets") > 0), "{report}");
    let sum = |key: &str| backends.iter().map(|backend| number(backend, key)).sum::<u64>();
    assert_eq!(sum("/packets"), number(&report, "/packets"), "{report}");
    assert_eq!(sum("/slots"), 16_381 + 509, "{report}");
    assert!(sum("/held-packets") > 0, "the drains held nothing: {report}");

    let changes = report["changes"].as_array().expect("changes");
    let count = |action: &str| changes.iter().filter(|change| change["action"] == action).count();
    assert_eq!((changes.len(), count("drain"), count("undrain")), (20, 10, 10), "{report}");
    for change in changes {
        let (moved, minimum) = (number(change, "/moved"), number(change, "/minimum"));
        assert!(moved >= minimum && minimum > 0 && change["service"] == "web", "{change}");
    }
}

#[test]
fn without_tracking_the_same_run_breaks_connections() {
    let _machine = alone();
    if !may_run() {
        return;
    }
    let (status, printed) = Demo::start(&["--duration", "4s", "--tracking", "never"]).end();
    let report: Value = serde_json::from_str(&printed).expect("a report in JSON");
    assert!(status.success(), "what was asked for is no failure: {status}");
    assert!(number(&report, "/connections/broken") > 0, "{report}");
}

#[test]
fn nothing_is_left_after_a_kill() {
    let _machine = alone();
    if !may_run() {
        return;
    }
    let before = interfaces();
    let mut demo = Demo::start(&["--duration", "60s"]);
    let (instance, sweeper) = demo.wait_until_up();
    demo.signal(Signal::KILL);
    demo.end();
    assert_gone(&instance, sweeper, Duration::from_secs(2));
    assert_eq!(interfaces(), before);
}

#[test]
fn nothing_is_left_after_a_signal() {
    let _machine = alone();
    if !may_run() {
        return;
    }
    for signal in [Signal::TERM, Signal::INT] {
        let mut demo = Demo::start(&["--duration", "60s"]);
        let (instance, sweeper) = demo.wait_until_up();
        demo.signal(signal);
        let (status, printed) = demo.end();
        assert_gone(&instance, sweeper, Duration::ZERO);
        assert!(!status.success(), "{signal:?} is no good end");
        assert_eq!(printed, "", "half a report");
    }
}

#[test]
fn two_demos_do_not_meet() {
    let _machine = alone();
    if !may_run() {
        return;
    }
    let mut demos = [Demo::start(&["--duration", "2s"]), Demo::start(&["--duration", "2s"])];
    let names = demos.each_mut().map(Demo::wait_until_up);
    assert_ne!(names[0].0, names[1].0);
    for (demo, (instance, sweeper)) in demos.into_iter().zip(names) {
        let (status, printed) = demo.end();
        let report: Value = serde_json::from_str(&printed).expect("a report in JSON");
        assert!(status.success(), "{status}: {report}");
        assert_gone(&instance, sweeper, Duration::ZERO);
    }
}

#[test]
fn the_next_demo_sweeps_up_after_one_whose_sweeper_was_killed_too() {
    let _machine = alone();
    if !may_run() {
        return;
    }
    let mut demo = Demo::start(&["--duration", "60s"]);
    let (instance, sweeper) = demo.wait_until_up();
    let process = i32::try_from(sweeper).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(process, Signal::KILL).expect("the sweeper can be killed");
    demo.signal(Signal::KILL);
    demo.end();
    assert!(links_of(&instance) > 0, "somebody else swept up");
    // The kernel takes the dead demo's namespaces apart in its own time.
    let begun = Instant::now();
    while Path::new(PINS).join(&instance).exists() && sweepers().iter().all(|(_, name)| *name != instance) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{instance} is never swept up");
        let (status, _) = Demo::start(&["--duration", "200ms", "--changes", "0"]).end();
        assert!(status.success(), "{status}");
    }
}

#[test]
fn a_simulation_says_so_and_claims_no_connections() {
    let (status, printed) = Demo::start(&["--simulate", "--duration", "300ms", "--changes", "4"]).end();
    let report: Value = serde_json::from_str(&printed).expect("a report in JSON");
    assert!(status.success(), "{status}: {report}");
    assert_eq!(report["simulated"], true, "{report}");
    assert_eq!(number(&report, "/connections/opened"), 0, "{report}");
    assert!(number(&report, "/packets") > 0, "{report}");
    assert_eq!(report["changes"].as_array().map(Vec::len), Some(4), "{report}");
}
