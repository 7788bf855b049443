//! A group that may read a datapath without root: it sees everything, and changes nothing.

use std::{
    fs,
    num::NonZeroU16,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use maglev_core::service::BackendState;
use maglev_tests::{Plot, Site, Terminal, maglev_top, write_altered_object};

/// A user and a group that nobody else is.
const USER: u32 = 54_321;
const GROUP: u32 = 54_322;
const STRANGERS: u32 = 54_323;

/// The binary and a configuration where that user can read them.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new(site: &Site) -> Self {
        let folder = std::env::temp_dir().join(format!("maglev-{}", site.datapath.instance().name()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let scratch = Self { folder };
        // By a process of its own: whatever this one forks meanwhile would hold the file open, and it could not be run.
        let copied = Command::new("cp").arg(maglev_top()).arg(scratch.binary()).status().unwrap();
        assert!(copied.success(), "the binary cannot be copied");
        fs::write(scratch.config(), site.config.to_toml()).unwrap();
        scratch
    }

    fn binary(&self) -> PathBuf {
        self.folder.join("maglev-top")
    }

    fn config(&self) -> String {
        self.folder.join("site.toml").display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs the binary in the balancer, as a member of `group` or, without one, as root.
fn run(site: &Site, scratch: &Scratch, group: Option<u32>, words: &[&str]) -> Output {
    let mut command = Command::new(scratch.binary());
    command.args(words).args(["--instance", site.datapath.instance().name()]);
    if let Some(group) = group {
        command.uid(USER).gid(group);
    }
    site.topology.balancer().run(|| command.output()).unwrap().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn mounts_of(folder: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().filter(|line| line.split(' ').nth(1) == folder.to_str()).count()
}

#[test]
fn a_group_of_viewers_sees_everything_and_changes_nothing() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let scratch = Scratch::new(&site);
    let name = site.datapath.instance().name();
    let folder = Path::new("/run/maglev-top").join(name);
    let config = scratch.config();
    let viewers = GROUP.to_string();
    let flow = format!("{}:4711", site.client_addresses()[0]);
    let reading: [&[&str]; 8] = [
        &["status", "-o", "json"],
        &["status", "--config", &config],
        &["table", "show", "--service", "web", "-o", "json"],
        &["table", "verify", "--service", "web"],
        &["table", "plan", "--service", "web", "--drain", "b1"],
        &["lookup", "--service", "web", "--flow", &flow],
        &["backend", "list"],
        &["config", "show"],
    ];

    // Before there are viewers nobody but root sees anything.
    for words in reading {
        let refused = run(&site, &scratch, Some(GROUP), words);
        assert_eq!(refused.status.code(), Some(1), "{words:?}");
        assert!(told(&refused).contains("up --config FILE --viewers GROUP"), "{}", told(&refused));
    }
    let unknown = run(&site, &scratch, None, &["up", "--config", &config, "--viewers", "no-such-group"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(told(&unknown).contains("there is no group \"no-such-group\""), "{}", told(&unknown));
    assert!(!folder.exists(), "it was refused, and something was made");

    // One that runs lets them in, and one that is brought up does.
    for round in 0..2 {
        if round == 1 {
            assert!(run(&site, &scratch, None, &["down"]).status.success());
        }
        let up = run(&site, &scratch, None, &["up", "--config", &config, "--viewers", &viewers]);
        assert!(up.status.success(), "{}", told(&up));
        for words in reading {
            let (root, viewer) =
                (run(&site, &scratch, None, words), run(&site, &scratch, Some(GROUP), words));
            assert_eq!(viewer.status.code(), Some(0), "{words:?}: {}", told(&viewer));
            if words[0] != "status" && words[0] != "backend" {
                assert_eq!(viewer.stdout, root.stdout, "{words:?}");
            }
            let stranger = run(&site, &scratch, Some(STRANGERS), words);
            assert_eq!(stranger.status.code(), Some(1), "{words:?}: a stranger sees it");
        }
    }
    assert_eq!(mounts_of(&folder), 1);
    for entry in fs::read_dir(folder.join("maps")).unwrap().flatten() {
        let pin = entry.metadata().unwrap();
        assert_eq!((pin.uid(), pin.gid(), pin.mode() & 0o777), (0, GROUP, 0o440), "{entry:?}");
    }

    for words in [
        &["backend", "drain", "--service", "web", "b1"][..],
        &["backend", "remove", "--address", "10.82.0.1"],
        &["apply", "--config", &config],
        &["down"],
        &["up", "--config", &config],
    ] {
        let refused = run(&site, &scratch, Some(GROUP), words);
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {refused:?}");
        let words_of_it = told(&refused);
        let expected = if words_of_it.contains("no service has a backend") {
            "no service has a backend"
        } else {
            "may be looked at by this user, and not changed"
        };
        assert!(words_of_it.contains(expected), "{words:?}: {words_of_it}");
    }
    site.connect().request().unwrap();

    // Another version's program: they read on.
    let object = scratch.folder.join("altered.bpf.o");
    write_altered_object(&object);
    let replaced = site
        .topology
        .balancer()
        .run(|| {
            let mut command = Command::new(scratch.binary());
            command.args(["up", "--config", &config, "--instance", name]).env("MAGLEV_EBPF_OBJECT", &object);
            command.output()
        })
        .unwrap()
        .unwrap();
    assert!(replaced.status.success(), "{}", told(&replaced));
    assert_eq!(run(&site, &scratch, Some(GROUP), &["status"]).status.code(), Some(0));

    assert!(run(&site, &scratch, None, &["down"]).status.success());
    assert!(!folder.exists(), "the viewers' folder is left");
    assert_eq!(mounts_of(&folder), 0, "the viewers' mount is left");
}

#[test]
fn what_is_killed_while_it_lets_viewers_in_or_out_leaves_nothing() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let scratch = Scratch::new(&site);
    let name = site.datapath.instance().name();
    let folder = Path::new("/run/maglev-top").join(name);
    let (config, viewers) = (scratch.config(), GROUP.to_string());
    let up = ["up", "--config", &config, "--viewers", &viewers];
    // Counted from when its folder is there, or is not any more.
    let killed = |words: &[&str], is_there: bool, after: u64| {
        let mut command = Command::new(scratch.binary());
        command.args(words).args(["--instance", name]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = site.topology.balancer().run(|| command.spawn()).unwrap().unwrap();
        while folder.exists() != is_there && child.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(after));
        let _ = child.kill();
        !child.wait().unwrap().success()
    };
    assert!(run(&site, &scratch, None, &["down"]).status.success());
    let mut cut_short = 0;
    for round in 0..12 {
        cut_short += u32::from(killed(&up, true, round));
        killed(&["down"], false, 0);
        let again = run(&site, &scratch, None, &up);
        assert!(again.status.success(), "{}", told(&again));
        assert_eq!(mounts_of(&folder), 1);
        assert_eq!(run(&site, &scratch, Some(GROUP), &["status"]).status.code(), Some(0));
        killed(&["down"], true, round * 2);
        let down = run(&site, &scratch, None, &["down"]);
        assert!(down.status.success() || told(&down).contains("no datapath is running"), "{}", told(&down));
        assert!(!folder.exists() && mounts_of(&folder) == 0, "round {round}: something is left");
    }
    assert!(cut_short > 0, "it was always through before it was killed: the moments are badly chosen");
}

#[test]
fn the_monitor_of_a_viewer_says_that_it_may_only_look() {
    let Some(site) = Site::start(&Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }) else {
        return;
    };
    let scratch = Scratch::new(&site);
    let viewers = GROUP.to_string();
    let up = run(&site, &scratch, None, &["up", "--config", &scratch.config(), "--viewers", &viewers]);
    assert!(up.status.success(), "{}", told(&up));
    let binary = scratch.binary().display().to_string();
    let user = USER.to_string();
    let words = [
        "--reuid",
        &user,
        "--regid",
        &viewers,
        "--clear-groups",
        &binary,
        "--instance",
        site.datapath.instance().name(),
    ];
    let (columns, rows) = (NonZeroU16::new(110).unwrap(), NonZeroU16::new(32).unwrap());
    let mut monitor = Terminal::start(Path::new("/usr/bin/setpriv"), &words, columns, rows);
    monitor.wait_for("b1");
    monitor.press("d");
    monitor.wait_for("read-only: the pins may be read and not written by this user");
    // Root's changes come on screen.
    site.change_service("dns", &[maglev_core::change::Change::Drain("b1".to_owned())]).unwrap();
    monitor.wait_for("DRAINING");
    assert_eq!(site.backend("b1").state, BackendState::Active);
    monitor.press("q");
    assert_eq!(monitor.end(), 0);
}
