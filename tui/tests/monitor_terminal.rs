//! The monitor on a terminal of its own: what it writes, how it ends, and what it leaves behind.
//!
//! Each test starts this very program again on a pty, with [`monitor_process`] as its only test.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio, exit},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use maglev_core::{plan::Plan, sample::Sample, seed::HashSeed};
use maglev_probe::trace::TracedPacket;
use maglev_top::{
    monitor::{Options, run, view::ViewName},
    simulation::{Simulation, demonstration, spares},
    source::{ChangeRequest, Identity, Source, SourceError, Trace},
    terminal::{
        capability::{Capability, ColourDepth, Glyphs},
        look::Look,
        theme::Theme,
    },
};
use ratatui::style::Color;
use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

const SCENARIO: &str = "MAGLEV_TOP_TEST_SCENARIO";
const ABANDONED: &str = "MAGLEV_TOP_TEST_ABANDONED";
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
const FRAME: &str = "\x1b[?2026h";
/// How long something may take that should take no time: test machines are busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the started program does. Started as a test like others, it does nothing.
#[test]
fn monitor_process() {
    let Ok(scenario) = env::var(SCENARIO) else { return };
    let simulation = Simulation::new(demonstration(), spares(), HashSeed::default(), 1).unwrap();
    let source: Box<dyn Source> = match scenario.as_str() {
        "still" => {
            Box::new(Odd { simulation, first: None, began: Instant::now(), panics_at: None, looks: 0 })
        }
        "panic" => {
            Box::new(Odd { simulation, first: None, began: Instant::now(), panics_at: Some(4), looks: 0 })
        }
        "panic while tracing" => Box::new(Tracing(simulation)),
        _ => Box::new(simulation),
    };
    let options = Options {
        interval: Some(Duration::from_millis(200)),
        view: if matches!(scenario.as_str(), "slots" | "still") {
            ViewName::Slots
        } else {
            ViewName::Backends
        },
        patience: (scenario == "patient").then_some(PATIENCE),
        on_abandon: env::var_os(ABANDONED).map(|file| -> Box<dyn FnOnce() + Send> {
            Box::new(move || fs::write(file, "abandoned").unwrap())
        }),
        ..Options::default()
    };
    match run(source, options) {
        Ok(ended) => exit(i32::from(ended.exit_status())),
        Err(error) => {
            eprintln!("{error}");
            exit(1)
        }
    }
}

/// A source where nothing ever changes but the time, and that may panic.
struct Odd {
    simulation: Simulation,
    first: Option<Sample>,
    began: Instant,
    panics_at: Option<u32>,
    looks: u32,
}

impl Source for Odd {
    fn identity(&self) -> Identity {
        self.simulation.identity()
    }

    fn sample(&mut self) -> Result<Sample, SourceError> {
        self.looks += 1;
        assert_ne!(Some(self.looks), self.panics_at, "the source has had enough");
        if self.first.is_none() {
            self.first = Some(self.simulation.sample()?);
        }
        let first = self.first.clone().unwrap();
        Ok(Sample { taken_at: first.taken_at + self.began.elapsed(), ..first })
    }

    fn plan(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        self.simulation.plan(request)
    }

    fn execute(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        self.simulation.execute(request)
    }
}

/// A source whose traces panic.
struct Tracing(Simulation);

impl Source for Tracing {
    fn identity(&self) -> Identity {
        self.0.identity()
    }

    fn sample(&mut self) -> Result<Sample, SourceError> {
        self.0.sample()
    }

    fn plan(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        self.0.plan(request)
    }

    fn execute(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        self.0.execute(request)
    }

    fn seed(&self) -> Option<HashSeed> {
        self.0.seed()
    }

    fn trace(&mut self, _client: SocketAddr) -> Result<Box<dyn Trace>, SourceError> {
        Ok(Box::new(Panicking))
    }
}

struct Panicking;

impl Trace for Panicking {
    fn begin(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    fn next(&mut self, _patience: Duration) -> Result<Option<TracedPacket>, SourceError> {
        panic!("the trace has had enough")
    }

    fn lost(&self) -> Result<u64, SourceError> {
        Ok(0)
    }
}

/// A monitor on a pty.
struct Monitor {
    child: Child,
    /// The other end; none any more where the terminal is gone.
    master: Option<File>,
    slave: File,
    seen: Arc<Mutex<Vec<u8>>>,
    reading: Arc<AtomicBool>,
}

impl Monitor {
    fn start(scenario: &str) -> Self {
        Self::with(scenario, "", &[])
    }

    /// Starts one after the shell has done `before`, with some more in its environment.
    fn with(scenario: &str, before: &str, environment: &[(&str, &str)]) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, winsize(80, 24)).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(name).unwrap();

        // The shell is there for tests that have it ignore signals before.
        let mut command = Command::new("/bin/sh");
        let itself = env::current_exe().unwrap();
        command
            .args([
                "-c",
                &format!("{before} exec \"$0\" --exact monitor_process --nocapture --test-threads=1"),
            ])
            .arg(itself)
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave.try_clone().unwrap())
            .env(SCENARIO, scenario)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("COLORTERM")
            .env_remove("NO_COLOR")
            .env_remove("RUST_BACKTRACE")
            .envs(environment.iter().copied());
        let child = command.spawn().unwrap();

        let seen = Arc::new(Mutex::new(Vec::new()));
        let reading = Arc::new(AtomicBool::new(true));
        let master = File::from(master);
        let (mut output, into, go_on) =
            (master.try_clone().unwrap(), Arc::clone(&seen), Arc::clone(&reading));
        thread::spawn(move || {
            let mut bytes = vec![0; 65_536];
            while go_on.load(Ordering::SeqCst) {
                match output.read(&mut bytes) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => into.lock().unwrap().extend_from_slice(&bytes[..count]),
                }
            }
        });
        Self { child, master: Some(master), slave, seen, reading }
    }

    /// Starts one and waits until it shows the services' rates.
    fn shown(scenario: &str) -> Self {
        let monitor = Self::start(scenario);
        monitor.wait_for("pkt/s");
        monitor
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn count(&self, what: &str) -> u64 {
        self.seen().matches(what).count() as u64
    }

    fn press(&mut self, keys: &str) {
        self.master.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    #[track_caller]
    fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let since = Instant::now();
        while !holds() {
            assert!(since.elapsed() < PATIENCE, "{what}: never, in\n{:?}", self.seen());
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        self.wait_until(text, || self.seen().contains(text));
    }

    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "it goes on");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether keys are handed over one by one and not shown.
    fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// How many times the process has called for something to be written.
    fn writes(&self) -> u64 {
        let counts = fs::read_to_string(format!("/proc/{}/io", self.child.id())).unwrap();
        let line = counts.lines().find_map(|line| line.strip_prefix("syscw: ")).unwrap();
        line.parse().unwrap()
    }

    /// One letter of its state: T is stopped.
    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const fn winsize(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

#[test]
fn a_frame_is_one_write() {
    let mut monitor = Monitor::shown("slots");
    let freeze = |monitor: &mut Monitor| {
        monitor.press("\x06");
        thread::sleep(Duration::from_millis(700));
        (monitor.count(FRAME), monitor.writes())
    };
    let (frames_before, writes_before) = freeze(&mut monitor);
    monitor.press("\x06");
    monitor.press("c");
    thread::sleep(Duration::from_millis(1500));
    let (frames, writes) = freeze(&mut monitor);
    assert!(frames > frames_before + 3, "{frames}");
    assert_eq!(writes - writes_before, frames - frames_before);
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let monitor = Monitor::shown("still");
    // The first rates, and the traffic that telling them was, are still news.
    thread::sleep(Duration::from_secs(4));
    let before = monitor.seen().len();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(monitor.seen()[before..], *"", "ten samples that are all the same");
}

#[test]
fn the_terminal_is_given_back() {
    for (signal, status) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130), (Signal::QUIT, 131)]
    {
        let mut monitor = Monitor::shown("simulation");
        assert!(monitor.is_raw());
        monitor.signal(signal);
        assert_eq!(monitor.ended().code(), Some(status));
        monitor.wait_for(LEAVE);
        assert!(!monitor.is_raw(), "{signal:?}");
        assert!(monitor.seen().contains("\x1b[?25h"), "the cursor is back");
    }
    for keys in ["q", "\x03"] {
        let mut monitor = Monitor::shown("simulation");
        monitor.press(keys);
        assert_eq!(monitor.ended().code(), Some(0));
        assert!(!monitor.is_raw());
    }
}

#[test]
fn the_last_screen_can_be_kept() {
    let mut monitor = Monitor::shown("simulation");
    monitor.press("Q");
    assert_eq!(monitor.ended().code(), Some(0));
    monitor.wait_for(LEAVE);
    monitor.wait_until("the screen as text", || {
        monitor.seen().rsplit(LEAVE).next().unwrap().contains("SIMULATED")
    });
}

#[test]
fn a_terminal_that_is_gone_ends_it() {
    for before in ["", "trap '' HUP;"] {
        let mut monitor = Monitor::with("simulation", before, &[]);
        monitor.wait_for("pkt/s");
        // Its end of the pty goes with the last descriptor: ours, and the one that the reader waits on.
        monitor.reading.store(false, Ordering::SeqCst);
        drop(monitor.master.take());
        let since = Instant::now();
        let status = monitor.ended();
        assert_eq!(status.code(), Some(129), "{status:?}");
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    }
}

#[test]
fn a_terminal_that_takes_nothing_does_not_hold_it() {
    let file: PathBuf = env::temp_dir().join(format!("maglev-top-abandoned-{}", std::process::id()));
    let mut monitor = Monitor::with("slots", "", &[(ABANDONED, file.to_str().unwrap())]);
    monitor.wait_for("pkt/s");
    monitor.reading.store(false, Ordering::SeqCst);
    // More than a pty holds: the loop waits in its write.
    for _ in 0..40 {
        monitor.press("\x0c");
        thread::sleep(Duration::from_millis(50));
    }
    monitor.signal(Signal::TERM);
    assert_eq!(monitor.ended().code(), Some(143));
    assert_eq!(fs::read_to_string(&file).unwrap(), "abandoned");
    fs::remove_file(file).unwrap();
}

#[test]
fn without_colour_the_selected_row_is_seen() {
    let mut monitor = Monitor::with("simulation", "", &[("NO_COLOR", "1")]);
    monitor.wait_for("pkt/s");
    monitor.press("j");
    monitor.wait_until("the selected row", || {
        let seen = monitor.seen();
        // Reversed, then the row's own text, with no reset in between.
        seen.split("\x1b[7m").skip(1).any(|after| after.split("\x1b[").any(|text| text.contains("b2")))
    });
    let seen = monitor.seen();
    for colour in ["\x1b[38;", "\x1b[48;", "\x1b[3", "\x1b[4"] {
        let coloured = seen.match_indices(colour).any(|(at, _)| {
            let code: String =
                seen[at + 2..].chars().take_while(|c| c.is_ascii_digit() || *c == ';').collect();
            let ends = seen[at + 2 + code.len()..].starts_with('m');
            ends && code.split(';').any(|number| matches!(number.parse(), Ok(30..=38 | 40..=48)))
        });
        assert!(!coloured, "{colour:?} is a colour");
    }
}

#[test]
fn a_panic_is_read_on_the_screen_before() {
    let mut monitor = Monitor::start("panic");
    let status = monitor.ended();
    assert_ne!(status.code(), Some(0));
    monitor.wait_for("the source has had enough");
    let seen = monitor.seen();
    let (left, told) = (seen.find(LEAVE).unwrap(), seen.find("the source has had enough").unwrap());
    assert!(left < told, "the message is lost with the screen");
    assert_eq!(monitor.count(ENTER), 1, "and nothing is drawn over it");
    assert!(!monitor.is_raw());
}

#[test]
fn a_panic_beside_the_screen_is_read_and_the_monitor_does_not_go_on() {
    let mut monitor = Monitor::shown("panic while tracing");
    monitor.press("3");
    monitor.wait_for("by owner");
    // Keys are taken one after the other: first the flow is looked for.
    monitor.press("/198.51.100.7:40000\rt");
    let status = monitor.ended();
    assert_eq!(status.code(), Some(101));
    monitor.wait_for("the trace has had enough");
    let seen = monitor.seen();
    let (left, told) = (seen.find(LEAVE).unwrap(), seen.find("the trace has had enough").unwrap());
    assert!(left < told, "the message is lost with the screen");
    assert!(!monitor.is_raw());
}

#[test]
fn it_stops_and_goes_on() {
    // By its key, and by the signal that a key would send where keys are not handed over one by one.
    for by_signal in [false, true] {
        let mut monitor = Monitor::shown("simulation");
        if by_signal {
            monitor.signal(Signal::TSTP);
        } else {
            monitor.press("\x1a");
        }
        monitor.wait_until("it is stopped", || monitor.state() == 'T');
        assert!(!monitor.is_raw());
        assert!(monitor.seen().contains(LEAVE));
        monitor.signal(Signal::CONT);
        monitor.wait_until("it is back", || monitor.count(ENTER) == 2 && monitor.is_raw());
        let again = || monitor.seen().rsplit(ENTER).next().unwrap().contains("SIMULATED");
        monitor.wait_until("everything is drawn anew", again);
        monitor.press("q");
        assert_eq!(monitor.ended().code(), Some(0));
    }
}

#[test]
fn a_stop_that_it_was_not_asked_about_is_drawn_over() {
    let mut monitor = Monitor::shown("simulation");
    monitor.signal(Signal::STOP);
    monitor.wait_until("it is stopped", || monitor.state() == 'T');
    let before = monitor.count("SIMULATED");
    monitor.signal(Signal::CONT);
    monitor.wait_until("everything is drawn anew", || monitor.count("SIMULATED") > before);
    monitor.press("q");
    assert_eq!(monitor.ended().code(), Some(0));
}

#[test]
fn it_follows_the_size_of_the_terminal() {
    let mut monitor = Monitor::shown("simulation");
    tcsetwinsize(monitor.slave.as_fd(), winsize(132, 43)).unwrap();
    monitor.signal(Signal::WINCH);
    monitor.wait_for("\x1b[43;");
    tcsetwinsize(monitor.slave.as_fd(), winsize(1, 1)).unwrap();
    monitor.signal(Signal::WINCH);
    thread::sleep(Duration::from_millis(500));
    monitor.press("q");
    assert_eq!(monitor.ended().code(), Some(0));
}

/// What a heading is written with in that theme.
fn heading(theme: &str) -> String {
    let capability = Capability { depth: ColourDepth::Indexed, glyphs: Glyphs::Unicode };
    match Look::new(Theme::load(theme).unwrap(), capability).heading().fg {
        Some(Color::Indexed(index)) => format!("38;5;{index}"),
        other => panic!("{other:?} is no index"),
    }
}

const QUESTION: &str = "\x1b]11;?";

#[test]
fn a_light_terminal_gets_a_light_theme() {
    assert_ne!(heading("light"), heading("dark"));
    let mut monitor = Monitor::start("patient");
    monitor.wait_for(QUESTION);
    assert_eq!(monitor.count(ENTER), 0, "it is asked before anything is drawn");
    monitor.press("\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?62;22c");
    monitor.wait_for("pkt/s");
    assert!(monitor.seen().contains(&heading("light")) && !monitor.seen().contains(&heading("dark")));
    monitor.press("q");
    assert_eq!(monitor.ended().code(), Some(0));
}

#[test]
fn a_terminal_that_only_says_who_it_is_is_waited_for_no_longer() {
    let mut monitor = Monitor::start("patient");
    monitor.wait_for(QUESTION);
    let since = Instant::now();
    monitor.press("\x1b[?1;2c");
    monitor.wait_for("pkt/s");
    assert!(since.elapsed() < PATIENCE);
    assert!(monitor.seen().contains(&heading("dark")));
    monitor.press("q");
    assert_eq!(monitor.ended().code(), Some(0));
}

#[test]
fn a_silent_terminal_is_dark_unless_its_environment_says_otherwise() {
    for (value, theme) in [("", "dark"), ("0;15", "light")] {
        let monitor = Monitor::with("simulation", "", &[("COLORFGBG", value)]);
        monitor.wait_for("pkt/s");
        assert!(monitor.seen().contains(&heading(theme)), "{value:?}");
    }
}

#[test]
fn an_answer_that_comes_late_is_not_taken_for_keys() {
    let mut monitor = Monitor::shown("simulation");
    monitor.press("\x1b]11;rgb:1111/2222/3333\x1b\\\x1b[?62;22c");
    thread::sleep(Duration::from_millis(500));
    assert!(!monitor.seen().contains("What to do"), "its colon opened the palette");
    assert!(!monitor.seen().contains("VERDICT"), "its 1 opened the services");
    monitor.press("1");
    monitor.wait_for("VERDICT");
    monitor.press("q");
    assert_eq!(monitor.ended().code(), Some(0));
}

#[test]
fn a_signal_while_it_waits_for_an_answer_leaves_the_terminal_as_it_was() {
    let mut monitor = Monitor::start("patient");
    monitor.wait_for(QUESTION);
    monitor.wait_until("it is raw", || monitor.is_raw());
    monitor.signal(Signal::TERM);
    let since = Instant::now();
    let status = monitor.ended();
    assert!(since.elapsed() < PATIENCE / 2, "it waited for the answer");
    assert_eq!(status.signal(), Some(15), "{status:?}");
    assert!(!monitor.is_raw());
}

#[test]
fn the_mouse_is_let_go() {
    let mut monitor = Monitor::shown("simulation");
    assert_eq!(monitor.count("\x1b[?1000h"), 0, "it is not listened to unasked");
    monitor.press(":mouse\r");
    monitor.wait_for("\x1b[?1000h\x1b[?1006h");
    monitor.press("\x1b[<0;6;2M");
    monitor.wait_for("VERDICT");
    monitor.press("\x1a");
    monitor.wait_until("it is stopped", || monitor.state() == 'T');
    assert!(monitor.seen().rsplit("\x1b[?1000h").next().unwrap().contains("\x1b[?1006l\x1b[?1000l"));
    monitor.signal(Signal::CONT);
    monitor.wait_until("it is listened to again", || monitor.count("\x1b[?1000h") == 2);
    monitor.press("y");
    monitor.wait_for("\x1b]52;c;MTkyLjAuMi41Mzo1Mw==\x1b\\");
    monitor.press("q");
    assert_eq!(monitor.ended().code(), Some(0));
    monitor.wait_for(LEAVE);
    assert!(monitor.seen().rsplit("\x1b[?1000h").next().unwrap().contains("\x1b[?1006l\x1b[?1000l"));
}

#[test]
fn without_a_terminal_it_says_so() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "monitor_process", "--nocapture"])
        .env(SCENARIO, "simulation")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the monitor needs a terminal"), "{error}");
}
