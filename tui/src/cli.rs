//! The command line: what it takes, and how its words become arguments.

mod cilium;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use maglev_core::service::Tracking;

use crate::monitor::model::{LONGEST, SHORTEST};

pub use cilium::{
    CiliumAction, CiliumCommand, CiliumHits, CiliumMonitor, CiliumPlan, Counting, DEFAULT_RUN_DIR, HookWord,
};

/// top for Maglev load balancing.
#[derive(Debug, Parser)]
#[command(
    name = "maglev-top",
    version,
    about = "top for Maglev load balancing: see and steer which backend gets which flows",
    after_help = "Without a command the monitor opens on the running datapath, or on the maps of Cilium if this is a node of its.",
    max_term_width = 110
)]
pub struct Arguments {
    /// What to do; without it the monitor opens
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The datapath that is meant, where several run on this host
    #[arg(long, global = true, value_name = "NAME", default_value = "default", env = "MAGLEV_TOP_INSTANCE")]
    pub instance: String,
    /// How to print
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Output,
    /// How the monitor looks
    #[command(flatten)]
    pub look: Look,
    /// Where the monitor finds a Cilium node
    #[command(flatten)]
    pub cilium: CiliumMonitor,
}

/// How a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// How the monitor looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Look {
    /// A theme: dark, light, high-contrast, colour-blind-safe, mono, gruvbox, solarized-light, or a file
    #[arg(long, value_name = "NAME|FILE", env = "MAGLEV_TOP_THEME")]
    pub theme: Option<String>,
    /// Print the theme, as a file to begin one of your own with, and return
    #[arg(long)]
    pub print_theme: bool,
    /// Print the preferences that hold without a file, as a file to begin with, and return
    #[arg(long)]
    pub print_config: bool,
    /// How many colours to use [default: auto]
    #[arg(long, value_enum)]
    pub color: Option<Color>,
    /// Draw with ASCII alone
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ascii: Option<bool>,
    /// Listen to the mouse
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub mouse: Option<bool>,
    /// Send less over a thin link: 16 colours, a pixel a cell, and a look each 5 s
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub low_bandwidth: Option<bool>,
    /// How often to look: 100ms to 60s
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub interval: Option<Duration>,
}

/// How many colours the monitor uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// As many as the terminal says it has
    #[default]
    Auto,
    /// 16 million
    Truecolor,
    /// 256
    #[value(name = "256")]
    Indexed,
    /// 16
    #[value(name = "16")]
    Named,
    /// None
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Real packets through a real datapath, between hosts in network namespaces, and the monitor on it
    Demo(Demo),
    /// Load, attach and pin a datapath, and return
    Up(Up),
    /// Detach and unpin a datapath
    Down,
    /// Make the running state a configuration's; the plan is shown first
    Apply(Apply),
    /// The running state as a configuration
    Config(ConfigCommand),
    /// Services, backends and counters
    Status(Status),
    /// Add, drain, undrain, remove and weigh backends
    Backend(BackendCommand),
    /// The lookup table: what is in it, what a change would move, whether it is right
    Table(TableCommand),
    /// Which slot and backend a client gets
    Lookup(Lookup),
    /// Packet by packet: where a client's flow goes, and why
    Trace(Trace),
    /// At a backend: take the outer header off, until it is ended
    Decap(Decap),
    /// A Cilium node's own tables
    Cilium(CiliumCommand),
    /// Write samples to a file
    #[command(hide = true)]
    Record(Later),
    /// Show the samples of a file
    #[command(hide = true)]
    Replay(Later),
    /// Counters for Prometheus
    #[command(hide = true)]
    Exporter(Later),
    /// What keeps a datapath from working on this host, or may, and how to mend it
    Doctor(Doctor),
    /// Nanoseconds per packet on this host
    #[command(hide = true)]
    Bench(Later),
    /// Print what has a shell complete these words
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page; to read it: maglev-top man | man -l -
    Man,
    /// Cleans up after a demo that was killed
    #[command(hide = true)]
    DemoSweep {
        /// The demo's instance
        instance: String,
    },
}

/// The command line as it is to be seen: without the commands that the help leaves out.
#[must_use]
pub fn visible() -> clap::Command {
    let whole = Arguments::command();
    let mut seen = clap::Command::new("maglev-top")
        .args(whole.get_arguments().cloned())
        .subcommands(whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned())
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true);
    if let Some(about) = whole.get_about() {
        seen = seen.about(about.clone());
    }
    seen
}

/// A command that is not there yet.
#[derive(Debug, Args)]
pub struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<String>,
}

/// `demo`
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Generated flows instead of packets: needs no privileges
    #[arg(long)]
    pub simulate: bool,
    /// Without a screen: drains and undrains under load, then a report
    #[arg(long)]
    pub headless: bool,
    /// How long it runs [default: 10s with --headless, else until it is quit]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How many drains and undrains a headless run makes
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub changes: u32,
    /// Which flows the TCP service remembers
    #[arg(long, value_name = "MODE", default_value_t = Tracking::Settling, value_parser = tracking)]
    pub tracking: Tracking,
    /// How the monitor looks
    #[command(flatten)]
    pub look: Look,
}

/// `up`
#[derive(Debug, Args)]
pub struct Up {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Attach here, instead of where the configuration says
    #[arg(long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// Let a group, by name or number, read without root
    #[arg(long, value_name = "GROUP")]
    pub viewers: Option<String>,
    /// Stay in the foreground
    #[arg(long)]
    pub foreground: bool,
}

/// `apply`
#[derive(Debug, Args)]
pub struct Apply {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Undo what was changed by hand since
    #[arg(long = "override")]
    pub override_by_hand: bool,
    /// Allow what ends established connections
    #[arg(long)]
    pub break_connections: bool,
}

/// `config`
#[derive(Debug, Args)]
pub struct ConfigCommand {
    /// What to do
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What `config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Print the running state as a configuration
    Show,
}

/// `status`
#[derive(Debug, Args)]
pub struct Status {
    /// Say where the running state differs from this configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Again and again, so often
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub watch: Option<Duration>,
}

/// `backend`
#[derive(Debug, Args)]
pub struct BackendCommand {
    /// What to do
    #[command(subcommand)]
    pub action: BackendAction,
}

/// What `backend` does.
#[derive(Debug, Subcommand)]
pub enum BackendAction {
    /// The backends of a service, or of all
    List {
        /// The service's name or address
        #[arg(long)]
        service: Option<String>,
    },
    /// A new backend
    Add {
        /// The service's name or address
        #[arg(long)]
        service: String,
        /// The backend's name
        name: String,
        /// Its address and port
        address: SocketAddr,
        /// Its weight
        #[arg(long, default_value_t = maglev_core::service::DEFAULT_WEIGHT, value_parser = clap::value_parser!(u16).range(1..))]
        weight: u16,
    },
    /// Its slots go to the others; established connections stay with it
    Drain(Drain),
    /// It gets slots again
    Undrain(OneBackend),
    /// It leaves, and its connections end
    Remove(OneBackend),
    /// Another share of the slots
    Weight {
        /// The service's name or address
        #[arg(long)]
        service: String,
        /// The backend's name
        name: String,
        /// Its new weight
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        weight: u16,
    },
}

/// A backend of a service, or a machine in all of them.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["service", "address"]))]
pub struct OneBackend {
    /// The service's name or address
    #[arg(long, requires = "name", conflicts_with = "address")]
    pub service: Option<String>,
    /// The backend's name
    #[arg(requires = "service")]
    pub name: Option<String>,
    /// That machine, in every service, as one change
    #[arg(long, value_name = "ADDR")]
    pub address: Option<std::net::IpAddr>,
    /// Even the last active backend
    #[arg(long)]
    pub force: bool,
}

/// `backend drain`
#[derive(Debug, Args)]
pub struct Drain {
    /// Which one
    #[command(flatten)]
    pub which: OneBackend,
    /// Return when it has been quiet for the settle time
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// `table`
#[derive(Debug, Args)]
pub struct TableCommand {
    /// What to do
    #[command(subcommand)]
    pub action: TableAction,
}

/// Which table is meant.
#[derive(Debug, Args)]
pub struct WhichTable {
    /// The service's name or address
    #[arg(long)]
    pub service: String,
    /// The table that this configuration calls for, instead of the running one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What `table` does.
#[derive(Debug, Subcommand)]
pub enum TableAction {
    /// Which backend owns each slot
    Show(WhichTable),
    /// What a change would move
    Plan(Plan),
    /// Whether the kernel's table is the one that the backends call for
    Verify(WhichTable),
}

/// `table plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// Which table
    #[command(flatten)]
    pub which: WhichTable,
    /// A backend drains
    #[arg(long, value_name = "NAME")]
    pub drain: Vec<String>,
    /// A backend leaves
    #[arg(long, value_name = "NAME")]
    pub remove: Vec<String>,
    /// A backend comes
    #[arg(long, value_name = "NAME=ADDR[@WEIGHT]", value_parser = new_backend)]
    pub add: Vec<maglev_core::service::Backend>,
    /// A backend's weight changes
    #[arg(long, value_name = "NAME=WEIGHT", value_parser = new_weight)]
    pub weight: Vec<(String, u16)>,
    /// The service becomes what this configuration says
    #[arg(long, value_name = "FILE", conflicts_with_all = ["drain", "remove", "add", "weight"])]
    pub to: Option<PathBuf>,
}

/// `lookup`
#[derive(Debug, Args)]
pub struct Lookup {
    /// Which table
    #[command(flatten)]
    pub which: WhichTable,
    /// The client's address and port
    #[arg(long, value_name = "IP:PORT")]
    pub flow: SocketAddr,
}

/// `trace`
#[derive(Debug, Args)]
pub struct Trace {
    /// The client's address, and its port unless all of them are meant
    #[arg(long, value_name = "IP[:PORT]", value_parser = traced_flow)]
    pub flow: TracedFlow,
    /// End after so many packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub duration: Duration,
}

/// A client whose packets are traced; port 0 stands for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedFlow(pub SocketAddr);

impl std::fmt::Display for TracedFlow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.port() == 0 {
            write!(formatter, "{}", self.0.ip())
        } else {
            write!(formatter, "{}", self.0)
        }
    }
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Look at these interfaces, instead of those that are in use or configured
    #[arg(long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// Look at what this configuration calls for; at a backend: at this host as a backend of it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `decap`
#[derive(Debug, Args)]
pub struct Decap {
    /// Where the packets come in
    #[arg(long, value_name = "IF")]
    pub interface: String,
    /// How to attach
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = ["auto", "native", "generic"])]
    pub attach_mode: String,
}

/// A length of time that is more than nothing.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write 10s, 500ms or 2m"))?;
    if parsed.is_zero() { Err("it must be more than nothing".to_owned()) } else { Ok(parsed) }
}

/// How often the monitor looks: as its keys have it.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let parsed = duration(text)?;
    if (SHORTEST..=LONGEST).contains(&parsed) {
        return Ok(parsed);
    }
    let (shortest, longest) = (humantime::format_duration(SHORTEST), humantime::format_duration(LONGEST));
    Err(format!("it must be between {shortest} and {longest}"))
}

fn traced_flow(text: &str) -> Result<TracedFlow, String> {
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let whole = address.map(|address| SocketAddr::new(address, 0)).or_else(|_| text.parse::<SocketAddr>());
    whole.map(TracedFlow).map_err(|_| {
        format!("{text:?} is not IP[:PORT], as in 198.51.100.7, 198.51.100.7:4000 or [2001:db8::7]:4000")
    })
}

fn tracking(text: &str) -> Result<Tracking, String> {
    text.parse().map_err(|error: maglev_core::words::UnknownWord| error.to_string())
}

fn new_backend(text: &str) -> Result<maglev_core::service::Backend, String> {
    let form = || format!("{text:?} is not NAME=ADDR[@WEIGHT], as in b7=10.0.0.7:80@100");
    let (name, rest) = text.split_once('=').ok_or_else(form)?;
    let (address, weight) = match rest.split_once('@') {
        None => (rest, maglev_core::service::DEFAULT_WEIGHT),
        Some((address, weight)) => (address, weight_of(weight)?),
    };
    Ok(maglev_core::service::Backend {
        name: name.to_owned(),
        address: address.parse().map_err(|_| form())?,
        weight,
        state: maglev_core::service::BackendState::Active,
        health: maglev_core::health::Health::Unknown,
    })
}

fn new_weight(text: &str) -> Result<(String, u16), String> {
    let (name, weight) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=WEIGHT, as in b7=200"))?;
    Ok((name.to_owned(), weight_of(weight)?))
}

fn weight_of(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(weight) if weight > 0 => Ok(weight),
        _ => Err(format!("weight {text:?} is not a number from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn plans_take_any_number_of_changes() {
        let words = "maglev-top table plan --service web --drain b1 --add b7=10.0.0.7:80@50 --add b8=[fd00::8]:80 --weight b2=7";
        let Some(Command::Table(TableCommand { action: TableAction::Plan(plan) })) =
            Arguments::parse_from(words.split(' ')).command
        else {
            panic!("not understood as a plan");
        };
        assert_eq!(plan.drain, ["b1"]);
        assert_eq!(plan.add.iter().map(|backend| backend.weight).collect::<Vec<_>>(), [50, 100]);
        assert_eq!(plan.weight, [("b2".to_owned(), 7)]);
    }

    #[test]
    fn a_traced_flow_is_a_client_with_or_without_its_port() {
        let flow = |text: &str| traced_flow(text).map(|flow| flow.to_string());
        for (text, shown) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:4000", "198.51.100.7:4000"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4000", "[2001:db8::7]:4000"),
        ] {
            assert_eq!(flow(text).as_deref(), Ok(shown));
        }
        assert!(flow("web").unwrap_err().contains("IP[:PORT]"));
        assert!(flow("198.51.100.7:70000").is_err());
    }

    #[test]
    fn a_backend_is_named_in_its_service_or_as_a_machine() {
        for good in ["--service web b1", "--address 10.0.0.1"] {
            let words = format!("maglev-top backend remove {good}");
            assert!(Arguments::try_parse_from(words.split(' ')).is_ok(), "{good} was refused");
        }
        for bad in ["b1", "--service web", "--service web b1 --address 10.0.0.1", ""] {
            let words = format!("maglev-top backend remove {bad}");
            assert!(Arguments::try_parse_from(words.split_whitespace()).is_err(), "{bad:?} was taken");
        }
    }
}
