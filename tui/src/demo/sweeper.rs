//! A process that outlives the demo by a moment, so that nothing is left even after `kill -9`.

use std::{
    env, io,
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use maglev_probe::{DatapathError, Instance, down};

use super::{DemoError, claim::Claim};

/// The hidden command that the process runs.
const COMMAND: &str = "demo-sweep";

/// How long a killed demo's name may stay taken while the kernel takes the process apart.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits for the end of this process, and takes its instance down if it is still there by then.
#[derive(Debug)]
pub(super) struct Sweeper {
    process: Child,
}

impl Sweeper {
    /// Starts it.
    pub(super) fn start(instance: &Instance) -> Result<Self, DemoError> {
        let spawn = || -> io::Result<Child> {
            Command::new(env::current_exe()?)
                .args([COMMAND, instance.name()])
                // Whatever ends this process closes the other end of the pipe.
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .current_dir("/")
                // The keys that end a demo are not for it.
                .process_group(0)
                .spawn()
        };
        spawn().map(|process| Self { process }).map_err(DemoError::Sweeper)
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It ends by itself; waiting only keeps it from being seen afterwards.
        let _ = self.process.wait();
    }
}

/// What the hidden command does: waits for the end of standard input, and takes the instance down if it is there.
///
/// # Errors
///
/// When it cannot be taken down.
pub fn sweep(instance: &str) -> Result<(), DemoError> {
    let instance = Instance::new(instance)?;
    // An error is an end as well.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let begun = Instant::now();
    while instance.exists() {
        // A name that is still taken after a while is another demo's, which has swept up already.
        if let Some(_claim) = Claim::of(instance.clone())? {
            return match down(&instance) {
                Err(DatapathError::NotRunning { .. }) => Ok(()),
                result => Ok(result?),
            };
        }
        if begun.elapsed() > PATIENCE {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
