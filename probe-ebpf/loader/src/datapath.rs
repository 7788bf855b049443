//! A running datapath: what is pinned, opened again.

use std::{io, net::IpAddr, path::PathBuf};

use maglev_core::{
    change::Change,
    config::Config,
    plan::Plan,
    rules::check_changes,
    sample::Sample,
    seed::HashSeed,
    service::{Forwarding, Service},
};

use crate::{
    error::DatapathError,
    instance::Instance,
    kernel::{Access, link_interface},
    maps::Maps,
    network::{Interface, NextHop, current_namespace, forget_neighbour, keep_neighbour, next_hop},
    record, sample,
    state::State,
    writer::{Note, Writer},
};

/// A running datapath, adopted from its pins. Dropping it changes nothing.
#[derive(Debug)]
pub struct Datapath {
    instance: Instance,
    maps: Maps,
    writable: bool,
}

/// What an operator asks of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The service's name or address.
    pub service: &'a str,
    /// What to do, in this order, as one change.
    pub changes: &'a [Change],
    /// Allow what leaves the service without an active backend.
    pub force: bool,
    /// The state version that it was planned on; another one in force is an error.
    pub state_version: Option<u64>,
}

/// What came of a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What it moved.
    pub plan: Plan,
    /// The state version from now on.
    pub state_version: u64,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

impl Datapath {
    /// Adopts what is pinned of `instance`: for reading and writing, or for reading alone where that is all that
    /// the pins allow.
    ///
    /// # Errors
    ///
    /// When it is not running, or its maps are not those of this version.
    pub fn open(instance: &Instance) -> Result<Self, DatapathError> {
        if !instance.exists() {
            return Err(DatapathError::not_running(instance));
        }
        let (maps, writable) = match Maps::open(&instance.maps(), Access::Write).map_err(DatapathError::from)
        {
            Err(error) if error.is_permission() => (Maps::open(&instance.maps(), Access::Read)?, false),
            maps => (maps?, true),
        };
        Ok(Self { instance: instance.clone(), maps, writable })
    }

    /// The instance.
    #[must_use]
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Whether this process may change it.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.writable
    }

    /// Reads everything there is to show.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn sample(&self) -> Result<Sample, DatapathError> {
        sample::read(&self.maps)
    }

    /// The services with their backends, by name, and the seed that their tables are filled with.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn services(&self) -> Result<Vec<(Service, HashSeed)>, DatapathError> {
        let state = State::read_settled(&self.maps)?;
        let mut services: Vec<_> =
            state.services.values().map(|service| (service.service.clone(), service.seed())).collect();
        services.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        Ok(services)
    }

    /// The service of that name or address, and its seed.
    ///
    /// # Errors
    ///
    /// When there is none, or a map cannot be read.
    pub fn service(&self, name: &str) -> Result<(Service, HashSeed), DatapathError> {
        let state = State::read_settled(&self.maps)?;
        state.service(name).map(|found| (found.service.clone(), found.seed()))
    }

    /// The interfaces that it is attached to, as far as they are in this network namespace, and how.
    ///
    /// # Errors
    ///
    /// When a pin cannot be read.
    pub fn interfaces(&self) -> Result<Vec<Interface>, DatapathError> {
        let at_home = self.is_at_home()?;
        let links = self.instance.links()?;
        Ok(links
            .iter()
            .filter_map(|link| link_interface(link).ok())
            .map(|index| {
                let found = if at_home { Interface::by_index(index).ok() } else { None };
                found.unwrap_or_else(|| Interface {
                    index,
                    name: format!("#{index}"),
                    mtu: 0,
                    hardware_address: [0; 6],
                    holder: None,
                })
            })
            .collect())
    }

    /// The folder of its pins.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.instance.folder().to_owned()
    }

    /// Says what a change would move, and changes nothing.
    ///
    /// # Errors
    ///
    /// When it does not fit the service as it is.
    pub fn plan(&self, request: &Request<'_>) -> Result<Plan, DatapathError> {
        let state = State::read_settled(&self.maps)?;
        self.plan_in(&state, request).map(|planned| planned.plan)
    }

    /// Makes a change, as a whole or not at all.
    ///
    /// # Errors
    ///
    /// When it does not fit the service as it is, or was planned on another state; or when the kernel refuses
    /// something half-way: then the next change, whoever makes it, finishes this one first.
    pub fn change(&self, request: &Request<'_>) -> Result<Changed, DatapathError> {
        let mut writer = Writer::begin(&self.instance, &self.maps)?;
        writer.require_version(request.state_version)?;
        let Planned { plan, target, mut warnings } = self.plan_in(writer.state(), request)?;
        let number = writer.state().service(request.service)?.number;
        let before = &writer.state().services[&number].service;
        let new: Vec<IpAddr> = addresses(std::slice::from_ref(&target), self.has_gateway()?)
            .into_iter()
            .filter(|address| !before.backends.iter().any(|backend| backend.address.ip() == *address))
            .collect();
        warnings.extend(self.keep_neighbours_of(&new)?);
        writer.set_backends(number, &target.backends, &notes(request.changes, &plan))?;
        let state_version = writer.state().meta.state_version;
        let gone: Vec<IpAddr> = request
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Remove(name) => plan.backends.iter().find(|row| row.name == *name),
                _ => None,
            })
            .map(|row| row.address.ip())
            .collect();
        self.forget_neighbours_of(&gone, writer.state());
        Ok(Changed { plan, state_version, warnings })
    }

    pub(crate) fn maps(&self) -> &Maps {
        &self.maps
    }

    pub(crate) fn set_settings(&self, config: &Config) -> Result<(), DatapathError> {
        Ok(self.maps.settings.set(&0, &record::settings(&config.datapath))?)
    }

    pub(crate) fn add_service(&self, service: &Service, seed: &HashSeed) -> Result<(), DatapathError> {
        let note = Note {
            action: "up",
            service: service.name.clone(),
            detail: format!("{} backends", service.backends.len()),
            ..Note::default()
        };
        Writer::begin(&self.instance, &self.maps)?.add_service(service, seed, &[note])
    }

    /// Has the kernel resolve the next hops of all backends that are sent to, and says which it knows no way to.
    pub(crate) fn keep_neighbours(&self, services: &[Service]) -> Vec<String> {
        self.has_gateway()
            .and_then(|has_gateway| self.keep_neighbours_of(&addresses(services, has_gateway)))
            .unwrap_or_else(|error| vec![format!("the backends' next hops are not kept resolved: {error}")])
    }

    pub(crate) fn forget_neighbours(&self) {
        let Ok(state) = State::read(&self.maps) else { return };
        let services: Vec<Service> = state.services.values().map(|service| service.service.clone()).collect();
        self.forget_neighbours_of(
            &addresses(&services, false),
            &State { services: std::collections::BTreeMap::new(), ..state },
        );
    }

    fn keep_neighbours_of(&self, addresses: &[IpAddr]) -> Result<Vec<String>, DatapathError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        if !self.is_at_home()? {
            return Ok(vec![format!(
                "instance {} is attached in another network namespace: the next hops of its new backends are not kept resolved from here",
                self.instance.name()
            )]);
        }
        let mut warnings = Vec::new();
        for &address in addresses {
            match next_hop(address) {
                Err(error) => warnings.push(format!(
                    "there is no route to backend {address} ({error}): its packets are dropped until there is"
                )),
                Ok(hop) => {
                    if let Err(error) = keep_neighbour(hop) {
                        warnings.push(not_resolved(hop, &error));
                    }
                }
            }
        }
        Ok(warnings)
    }

    /// Ends the resolving of next hops that no backend in `state` needs any more.
    pub(crate) fn forget_neighbours_of(&self, gone: &[IpAddr], state: &State) {
        if gone.is_empty() || !self.is_at_home().unwrap_or(false) {
            return;
        }
        let services: Vec<Service> = state.services.values().map(|service| service.service.clone()).collect();
        let needed: Vec<NextHop> =
            addresses(&services, false).into_iter().filter_map(|one| next_hop(one).ok()).collect();
        for hop in gone.iter().filter_map(|&address| next_hop(address).ok()) {
            if !needed.contains(&hop) {
                // A neighbour too many does no harm, and the change itself is made.
                let _ = forget_neighbour(hop);
            }
        }
    }

    fn has_gateway(&self) -> Result<bool, DatapathError> {
        Ok(self.maps.settings.get(&0)?.unwrap_or_default().has_gateway != 0)
    }

    fn plan_in(&self, state: &State, request: &Request<'_>) -> Result<Planned, DatapathError> {
        let found = state.service(request.service)?;
        let (plan, target) = Plan::of_changes(&found.service, request.changes, &found.seed(), request.force)?;
        let settings = record::datapath(&self.maps.settings.get(&0)?.unwrap_or_default());
        let warnings = check_changes(request.changes, &target, &settings).map_err(DatapathError::Rules)?;
        Ok(Planned { plan, target, warnings: warnings.iter().map(ToString::to_string).collect() })
    }

    /// Whether the calling thread is in the network namespace that the datapath is attached in.
    pub(crate) fn is_at_home(&self) -> Result<bool, DatapathError> {
        let here = current_namespace()
            .map_err(|error| DatapathError::of_io("look at the network namespace", error))?;
        Ok(self.maps.meta.get(&0)?.is_some_and(|meta| meta.network_namespace == here))
    }
}

/// A change that fits.
struct Planned {
    plan: Plan,
    target: Service,
    warnings: Vec<String>,
}

/// What goes on record: an event a change; what they moved together stands with the first.
pub(crate) fn notes(changes: &[Change], plan: &Plan) -> Vec<Note> {
    changes
        .iter()
        .enumerate()
        .map(|(place, change)| Note {
            action: change.action(),
            service: plan.service.clone(),
            backend: change.backend().to_owned(),
            detail: match change {
                Change::Add(backend) => format!("{} weight {}", backend.address, backend.weight),
                Change::SetWeight(_, weight) => format!("to {weight}"),
                Change::Drain(_) | Change::Undrain(_) | Change::Remove(_) => String::new(),
            },
            moved: if place == 0 { plan.moved } else { 0 },
            minimum: if place == 0 { plan.minimum } else { 0 },
        })
        .collect()
}

/// Whether the way to a service's backends is the kernel's to tell: a gateway takes what is tunnelled alone.
const fn asks_the_kernel(forwarding: Forwarding, has_gateway: bool) -> bool {
    match forwarding {
        Forwarding::Observe => false,
        Forwarding::L2 => true,
        Forwarding::Ipip => !has_gateway,
    }
}

/// The addresses that the kernel tells the way to.
pub(crate) fn addresses(services: &[Service], has_gateway: bool) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = services
        .iter()
        .filter(|service| asks_the_kernel(service.forwarding, has_gateway))
        .flat_map(|service| service.backends.iter().map(|backend| backend.address.ip()))
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

fn not_resolved(hop: NextHop, error: &io::Error) -> String {
    format!(
        "next hop {} is not kept resolved ({error}): `ip neigh replace {} dev IF managed` does it",
        hop.neighbour, hop.neighbour
    )
}
