//! The monitor as it runs: the real binary on a pty, on a running datapath. As root: `cargo bench -p maglev-tests --bench
//! running`.
//!
//! How long it takes from its start to the first frame with figures in it, what share of a processor it takes at ten
//! frames a second over 65,537 slots under noise, how soon a key is answered with 500 services and 1,000 backends, and
//! what memory it has, when all is kept of the past that is kept, too.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use maglev_core::{
    config::Config,
    service::{Backend, Service},
};
use maglev_probe::Instance;
use maglev_tests::{FloodKind, Plot, Site, flood, maglev_top};
use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

/// How often it is started.
const STARTS: usize = 40;
/// How long it is watched at a time while it runs, and how often.
const WATCHED: Duration = Duration::from_secs(4);
const TIMES: usize = 7;
/// How often a key is pressed.
const KEYS: usize = 60;
/// What a terminal answers that is asked for its background and then who it is.
const ANSWER: &[u8] = b"\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?62;22c";
/// So much memory it takes by itself, in MiB.
const PLAIN: f64 = 48.0;
/// So much more where all is kept of the past that is kept: 96 MiB of looks, and the rates of 500 services and 1,998
/// backends, at 20 bytes for each of up to 1,024 looks.
const PAST: f64 = 96.0 + 49.0;

fn main() {
    let plot = Plot { table_size: 65_537, dns_table_size: Some(251), settle_time: "60s", ..Plot::default() };
    let Some(site) = Site::start(&plot) else { return };
    let instance = site.datapath.instance().name().to_owned();
    first_frames("one service of 65,537 slots", &instance, "b1");

    println!(
        "Ten frames a second over 65,537 slots under noise, of one processor ({TIMES} times {WATCHED:?}):"
    );
    let noise = Noise::start(&site);
    for (view, keys) in
        [("services", "1"), ("backends", "2"), ("slots by owner", "3"), ("slots by hits", "3c")]
    {
        let mut monitor = Monitor::start(&instance, &["--theme", "dark", "--interval", "100ms"], true);
        monitor.first("b1");
        monitor.press(keys);
        // The terminal is 200 by 50: what came before the noise has faded by then.
        monitor.watch(Duration::from_secs(3));
        println!("  {view:<15} {}", monitor.effort());
        monitor.require_memory(PLAIN);
        monitor.quit();
    }
    remember_all("65,537 slots under noise", &instance);
    let packets = site.service("web").counters.packets;
    drop(noise);
    assert!(packets > 100_000, "there was no noise: {packets} packets");

    let beside = site.topology.backends()[4].balancer_side().name();
    let many = crowd(&site.config, beside);
    let other = Instance::new(&format!("{instance}-crowd")).expect("a good name");
    let balancer = site.topology.balancer();
    let began = Instant::now();
    balancer.run(|| maglev_probe::up(&other, &many)).expect("a thread gets in").expect("it comes up");
    println!("500 services, one of 1,000 backends and 65,537 slots, come up in {:.1?}.", began.elapsed());
    first_frames("500 services and 1,000 backends", other.name(), "backend-0");
    println!("500 services and 1,000 backends, once a second, of one processor ({TIMES} times {WATCHED:?}):");
    for (view, keys) in [("services", "1"), ("backends", "2"), ("slots by owner", "3")] {
        let mut monitor = Monitor::start(other.name(), &["--theme", "dark", "--interval", "1s"], true);
        monitor.first("backend-0");
        monitor.press(keys);
        monitor.watch(Duration::from_secs(3));
        println!("  {view:<15} {}", monitor.effort());
        let keys = milliseconds((0..KEYS).filter_map(|_| monitor.answer("j")));
        println!("  {view:<15} a key is answered after {keys}");
        monitor.quit();
    }
    remember_all("500 services and 1,000 backends", other.name());
    balancer.run(|| maglev_probe::down(&other)).expect("a thread gets in").expect("it is taken down");
}

/// Prints how long it takes to the first frame with that word in it.
fn first_frames(what: &str, instance: &str, word: &str) {
    println!("The first frame with {what}, from the start of the process ({STARTS} starts):");
    for (terminal, words) in
        [("that answers", &[][..]), ("that never answers", &[]), ("not asked", &["--theme", "dark"])]
    {
        let times = milliseconds((0..STARTS).map(|_| {
            let mut monitor = Monitor::start(instance, words, terminal == "that answers");
            let time = monitor.first(word);
            monitor.quit();
            time
        }));
        println!("  a terminal {terminal:<19} {times}");
    }
}

/// Prints what memory it has when it has all of the past that is kept, and holds it to what is said of it.
fn remember_all(what: &str, instance: &str) {
    let mut monitor = Monitor::start(instance, &["--theme", "dark", "--interval", "100ms"], true);
    // 600 looks are kept, and the tracks of rates have room for 660.
    monitor.watch(Duration::from_secs(75));
    println!("Memory with {what} after 75 seconds at ten looks a second: {}", monitor.memory());
    monitor.require_memory(PLAIN + PAST);
    monitor.quit();
}

/// The least, the median and the most of some times, in words.
fn milliseconds(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let [least, median, most] =
        [0, times.len() / 2, times.len() - 1].map(|place| times[place].as_secs_f64() * 1e3);
    format!("min {least:6.1}  median {median:6.1}  max {most:6.1} ms")
}

/// The same datapath with 500 services, attached elsewhere: the first one has 1,000 backends, the others 2.
fn crowd(config: &Config, interface: &str) -> Config {
    let mut config = config.clone();
    config.datapath.interfaces = vec![interface.to_owned()];
    config.datapath.max_slots = 500 * 512 + 131_072;
    // They are reached by nobody, and need no next hop.
    config.datapath.gateway_mac = Some([2, 0, 0, 0, 0, 1]);
    let model = &config.services[0];
    let services = (0..500_u16).map(|number| {
        let (table_size, backends) = if number == 0 { (65_537, 1000) } else { (251, 2_u16) };
        let mut service = Service { name: format!("service-{number:03}"), table_size, ..model.clone() };
        service.address.set_port(10_000 + number);
        let backend = &model.backends[0];
        let backends = (1..=backends).map(|last| {
            let [[high, low], [higher, lower]] = [number, last].map(u16::to_be_bytes);
            let address = SocketAddr::from(([10, 90 + 4 * high + higher, low, lower], 80));
            Backend { name: format!("backend-{number:03}-{last}"), address, ..backend.clone() }
        });
        service.backends = backends.collect();
        service
    });
    config.services = services.collect();
    config
}

/// Packets from everywhere for `web`, as long as it is there.
struct Noise {
    goes_on: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Noise {
    fn start(site: &Site) -> Self {
        let client = site.topology.client().namespace().clone();
        let SocketAddr::V4(target) = site.web() else { unreachable!("the site's services are IPv4") };
        let goes_on = Arc::new(AtomicBool::new(true));
        let go_on = Arc::clone(&goes_on);
        let thread = thread::spawn(move || {
            while go_on.load(Ordering::SeqCst) {
                // Some 10,000 a second, and time for everybody else on the machine.
                flood(&client, FloodKind::Syn, target, 500);
                thread::sleep(Duration::from_millis(40));
            }
        });
        Self { goes_on, thread: Some(thread) }
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The monitor in a terminal of 200 by 50.
struct Monitor {
    child: Box<dyn Child + Send + Sync>,
    began: Instant,
    output: Receiver<(Instant, Vec<u8>)>,
    input: Box<dyn io::Write + Send>,
    seen: Vec<u8>,
    bytes: usize,
    answers: bool,
}

impl Monitor {
    fn start(instance: &str, words: &[&str], answers: bool) -> Self {
        let size = PtySize { rows: 50, cols: 200, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("there is a pty");
        let mut command = CommandBuilder::new(maglev_top());
        command.args(["--instance", instance]);
        command.args(words);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env_remove("NO_COLOR");
        let mut reader = pair.master.try_clone_reader().expect("the pty is read");
        let input = pair.master.take_writer().expect("the pty is written");
        let began = Instant::now();
        let child = pair.slave.spawn_command(command).expect("the monitor starts");
        drop(pair.slave);
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            // The terminal is there for as long as it is read.
            let _master = pair.master;
            let mut bytes = vec![0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send((Instant::now(), bytes[..count].to_vec())).is_err() {
                    return;
                }
            }
        });
        Self { child, began, output, input, seen: Vec::new(), bytes: 0, answers }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.seen.extend_from_slice(bytes);
        if self.answers && self.seen.windows(5).any(|bytes| bytes == b"\x1b]11;") {
            self.answers = false;
            self.input.write_all(ANSWER).expect("the monitor takes what it asked for");
        }
    }

    /// How long it took from the start until that text was written.
    fn first(&mut self, text: &str) -> Duration {
        loop {
            let (at, bytes) = self.output.recv_timeout(Duration::from_secs(20)).expect("the monitor draws");
            self.take(&bytes);
            if String::from_utf8_lossy(&self.seen).contains(text) {
                return at - self.began;
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).expect("the monitor takes keys");
    }

    fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok((_, bytes)) = self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.take(&bytes);
            self.seen.clear();
        }
    }

    fn process(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    /// What it has computed so far, for itself and in the kernel.
    fn time_on_processors(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process())).expect("it runs");
        let times = threads.flatten().map(|thread| {
            // Nanoseconds on a processor, nanoseconds waited for one, and how often it got one.
            let figures = fs::read_to_string(thread.path().join("schedstat")).expect("the kernel tells");
            figures.split(' ').next().expect("three figures").parse::<u64>().expect("a number")
        });
        Duration::from_nanos(times.sum())
    }

    /// The share of a processor that it takes, what it sends and what memory it has, in words.
    fn effort(&mut self) -> String {
        let (began, bytes) = (Instant::now(), self.bytes);
        let mut shares: Vec<f64> = (0..TIMES)
            .map(|_| {
                let (before, began) = (self.time_on_processors(), Instant::now());
                self.watch(WATCHED);
                let time = self.time_on_processors().saturating_sub(before);
                100.0 * time.as_secs_f64() / began.elapsed().as_secs_f64()
            })
            .collect();
        let rate = (self.bytes - bytes) as u128 * 1000 / began.elapsed().as_millis();
        shares.sort_unstable_by(f64::total_cmp);
        let [least, median, most] = [0, TIMES / 2, TIMES - 1].map(|place| shares[place]);
        let memory = self.memory();
        format!("min {least:.1}  median {median:.1}  max {most:.1} %, sends {rate} B/s, memory {memory}")
    }

    /// How long a key takes to be answered, if it is.
    fn answer(&mut self, key: &str) -> Option<Duration> {
        self.watch(Duration::from_millis(20));
        let began = Instant::now();
        self.press(key);
        let (at, bytes) = self.output.recv_timeout(Duration::from_secs(1)).ok()?;
        self.take(&bytes);
        Some(at - began)
    }

    /// What it has in memory now, and had at most, in MiB.
    fn resident(&self) -> [f64; 2] {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process())).expect("it runs");
        ["VmRSS:", "VmHWM:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
            let kilobytes: u32 = line.trim().trim_end_matches(" kB").parse().expect("a number");
            f64::from(kilobytes) / 1024.0
        })
    }

    /// The same in words.
    fn memory(&self) -> String {
        let [now, most] = self.resident();
        format!("{now:.1} MiB, {most:.1} at most")
    }

    /// Holds it to what is said of its memory.
    fn require_memory(&self, mebibytes: f64) {
        let [_, most] = self.resident();
        assert!(most <= mebibytes, "it had {most:.1} MiB, more than {mebibytes}");
    }

    fn quit(mut self) {
        self.press("q");
        self.child.wait().expect("it leaves");
    }
}
