//! What goes on until it is ended: it ends with the one who reads it, and does not go on with what is gone.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use maglev_lab::Namespace;
use maglev_tests::{Cable, Plot, Site, eventually, kind_node, maglev_top};

/// A command with a pipe for what it prints; it ends with its test.
struct Piped(Child);

impl Piped {
    fn start(namespace: &Namespace, words: &[&str]) -> Self {
        let mut command = Command::new(maglev_top());
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(namespace.run(|| command.spawn()).unwrap().expect("maglev-top starts"))
    }

    /// Reads a line, goes away, and waits until it has ended as one that did what it was asked.
    #[track_caller]
    fn read_a_line_and_go(mut self) {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_ne!(line, "");
        self.ends();
    }

    #[track_caller]
    fn ends(mut self) {
        eventually("nobody reads, and it ends", || self.0.try_wait().unwrap().is_some());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn status_and_trace_end_with_their_reader() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let (balancer, instance) = (site.topology.balancer(), site.datapath.instance().name());
    Piped::start(balancer, &["status", "--watch", "1h", "--instance", instance]).read_a_line_and_go();
    // No packet ever comes: nothing is written that could fail.
    let mut trace = Piped::start(balancer, &["trace", "--flow", "203.0.113.9", "--instance", instance]);
    drop(trace.0.stdout.take());
    trace.ends();
}

#[test]
fn an_observer_leaves_with_its_reader() {
    let (Some(rig), Some(cable)) = (kind_node(), Cable::lay()) else { return };
    let pins = rig.folder.to_str().unwrap();
    let words = ["cilium", "hits", "--pins", pins, "--seed", "cUnyPf8gC7rYyRUy", "--interface", "eth0"];
    Piped::start(&cable.node, &words).read_a_line_and_go();
}

#[test]
fn a_watch_does_not_take_what_is_gone_for_live() {
    let Some(site) = Site::start(&Plot::default()) else { return };
    let (balancer, instance) = (site.topology.balancer(), site.datapath.instance());
    // Long enough for an instance to come and go between two looks.
    let words = ["status", "--watch", "5s", "--instance", instance.name()];
    let mut watch = Piped::start(balancer, &words);
    let mut output = BufReader::new(watch.0.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        while !line.starts_with("web ") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it goes on");
        }
        line
    };
    site.connect().request().unwrap();
    next();
    balancer.run(|| maglev_probe::down(instance)).unwrap().unwrap();
    balancer.run(|| maglev_probe::up(instance, &site.config)).unwrap().unwrap();
    let anew = next();
    assert!(anew.contains(" 0 packets"), "{anew}");
    balancer.run(|| maglev_probe::down(instance)).unwrap().unwrap();
    eventually("it ends", || watch.0.try_wait().unwrap().is_some());
    assert_eq!(watch.0.wait().unwrap().code(), Some(1));
    let mut words = String::new();
    watch.0.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(words.contains("was taken down and brought up again"), "{words}");
    assert!(words.contains("no datapath is running"), "{words}");
}
