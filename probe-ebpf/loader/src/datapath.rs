//! A running datapath: what is pinned, opened again.

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use maglev_core::{
    change::Change,
    config::{AttachMode, Config},
    plan::Plan,
    rules::{ROW_SLOTS, check_changes},
    sample::Sample,
    seed::HashSeed,
    service::{Backend, Forwarding, Service},
};
use maglev_probe_abi::{Meta, PHASE_ENDING, PHASE_RUNNING};

use crate::{
    error::DatapathError,
    instance::Instance,
    kernel::{Access, link_info},
    maps::Maps,
    network::{
        Interface, NextHop, current_namespace, forget_neighbour, keep_neighbour, kept_neighbours, next_hops,
    },
    record,
    replace::missing,
    sample,
    state::{State, meta_of},
    up::require_forwarding,
    writer::{Note, Target, Writer},
};

/// A running datapath, adopted from its pins. Dropping it changes nothing.
#[derive(Debug)]
pub struct Datapath {
    instance: Instance,
    /// Where its maps were opened.
    folder: PathBuf,
    maps: Maps,
    writable: bool,
}

/// What an operator asks of services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Each service, by name or address, and what to do to it in this order; all of it is one change. A service stands
    /// here once.
    pub services: Vec<(&'a str, &'a [Change])>,
    /// Allow what leaves a service without an active backend.
    pub force: bool,
    /// The state version that it was planned on; another one in force is an error.
    pub state_version: Option<u64>,
}

impl<'a> Request<'a> {
    /// A request to one service.
    #[must_use]
    pub fn of(service: &'a str, changes: &'a [Change]) -> Self {
        Self { services: vec![(service, changes)], ..Self::default() }
    }
}

/// What came of a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What it moved, in each service that was named.
    pub plans: Vec<Plan>,
    /// The state version from now on.
    pub state_version: u64,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// One look at a running datapath: all of it is of one moment, or the sample's state version is odd.
#[derive(Clone, Debug)]
pub struct Look {
    /// What there is to show.
    pub sample: Sample,
    /// The services with their backends, by name, and the seeds of their tables.
    pub services: Vec<(Service, HashSeed)>,
}

/// A backend that is a given machine, and the service that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The service's name.
    pub service: String,
    /// The backend.
    pub backend: Backend,
}

impl Datapath {
    /// Adopts what is pinned of `instance`: for reading and writing, or for reading alone where that is all that
    /// the pins allow.
    ///
    /// # Errors
    ///
    /// When it is not running, or its maps are not those of this version.
    pub fn open(instance: &Instance) -> Result<Self, DatapathError> {
        let datapath = Self::open_in_any_phase(instance)?;
        match State::read_meta(&datapath.maps) {
            Ok(Meta { phase: PHASE_RUNNING, .. }) => Ok(datapath),
            // Its maps are there, and nothing was written yet.
            Ok(_) | Err(DatapathError::Schema { found: 0, .. }) => {
                Err(DatapathError::HalfWay(instance.name().to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// The same, of an instance that may be half up.
    pub(crate) fn open_in_any_phase(instance: &Instance) -> Result<Self, DatapathError> {
        let folder = instance.visible()?;
        let (maps, writable) = match open_maps(&folder, Access::Write) {
            Err(error) if error.is_permission() => (open_maps(&folder, Access::Read), false),
            maps => (maps, true),
        };
        let maps = maps.map_err(|error| missing(error, &folder, instance.name()))?;
        Ok(Self { instance: instance.clone(), folder, maps, writable })
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
        sample::read(&self.maps).map(|(sample, _)| sample)
    }

    /// Reads everything there is to show, and the services and seeds that it was read with.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn look(&self) -> Result<Look, DatapathError> {
        let (sample, state) = sample::read(&self.maps)?;
        Ok(Look { sample, services: state.services_by_name() })
    }

    /// The backends that are the machine of that address, in every service; and the state version of that.
    ///
    /// # Errors
    ///
    /// When there is none, or a map cannot be read.
    pub fn machine(&self, address: IpAddr) -> Result<(Vec<Placement>, u64), DatapathError> {
        let state = State::read_settled(&self.maps)?;
        let placements: Vec<Placement> = state
            .services_by_name()
            .into_iter()
            .flat_map(|(service, _)| {
                let name = service.name;
                let of_machine = move |backend: &Backend| backend.address.ip() == address;
                service
                    .backends
                    .into_iter()
                    .filter(of_machine)
                    .map(move |backend| Placement { service: name.clone(), backend })
            })
            .collect();
        if placements.is_empty() {
            return Err(DatapathError::NoSuchMachine(address));
        }
        Ok((placements, state.meta.state_version))
    }

    /// The running state as a configuration: applied again, it changes nothing.
    ///
    /// # Errors
    ///
    /// When a map or a pin cannot be read.
    pub fn config(&self) -> Result<Config, DatapathError> {
        let state = State::read_settled(&self.maps)?;
        let at_home = self.is_at_home()?;
        let interfaces: Vec<Interface> = self
            .links()?
            .into_iter()
            .filter_map(|index| if at_home { Interface::by_index(index).ok() } else { None })
            .collect();
        let modes: BTreeSet<&str> = interfaces
            .iter()
            .filter_map(|interface| interface.holder.as_ref().map(|holder| holder.mode))
            .collect();
        let attach_mode = match modes.into_iter().collect::<Vec<_>>()[..] {
            ["native"] => AttachMode::Native,
            ["generic"] => AttachMode::Generic,
            _ => AttachMode::Auto,
        };
        let services = state.services_by_name();
        Ok(Config {
            seed: services.first().map_or_else(HashSeed::default, |(_, seed)| *seed),
            datapath: maglev_core::config::Datapath {
                interfaces: interfaces.into_iter().map(|interface| interface.name).collect(),
                attach_mode,
                max_slots: state.meta.rows.saturating_mul(ROW_SLOTS),
                ..self.settings()?
            },
            services: services.into_iter().map(|(service, _)| service).collect(),
        })
    }

    /// The services with their backends, by name, and the seed that their tables are filled with.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn services(&self) -> Result<Vec<(Service, HashSeed)>, DatapathError> {
        Ok(State::read_settled(&self.maps)?.services_by_name())
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
        Ok(self
            .links()?
            .into_iter()
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

    /// The folder of the pins that it was opened by: a viewer's are others than root's.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.folder.clone()
    }

    /// The indexes of the interfaces that it is attached to; 0 for one that is gone.
    pub(crate) fn links(&self) -> Result<Vec<u32>, DatapathError> {
        // A link cannot be opened for reading alone: viewers go by its name.
        let by_name = |link: &Path| link.file_name()?.to_str()?.strip_prefix("link-")?.parse().ok();
        let links = Instance::links_in(&self.folder)?;
        Ok(links
            .iter()
            .filter_map(|link| link_info(link).map(|info| info.interface).ok().or_else(|| by_name(link)))
            .collect())
    }

    /// Refuses a change where this user may only look.
    pub(crate) fn require_writable(&self) -> Result<(), DatapathError> {
        if self.writable { Ok(()) } else { Err(DatapathError::ReadOnly(self.instance.name().to_owned())) }
    }

    /// Says what a change would move in each service, and changes nothing.
    ///
    /// # Errors
    ///
    /// When it does not fit the services as they are.
    pub fn plan(&self, request: &Request<'_>) -> Result<Vec<Plan>, DatapathError> {
        let state = State::read_settled(&self.maps)?;
        let planned = self.plan_in(&state, request)?;
        Ok(planned.into_iter().map(|planned| planned.plan).collect())
    }

    /// Makes a change, as a whole or not at all.
    ///
    /// # Errors
    ///
    /// When it does not fit the services as they are, or was planned on another state: then nothing has changed. When
    /// the kernel refuses something half-way: then the error says what holds.
    pub fn change(&self, request: &Request<'_>) -> Result<Changed, DatapathError> {
        self.require_writable()?;
        let mut writer = Writer::begin(&self.instance, &self.maps)?;
        writer.require_version(request.state_version)?;
        let planned = self.plan_in(writer.state(), request)?;
        let mut warnings: Vec<String> = planned.iter().flat_map(|one| one.warnings.clone()).collect();

        let has_gateway = self.has_gateway()?;
        let before = writer.state().addresses(has_gateway);
        let targets: Vec<Service> = planned.iter().map(|one| one.target.clone()).collect();
        let new: Vec<IpAddr> = addresses(&targets, has_gateway)
            .into_iter()
            .filter(|address| !before.contains(address))
            .collect();
        self.require_forwarding(&new)?;
        // So that they are resolved by the time that the first packet is sent there.
        warnings.extend(self.keep_neighbours_of(&new)?);
        let notes: Vec<Note> = planned
            .iter()
            .zip(&request.services)
            .flat_map(|(planned, (_, changes))| notes(changes, &planned.plan))
            .collect();
        let targets: Vec<Target<'_>> = planned
            .iter()
            .map(|one| Target { number: one.number, backends: &one.target.backends, configured: None })
            .collect();
        writer.set_backends(&targets, &notes)?;
        let state_version = writer.state().meta.state_version;

        // Whoever came between, with another instance, did not know yet that they are needed.
        self.keep_neighbours_of(&new)?;
        self.forget_neighbours();
        let plans = planned.into_iter().map(|planned| planned.plan).collect();
        Ok(Changed { plans, state_version, warnings })
    }

    pub(crate) fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The part of a configuration that is the same for all services, as far as the maps have it.
    pub(crate) fn settings(&self) -> Result<maglev_core::config::Datapath, DatapathError> {
        Ok(record::datapath(&self.maps.settings.get(&0)?.unwrap_or_default()))
    }

    pub(crate) fn set_settings(&self, config: &Config) -> Result<(), DatapathError> {
        Ok(self.maps.settings.set(&0, &record::settings(&config.datapath))?)
    }

    /// Writes down that it is being taken down; the instance's lock is held.
    pub(crate) fn say_ending(&self) -> Result<(), DatapathError> {
        let meta = State::read_meta(&self.maps)?;
        Ok(self.maps.meta.set(&0, &Meta { phase: PHASE_ENDING, ..meta })?)
    }

    /// Has the kernel resolve the next hops of all backends that are sent to, and says which it knows no way to.
    /// Refuses backends that the kernel would tell no way to, where that can be seen from here.
    pub(crate) fn require_forwarding(&self, addresses: &[IpAddr]) -> Result<(), DatapathError> {
        if addresses.is_empty() || !self.is_at_home()? {
            return Ok(());
        }
        self.interfaces()?.iter().try_for_each(|interface| require_forwarding(addresses, interface))
    }

    pub(crate) fn keep_neighbours(&self, services: &[Service], has_gateway: bool) -> Vec<String> {
        self.keep_neighbours_of(&addresses(services, has_gateway))
            .unwrap_or_else(|error| vec![format!("the backends' next hops are not kept resolved: {error}")])
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
        let origin = self.origin()?;
        let mut warnings = Vec::new();
        for &address in addresses {
            match next_hops(address, &origin) {
                Err(error) => warnings.push(format!(
                    "there is no route to backend {address} ({error}): its packets are dropped until there is"
                )),
                Ok(hops) => {
                    for hop in hops {
                        if let Err(error) = keep_neighbour(hop) {
                            warnings.push(not_resolved(hop, &error));
                        }
                    }
                }
            }
        }
        Ok(warnings)
    }

    /// Ends the resolving of next hops that no backend of any instance needs any more.
    pub(crate) fn forget_neighbours(&self) {
        if self.is_at_home().unwrap_or(false) {
            // A neighbour too many does no harm, and the change itself is made.
            let _ = forget_unneeded_neighbours(None);
        }
    }

    pub(crate) fn has_gateway(&self) -> Result<bool, DatapathError> {
        Ok(self.settings()?.gateway_mac.is_some())
    }

    fn plan_in(&self, state: &State, request: &Request<'_>) -> Result<Vec<Planned>, DatapathError> {
        let settings = self.settings()?;
        request
            .services
            .iter()
            .map(|&(service, changes)| {
                let found = state.service(service)?;
                let (plan, target) = Plan::of_changes(&found.service, changes, &found.seed(), request.force)?;
                let warnings = check_changes(changes, &target, &settings).map_err(DatapathError::Rules)?;
                let warnings = warnings.iter().map(ToString::to_string).collect();
                Ok(Planned { number: found.number, plan, target, warnings })
            })
            .collect()
    }

    /// Whether the calling thread is in the network namespace that the datapath is attached in.
    pub(crate) fn is_at_home(&self) -> Result<bool, DatapathError> {
        let here = current_namespace()
            .map_err(|error| DatapathError::of_io("look at the network namespace", error))?;
        Ok(self.maps.meta.get(&0)?.is_some_and(|meta| meta.network_namespace == here))
    }
}

/// Opens the maps in a folder of pins; the one that says whose version's they are comes first.
fn open_maps(folder: &Path, access: Access) -> Result<Maps, DatapathError> {
    let folder = folder.join("maps");
    match meta_of(&folder, access) {
        // Nothing was written yet.
        Ok(_) | Err(DatapathError::Schema { found: 0, .. }) => Ok(Maps::open(&folder, access)?),
        Err(error) => Err(error),
    }
}

/// A change that fits.
struct Planned {
    number: u32,
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
                Change::Drain(_) | Change::Undrain(_) | Change::Remove(_) | Change::SetHealth(..) => {
                    String::new()
                }
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

/// Ends the resolving of next hops, in the calling thread's network namespace, that no instance needs; `ending` is one
/// that needs none any more.
pub(crate) fn forget_unneeded_neighbours(ending: Option<&Instance>) -> Result<(), DatapathError> {
    let failed = |error| DatapathError::of_io("look at the neighbours", error);
    // First those that are kept, then those that are needed: one that comes between is not touched.
    let kept = kept_neighbours().map_err(failed)?;
    if kept.is_empty() {
        return Ok(());
    }
    let mut needed: Vec<NextHop> = Vec::new();
    for instance in Instance::all()? {
        if Some(&instance) == ending {
            continue;
        }
        let datapath = match Datapath::open_in_any_phase(&instance) {
            // It has no maps yet, or none any more, and so no neighbours.
            Err(DatapathError::HalfWay(_) | DatapathError::NotRunning { .. }) => continue,
            // Another version's to read; attached in another namespace it needs none of these.
            Err(_) if !is_attached_here(&instance) => continue,
            datapath => datapath?,
        };
        if datapath.is_at_home()? {
            let state = match State::read_settled(&datapath.maps) {
                Err(DatapathError::Schema { found: 0, .. }) => continue,
                state => state?,
            };
            let origin = datapath.origin()?;
            let addresses = state.addresses(datapath.has_gateway()?);
            needed.extend(
                addresses.into_iter().filter_map(|address| next_hops(address, &origin).ok()).flatten(),
            );
        }
    }
    for hop in kept.into_iter().filter(|hop| !needed.contains(hop)) {
        forget_neighbour(hop).map_err(failed)?;
    }
    Ok(())
}

/// Whether an interface of the calling thread's network namespace has the instance's program, whoever can read its maps.
fn is_attached_here(instance: &Instance) -> bool {
    let links = instance.links().unwrap_or_default();
    links.iter().filter_map(|link| link_info(link).ok()).any(|link| {
        Interface::by_index(link.interface)
            .is_ok_and(|found| found.holder.is_some_and(|holder| holder.program == link.program))
    })
}

fn not_resolved(hop: NextHop, error: &io::Error) -> String {
    format!(
        "next hop {} is not kept resolved ({error}): `ip neigh replace {} dev IF managed` does it",
        hop.neighbour, hop.neighbour
    )
}
