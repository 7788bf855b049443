//! What can go wrong with a datapath, in words that say what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use maglev_core::{change::ChangeError, plan::PlanError, rules::BrokenRules, table::TableError};

use crate::{instance::Instance, shape::MapShape};

/// A map could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// A call failed.
    #[error("cannot {attempted} {}", path.display())]
    Call {
        /// What was attempted.
        attempted: &'static str,
        /// The map.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// There is no room in it for another entry.
    #[error("{} is full: it has room for {entries} entries", path.display())]
    Full {
        /// The map.
        path: PathBuf,
        /// How many entries it has room for.
        entries: u32,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// It is not the map that it should be.
    #[error(
        "{} is of another shape: found {found}, expected {expected}; another version of maglev-top made it: use that one, or take the instance away with `maglev-top down` and start it anew with `up`",
        path.display()
    )]
    Shape {
        /// The map.
        path: PathBuf,
        /// What it is like.
        found: MapShape,
        /// What it should be like.
        expected: MapShape,
    },
}

impl MapError {
    pub(crate) fn new(attempted: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Call { attempted, path: path.to_owned(), error }
    }
}

/// A datapath could not be brought up, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The privileges are missing.
    #[error(
        "cannot {attempted}: permission denied; run it as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN"
    )]
    NotPermitted {
        /// What was attempted.
        attempted: String,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// A call failed.
    #[error("cannot {attempted}")]
    Call {
        /// What was attempted.
        attempted: String,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// A map could not be opened, read or written.
    #[error(transparent)]
    Map(MapError),
    /// The name cannot be that of an instance.
    #[error("{0:?} cannot be the name of an instance: 1 to 32 letters, digits, `-` and `_`")]
    InstanceName(String),
    /// Nothing runs under that name.
    #[error("no datapath is running as instance {name}: `maglev-top up --config FILE` starts one{}", list_others(.others))]
    NotRunning {
        /// The instance's name.
        name: String,
        /// The instances that are running.
        others: Vec<String>,
    },
    /// It is not up, and not down either.
    #[error(
        "instance {0} is being brought up or taken down, or was cut short in that: if nobody is at it, `maglev-top up` starts it anew and `maglev-top down` clears it away"
    )]
    HalfWay(String),
    /// What was opened has been taken down since, and another one runs under its name.
    #[error("instance {0} has been taken down and brought up again since: look again, then repeat it")]
    Replaced(String),
    /// A change failed, and was taken back.
    #[error("nothing was changed")]
    Undone {
        /// Why it failed.
        #[source]
        error: Box<DatapathError>,
    },
    /// A change failed half-way.
    #[error(
        "the change was cut short and could not be put right at once: every slot still has a backend that can be sent to, and the next change, whoever makes it, finishes this one or takes it back first"
    )]
    CutShort {
        /// Why it failed.
        #[source]
        error: Box<DatapathError>,
    },
    /// Something runs under that name.
    #[error(
        "instance {0} is running already, with the program of this version: `maglev-top apply` changes it, `maglev-top down` ends it, `--instance NAME` starts another one"
    )]
    AlreadyRunning(String),
    /// Another process stays in the foreground of it.
    #[error(
        "instance {name} has a process in the foreground already{}: end that one first",
        .process.map_or_else(String::new, |process| format!(", process {process}"))
    )]
    AlreadyWatched {
        /// The instance's name.
        name: String,
        /// The process, where it can be told.
        process: Option<u32>,
    },
    /// Somebody else is changing it.
    #[error("somebody else is changing instance {0}, and has been for ten seconds: try again")]
    Busy(String),
    /// The state is not the one that the change was planned on.
    #[error(
        "the state has changed since this was planned (version {expected}, now {found}): look again, then repeat it"
    )]
    Stale {
        /// The version that it was planned on.
        expected: u64,
        /// The version in force.
        found: u64,
    },
    /// Another version made the maps.
    #[error(
        "{} says schema {found}, and this maglev-top knows schema {expected}: use the version of maglev-top that brought the instance up, or take it away with `maglev-top down` and start it anew with `up`",
        pin.display()
    )]
    Schema {
        /// The pin that says so.
        pin: PathBuf,
        /// What the maps say.
        found: u32,
        /// What this program knows.
        expected: u32,
    },
    /// A map of a running instance has no pin.
    #[error("{} is missing, though the instance is attached: {}", pin.display(), make_up_for(*.replaceable))]
    MissingMap {
        /// The pin.
        pin: PathBuf,
        /// Whether an empty one can take its place.
        replaceable: bool,
    },
    /// This user may look, and no more.
    #[error("instance {0} may be looked at by this user, and not changed: changes are for root")]
    ReadOnly(String),
    /// This user may not even look.
    #[error(
        "instance {0}, if it runs, is not for this user to see: run it as root, or have root let a group of yours read it: `maglev-top up --config FILE --viewers GROUP`"
    )]
    NotAViewer(String),
    /// The program under a link could not be replaced.
    #[error("the program under {} could not be replaced; the one that was there goes on", link.display())]
    NotReplaced {
        /// The link.
        link: PathBuf,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// No service has that name.
    #[error("there is no service {name}{}", list_known(.known))]
    NoSuchService {
        /// The name.
        name: String,
        /// The services that there are.
        known: Vec<String>,
    },
    /// No backend is that machine.
    #[error("no service has a backend at {0}; `backend list` says which there are")]
    NoSuchMachine(std::net::IpAddr),
    /// No interface is named.
    #[error(
        "no interface to attach to: name one with --interface, or in the configuration under datapath.interfaces"
    )]
    NoInterface,
    /// There is no such interface.
    #[error("there is no interface {0} in this network namespace")]
    UnknownInterface(String),
    /// The interface's XDP hook is held.
    #[error(
        "{interface} has an XDP program already: {program} (id {id}, {mode}){}; it is left alone. Take another interface, or detach it first{}",
        .instance.as_ref().map_or_else(String::new, |name| format!(", of instance {name}")),
        .instance.as_ref().map_or_else(String::new, |name| format!(": `maglev-top down --instance {name}`"))
    )]
    InterfaceTaken {
        /// The interface.
        interface: String,
        /// The name of the program on it.
        program: String,
        /// Its id.
        id: u32,
        /// How it is attached.
        mode: &'static str,
        /// The instance that it belongs to, if it is one's.
        instance: Option<String>,
    },
    /// The kernel would not tell a way to the backends.
    #[error(
        "the kernel does not forward on {interface}, so it tells the program no way to the backends: sysctl -w {sysctl}=1 (or set datapath.gateway-mac)"
    )]
    ForwardingOff {
        /// The interface.
        interface: String,
        /// The sysctl.
        sysctl: String,
    },
    /// The kernel cannot lead health checks through tunnels.
    #[error(
        "this kernel is older than 6.6: health checks through the tunnel are led by programs on tcx links, which it does not have. Check with via = \"direct\" under [services.health], or boot a newer kernel"
    )]
    NoTunnelChecks,
    /// The program did not get into the kernel.
    #[error("the kernel refused the program{}", verifier(.log))]
    Refused {
        /// What the verifier said.
        log: String,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// aya could not load or attach.
    #[error("cannot {attempted}")]
    Aya {
        /// What was attempted.
        attempted: String,
        /// Its answer.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody traces already.
    #[error("{}: one at a time", tracing(*.0))]
    TracedAlready(Option<u32>),
    /// The running program does not hand packets over.
    #[error(
        "the program of instance {0} is another version's and cannot be traced: `maglev-top up` puts this version's in its place"
    )]
    NotTraceable(String),
    /// What was traced is there no more.
    #[error(
        "the trace has ended: the program of instance {0} has been replaced or taken down; begin it anew"
    )]
    TraceEnded(String),
    /// A change does not fit.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A plan cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A table cannot be filled.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A service would break rules.
    #[error(transparent)]
    Rules(BrokenRules),
    /// A service would be without an active backend.
    #[error(
        "service {0} would have no active backend, and its new connections nowhere to go; `backend drain --force` does that by name"
    )]
    NoActiveBackend(String),
    /// There is no room left.
    #[error("there is no room for {what}: at most {most} fit")]
    Full {
        /// What there is no room for.
        what: &'static str,
        /// How many there may be.
        most: u32,
    },
    /// The kernel has no room for the maps.
    #[error(
        "the kernel has no room for {slots} slots, {} MiB in its memory: make datapath.max-slots smaller",
        .bytes >> 20
    )]
    NoMemory {
        /// How many slots were asked for.
        slots: u64,
        /// What they take.
        bytes: u64,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// What was asked for needs to be asked for by name.
    #[error("this would break established connections: {}; `--break-connections` does it all the same", .0.join("; "))]
    BreaksConnections(Vec<String>),
    /// Slots did not become free to change.
    #[error(
        "{slots} slots of service {service} are still about to settle; what was asked for is on record, and any next change finishes it"
    )]
    StillSettling {
        /// The service.
        service: String,
        /// How many.
        slots: usize,
    },
}

impl DatapathError {
    pub(crate) fn of_io(attempted: &str, error: io::Error) -> Self {
        let attempted = attempted.to_owned();
        if error.kind() == io::ErrorKind::PermissionDenied {
            Self::NotPermitted { attempted, error }
        } else {
            Self::Call { attempted, error }
        }
    }

    /// That nothing runs under the name of `instance`, and what does.
    pub(crate) fn not_running(instance: &Instance) -> Self {
        let others =
            Instance::all().unwrap_or_default().iter().map(|other| other.name().to_owned()).collect();
        Self::NotRunning { name: instance.name().to_owned(), others }
    }

    /// The pin that is not there, if that is what is wrong.
    pub(crate) fn absent_pin(&self) -> Option<&Path> {
        match self {
            Self::Map(MapError::Call { error, path, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Some(path)
            }
            _ => None,
        }
    }

    /// Whether it is for want of privileges.
    #[must_use]
    pub const fn is_permission(&self) -> bool {
        matches!(self, Self::NotPermitted { .. } | Self::NotAViewer(_))
    }
}

impl From<MapError> for DatapathError {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Call { attempted, path, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                Self::NotPermitted { attempted: format!("{attempted} {}", path.display()), error }
            }
            error => Self::Map(error),
        }
    }
}

fn tracing(process: Option<u32>) -> String {
    match process {
        Some(process) => format!("process {process} is tracing this instance"),
        None => "somebody is tracing this instance".to_owned(),
    }
}

fn list_others(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" (running: {})", names.join(", ")) }
}

const fn make_up_for(replaceable: bool) -> &'static str {
    if replaceable {
        "another version of maglev-top made it; `maglev-top up --config FILE` adopts the instance and makes the map, empty"
    } else {
        "what it held cannot be made anew; packets go on as they do, and `maglev-top down` takes the instance away"
    }
}

fn list_known(names: &[String]) -> String {
    if names.is_empty() {
        "; there is none at all".to_owned()
    } else {
        format!("; there is {}", names.join(", "))
    }
}

fn verifier(log: &str) -> String {
    if log.trim().is_empty() { String::new() } else { format!("; the verifier said:\n{}", log.trim()) }
}
