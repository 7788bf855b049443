//! A process in the foreground of a site, and the file that it goes by.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use maglev_core::{
    config::Config,
    health::{CheckKind, Health, HealthCheck, Via},
};
use maglev_tests::{Plot, Site, maglev_top, run_in};
use serde_json::Value;

pub(crate) fn plot(backends: usize) -> Plot {
    Plot { table_size: 251, settle_time: "60s", weights: vec![100; backends], ..Plot::default() }
}

pub(crate) fn tcp() -> HealthCheck {
    HealthCheck {
        kind: CheckKind::Tcp,
        interval: Duration::from_millis(300),
        timeout: Duration::from_millis(300),
        rise: 2,
        fall: 3,
        port: None,
        via: Via::Direct,
    }
}

/// The file of a site, with what `web` is to have checked.
pub(crate) struct File(pub(crate) String);

impl File {
    pub(crate) fn new(site: &Site, check: Option<HealthCheck>) -> Self {
        let name = format!("maglev-health-{}.toml", site.datapath.instance().name());
        let file = Self(std::env::temp_dir().join(name).display().to_string());
        file.write(site, check);
        file
    }

    pub(crate) fn write(&self, site: &Site, check: Option<HealthCheck>) {
        let mut config: Config = site.config.clone();
        config.services[0].health = check;
        fs::write(&self.0, config.to_toml()).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) fn run(site: &Site, words: &[&str]) -> Output {
    let mut all = words.to_vec();
    all.extend(["--instance", site.datapath.instance().name()]);
    run_in(site.topology.balancer(), &all)
}

pub(crate) fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn apply(site: &Site, file: &File) -> String {
    done(&run(site, &["apply", "--config", &file.0]))
}

pub(crate) fn status(site: &Site) -> Value {
    serde_json::from_str(&done(&run(site, &["status", "-o", "json"]))).expect("JSON")
}

/// A process that stays in the foreground of a site; killed when it is dropped.
pub(crate) struct Foreground {
    pub(crate) process: Child,
    pub(crate) lines: Receiver<String>,
}

impl Foreground {
    pub(crate) fn start(site: &Site, file: &File) -> Self {
        let words =
            ["up", "--foreground", "--config", &file.0, "--instance", site.datapath.instance().name()];
        let mut process = site
            .topology
            .balancer()
            .run(|| Command::new(maglev_top()).args(words).stdout(Stdio::piped()).spawn())
            .unwrap()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let foreground = Self { process, lines };
        assert!(foreground.line().contains("running already, as the configuration says: adopted"));
        assert!(foreground.line().contains("the datapath stays up when this ends"));
        foreground
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("the foreground process says something")
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn is(site: &Site, backend: &str, health: Health) -> bool {
    site.backend(backend).health == health
}
