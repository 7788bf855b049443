//! Which instance a demo is: a name that no other demo has, and what dead ones left behind under theirs.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    process,
};

use maglev_probe::{Datapath, DatapathError, Instance, down};

use super::DemoError;

/// The name of the first demo on a host; others add their process id.
const NAME: &str = "demo";

/// A demo's name, held as long as its process lives, however that ends.
#[derive(Debug)]
pub(super) struct Claim {
    instance: Instance,
    /// A name in the abstract namespace is bound once, and free again when its process is gone.
    _socket: UnixListener,
}

impl Claim {
    /// Sweeps up after dead demos and takes a name.
    pub(super) fn take() -> Result<Self, DemoError> {
        sweep_dead()?;
        for name in [NAME.to_owned(), format!("{NAME}-{}", process::id())] {
            match Self::of(Instance::new(&name)?)? {
                Some(claim) if !claim.instance.exists() => return Ok(claim),
                _ => {}
            }
        }
        Err(DemoError::NoName)
    }

    /// Takes that name, unless a living demo has it.
    pub(super) fn of(instance: Instance) -> Result<Option<Self>, DemoError> {
        let name = format!("maglev-top/{}", instance.name());
        let bound =
            SocketAddr::from_abstract_name(name).and_then(|address| UnixListener::bind_addr(&address));
        match bound {
            Ok(socket) => Ok(Some(Self { instance, _socket: socket })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(DemoError::Claim(error)),
        }
    }

    pub(super) const fn instance(&self) -> &Instance {
        &self.instance
    }
}

/// Takes down what demos left behind whose processes are gone.
fn sweep_dead() -> Result<(), DemoError> {
    for instance in Instance::all()? {
        if is_of_a_demo(instance.name())
            && let Some(claim) = Claim::of(instance)?
            && is_attached_to_nothing(&claim.instance)
        {
            match down(&claim.instance) {
                // Its own sweeper came first.
                Ok(()) | Err(DatapathError::NotRunning { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn is_of_a_demo(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(NAME) else { return false };
    let process = rest.strip_prefix('-').is_some_and(|process| process.parse::<u32>().is_ok());
    rest.is_empty() || process
}

/// Whether its interfaces are gone, as a dead demo's are with its namespaces. An operator may have given such a name to
/// an instance that is none of ours.
fn is_attached_to_nothing(instance: &Instance) -> bool {
    match Datapath::open(instance).and_then(|datapath| datapath.interfaces()) {
        Ok(interfaces) => interfaces.iter().all(|interface| interface.index == 0),
        // A start that was cut short.
        Err(_) => instance.links().is_ok_and(|links| links.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_by_one() {
        let instance = || Instance::new(&format!("claim-{}", process::id())).unwrap();
        let first = Claim::of(instance()).unwrap();
        assert!(first.is_some());
        assert!(Claim::of(instance()).unwrap().is_none());
        drop(first);
        assert!(Claim::of(instance()).unwrap().is_some());
    }

    #[test]
    fn instances_of_operators_are_no_demos() {
        assert!(is_of_a_demo("demo") && is_of_a_demo("demo-4711"));
        assert!(!is_of_a_demo("demo-east") && !is_of_a_demo("demonstration") && !is_of_a_demo("default"));
    }
}
