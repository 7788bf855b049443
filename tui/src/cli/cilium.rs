//! `cilium`: what it takes.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use maglev_core::seed::HashSeed;
use maglev_probe::cilium::DEFAULT_PINS;

/// Where Cilium keeps its state on a node.
pub const DEFAULT_RUN_DIR: &str = "/var/run/cilium";

/// The monitor on a Cilium node. Each has a name of its own beside the one it is written by: clap would take what stands
/// behind `cilium` for it, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "On a Cilium node")]
pub struct CiliumMonitor {
    /// The folder that Cilium's maps are pinned in; given, the monitor opens on them whatever else is running
    #[arg(id = "monitor-pins", long = "pins", value_name = "DIR")]
    pub pins: Option<PathBuf>,
    /// Cilium's state on this node: its socket and its configuration
    #[arg(id = "monitor-run-dir", long = "run-dir", value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Names of services: the output of `kubectl get services -A -o json`
    #[arg(id = "monitor-names", long = "names", value_name = "FILE")]
    pub names: Option<PathBuf>,
    /// Cilium's `maglev.hashSeed`, where the node does not tell it
    #[arg(id = "monitor-seed", long = "seed", value_name = "BASE64", value_parser = seed)]
    pub seed: Option<HashSeed>,
    /// Count no hits of a Cilium node: nothing is attached
    #[arg(long)]
    pub no_observer: bool,
    /// Where hits are counted, and by which hash
    #[command(flatten)]
    pub counting: Counting,
}

/// Where hits of a Cilium node are counted, and by which hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Counting {
    /// An interface that packets come in by [default: those with Cilium's programs, and the default route's]
    #[arg(long, value_name = "IF")]
    pub interface: Vec<String>,
    /// Where packets are looked at
    #[arg(long, value_enum, default_value_t)]
    pub hook: HookWord,
    /// The flow hash of Cilium before 1.17
    #[arg(long)]
    pub older_hash: bool,
}

use super::duration;

/// `cilium`
#[derive(Debug, Args)]
pub struct CiliumCommand {
    /// What to do
    #[command(subcommand)]
    pub action: CiliumAction,
    /// The folder that Cilium's maps are pinned in
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_PINS)]
    pub pins: PathBuf,
    /// Cilium's state on this node: its socket and its configuration
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    pub run_dir: PathBuf,
    /// Names of services: the output of `kubectl get services -A -o json`, `-` for standard input
    #[arg(long, global = true, value_name = "FILE")]
    pub names: Option<PathBuf>,
    /// Cilium's `maglev.hashSeed`, where the node does not tell it
    #[arg(long, global = true, value_name = "BASE64", value_parser = seed)]
    pub seed: Option<HashSeed>,
}

/// What `cilium` does.
#[derive(Debug, Subcommand)]
pub enum CiliumAction {
    /// The load-balancing maps: entries, sizes, memory, inner maps
    Maps,
    /// Services, backends and their states, who has a table, and why not
    Services,
    /// The lookup tables: who owns how many slots, and which
    Tables {
        /// One service alone: its name, address or id
        #[arg(long)]
        service: Option<String>,
    },
    /// Which slot and backend a client gets
    Lookup {
        /// The service's name, address or id
        #[arg(long)]
        service: String,
        /// The client's address and port
        #[arg(long, value_name = "IP:PORT")]
        flow: SocketAddr,
        /// The flow hash of Cilium before 1.17
        #[arg(long)]
        older_hash: bool,
    },
    /// In which slots packets fall: counted in front of Cilium, and passed on as they came
    Hits(CiliumHits),
    /// What a change of backends would move
    Plan(CiliumPlan),
    /// Why a service has a table or has none, and where its traffic goes
    Explain {
        /// The service's name, address or id; all without it
        service: Option<String>,
    },
    /// Whether the kernel's tables are those that the backends and the seed call for
    Verify {
        /// One service alone: its name, address or id
        #[arg(long)]
        service: Option<String>,
    },
}

/// `cilium hits`
#[derive(Debug, Args)]
pub struct CiliumHits {
    /// One service alone: its name, address or id
    #[arg(long)]
    pub service: Option<String>,
    /// How long to count [default: until Ctrl-C; 10s with -o json]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Where, and by which hash
    #[command(flatten)]
    pub counting: Counting,
}

/// Where packets are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HookWord {
    /// XDP in the driver where it is free, else tcx, else generic XDP
    #[default]
    Auto,
    /// XDP in the driver, for which some drivers set up their queues anew
    Xdp,
    /// The head of the ingress of traffic control (Linux 6.6)
    Tcx,
    /// XDP in front of the stack
    XdpGeneric,
}

/// `cilium plan`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(["remove", "add"]))]
pub struct CiliumPlan {
    /// The service's name, address or id
    #[arg(long)]
    pub service: String,
    /// A backend leaves
    #[arg(long, value_name = "ADDR")]
    pub remove: Vec<SocketAddr>,
    /// A backend comes
    #[arg(long, value_name = "ADDR")]
    pub add: Vec<SocketAddr>,
}

fn seed(text: &str) -> Result<HashSeed, String> {
    text.parse().map_err(|error: maglev_core::seed::SeedError| error.to_string())
}
