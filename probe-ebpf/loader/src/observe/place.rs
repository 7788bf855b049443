//! Where the observer sits on an interface, in front of Cilium.

use std::{
    fmt::{self, Display, Formatter},
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use super::error::ObserveError;
use crate::{
    error::DatapathError,
    kernel::{LinkHook, create_link, update_link},
    network::{Device, Interface, XdpHolder},
};

/// What Cilium's programs on the XDP hook are called, newer and older ones (`bpf/bpf_xdp.c`).
const CILIUM_XDP: [&str; 2] = ["cil_xdp", "bpf_xdp_entry"];

/// Where packets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// XDP in the driver: as they came off the wire.
    NativeXdp,
    /// The head of the ingress of traffic control.
    Tcx,
    /// XDP in front of the stack.
    GenericXdp,
}

/// Which hooks are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookChoice {
    /// XDP in the driver where it is free, else tcx, else generic XDP.
    #[default]
    Auto,
    /// That one alone.
    Only(Hook),
}

/// Why an interface is not observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Cilium holds its XDP hook with the program of that name: packets are balanced before anybody else sees them.
    CiliumHoldsXdp(String),
    /// Its frames are no Ethernet ones.
    NotEthernet,
    /// No hook could be had: what was tried and what the kernel said.
    NoHook(String),
}

/// An interface, and where on it packets are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its name.
    pub interface: String,
    /// The hook, or why there is none.
    pub outcome: Result<Hook, Refusal>,
}

impl Hook {
    /// The word for it in JSON and on screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NativeXdp => "xdp",
            Self::Tcx => "tcx",
            Self::GenericXdp => "xdp-generic",
        }
    }

    const fn is_xdp(self) -> bool {
        !matches!(self, Self::Tcx)
    }

    const fn link(self) -> LinkHook {
        match self {
            Self::NativeXdp => LinkHook::NativeXdp,
            Self::Tcx => LinkHook::TcxHead,
            Self::GenericXdp => LinkHook::GenericXdp,
        }
    }
}

impl HookChoice {
    fn hooks(self) -> Vec<Hook> {
        match self {
            Self::Auto => vec![Hook::NativeXdp, Hook::Tcx, Hook::GenericXdp],
            Self::Only(hook) => vec![hook],
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::CiliumHoldsXdp(program) => write!(
                formatter,
                "Cilium holds its XDP hook ({program}; loadBalancer.acceleration): packets are balanced there, before anybody else sees them, and cannot be counted"
            ),
            Self::NotEthernet => formatter.write_str("its frames are no Ethernet ones"),
            Self::NoHook(tried) => write!(formatter, "no hook could be had: {tried}"),
        }
    }
}

/// Both programs of the observer.
#[derive(Clone, Copy)]
pub(super) struct Programs<'a> {
    pub(super) xdp: BorrowedFd<'a>,
    pub(super) tcx: BorrowedFd<'a>,
}

impl<'a> Programs<'a> {
    const fn on(self, hook: Hook) -> BorrowedFd<'a> {
        if hook.is_xdp() { self.xdp } else { self.tcx }
    }
}

/// A place that was asked for. Its link ends with it.
#[derive(Debug)]
pub(super) struct Place {
    interface: u32,
    pub(super) placement: Placement,
    link: Option<OwnedFd>,
}

impl Place {
    /// Takes a hook of the interface of that name.
    pub(super) fn take(name: &str, choice: HookChoice, programs: Programs<'_>) -> Result<Self, ObserveError> {
        let device = Device::by_name(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ObserveError::UnknownInterface(name.to_owned()),
            _ => DatapathError::of_io(&format!("look at interface {name}"), error).into(),
        })?;
        let (link, outcome) = match link(&device, choice, programs)? {
            Ok((link, hook)) => (Some(link), Ok(hook)),
            Err(refusal) => (None, Err(refusal)),
        };
        let placement = Placement { interface: name.to_owned(), outcome };
        Ok(Self { interface: device.interface.index, placement, link })
    }

    /// Puts other programs in the place of those.
    pub(super) fn replace(&self, old: Programs<'_>, new: Programs<'_>) -> Result<(), ObserveError> {
        let (Some(link), Ok(hook)) = (&self.link, &self.placement.outcome) else { return Ok(()) };
        update_link(link.as_fd(), old.on(*hook), new.on(*hook)).map_err(|error| {
            let attempted = format!("replace the observer on {}", self.placement.interface);
            DatapathError::of_io(&attempted, error).into()
        })
    }

    /// Whether it has a hook, on the interface that goes by its name.
    pub(super) fn holds(&self) -> bool {
        let found = Interface::by_name(&self.placement.interface);
        self.link.is_some() && found.is_ok_and(|found| found.index == self.interface)
    }

    /// Ends where Cilium has taken the XDP hook meanwhile: what is counted behind it would be wrong.
    pub(super) fn look_again(&mut self) {
        let found = Interface::by_index(self.interface).ok();
        if let Some(holder) =
            found.as_ref().and_then(|found| found.holder.as_ref()).filter(|one| is_ciliums(one))
        {
            self.link = None;
            self.placement.outcome = Err(Refusal::CiliumHoldsXdp(holder.name.clone()));
        }
    }
}

fn is_ciliums(holder: &XdpHolder) -> bool {
    CILIUM_XDP.iter().any(|name| holder.name.starts_with(name))
}

/// The first hook of those chosen that can be had.
fn link(
    device: &Device,
    choice: HookChoice,
    programs: Programs<'_>,
) -> Result<Result<(OwnedFd, Hook), Refusal>, ObserveError> {
    let Interface { name, index, hardware_address, holder, .. } = &device.interface;
    if *hardware_address == [0; 6] && !device.is_loopback {
        return Ok(Err(Refusal::NotEthernet));
    }
    if let Some(holder) = holder.as_ref().filter(|holder| is_ciliums(holder)) {
        return Ok(Err(Refusal::CiliumHoldsXdp(holder.name.clone())));
    }
    let mut tried = Vec::new();
    for hook in choice.hooks() {
        if let Some(holder) = holder.as_ref().filter(|_| hook.is_xdp()) {
            tried.push(format!("{} is held by {} (id {})", hook.word(), holder.name, holder.program));
            continue;
        }
        match create_link(programs.on(hook), *index, hook.link()) {
            Ok(link) => return Ok(Ok((link, hook))),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(DatapathError::of_io(&format!("observe {name}"), error).into());
            }
            Err(error) => tried.push(format!("{}: {error}", hook.word())),
        }
    }
    Ok(Err(Refusal::NoHook(tried.join("; "))))
}
