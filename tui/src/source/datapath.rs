//! A running datapath as a source: whatever the kernel's maps say.

mod trace;

use std::{error::Error, fs, net::SocketAddr, os::unix::fs::MetadataExt as _, time::Duration};

use maglev_core::{plan::Plan, sample::Sample, seed::HashSeed, service::Backend};
use maglev_lab::Namespace;
use maglev_probe::{Datapath, DatapathError, Instance, Interface, Request};

use super::{ChangeRequest, Checker, Identity, Source, SourceError, Trace};
use crate::failure::in_words;
use trace::DatapathTrace;

/// How often a look is worth its cost: about a millisecond for a table of 16,381 slots.
const INTERVAL: Duration = Duration::from_millis(500);

/// A running datapath, adopted anew whenever somebody has put another one in its place.
#[derive(Debug)]
pub struct DatapathSource {
    datapath: Datapath,
    /// What tells one life of the instance from the next, and its maps from others that took their place.
    pin: Option<(u64, i64, i64)>,
    attached: String,
    seed: Option<HashSeed>,
    spares: Vec<Backend>,
    /// Where the datapath is attached, if that is not where this thread is.
    namespace: Option<Namespace>,
}

impl DatapathSource {
    /// Adopts the datapath that runs as `instance`.
    ///
    /// # Errors
    ///
    /// When it is not running, or its maps are not those of this version.
    pub fn open(instance: &Instance) -> Result<Self, DatapathError> {
        let pin = pin_of(instance);
        let datapath = Datapath::open(instance)?;
        let mut source =
            Self { datapath, pin, attached: String::new(), seed: None, spares: Vec::new(), namespace: None };
        source.look_around();
        Ok(source)
    }

    /// The same, making changes from within the network namespace that the datapath is attached in: next hops are
    /// resolved there.
    #[must_use]
    pub fn within(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self.look_around();
        self
    }

    /// The same, with backends that can be added.
    #[must_use]
    pub fn with_spares(mut self, spares: Vec<Backend>) -> Self {
        self.spares = spares;
        self
    }

    /// Notes what does not change while an instance lives.
    fn look_around(&mut self) {
        let interfaces = self.there(|datapath| datapath.interfaces().unwrap_or_default());
        self.attached = attachments(&interfaces.unwrap_or_default());
        let services = self.datapath.services().unwrap_or_default();
        self.seed = services.first().map(|(_, seed)| *seed);
    }

    /// Makes sure that what is open is what is running.
    fn keep_up(&mut self) -> Result<(), SourceError> {
        let pin = pin_of(self.datapath.instance());
        if pin == self.pin {
            return Ok(());
        }
        // Gone, or another: opening it says which.
        self.datapath = Datapath::open(self.datapath.instance()).map_err(|error| told(&error))?;
        self.pin = pin;
        self.look_around();
        Ok(())
    }

    /// Runs `work` where the datapath is attached.
    fn there<T: Send>(&self, work: impl FnOnce(&Datapath) -> T + Send) -> Result<T, SourceError> {
        let datapath = &self.datapath;
        match &self.namespace {
            None => Ok(work(datapath)),
            Some(namespace) => namespace.run(|| work(datapath)).map_err(|error| told(&error)),
        }
    }
}

impl Source for DatapathSource {
    fn identity(&self) -> Identity {
        let read_only = (!self.datapath.is_writable())
            .then(|| "the pins may be read and not written by this user: changes are for root".to_owned());
        Identity {
            name: self.datapath.instance().name().to_owned(),
            attached: self.attached.clone(),
            simulated: false,
            read_only,
            pins: Some(self.datapath.pins()),
            interval: INTERVAL,
        }
    }

    fn sample(&mut self) -> Result<Sample, SourceError> {
        self.keep_up()?;
        self.datapath.sample().map_err(|error| told(&error))
    }

    fn plan(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        self.keep_up()?;
        self.there(|datapath| datapath.plan(&asked(request)))?.map_err(|error| told(&error))
    }

    fn execute(&mut self, request: &ChangeRequest) -> Result<Vec<Plan>, SourceError> {
        self.keep_up()?;
        let changed = self.there(|datapath| datapath.change(&asked(request)))?;
        changed.map(|changed| changed.plans).map_err(|error| told(&error))
    }

    fn spares(&self) -> Vec<Backend> {
        self.spares.clone()
    }

    fn checker(&self, sample: &Sample) -> Checker {
        if !sample.services.iter().any(|service| service.is_checked) {
            return Checker::Unknown;
        }
        match self.datapath.instance().find_watcher() {
            Ok(Some(process)) => Checker::Process(process),
            Ok(None) => Checker::Nobody,
            // A viewer may not look there.
            Err(_) => Checker::Unknown,
        }
    }

    fn seed(&self) -> Option<HashSeed> {
        self.seed
    }

    fn trace(&mut self, client: SocketAddr) -> Result<Box<dyn Trace>, SourceError> {
        let instance = self.datapath.instance().clone();
        Ok(Box::new(DatapathTrace::new(instance, self.namespace.clone(), client)))
    }
}

fn asked(request: &ChangeRequest) -> Request<'_> {
    Request {
        services: request.services.iter().map(|one| (one.service.as_str(), one.changes.as_slice())).collect(),
        force: request.force,
        state_version: request.state_version,
    }
}

/// The file that the pinned state is, another one after `down` and `up`; and when a pin beside it last changed.
fn pin_of(instance: &Instance) -> Option<(u64, i64, i64)> {
    let folder = instance.visible().ok()?;
    let (pin, beside) =
        (fs::metadata(folder.join("maps/meta")).ok()?, fs::metadata(folder.join("maps")).ok()?);
    Some((pin.ino(), beside.mtime(), beside.mtime_nsec()))
}

/// Where it is attached: `eth0 (native), eth1 (generic)`.
fn attachments(interfaces: &[Interface]) -> String {
    let words: Vec<String> = interfaces
        .iter()
        .map(|interface| match &interface.holder {
            Some(holder) => format!("{} ({})", interface.name, holder.mode),
            None if interface.index == 0 => "an interface that is gone".to_owned(),
            None => interface.name.clone(),
        })
        .collect();
    if words.is_empty() { "nowhere".to_owned() } else { words.join(", ") }
}

/// An error and its causes, and whether planning again helps.
fn told(error: &(dyn Error + 'static)) -> SourceError {
    let stale = matches!(error.downcast_ref(), Some(DatapathError::Stale { .. }));
    SourceError { message: in_words(error), stale }
}

#[cfg(test)]
mod tests {
    use maglev_probe::XdpHolder;

    use super::*;

    #[test]
    fn a_change_planned_on_another_state_is_stale() {
        let stale = told(&DatapathError::Stale { expected: 2, found: 4 });
        assert!(stale.stale && stale.message.contains("version 2, now 4"), "{stale:?}");
        let cause = std::io::Error::from(std::io::ErrorKind::TimedOut);
        let failed = told(&DatapathError::Call { attempted: "read the pins".to_owned(), error: cause });
        assert!(!failed.stale);
        assert_eq!(failed.message, "cannot read the pins: timed out");
    }

    #[test]
    fn interfaces_are_told_with_their_mode() {
        let interface = |name: &str, mode: Option<&'static str>| Interface {
            index: u32::from(mode.is_some()),
            name: name.to_owned(),
            mtu: 1500,
            hardware_address: [0; 6],
            holder: mode.map(|mode| XdpHolder { program: 1, name: "maglev".to_owned(), mode }),
        };
        let both = [interface("eth0", Some("native")), interface("#0", None)];
        assert_eq!(attachments(&both), "eth0 (native), an interface that is gone");
        assert_eq!(attachments(&[]), "nowhere");
    }
}
