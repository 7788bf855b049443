//! Getting the program onto an interface.

use std::{io, iter, path::Path};

use aya::programs::{Xdp, XdpMode, links::FdLink};
use maglev_core::config::AttachMode;

use crate::{error::DatapathError, instance::Instance, kernel::link_info, network::Interface};

/// Says whether `interface` can be attached to: it is there, and nobody holds its hook.
pub(crate) fn require_free(interface: &str) -> Result<Interface, DatapathError> {
    let found = Interface::by_name(interface).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DatapathError::UnknownInterface(interface.to_owned()),
        _ => DatapathError::of_io(&format!("look at interface {interface}"), error),
    })?;
    match taken(&found) {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// Attaches `program` and pins the link, so that it outlives this process. Says how it is attached.
pub(crate) fn attach(
    program: &mut Xdp,
    interface: &Interface,
    mode: AttachMode,
    pin: &Path,
) -> Result<&'static str, DatapathError> {
    let link = link(program, interface, mode)?;
    link.pin(pin).map_err(|error| aya_error(format!("pin the link to {}", interface.name), error))?;
    Ok(held_mode(interface))
}

/// Attaches `program` for as long as the link lives.
pub(crate) fn link(
    program: &mut Xdp,
    interface: &Interface,
    mode: AttachMode,
) -> Result<FdLink, DatapathError> {
    let modes: &[XdpMode] = match mode {
        AttachMode::Auto => &[XdpMode::Driver, XdpMode::Skb],
        AttachMode::Native => &[XdpMode::Driver],
        AttachMode::Generic => &[XdpMode::Skb],
    };
    let mut failure = None;
    for &mode in modes {
        match program.attach_to_if_index(interface.index, mode) {
            Ok(id) => {
                let link = program
                    .take_link(id)
                    .map_err(|error| aya_error(format!("take the link to {}", interface.name), error))?;
                return FdLink::try_from(link)
                    .map_err(|error| aya_error(format!("keep the link to {}", interface.name), error));
            }
            Err(error) => failure = Some(error),
        }
        // Somebody came first: another mode would not make it ours.
        if let Some(error) = Interface::by_index(interface.index).ok().as_ref().and_then(taken) {
            return Err(error);
        }
    }
    let error = failure.unwrap_or_else(|| unreachable!("there is at least one mode"));
    Err(aya_error(format!("attach to {}", interface.name), error))
}

fn held_mode(interface: &Interface) -> &'static str {
    Interface::by_index(interface.index)
        .ok()
        .and_then(|found| found.holder)
        .map_or("attached", |holder| holder.mode)
}

fn taken(interface: &Interface) -> Option<DatapathError> {
    interface.holder.as_ref().map(|holder| DatapathError::InterfaceTaken {
        interface: interface.name.clone(),
        program: if holder.name.is_empty() {
            "a program without a name".to_owned()
        } else {
            holder.name.clone()
        },
        id: holder.program,
        mode: holder.mode,
        instance: instance_of(holder.program),
    })
}

/// What aya says, with the verifier's log where there is one.
pub(crate) fn aya_error(
    attempted: String,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> DatapathError {
    use aya::programs::ProgramError;
    let error = match error.into().downcast::<ProgramError>() {
        Err(other) => other,
        Ok(error) => match *error {
            // The verifier refuses with EACCES, which is no want of privileges.
            ProgramError::LoadError { io_error, verifier_log }
                if io_error.raw_os_error() != Some(libc::EPERM) =>
            {
                return DatapathError::Refused { log: verifier_log.to_string(), error: io_error };
            }
            other => Box::new(other),
        },
    };
    match cause(&*error).filter(|cause| cause.kind() == io::ErrorKind::PermissionDenied) {
        Some(refusal) => {
            let number = refusal.raw_os_error();
            let refusal = number.map_or_else(|| refusal.kind().into(), io::Error::from_raw_os_error);
            DatapathError::of_io(&attempted, refusal)
        }
        None => DatapathError::Aya { attempted, error },
    }
}

/// The kernel's answer at the bottom of `error`, if there is one.
pub(crate) fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref::<io::Error>())
}

/// The instance whose program that is.
fn instance_of(program: u32) -> Option<String> {
    let has_it = |instance: &Instance| {
        let links = instance.links().unwrap_or_default();
        links.iter().any(|link| link_info(link).is_ok_and(|info| info.program == program))
    };
    let instances = Instance::all().unwrap_or_default();
    instances.iter().find(|instance| has_it(instance)).map(|instance| instance.name().to_owned())
}
