//! Bringing a datapath up, and taking it down.

use std::{
    fs,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use aya::{Ebpf, EbpfLoader, programs::Xdp};
use maglev_core::config::Config;
use maglev_probe_abi::{self as abi, ROW_WORDS, map};

use crate::{
    attach::{attach, aya_error, require_free},
    bpffs::ensure_mounted,
    datapath::{Datapath, addresses, forget_unneeded_neighbours},
    error::DatapathError,
    instance::Instance,
    kernel::{Access, link_interface, locked_bytes, possible_processors},
    maps::Maps,
    network::{Interface, current_namespace},
    object,
    writer::{Note, Writer},
};

/// The maps whose size is chosen when they are made.
pub(crate) const MAPS_OF_ROWS: [&str; 4] = [map::SLOTS, map::DEADLINES, map::SETTLE_LIMITS, map::SLOT_HITS];

/// What came of bringing a datapath up.
#[derive(Clone, Debug)]
pub struct Started {
    /// The interfaces that it is attached to, and how.
    pub interfaces: Vec<(String, &'static str)>,
    /// How much memory its maps lock, in bytes.
    pub locked_bytes: u64,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// Loads, attaches and pins a datapath as `config` says. Either all of it is there afterwards, or nothing. What was cut
/// short in being brought up or taken down is cleared away first.
///
/// # Errors
///
/// When it cannot be brought up; then nothing was left behind.
pub fn up(instance: &Instance, config: &Config) -> Result<Started, DatapathError> {
    if config.datapath.interfaces.is_empty() {
        return Err(DatapathError::NoInterface);
    }
    if instance.exists() {
        // What is left of it may hold the interfaces.
        let _others_wait = Instance::lock_all()?;
        make_way(instance)?;
    }
    let interfaces =
        config.datapath.interfaces.iter().map(|name| require_free(name)).collect::<Result<Vec<_>, _>>()?;
    for interface in &interfaces {
        require_forwarding(config, interface)?;
    }
    ensure_mounted()?;
    let _others_wait = Instance::lock_all()?;
    make_way(instance)?;
    let result = start(instance, config, &interfaces);
    if result.is_err() {
        // The error at hand is the one to tell. Where not even the folder was made, its parent is to go.
        let _ = clear_away(instance).or_else(|_| instance.remove_pins());
    }
    result
}

/// Clears away what is left of an instance that was cut short, and refuses if it runs.
fn make_way(instance: &Instance) -> Result<(), DatapathError> {
    if !instance.exists() {
        return Ok(());
    }
    match Datapath::open(instance) {
        // Whoever brought it up or took it down would hold the lock that is held here.
        Err(DatapathError::HalfWay(_)) => clear_away(instance),
        // It is up, or another version's to judge, unless no packet reaches it.
        _ if instance.links()?.is_empty() => clear_away(instance),
        _ => Err(DatapathError::AlreadyRunning(instance.name().to_owned())),
    }
}

fn start(instance: &Instance, config: &Config, interfaces: &[Interface]) -> Result<Started, DatapathError> {
    fs::create_dir_all(instance.maps())
        .map_err(|error| DatapathError::of_io("create the folder of pins", error))?;
    let (mut ebpf, locked_bytes) = load(instance, config)?;
    let datapath = Datapath::open_in_any_phase(instance)?;
    datapath.set_settings(config)?;
    let mut writer = Writer::begin_in_any_phase(instance, datapath.maps())?;
    for service in &config.services {
        let note = Note {
            action: "up",
            service: service.name.clone(),
            detail: format!("{} backends", service.backends.len()),
            ..Note::default()
        };
        writer.add_service(service, &config.seed, &[note])?;
    }
    let warnings = datapath.keep_neighbours(&config.services);
    let program = balancer(&mut ebpf)?;
    let attached = interfaces
        .iter()
        .map(|interface| {
            let mode =
                attach(program, interface, config.datapath.attach_mode, &instance.link(interface.index))?;
            Ok((interface.name.clone(), mode))
        })
        .collect::<Result<Vec<_>, DatapathError>>()?;
    writer.set_phase(abi::PHASE_RUNNING)?;
    Ok(Started { interfaces: attached, locked_bytes, warnings })
}

/// Loads the object and pins its maps and the program.
fn load(instance: &Instance, config: &Config) -> Result<(Ebpf, u64), DatapathError> {
    let rows = rows_for(config);
    let processors = u32::try_from(possible_processors()?).unwrap_or(u32::MAX);
    let object = object::bytes()?;
    let mut loader = EbpfLoader::new();
    for name in MAPS_OF_ROWS {
        loader.map_max_entries(name, if name == map::SLOT_HITS { rows * processors } else { rows });
    }
    // As many again for the journal: whatever is changed at once fits.
    loader.map_max_entries(map::BACKEND_IDENTITIES, 2 * abi::MAX_BACKENDS);
    let mut ebpf = loader.load(&object).map_err(|error| aya_error("load the maps".to_owned(), error))?;
    let mut locked = 0;
    for (name, map) in ebpf.maps_mut() {
        // What the compiler makes of constants is no map of ours, and its name no pin's.
        if name.starts_with('.') {
            continue;
        }
        map.pin(instance.maps().join(name)).map_err(|error| aya_error(format!("pin map {name}"), error))?;
    }
    for name in
        fs::read_dir(instance.maps()).map_err(|error| DatapathError::of_io("read the pins", error))?.flatten()
    {
        locked += locked_bytes(&name.path()).unwrap_or(0);
    }
    let program = balancer(&mut ebpf)?;
    program.load().map_err(|error| aya_error("load the program".to_owned(), error))?;
    program.pin(instance.program()).map_err(|error| aya_error("pin the program".to_owned(), error))?;

    let maps = Maps::open(&instance.maps(), Access::Write)?;
    let network_namespace =
        current_namespace().map_err(|error| DatapathError::of_io("look at the network namespace", error))?;
    let meta = abi::Meta {
        schema: abi::SCHEMA,
        rows,
        processors,
        network_namespace,
        phase: abi::PHASE_STARTING,
        ..abi::Meta::default()
    };
    maps.meta.set(&0, &meta)?;
    Ok((ebpf, locked))
}

pub(crate) fn balancer(ebpf: &mut Ebpf) -> Result<&mut Xdp, DatapathError> {
    let missing = || {
        DatapathError::of_io("find the program `maglev` in the object", std::io::ErrorKind::NotFound.into())
    };
    ebpf.program_mut("maglev")
        .ok_or_else(missing)?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| aya_error("use the program `maglev`".to_owned(), error))
}

/// The rows that all services of `config` may have together.
pub(crate) fn rows_for(config: &Config) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a row has 512 words")]
    config.datapath.max_slots.div_ceil(ROW_WORDS as u32)
}

/// The kernel tells an XDP program a way only where it forwards: packets of either family by itself.
fn require_forwarding(config: &Config, interface: &Interface) -> Result<(), DatapathError> {
    let addresses = addresses(&config.services, config.datapath.gateway_mac.is_some());
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
    if !instance.exists() {
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
        instance.links()?.iter().filter_map(|link| link_interface(link).ok()).collect();
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
