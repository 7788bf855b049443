//! `up --foreground`: stays beside a datapath, runs the health checks that its services ask for, and keeps its next hops
//! as the kernel's routes are. The datapath does not depend on it: when it ends, what it last did stands.

mod check;
mod checks;

use std::time::{Duration, Instant};

use maglev_core::health::consequences;
use maglev_probe::{Checked, Datapath, DatapathError, Judged, Tunnels};

use self::checks::Checks;
use crate::{
    command::{
        print,
        report::{ChangesReport, change_reports},
    },
    failure::{Failure, in_words},
    interruption::Interruption,
};

/// How often outcomes and the state version are looked at.
const STEP: Duration = Duration::from_millis(100);

/// How often next hops are compared with the kernel's routes and neighbours.
const NEXT_HOPS: Duration = Duration::from_secs(2);

/// How long what failed is left alone before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Stays until a signal asks for an end, or the instance is taken down.
///
/// # Errors
///
/// When another process stays already.
pub(crate) fn run(datapath: Datapath, json: bool) -> Result<(), Failure> {
    let watch = datapath.instance().watch()?;
    let interruption = Interruption::watch().map_err(|error| Failure::of(&error))?;
    let checks = Checks::new().map_err(|error| Failure::of(&error))?;
    let mut foreground = Foreground {
        datapath,
        json,
        checks,
        tunnels: None,
        checked: Vec::new(),
        state_version: None,
        next_hops_due: Instant::now(),
        rest_until: Instant::now(),
        said: Vec::new(),
        complaint: None,
    };
    foreground.follow()?;
    foreground.lead()?;
    foreground.say(&format!(
        "staying: {} backends are checked; the datapath stays up when this ends",
        foreground.checks.count()
    ));
    // Whoever is no service manager has not asked for it.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    let ended = loop {
        if let Some(signal) = interruption.wait_until(Instant::now() + STEP) {
            break format!(
                "ended by signal {signal}: the datapath stays up as it is, and its health is checked no more"
            );
        }
        if !foreground.datapath.is_pinned() {
            break "the instance was taken down: there is nothing left to stay for".to_owned();
        }
        foreground.step();
    };
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
    drop(watch);
    foreground.say(&ended);
    Ok(())
}

struct Foreground {
    datapath: Datapath,
    json: bool,
    checks: Checks,
    /// What leads checks through tunnels, while some are to go there.
    tunnels: Option<Tunnels>,
    /// What is to be checked, as of `state_version`.
    checked: Vec<Checked>,
    state_version: Option<u64>,
    next_hops_due: Instant,
    rest_until: Instant,
    /// What was said of next hops last.
    said: Vec<String>,
    /// What went wrong last; it is said once.
    complaint: Option<String>,
}

impl Foreground {
    fn step(&mut self) {
        self.checks.count_outcomes();
        if Instant::now() >= self.rest_until {
            match self.keep_up().and_then(|()| self.judge()) {
                Ok(judged) => {
                    self.complaint = None;
                    for judged in &judged {
                        self.report(judged);
                    }
                }
                Err(error) => self.complain(&error),
            }
        }
        if Instant::now() >= self.next_hops_due {
            self.next_hops_due = Instant::now() + NEXT_HOPS;
            match self.keep_ways() {
                Ok(warnings) if warnings == self.said => {}
                Ok(warnings) => {
                    print::warnings(&warnings);
                    self.said = warnings;
                }
                Err(error) => self.complain(&error),
            }
        }
    }

    /// Reads what is to be checked, if that may have changed.
    fn keep_up(&mut self) -> Result<(), DatapathError> {
        let version = self.datapath.state_version()?;
        if self.state_version == Some(version) { Ok(()) } else { self.follow() }
    }

    fn follow(&mut self) -> Result<(), DatapathError> {
        let (checked, version) = self.datapath.checked()?;
        self.checked = checked;
        // What stands against it is said when the ways are looked at; what needs no tunnel is checked all the same.
        let _ = self.lead();
        self.checks.follow(&self.checked, self.tunnels.as_ref().map(Tunnels::connections));
        // An odd one is of a change that is not over.
        self.state_version = Some(version).filter(|version| version.is_multiple_of(2));
        Ok(())
    }

    /// Has what leads checks through tunnels where it is needed, and nowhere else; says where it could not be put.
    fn lead(&mut self) -> Result<Vec<DatapathError>, DatapathError> {
        if self.checked.iter().all(|checked| checked.tunnel.is_none()) {
            self.tunnels = None;
            return Ok(Vec::new());
        }
        let tunnels = match &mut self.tunnels {
            Some(tunnels) => tunnels,
            none => none.insert(Tunnels::load()?),
        };
        tunnels.follow(&self.datapath, &self.checked)
    }

    /// Keeps next hops, and what leads checks to them, as the kernel's routes are; says what stands against it.
    fn keep_ways(&mut self) -> Result<Vec<String>, DatapathError> {
        let mut warnings = self.datapath.refresh_next_hops()?;
        let failures = self.lead().unwrap_or_else(|error| vec![error]);
        warnings.extend(failures.iter().map(|error| in_words(error)));
        // Those that could not be led before begin.
        self.checks.follow(&self.checked, self.tunnels.as_ref().map(Tunnels::connections));
        Ok(warnings)
    }

    /// Does what follows from what the checks have found.
    fn judge(&mut self) -> Result<Vec<Judged>, DatapathError> {
        let mut done = Vec::new();
        for checked in &self.checked {
            let found = self.checks.found(checked);
            let verdicts: Vec<_> = found.iter().map(|found| found.verdict.clone()).collect();
            // The lock is for those who change something.
            if !consequences(&checked.service, &verdicts).is_empty() {
                done.extend(self.datapath.judge(&checked.service.name, &found)?);
            }
        }
        Ok(done)
    }

    /// Says what was judged. That a log is full is no reason to check no more.
    fn report(&self, judged: &Judged) {
        let Judged { changes, plan } = judged;
        if self.json {
            let changes = change_reports(changes.iter().map(|(change, _)| change), plan);
            if !changes.is_empty() {
                let _ = print::json(&ChangesReport { changes });
            }
            return;
        }
        for (place, (change, detail)) in changes.iter().enumerate() {
            let moved = if place == 0 {
                format!(
                    "; {} of {} slots moved, {} at least had to",
                    plan.moved, plan.table_size, plan.minimum
                )
            } else {
                String::new()
            };
            let (service, backend) = (&plan.service, change.backend());
            let _ = print::line(&format!("{service}: {backend} is {}: {detail}{moved}", change.action()));
        }
    }

    /// Says something for people alone.
    fn say(&self, words: &str) {
        if !self.json {
            let _ = print::line(words);
        }
    }

    /// Says what went wrong, once; it is tried again.
    fn complain(&mut self, error: &DatapathError) {
        let words = in_words(error);
        if self.complaint.as_ref() != Some(&words) {
            print::warnings(&[format!("{words}; this is tried again")]);
        }
        self.complaint = Some(words);
        self.state_version = None;
        self.rest_until = Instant::now() + PAUSE;
    }
}
