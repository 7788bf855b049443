//! The two programs, on the interfaces that backends are reached by.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use aya::{
    Ebpf,
    programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, links::FdLink, tc::TcAttachOptions},
    util::KernelVersion,
};
use maglev_probe_abi::program;

use super::Connections;
use crate::{
    attach::aya_error,
    datapath::Datapath,
    error::DatapathError,
    health::Checked,
    network::{Interface, Origin, next_hops},
    object,
};

/// What leads checks the way of clients' packets, for as long as it lives: nothing of it is pinned.
#[derive(Debug)]
pub struct Tunnels {
    ebpf: Ebpf,
    /// By interface: where packets leave, and where answers come in.
    links: BTreeMap<u32, [FdLink; 2]>,
    connections: Arc<Connections>,
}

impl Tunnels {
    /// Loads the programs; they are on no interface as yet.
    ///
    /// # Errors
    ///
    /// When the kernel is older than 6.6, which has no links to attach them by, or refuses.
    pub fn load() -> Result<Self, DatapathError> {
        if KernelVersion::current().is_ok_and(|running| running < KernelVersion::new(6, 6, 0)) {
            return Err(DatapathError::NoTunnelChecks);
        }
        let object = object::HEALTH.bytes()?;
        let mut ebpf = Ebpf::load(&object)
            .map_err(|error| aya_error("load the maps of health checks".to_owned(), error))?;
        for name in [program::CHECK_OUT, program::CHECK_IN] {
            classifier(&mut ebpf, name)?.load().map_err(|error| failed(name, error))?;
        }
        let connections = Arc::new(Connections::of(&ebpf)?);
        Ok(Self { ebpf, links: BTreeMap::new(), connections })
    }

    /// The connections that are led.
    #[must_use]
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Stands on the interfaces of the datapath, and on those that the kernel's routes to the backends lead out of, as
    /// they are by now; leaves others. Says why it cannot stand where it should.
    ///
    /// # Errors
    ///
    /// When the datapath's interfaces cannot be told.
    pub fn follow(
        &mut self,
        datapath: &Datapath,
        checked: &[Checked],
    ) -> Result<Vec<DatapathError>, DatapathError> {
        let mut interfaces: BTreeSet<u32> =
            datapath.interfaces()?.into_iter().map(|interface| interface.index).collect();
        // Where there is no route, there is no interface to stand on, and the check itself says so.
        let hops =
            backends(checked).into_iter().filter_map(|address| next_hops(address, &Origin::default()).ok());
        interfaces.extend(hops.flatten().map(|hop| hop.interface));
        self.links.retain(|index, _| interfaces.contains(index));
        let mut failures = Vec::new();
        for index in interfaces {
            // One without a hardware address carries no outer header that the balancer puts on, and one that is gone none.
            let found = Interface::by_index(index).ok().filter(|found| found.hardware_address != [0; 6]);
            let Some(interface) = found.filter(|_| !self.links.contains_key(&index)) else { continue };
            match self.attach(&interface.name) {
                Ok(links) => drop(self.links.insert(index, links)),
                Err(error) => failures.push(error),
            }
        }
        Ok(failures)
    }

    /// Where packets leave it is the last one, for others see what they see of any connection; where they come in it is
    /// the first.
    fn attach(&mut self, interface: &str) -> Result<[FdLink; 2], DatapathError> {
        Ok([
            self.link(program::CHECK_OUT, interface, TcAttachType::Egress, LinkOrder::last())?,
            self.link(program::CHECK_IN, interface, TcAttachType::Ingress, LinkOrder::first())?,
        ])
    }

    fn link(
        &mut self,
        name: &str,
        interface: &str,
        side: TcAttachType,
        order: LinkOrder,
    ) -> Result<FdLink, DatapathError> {
        let attempted = || format!("lead health checks through the tunnel out of {interface}");
        let program = classifier(&mut self.ebpf, name)?;
        let attached = program
            .attach_with_options(interface, side, TcAttachOptions::TcxOrder(order))
            .and_then(|link| program.take_link(link))
            .map_err(|error| aya_error(attempted(), error))?;
        FdLink::try_from(attached).map_err(|error| aya_error(attempted(), error))
    }
}

/// The backends that are checked through the tunnel.
fn backends(checked: &[Checked]) -> BTreeSet<IpAddr> {
    let led = checked.iter().filter(|checked| checked.tunnel.is_some());
    let backends = led.flat_map(|checked| &checked.service.backends);
    backends.map(|backend| backend.address.ip()).collect()
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, DatapathError> {
    ebpf.program_mut(name)
        .ok_or_else(|| DatapathError::of_io(&attempted(name), std::io::ErrorKind::NotFound.into()))?
        .try_into()
        .map_err(|error: ProgramError| failed(name, error))
}

fn failed(name: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DatapathError {
    aya_error(attempted(name), error)
}

fn attempted(name: &str) -> String {
    format!("use the program `{name}`")
}
