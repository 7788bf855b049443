//! A client, a balancer and backends, linked as a load balancer with direct server return needs them.
//!
//! ```text
//! client ──eth0 · client0── balancer ──b1 · eth0── b1
//!                                    ──b2 · eth0── b2 …
//! ```
//!
//! The client sends what is for a service address to the balancer, where that address is *not* local.
//! Every backend has it on its loopback and answers the client with it, by way of the balancer's plain
//! kernel forwarding.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::error::LabError;
use crate::link::{End, Interface, MacAddress};
use crate::namespace::Namespace;
use crate::offload::Offload;
use crate::route::Route;
use crate::server::Server;

/// How many client addresses there can be.
pub const MOST_CLIENT_ADDRESSES: u8 = 64;

/// How many backends there can be.
pub const MOST_BACKENDS: u8 = 250;

/// How long links may take to carry packets.
const LINK_PATIENCE: Duration = Duration::from_secs(10);

/// The index of every host's `eth0`: above any in the balancer, so that links are up at once.
const HOST_INDEX: Option<u32> = Some(1000);

const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 64;
const WHOLE_V4: u8 = 32;
const WHOLE_V6: u8 = 128;

/// What a [`Topology`] shall be.
#[derive(Clone, Debug)]
pub struct TopologyBuilder {
    service_addresses: Vec<IpAddr>,
    backends: u8,
    client_addresses: u8,
    client_mtu: u32,
    backend_mtu: u32,
}

impl TopologyBuilder {
    /// The addresses that the backends serve; one at least for any traffic to flow.
    #[must_use]
    pub fn service_addresses(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.service_addresses = addresses.into_iter().collect();
        self
    }

    /// How many backends: 7 unless said.
    #[must_use]
    pub fn backends(mut self, count: u8) -> Self {
        self.backends = count;
        self
    }

    /// How many addresses the client has, of each family: 16 unless said.
    #[must_use]
    pub fn client_addresses(mut self, count: u8) -> Self {
        self.client_addresses = count;
        self
    }

    /// The largest packet between client and balancer, in bytes: 1500 unless said.
    #[must_use]
    pub fn client_mtu(mut self, bytes: u32) -> Self {
        self.client_mtu = bytes;
        self
    }

    /// The largest packet between balancer and backends, in bytes: 1700 unless said, so that an outer
    /// header fits. Without `frags`, XDP attaches to a virtual Ethernet end up to about 3,500.
    #[must_use]
    pub fn backend_mtu(mut self, bytes: u32) -> Self {
        self.backend_mtu = bytes;
        self
    }

    /// Makes it all, and waits until every link carries packets.
    pub fn build(self) -> Result<Topology, LabError> {
        if !(1..=MOST_CLIENT_ADDRESSES).contains(&self.client_addresses) {
            return Err(LabError::Invalid(format!(
                "a client has 1 to {MOST_CLIENT_ADDRESSES} addresses, not {}",
                self.client_addresses
            )));
        }
        let balancer = Namespace::new("balancer")?;
        let has_ipv6 = balancer.has_ipv6()?;
        forward(&balancer, has_ipv6)?;
        let client = Namespace::new("client")?;
        accept_any_path(&client)?;
        let plan = ClientPlan { mtu: self.client_mtu, addresses: self.client_addresses, has_ipv6 };
        let (client_end, client_side) = plan.link(&client, &balancer)?;
        let mut topology = Topology {
            client: Client { addresses: plan.client_addresses(), interface: client_end },
            client_side,
            backends: Vec::new(),
            service_addresses: Vec::new(),
            balancer,
            backend_mtu: self.backend_mtu,
            has_ipv6,
        };
        for address in self.service_addresses {
            topology.add_service_address(address)?;
        }
        for _ in 0..self.backends {
            topology.connect_backend()?;
        }
        topology.wait_until_running()?;
        Ok(topology)
    }
}

/// A client, a balancer and backends. Dropping it takes all of it down.
#[derive(Debug)]
pub struct Topology {
    client: Client,
    client_side: Interface,
    backends: Vec<Backend>,
    service_addresses: Vec<IpAddr>,
    balancer: Namespace,
    backend_mtu: u32,
    has_ipv6: bool,
}

/// The host that connections come from.
#[derive(Debug)]
pub struct Client {
    addresses: Vec<IpAddr>,
    interface: Interface,
}

impl Client {
    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        self.interface.namespace()
    }

    /// Its addresses: IPv4 ones first, then as many IPv6 ones where the kernel has IPv6.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Its interface, `eth0`. It puts nothing off: XDP at the balancer redirects what it sends.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.interface
    }
}

/// A host that serves.
#[derive(Debug)]
pub struct Backend {
    name: String,
    address: Ipv4Addr,
    address_v6: Option<Ipv6Addr>,
    interface: Interface,
    balancer_side: Interface,
    loopback: Interface,
}

impl Backend {
    /// `b1`, `b2`, …; the balancer's interface towards it is called the same.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        self.interface.namespace()
    }

    /// Its own address, on the link to the balancer.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its own IPv6 address, where the kernel has IPv6.
    #[must_use]
    pub fn address_v6(&self) -> Option<Ipv6Addr> {
        self.address_v6
    }

    /// Its own address of the same family as `other`.
    #[must_use]
    pub fn address_like(&self, other: IpAddr) -> Option<IpAddr> {
        match other {
            IpAddr::V4(_) => Some(self.address.into()),
            IpAddr::V6(_) => self.address_v6.map(IpAddr::V6),
        }
    }

    /// Its interface, `eth0`.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The balancer's end of its link.
    #[must_use]
    pub fn balancer_side(&self) -> &Interface {
        &self.balancer_side
    }
}

impl Topology {
    /// Seven backends, 16 client addresses, and as yet no service address.
    #[must_use]
    pub fn builder() -> TopologyBuilder {
        TopologyBuilder {
            service_addresses: Vec::new(),
            backends: 7,
            client_addresses: 16,
            client_mtu: 1500,
            backend_mtu: 1700,
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The balancer's namespace.
    #[must_use]
    pub fn balancer(&self) -> &Namespace {
        &self.balancer
    }

    /// The balancer's interface towards the client, `client0`.
    #[must_use]
    pub fn client_side(&self) -> &Interface {
        &self.client_side
    }

    /// The backends, in the order of their numbers.
    #[must_use]
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// The backend of that name.
    #[must_use]
    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.name == name)
    }

    /// The addresses that the backends serve.
    #[must_use]
    pub fn service_addresses(&self) -> &[IpAddr] {
        &self.service_addresses
    }

    /// Adds an address that every backend serves from now on. Servers started before do not listen there.
    pub fn add_service_address(&mut self, address: IpAddr) -> Result<(), LabError> {
        let gateway = self.gateway_of_client(address)?;
        Route::to(address).via(gateway).add(self.client.namespace())?;
        for backend in &self.backends {
            backend.serve_address(address)?;
        }
        self.service_addresses.push(address);
        Ok(())
    }

    /// Adds a backend, and waits until its link carries packets.
    pub fn add_backend(&mut self) -> Result<&Backend, LabError> {
        self.connect_backend()?;
        self.wait_until_running()?;
        self.backends.last().ok_or_else(|| LabError::Invalid("no backend was added".to_owned()))
    }

    /// Starts a server on every backend, at these ports of every service address and of its own.
    pub fn start_servers(&self, tcp_ports: &[u16], udp_ports: &[u16]) -> Result<Vec<Server>, LabError> {
        self.backends.iter().map(|backend| self.start_server(backend, tcp_ports, udp_ports)).collect()
    }

    /// Starts a server on one backend, at these ports of every service address and of its own.
    pub fn start_server(
        &self,
        backend: &Backend,
        tcp_ports: &[u16],
        udp_ports: &[u16],
    ) -> Result<Server, LabError> {
        let own = [Some(backend.address.into()), backend.address_v6.map(IpAddr::V6)];
        let addresses: Vec<_> =
            self.service_addresses.iter().copied().chain(own.into_iter().flatten()).collect();
        let at = |ports: &[u16]| -> Vec<_> {
            let pairs = addresses.iter().flat_map(|address| ports.iter().map(|port| (*address, *port)));
            pairs.map(SocketAddr::from).collect()
        };
        Server::start(backend.namespace(), backend.name(), &at(tcp_ports), &at(udp_ports))
    }

    /// Has the balancer's kernel send what is for `service_address` to that backend, whatever the
    /// connection: what a router does that balances nothing.
    pub fn route_to_backend(&self, service_address: IpAddr, backend: &Backend) -> Result<(), LabError> {
        let gateway = backend.address_like(service_address).ok_or_else(|| no_such_family(service_address))?;
        Route::to(service_address).via(gateway).replace(&self.balancer)
    }

    /// The balancer's address on the client's link, of the same family as `other`.
    pub fn gateway_of_client(&self, other: IpAddr) -> Result<IpAddr, LabError> {
        match other {
            IpAddr::V4(_) => Ok(CLIENT_GATEWAY_V4.into()),
            IpAddr::V6(_) if self.has_ipv6 => Ok(CLIENT_GATEWAY_V6.into()),
            IpAddr::V6(_) => Err(no_such_family(other)),
        }
    }

    fn connect_backend(&mut self) -> Result<(), LabError> {
        let number = u8::try_from(self.backends.len() + 1).ok().filter(|number| *number <= MOST_BACKENDS);
        let number = number.ok_or_else(|| LabError::Invalid(format!("at most {MOST_BACKENDS} backends")))?;
        let plan = BackendPlan { number, mtu: self.backend_mtu, has_ipv6: self.has_ipv6 };
        let backend = plan.link(&self.balancer)?;
        for address in &self.service_addresses {
            backend.serve_address(*address)?;
        }
        self.backends.push(backend);
        Ok(())
    }

    fn wait_until_running(&self) -> Result<(), LabError> {
        let backends = self.backends.iter().flat_map(|backend| [&backend.interface, &backend.balancer_side]);
        [&self.client.interface, &self.client_side]
            .into_iter()
            .chain(backends)
            .try_for_each(|interface| interface.wait_until_running(LINK_PATIENCE))
    }
}

impl Backend {
    fn serve_address(&self, address: IpAddr) -> Result<(), LabError> {
        self.loopback.add_address(address, if address.is_ipv4() { WHOLE_V4 } else { WHOLE_V6 })
    }
}

const CLIENT_GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 81, 0, 254);
const CLIENT_GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x81, 0, 0, 0, 0, 0, 0xfe);

/// Where the client's link lies: `10.81.0.0/24` and `fd00:81::/64`.
struct ClientPlan {
    mtu: u32,
    addresses: u8,
    has_ipv6: bool,
}

impl ClientPlan {
    fn client_addresses(&self) -> Vec<IpAddr> {
        let v4 = (1..=self.addresses).map(|host| IpAddr::from([10, 81, 0, host]));
        let v6 =
            (1..=self.addresses).map(|host| IpAddr::from([0xfd00, 0x81, 0, 0, 0, 0, 0, u16::from(host)]));
        v4.chain(v6.filter(|_| self.has_ipv6)).collect()
    }

    fn link(&self, client: &Namespace, balancer: &Namespace) -> Result<(Interface, Interface), LabError> {
        let (client_end, balancer_end) = Interface::create_pair(
            &End { namespace: client, name: "eth0", mac: mac(0, 2), mtu: self.mtu, index: HOST_INDEX },
            &End { namespace: balancer, name: "client0", mac: mac(0, 1), mtu: self.mtu, index: None },
        )?;
        client_end.set_offloads(
            &[
                Offload::TransmitChecksum,
                Offload::TcpSegmentation,
                Offload::GenericSegmentation,
                Offload::ScatterGather,
            ],
            false,
        )?;
        client_end.set_offloads(&[Offload::GenericReceive], true)?;
        for address in self.client_addresses() {
            client_end.add_address(address, prefix_length(address))?;
        }
        balancer_end.add_address(CLIENT_GATEWAY_V4.into(), PREFIX_V4)?;
        if self.has_ipv6 {
            balancer_end.add_address(CLIENT_GATEWAY_V6.into(), PREFIX_V6)?;
        }
        client_end.set_up()?;
        balancer_end.set_up()?;
        Ok((client_end, balancer_end))
    }
}

/// Where a backend's link lies: `10.82.N.0/24` and `fd00:82:0:N::/64`, the balancer 1 and the backend 2.
struct BackendPlan {
    number: u8,
    mtu: u32,
    has_ipv6: bool,
}

impl BackendPlan {
    fn v4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 82, self.number, host)
    }

    fn v6(&self, host: u8) -> Option<Ipv6Addr> {
        let address = Ipv6Addr::new(0xfd00, 0x82, 0, u16::from(self.number), 0, 0, 0, u16::from(host));
        self.has_ipv6.then_some(address)
    }

    fn both(&self, host: u8) -> impl Iterator<Item = IpAddr> {
        [Some(self.v4(host).into()), self.v6(host).map(IpAddr::V6)].into_iter().flatten()
    }

    fn link(&self, balancer: &Namespace) -> Result<Backend, LabError> {
        let name = format!("b{}", self.number);
        let namespace = Namespace::new(&name)?;
        accept_any_path(&namespace)?;
        let (balancer_side, interface) = Interface::create_pair(
            &End { namespace: balancer, name: &name, mac: mac(self.number, 1), mtu: self.mtu, index: None },
            &End {
                namespace: &namespace,
                name: "eth0",
                mac: mac(self.number, 2),
                mtu: self.mtu,
                index: HOST_INDEX,
            },
        )?;
        interface.set_offloads(&[Offload::GenericReceive], true)?;
        for (end, host) in [(&balancer_side, 1), (&interface, 2)] {
            for address in self.both(host) {
                end.add_address(address, prefix_length(address))?;
            }
            end.set_up()?;
        }
        for gateway in self.both(1) {
            let anywhere =
                if gateway.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            Route::new(anywhere, 0).via(gateway).add(&namespace)?;
        }
        let loopback = Interface::find(&namespace, "lo")?;
        Ok(Backend { name, address: self.v4(2), address_v6: self.v6(2), interface, balancer_side, loopback })
    }
}

/// Locally administered, and telling at a glance whose: link number, then 1 the balancer, 2 the host.
fn mac(link: u8, side: u8) -> MacAddress {
    MacAddress::new([0x02, 0, 0, 0, link, side])
}

fn prefix_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { PREFIX_V4 } else { PREFIX_V6 }
}

fn no_such_family(address: IpAddr) -> LabError {
    LabError::Invalid(format!("{address} needs IPv6, which this kernel does not have"))
}

fn forward(balancer: &Namespace, has_ipv6: bool) -> Result<(), LabError> {
    accept_any_path(balancer)?;
    balancer.set_sysctl("net/ipv4/ip_forward", "1")?;
    if has_ipv6 {
        balancer.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Replies come from an address that the way back does not lead to. To be called before there are
/// interfaces: they take over what `default` says when they are made.
fn accept_any_path(namespace: &Namespace) -> Result<(), LabError> {
    ["all", "default", "lo"]
        .into_iter()
        .try_for_each(|group| namespace.set_sysctl(&format!("net/ipv4/conf/{group}/rp_filter"), "0"))
}
