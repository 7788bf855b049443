//! Network namespaces that exist only as long as this process holds them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::LabError;
use crate::link::Interface;
use crate::sysctl;

/// A network namespace without a name in the file system, held by a file descriptor.
///
/// It goes when the last clone of this value, the last thread inside and the last socket made
/// inside are gone: at the latest when the process ends, however it ends.
#[derive(Clone, Debug)]
pub struct Namespace {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    name: String,
    descriptor: OwnedFd,
    inode: u64,
}

impl Namespace {
    /// Makes a namespace with loopback up and IPv6 addresses usable at once (no duplicate address
    /// detection, no router solicitations). `name` is for messages and thread names only.
    pub fn new(name: &str) -> Result<Self, LabError> {
        let attempted = || format!("make a network namespace for {name}");
        let opened = thread::scope(|scope| {
            // A thread of its own: unshare changes the caller's namespace for good.
            let made = thread::Builder::new().name("lab-unshare".to_owned()).spawn_scoped(scope, || {
                unshare(CloneFlags::CLONE_NEWNET)?;
                File::open("/proc/thread-self/ns/net")
            })?;
            made.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
        .map_err(|error| LabError::new(attempted(), error))?;
        let namespace = Self::hold(name, opened).map_err(|error| LabError::new(attempted(), error))?;
        if namespace.has_ipv6()? {
            for group in ["all", "default"] {
                namespace.set_sysctl(&format!("net/ipv6/conf/{group}/accept_dad"), "0")?;
                namespace.set_sysctl(&format!("net/ipv6/conf/{group}/accept_ra"), "0")?;
            }
        }
        Interface::find(&namespace, "lo")?.set_up()?;
        Ok(namespace)
    }

    /// The namespace that the calling thread is in.
    pub fn current() -> Result<Self, LabError> {
        File::open("/proc/thread-self/ns/net")
            .and_then(|opened| Self::hold("here", opened))
            .map_err(|error| LabError::new("open the present network namespace", error))
    }

    fn hold(name: &str, opened: File) -> io::Result<Self> {
        let inode = opened.metadata()?.ino();
        Ok(Self { held: Arc::new(Held { name: name.to_owned(), descriptor: opened.into(), inode }) })
    }

    /// The name given to [`Namespace::new`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.held.name
    }

    /// The inode number, which tells namespaces apart as `/proc/PID/ns/net` does.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.held.inode
    }

    /// Runs `work` in a thread inside the namespace and waits for its value. What `work` makes
    /// there (sockets, BPF links) belongs to the namespace wherever it is used afterwards.
    ///
    /// # Panics
    ///
    /// If `work` does, with its panic.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        thread::scope(|scope| {
            thread::Builder::new()
                .name(format!("lab-{}", self.name()))
                .spawn_scoped(scope, || {
                    self.enter()?;
                    Ok(work())
                })
                .map_err(|error| LabError::new("start a thread", error))?
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Starts a long-lived thread inside the namespace. Returns once the thread is inside.
    pub fn spawn(
        &self,
        thread_name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, LabError> {
        let (report, entered) = mpsc::sync_channel(1);
        let namespace = self.clone();
        let thread = thread::Builder::new()
            .name(thread_name.to_owned())
            .spawn(move || {
                let outcome = namespace.enter();
                let inside = outcome.is_ok();
                drop(namespace);
                // The other side waits for it, and has nothing to say if it does not.
                let _ = report.send(outcome);
                if inside {
                    work();
                }
            })
            .map_err(|error| LabError::new(format!("start the thread {thread_name}"), error))?;
        entered.recv().map_err(|_| LabError::Invalid(format!("the thread {thread_name} ended early")))??;
        Ok(thread)
    }

    fn enter(&self) -> Result<(), LabError> {
        setns(self, CloneFlags::CLONE_NEWNET)
            .map_err(|error| LabError::new(format!("enter the network namespace of {}", self.name()), error))
    }

    /// Sets a kernel parameter of this namespace, as `net/ipv4/ip_forward` (slashes, since
    /// interface names may hold dots).
    pub fn set_sysctl(&self, parameter: &str, value: &str) -> Result<(), LabError> {
        self.run(|| sysctl::write(parameter, value))?
    }

    /// Reads a kernel parameter of this namespace, without the line end.
    pub fn sysctl(&self, parameter: &str) -> Result<String, LabError> {
        self.run(|| sysctl::read(parameter))?
    }

    /// Whether the kernel has IPv6 here.
    pub fn has_ipv6(&self) -> Result<bool, LabError> {
        self.run(|| sysctl::exists("net/ipv6"))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held.descriptor.as_fd()
    }
}
