//! Everything that is looked at, once, before anything is judged.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use maglev_core::{
    config::{AttachMode, Config},
    service::{Forwarding, Service},
};
use maglev_probe::{
    Datapath, DatapathError, Instance,
    survey::{Device, Machine, Origin, Pins, Trial, Way},
};

use super::super::{Context, config};
use crate::{
    cli::Doctor,
    failure::{Failure, in_words},
};

/// How long drops are watched.
const WATCH: Duration = Duration::from_millis(500);

/// More interfaces than these are not listed where none is named.
const MOST_CANDIDATES: usize = 8;

/// Everything that was looked at.
pub(super) struct Scene {
    pub(super) machine: Machine,
    /// The program, loaded and let go; `None` where this process may not.
    pub(super) trial: Option<Result<Trial, String>>,
    /// What is pinned of every instance, or why that is not known.
    pub(super) pins: Result<Vec<Pinned>, String>,
    /// What is there or to be there.
    pub(super) subjects: Vec<Subject>,
    /// The interfaces of this network namespace.
    pub(super) devices: Vec<Device>,
    /// The ways to the backends and service addresses.
    pub(super) ways: BTreeMap<IpAddr, Result<Way, String>>,
}

/// An instance and what is pinned of it, or why that is not known.
pub(super) struct Pinned {
    pub(super) name: String,
    pub(super) pins: Result<Pins, String>,
}

/// Why something is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is up.
    Running,
    /// It is to be brought up.
    Planned,
    /// It might be: nothing was named.
    Candidate,
    /// It is elsewhere, and this host is one of its backends.
    BackendEnd,
}

/// A datapath that is there, or is to be.
pub(super) struct Subject {
    /// What it is called: an instance or a file.
    pub(super) name: String,
    pub(super) standing: Standing,
    /// The names of its interfaces.
    pub(super) interfaces: Vec<String>,
    pub(super) attach_mode: AttachMode,
    /// Whether tunnelled packets go to a fixed hardware address.
    pub(super) has_gateway: bool,
    /// What is the same for all services; it tells where outer headers come from.
    settings: maglev_core::config::Datapath,
    pub(super) services: Vec<Service>,
    /// Packets by verdict, when looking began and when it ended; empty where it does not run.
    pub(super) verdicts: Vec<(&'static str, u64, u64)>,
    datapath: Option<Datapath>,
}

impl Subject {
    fn new(name: String, standing: Standing) -> Self {
        Self {
            name,
            standing,
            interfaces: Vec::new(),
            attach_mode: AttachMode::Auto,
            has_gateway: false,
            settings: maglev_core::config::Datapath::default(),
            services: Vec::new(),
            verdicts: Vec::new(),
            datapath: None,
        }
    }

    /// What a configuration calls for.
    fn of_config(name: String, standing: Standing, config: Config) -> Self {
        Self {
            interfaces: config.datapath.interfaces.clone(),
            attach_mode: config.datapath.attach_mode,
            has_gateway: config.datapath.gateway_mac.is_some(),
            settings: config.datapath,
            services: config.services,
            ..Self::new(name, standing)
        }
    }

    /// A running instance.
    fn of_instance(instance: &Instance) -> Result<Self, DatapathError> {
        let datapath = Datapath::open(instance)?;
        let config = datapath.config()?;
        let subject = Self::of_config(instance_name(instance), Standing::Running, config);
        Ok(Self { datapath: Some(datapath), ..subject })
    }

    fn verdicts_now(&self) -> Vec<(&'static str, u64)> {
        let sample = self.datapath.as_ref().and_then(|datapath| datapath.sample().ok());
        sample.map(|sample| sample.verdicts).unwrap_or_default()
    }

    /// Its backends that packets are sent to, each once with its service.
    pub(super) fn legs(&self) -> Vec<(&Service, IpAddr)> {
        let mut legs: Vec<_> = self
            .services
            .iter()
            .filter(|service| service.forwarding != Forwarding::Observe)
            .flat_map(|service| service.backends.iter().map(move |backend| (service, backend.address.ip())))
            .collect();
        legs.sort_by_key(|(service, address)| (*address, service.name.clone()));
        legs.dedup_by_key(|(service, address)| (*address, service.name.clone()));
        legs
    }

    /// The addresses of its services and of its backends.
    fn addresses(&self) -> Vec<IpAddr> {
        let services = self.services.iter().map(|service| service.address.ip());
        services.chain(self.legs().into_iter().map(|(_, address)| address)).collect()
    }

    /// Where the packets come from that it sends on.
    fn origin(&self, devices: &[Device]) -> Origin {
        let indexes = devices
            .iter()
            .filter(|device| self.interfaces.contains(&device.interface.name))
            .map(|device| device.interface.index)
            .collect();
        Origin::of_settings(indexes, &self.settings)
    }

    /// The addresses that the kernel is asked the way to, with one of the services each.
    pub(super) fn routed(&self) -> BTreeMap<IpAddr, &Service> {
        let asks = |service: &Service| service.forwarding == Forwarding::L2 || !self.has_gateway;
        self.legs()
            .into_iter()
            .filter(|(service, _)| asks(service))
            .map(|(service, to)| (to, service))
            .collect()
    }
}

impl Scene {
    /// Looks at everything. What may not be looked at is left out.
    ///
    /// # Errors
    ///
    /// When the configuration is wrong, or an instance is named that is not there.
    pub(super) fn look(context: &Context<'_>, words: &Doctor) -> Result<Self, Failure> {
        let begun = Instant::now();
        let instances = Instance::all();
        let mut subjects = subjects(context, words, instances.as_deref().unwrap_or_default())?;
        let before: Vec<_> = subjects.iter().map(Subject::verdicts_now).collect();
        let machine = Machine::look().map_err(|error| Failure::of(&error))?;
        let devices = Device::all().map_err(|error| Failure::of(&error))?;
        if subjects.is_empty() {
            subjects.push(Subject {
                interfaces: candidates(&devices),
                ..Subject::new("this host".to_owned(), Standing::Candidate)
            });
        }
        let ways: BTreeMap<IpAddr, Result<Way, String>> = subjects
            .iter()
            .flat_map(|subject| {
                let origin = subject.origin(&devices);
                let way = move |address| Way::to(address, &origin).map_err(|error| error.to_string());
                subject.addresses().into_iter().map(move |address| (address, way(address)))
            })
            .collect();
        for subject in subjects.iter_mut().filter(|subject| subject.standing == Standing::Planned) {
            let is_here = |address: &IpAddr| matches!(ways.get(address), Some(Ok(way)) if way.is_local);
            if subject.legs().iter().any(|(_, address)| is_here(address)) {
                subject.standing = Standing::BackendEnd;
            }
        }
        let trial = machine.capabilities.may_load().then(|| Trial::load().map_err(|error| in_words(&error)));
        let pins = match &instances {
            Err(error) => Err(in_words(error)),
            Ok(instances) => Ok(instances.iter().map(Pinned::look).collect()),
        };
        if subjects.iter().any(|subject| subject.datapath.is_some()) {
            thread::sleep(WATCH.saturating_sub(begun.elapsed()));
        }
        for (subject, before) in subjects.iter_mut().zip(before) {
            let after: BTreeMap<_, _> = subject.verdicts_now().into_iter().collect();
            subject.verdicts = before
                .into_iter()
                .map(|(word, count)| (word, count, after.get(word).copied().unwrap_or(count)))
                .collect();
        }
        Ok(Self { machine, trial, pins, subjects, devices, ways })
    }

    /// The interface of that name.
    pub(super) fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.interface.name == name)
    }

    /// The interface of that index.
    pub(super) fn device_at(&self, index: u32) -> Option<&Device> {
        self.devices.iter().find(|device| device.interface.index == index)
    }

    /// What is pinned, as far as it is known.
    pub(super) fn known_pins(&self) -> impl Iterator<Item = &Pins> {
        self.pins.iter().flatten().filter_map(|pinned| pinned.pins.as_ref().ok())
    }

    /// The instance whose program that is.
    pub(super) fn instance_of_program(&self, id: u32) -> Option<&Pins> {
        self.known_pins().find(|pins| pins.links.iter().any(|link| link.program == id))
    }
}

impl Pinned {
    fn look(instance: &Instance) -> Self {
        Self { name: instance_name(instance), pins: Pins::look(instance).map_err(|error| in_words(&error)) }
    }
}

/// What is there, or is to be: what is named or, where nothing is, all that runs.
fn subjects(context: &Context<'_>, words: &Doctor, instances: &[Instance]) -> Result<Vec<Subject>, Failure> {
    let named = &context.instance;
    let is_there = instances.contains(named);
    if !is_there && named.name() != Instance::DEFAULT && words.config.is_none() && words.interfaces.is_empty()
    {
        // The error says which there are.
        return Err(Datapath::open(named).map_or_else(Failure::from, |_| Failure::Fault));
    }
    let mut subjects = Vec::new();
    if let Some(path) = &words.config {
        let standing = if is_there { Standing::Running } else { Standing::Planned };
        let config = config::read(path)?;
        subjects.push(Subject::of_config(path.display().to_string(), standing, config));
    } else {
        // What cannot be read is told where the pins are judged.
        let readable = |instance: &Instance| Subject::of_instance(instance).ok();
        if is_there {
            subjects.extend(readable(named));
        } else if words.interfaces.is_empty() {
            subjects.extend(instances.iter().filter_map(readable));
        }
    }
    if !words.interfaces.is_empty() {
        if subjects.is_empty() {
            subjects.push(Subject::new("this host".to_owned(), Standing::Planned));
        }
        subjects[0].interfaces.clone_from(&words.interfaces);
    }
    Ok(subjects)
}

/// The interfaces that packets could come in by.
fn candidates(devices: &[Device]) -> Vec<String> {
    devices
        .iter()
        .filter(|device| device.is_running && !device.is_loopback)
        .map(|device| device.interface.name.clone())
        .take(MOST_CANDIDATES)
        .collect()
}

fn instance_name(instance: &Instance) -> String {
    format!("instance {}", instance.name())
}
