//! The monitor as it runs: the real binary on a pty, on a running datapath. As root: `cargo bench -p maglev-tests --bench
//! running`.
//!
//! How long it takes from its start to the first frame with figures in it, what share of a processor it takes at ten
//! frames a second over 65,537 slots under noise, and what memory it has, there and with 500 services of 1,000 backends.

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

use maglev_core::{config::Config, service::Service};
use maglev_probe::Instance;
use maglev_tests::{FloodKind, Plot, Site, flood, maglev_top};
use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

/// How often it is started.
const STARTS: usize = 40;
/// How long it is watched while it runs.
const WATCHED: Duration = Duration::from_secs(20);
/// What a terminal answers that is asked for its background and then who it is.
const ANSWER: &[u8] = b"\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?62;22c";

fn main() {
    let plot = Plot { table_size: 65_537, settle_time: "60s", ..Plot::default() };
    let Some(site) = Site::start(&plot) else { return };
    let instance = site.datapath.instance().name().to_owned();
    println!("The first frame, in milliseconds from the start of the process ({STARTS} starts):");
    for (terminal, words) in
        [("that answers", &[][..]), ("that never answers", &[]), ("not asked", &["--theme", "dark"])]
    {
        let mut times: Vec<Duration> = (0..STARTS)
            .map(|_| {
                let mut monitor = Monitor::start(&instance, words, terminal == "that answers");
                let time = monitor.first("b1");
                monitor.quit();
                time
            })
            .collect();
        times.sort_unstable();
        let [least, median, most] =
            [times[0], times[STARTS / 2], times[STARTS - 1]].map(|time| time.as_secs_f64() * 1e3);
        println!("  a terminal {terminal:<19} min {least:6.1}  median {median:6.1}  max {most:6.1}");
    }

    println!("Ten frames a second over 65,537 slots under noise, of one processor ({WATCHED:?} each):");
    let noise = Noise::start(&site);
    for (view, keys) in
        [("services", "1"), ("backends", "2"), ("slots by owner", "3"), ("slots by hits", "3c")]
    {
        let mut monitor = Monitor::start(&instance, &["--theme", "dark", "--interval", "100ms"], true);
        monitor.first("b1");
        monitor.press(keys);
        // The terminal is 200 by 50: what came before the noise has faded by then.
        monitor.watch(Duration::from_secs(3));
        let (before, began, bytes) = (monitor.time_on_processors(), Instant::now(), monitor.bytes);
        monitor.watch(WATCHED);
        let share = monitor.share_since(before, began);
        let rate = (monitor.bytes - bytes) as u128 / began.elapsed().as_millis();
        println!("  {view:<15} {:4.1} %, sends {rate} KB/s, memory {}", share * 100.0, monitor.memory());
        monitor.quit();
    }
    let packets = site.service("web").counters.packets;
    drop(noise);
    assert!(packets > 100_000, "there was no noise: {packets} packets");

    println!("500 services with 1,000 backends, once a second:");
    let beside = site.topology.backends()[4].balancer_side().name();
    let many = crowd(&site.config, beside);
    let other = Instance::new(&format!("{instance}-crowd")).expect("a good name");
    let balancer = site.topology.balancer();
    balancer.run(|| maglev_probe::up(&other, &many)).expect("a thread gets in").expect("it comes up");
    let mut monitor = Monitor::start(other.name(), &["--theme", "dark"], true);
    let first = monitor.first("pkt/s");
    monitor.press("1");
    let (before, began) = (monitor.time_on_processors(), Instant::now());
    monitor.watch(WATCHED);
    let share = monitor.share_since(before, began);
    println!(
        "  first frame {:.1} ms, {:.1} %, memory {}",
        first.as_secs_f64() * 1e3,
        share * 100.0,
        monitor.memory()
    );
    monitor.quit();
    balancer.run(|| maglev_probe::down(&other)).expect("a thread gets in").expect("it is taken down");
}

/// The same datapath with 500 services of 2 backends, attached elsewhere.
fn crowd(config: &Config, interface: &str) -> Config {
    let mut config = config.clone();
    config.datapath.interfaces = vec![interface.to_owned()];
    config.datapath.max_slots = 500 * 512;
    // They are reached by nobody, and need no next hop.
    config.datapath.gateway_mac = Some([2, 0, 0, 0, 0, 1]);
    let model = &config.services[0];
    let services = (0..500_u16).map(|number| {
        let mut service = Service { name: format!("service-{number:03}"), table_size: 251, ..model.clone() };
        service.address.set_port(10_000 + number);
        service.backends.truncate(2);
        for (backend, last) in service.backends.iter_mut().zip(1..) {
            let [high, low] = number.to_be_bytes();
            backend.name = format!("backend-{number:03}-{last}");
            backend.address = SocketAddr::from(([10, 90 + high, low, last], 80));
        }
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
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process())).expect("it runs");
        // The fields behind the name, which may hold spaces: the state is the first, and user time the twelfth.
        let fields = stat.rsplit_once(") ").expect("a name in brackets").1.split(' ');
        let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
        // USER_HZ is 100 to every program, whatever the kernel's own is.
        Duration::from_millis(ticks * 10)
    }

    /// The share of a processor that it has had since it had had so much.
    fn share_since(&self, before: Duration, began: Instant) -> f64 {
        let time = self.time_on_processors().saturating_sub(before);
        time.as_secs_f64() / began.elapsed().as_secs_f64()
    }

    /// What it has in memory now, and had at most.
    fn memory(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process())).expect("it runs");
        let of = |name: &str| -> u32 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        format!("{:.1} MB, {:.1} at most", f64::from(of("VmRSS:")) / 1024.0, f64::from(of("VmHWM:")) / 1024.0)
    }

    fn quit(mut self) {
        self.press("q");
        self.child.wait().expect("it leaves");
    }
}
