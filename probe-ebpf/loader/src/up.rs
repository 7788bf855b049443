//! Bringing a datapath up, and taking it down.

use std::{
    fs,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use aya::Ebpf;
use maglev_core::config::Config;
use maglev_probe_abi::{self as abi, ROW_WORDS};

use crate::{
    attach::{attach, aya_error, require_free},
    bpffs::ensure_mounted,
    datapath::{Datapath, addresses, forget_unneeded_neighbours},
    error::DatapathError,
    instance::Instance,
    kernel::{Access, link_info, locked_bytes, possible_processors},
    load::{self, Sizes, balancer},
    maps::Maps,
    network::{Interface, current_namespace},
    object,
    replace::{Replacement, replace_program},
    viewers,
    writer::{Note, Writer},
};

/// What came of bringing a datapath up.
#[derive(Clone, Debug)]
pub struct Started {
    /// How it began.
    pub beginning: Beginning,
    /// The interfaces that it is attached to, and how.
    pub interfaces: Vec<(String, &'static str)>,
    /// How many services it has.
    pub services: usize,
    /// How much memory its maps lock, in bytes.
    pub locked_bytes: u64,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// How a datapath that is up came to be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It was brought up.
    New,
    /// It was up, and has this version's program now; its services and connections go on, and the configuration was
    /// not applied.
    Replaced(Replacement),
    /// It was up, and only the viewers' pins are new.
    Running,
}

/// Loads, attaches and pins a datapath as `config` says. Either all of it is there afterwards, or nothing. What was cut
/// short in being brought up or taken down is cleared away first. One that is up already with another version's program
/// gets this version's, and keeps everything else.
///
/// # Errors
///
/// When it cannot be brought up; then nothing was left behind, and what ran runs as before.
pub fn up(instance: &Instance, config: &Config) -> Result<Started, DatapathError> {
    up_with_viewers(instance, config, None)
}

/// The same, with a group, by number, that may read the datapath without being root.
///
/// # Errors
///
/// As [`up`].
pub fn up_with_viewers(
    instance: &Instance,
    config: &Config,
    viewers: Option<u32>,
) -> Result<Started, DatapathError> {
    if config.datapath.interfaces.is_empty() {
        return Err(DatapathError::NoInterface);
    }
    instance.require_not_a_viewers()?;
    if instance.exists() {
        // What is left of it may hold the interfaces.
        let _others_wait = Instance::lock_all()?;
        if let Some(running) = take_over(instance, config, viewers)? {
            return Ok(running);
        }
    }
    let interfaces =
        config.datapath.interfaces.iter().map(|name| require_free(name)).collect::<Result<Vec<_>, _>>()?;
    let asked_for = addresses(&config.services, config.datapath.gateway_mac.is_some());
    for interface in &interfaces {
        require_forwarding(&asked_for, interface)?;
    }
    ensure_mounted()?;
    let _others_wait = Instance::lock_all()?;
    if let Some(running) = take_over(instance, config, viewers)? {
        return Ok(running);
    }
    let result = start(instance, config, &interfaces, viewers);
    if result.is_err() {
        // The error at hand is the one to tell. Where not even the folder was made, its parent is to go.
        let _ = clear_away(instance).or_else(|_| instance.remove_pins());
    }
    result
}

/// Clears away what is left of an instance that was cut short, or gives one that runs this version's program. The lock
/// on all instances is held.
fn take_over(
    instance: &Instance,
    config: &Config,
    viewers: Option<u32>,
) -> Result<Option<Started>, DatapathError> {
    if !instance.exists() {
        viewers::dismiss(instance)?;
        return Ok(None);
    }
    let found = Datapath::open(instance);
    // Whoever brought it up or took it down would hold the lock that is held here. One without links gets no packet.
    if matches!(found, Err(DatapathError::HalfWay(_))) || instance.links()?.is_empty() {
        clear_away(instance)?;
        return Ok(None);
    }
    drop(found);
    let replaced = replace_program(instance)?;
    let datapath = Datapath::open(instance)?;
    let mut warnings = Vec::new();
    let beginning = match replaced {
        None if viewers.is_none() => return Err(DatapathError::AlreadyRunning(instance.name().to_owned())),
        None => Beginning::Running,
        Some(mut replacement) => {
            warnings.append(&mut replacement.warnings);
            Beginning::Replaced(replacement)
        }
    };
    let interfaces = datapath.interfaces()?;
    match viewers {
        Some(group) => {
            let indexes: Vec<u32> = interfaces.iter().map(|interface| interface.index).collect();
            viewers::admit(instance, group, &indexes)?;
        }
        None => warnings.extend(
            viewers::keep_up(instance)
                .err()
                .map(|error| format!("the viewers see less than there is: {error}")),
        ),
    }
    if datapath.plan_apply(config, false).is_ok_and(|plan| !plan.is_as_configured()) {
        warnings.push(
            "what runs is not what the configuration says: `maglev-top apply --config FILE` shows where, and changes it"
                .to_owned(),
        );
    }
    Ok(Some(Started {
        beginning,
        interfaces: interfaces
            .into_iter()
            .map(|found| (found.name, found.holder.map_or("attached", |holder| holder.mode)))
            .collect(),
        services: datapath.services()?.len(),
        locked_bytes: locked(instance)?,
        warnings,
    }))
}

fn start(
    instance: &Instance,
    config: &Config,
    interfaces: &[Interface],
    viewers: Option<u32>,
) -> Result<Started, DatapathError> {
    fs::create_dir_all(instance.maps())
        .map_err(|error| DatapathError::of_io("create the folder of pins", error))?;
    let mut ebpf = make(instance, config)?;
    let datapath = Datapath::open_in_any_phase(instance)?;
    datapath.set_settings(config)?;
    let mut writer = Writer::begin_in_any_phase(instance, datapath.maps())?;
    writer.require_room(&[], &config.services)?;
    for service in &config.services {
        let note = Note {
            action: "up",
            service: service.name.clone(),
            detail: format!("{} backends", service.backends.len()),
            ..Note::default()
        };
        writer.add_service(service, &service.backends, &config.seed, &[note])?;
    }
    if let Some(group) = viewers {
        let indexes: Vec<u32> = interfaces.iter().map(|interface| interface.index).collect();
        viewers::admit(instance, group, &indexes)?;
    }
    let program = balancer(&mut ebpf)?;
    let attached = interfaces
        .iter()
        .map(|interface| {
            let mode =
                attach(program, interface, config.datapath.attach_mode, &instance.link(interface.index))?;
            Ok((interface.name.clone(), mode))
        })
        .collect::<Result<Vec<_>, DatapathError>>()?;
    // The ways depend on the interfaces that packets come in by.
    let warnings = datapath.keep_neighbours(&config.services, config.datapath.gateway_mac.is_some());
    writer.set_phase(abi::PHASE_RUNNING)?;
    Ok(Started {
        beginning: Beginning::New,
        interfaces: attached,
        services: config.services.len(),
        locked_bytes: locked(instance)?,
        warnings,
    })
}

/// Loads the object, and pins its maps and the program.
fn make(instance: &Instance, config: &Config) -> Result<Ebpf, DatapathError> {
    let processors = u32::try_from(possible_processors()?).unwrap_or(u32::MAX);
    let sizes = Sizes { rows: rows_for(config), processors };
    let mut ebpf = load::load(instance, &object::BALANCER.bytes()?, sizes, &[])?;
    balancer(&mut ebpf)?
        .pin(instance.program())
        .map_err(|error| aya_error("pin the program".to_owned(), error))?;

    let maps = Maps::open(&instance.maps(), Access::Write)?;
    let network_namespace =
        current_namespace().map_err(|error| DatapathError::of_io("look at the network namespace", error))?;
    let meta = abi::Meta {
        schema: abi::SCHEMA,
        rows: sizes.rows,
        processors,
        network_namespace,
        phase: abi::PHASE_STARTING,
        ..abi::Meta::default()
    };
    maps.meta.set(&0, &meta)?;
    Ok(ebpf)
}

/// How much memory the maps of an instance lock, in bytes.
fn locked(instance: &Instance) -> Result<u64, DatapathError> {
    let pins = fs::read_dir(instance.maps()).map_err(|error| DatapathError::of_io("read the pins", error))?;
    Ok(pins.flatten().map(|pin| locked_bytes(&pin.path()).unwrap_or(0)).sum())
}

/// The rows that all services of `config` may have together.
pub(crate) fn rows_for(config: &Config) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a row has 512 words")]
    config.datapath.max_slots.div_ceil(ROW_WORDS as u32)
}

/// The kernel tells an XDP program a way to any of `addresses` only where it forwards: packets of either family by itself.
pub(crate) fn require_forwarding(addresses: &[IpAddr], interface: &Interface) -> Result<(), DatapathError> {
    for (family, is_asked_for) in
        [("ipv4", addresses.iter().any(IpAddr::is_ipv4)), ("ipv6", addresses.iter().any(IpAddr::is_ipv6))]
    {
        let path = format!("/proc/sys/net/{family}/conf/{}/forwarding", interface.name);
        if is_asked_for && fs::read_to_string(path).is_ok_and(|text| text.trim() == "0") {
            let sysctl = format!("net.{family}.conf.{}.forwarding", interface.name);
            return Err(DatapathError::ForwardingOff { interface: interface.name.clone(), sysctl });
        }
    }
    Ok(())
}

/// Detaches a datapath and takes its pins and neighbours away.
///
/// # Errors
///
/// When it is not running, or something of it cannot be taken away.
pub fn down(instance: &Instance) -> Result<(), DatapathError> {
    instance.require_not_a_viewers()?;
    if !instance.exists() {
        // To one who may not look, nothing seems to be there.
        instance.visible()?;
        return Err(DatapathError::not_running(instance));
    }
    let _others_wait = Instance::lock_all()?;
    if !instance.exists() {
        // Somebody came first. The lock has made the folder of instances anew.
        instance.remove_pins()?;
        return Err(DatapathError::not_running(instance));
    }
    clear_away(instance)
}

/// Detaches what is there of an instance, ends the resolving of its next hops, and takes its pins away: in this order,
/// so that it forwards as a whole or not at all, and what is cut short can be done again. The lock on all instances is
/// held.
fn clear_away(instance: &Instance) -> Result<(), DatapathError> {
    // Whoever changes it now ends that first.
    let _lock = instance.lock()?;
    let datapath = Datapath::open_in_any_phase(instance).ok();
    if let Some(datapath) = &datapath {
        // Where it cannot be said, having no links says it too.
        let _ = datapath.say_ending();
    }
    // In another network namespace the same indexes are other interfaces'.
    let at_home = datapath.is_some_and(|datapath| datapath.is_at_home().unwrap_or(false));
    let interfaces: Vec<u32> =
        instance.links()?.iter().filter_map(|link| link_info(link).ok()).map(|link| link.interface).collect();
    instance.remove_links()?;
    if at_home {
        interfaces.into_iter().for_each(wait_until_free);
    }
    // A neighbour too many does no harm, and whoever changes anything next tries again.
    let _ = forget_unneeded_neighbours(Some(instance));
    instance.remove_pins()
}

/// The kernel lets a link go a moment after its last pin is gone.
fn wait_until_free(interface: u32) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        match Interface::by_index(interface) {
            Ok(Interface { holder: Some(holder), .. }) if holder.name == "maglev" => {
                thread::sleep(Duration::from_millis(2));
            }
            _ => return,
        }
    }
}
