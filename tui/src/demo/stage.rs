//! Everything real that a demo consists of: hosts, servers, the datapath and the traffic through it.

use maglev_core::config::{AttachMode, Config};
use maglev_core::service::Protocol;
use maglev_lab::{Load, Namespace, Report as Conversations, Server, TcpLoad, Topology, Traffic, UdpLoad};
use maglev_probe::{DatapathError, Decapsulation, Instance, down, up};

use super::{DemoError, claim::Claim, configuration::spares, sweeper::Sweeper};
use crate::source::datapath::DatapathSource;

/// A demo that is running. Dropped, it takes itself down; what depends on others goes first.
#[derive(Debug)]
pub(super) struct Stage {
    traffic: Option<Traffic>,
    attached: Attached,
    _decapsulations: Vec<Decapsulation>,
    _servers: Vec<Server>,
    topology: Topology,
    claim: Claim,
    _sweeper: Sweeper,
}

impl Stage {
    /// Makes the hosts, starts their servers, and brings the datapath up between them. What is worth a word on the
    /// way is told to `warn`.
    pub(super) fn set(config: &Config, warn: impl FnMut(String)) -> Result<Self, DemoError> {
        let mut addresses: Vec<_> = config.services.iter().map(|service| service.address.ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let topology = Topology::builder().service_addresses(addresses).build()?;
        let ports = |protocol| -> Vec<u16> {
            let services = config.services.iter().filter(|service| service.protocol == protocol);
            services.map(|service| service.address.port()).collect()
        };
        let servers = topology.start_servers(&ports(Protocol::Tcp), &ports(Protocol::Udp))?;
        let decapsulations = topology
            .backends()
            .iter()
            .map(|backend| {
                let interface = backend.interface().name();
                let attach = || Decapsulation::attach(interface, AttachMode::Native);
                backend.namespace().run(attach)?.map_err(DemoError::from)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let claim = Claim::take()?;
        let sweeper = Sweeper::start(claim.instance())?;
        let (attached, warnings) = Attached::new(claim.instance(), topology.balancer(), config)?;
        warnings.into_iter().for_each(warn);
        Ok(Self {
            traffic: None,
            attached,
            _decapsulations: decapsulations,
            _servers: servers,
            topology,
            claim,
            _sweeper: sweeper,
        })
    }

    /// The running datapath, with backends that can be added.
    pub(super) fn source(&self, config: &Config) -> Result<DatapathSource, DemoError> {
        let source = DatapathSource::open(self.claim.instance())?;
        Ok(source.within(self.topology.balancer().clone()).with_spares(spares(config)))
    }

    /// Has the client talk to all services of `config`.
    pub(super) fn start_traffic(&mut self, config: &Config, load: Load) -> Result<(), DemoError> {
        let targets = |protocol| {
            let services = config.services.iter().filter(move |service| service.protocol == protocol);
            services.map(|service| service.address).collect()
        };
        let load = Load {
            sources: self.topology.client().addresses().to_vec(),
            tcp: TcpLoad { targets: targets(Protocol::Tcp), ..load.tcp },
            udp: UdpLoad { targets: targets(Protocol::Udp), ..load.udp },
            ..load
        };
        self.traffic = Some(Traffic::start(self.topology.client().namespace(), load)?);
        Ok(())
    }

    /// Lets every connection end in good order, and says what came of all of them.
    pub(super) fn stop_traffic(&mut self) -> Conversations {
        self.traffic.take().map(Traffic::stop).unwrap_or_default()
    }

    /// Takes everything down, and says where that failed.
    pub(super) fn strike(mut self) -> Result<(), DemoError> {
        drop(self.traffic.take());
        self.attached.take_down()
    }
}

/// A datapath that is up, until this is dropped.
#[derive(Debug)]
struct Attached {
    instance: Instance,
    namespace: Namespace,
}

impl Attached {
    fn new(
        instance: &Instance,
        namespace: &Namespace,
        config: &Config,
    ) -> Result<(Self, Vec<String>), DemoError> {
        // First the guard: it takes down what is there, however far a start got.
        let attached = Self { instance: instance.clone(), namespace: namespace.clone() };
        let started = namespace.run(|| up(instance, config))??;
        Ok((attached, started.warnings))
    }

    fn take_down(&self) -> Result<(), DemoError> {
        if !self.instance.exists() {
            return Ok(());
        }
        match self.namespace.run(|| down(&self.instance))? {
            Err(DatapathError::NotRunning { .. }) => Ok(()),
            result => Ok(result?),
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Whoever wanted to know has asked before; what is left now is the sweeper's.
        let _ = self.take_down();
    }
}
