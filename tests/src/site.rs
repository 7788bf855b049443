//! A balancer with its clients and backends.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use maglev_core::{
    change::Change,
    config::{AttachMode, Config},
    sample::{BackendSample, Sample, ServiceSample},
};
use maglev_lab::{Backend, Connection, Load, Server, TcpLoad, Topology, Traffic};
use maglev_probe::{Changed, Datapath, DatapathError, Decapsulation, Instance, Request};

/// The address of every site's services.
pub const SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));

/// Their IPv6 address, where a plot says so.
pub const SERVICE_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));

/// What a site is to be like.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The address of both services, and the family of their clients.
    pub service: IpAddr,
    /// Whether the backends of `web` are reached by their IPv6 addresses; those of `dns` are of its own family.
    pub backends_on_ipv6: bool,
    /// `ipip`, `l2` or `observe`, of the TCP service `web` at port 80.
    pub forwarding: &'static str,
    /// `settling`, `always` or `never`, of `web`.
    pub tracking: &'static str,
    /// `always` or `never`, of the UDP service `dns` at port 53.
    pub udp_tracking: &'static str,
    /// The settle time of both.
    pub settle_time: &'static str,
    /// The table size of both.
    pub table_size: u32,
    /// Another one for `dns`.
    pub dns_table_size: Option<u32>,
    /// `auto`, `native` or `generic`.
    pub attach_mode: &'static str,
    /// The largest packet between balancer and backends, in bytes.
    pub backend_mtu: u32,
    /// The weights of the backends that are in service; there are two more hosts than these.
    pub weights: Vec<u16>,
}

impl Default for Plot {
    fn default() -> Self {
        Self {
            service: SERVICE,
            backends_on_ipv6: false,
            forwarding: "ipip",
            tracking: "settling",
            udp_tracking: "always",
            settle_time: "3s",
            table_size: 4093,
            dns_table_size: None,
            attach_mode: "native",
            backend_mtu: 1700,
            weights: vec![100; 5],
        }
    }
}

/// A balancer with its clients and backends, and the datapath on it.
pub struct Site {
    /// The hosts.
    pub topology: Topology,
    /// The datapath.
    pub datapath: Datapath,
    /// What it was brought up with.
    pub config: Config,
    service: IpAddr,
    /// What answers at the backends.
    pub servers: Vec<Server>,
    /// What takes outer headers off, in the order of the backends.
    decapsulation: Vec<Option<Decapsulation>>,
}

impl Site {
    /// Makes a site, or says why it cannot be made here.
    ///
    /// # Panics
    ///
    /// When something but the privileges is missing.
    #[must_use]
    pub fn start(plot: &Plot) -> Option<Self> {
        sweep();
        let count = u8::try_from(plot.weights.len() + 2).expect("a handful of backends");
        let builder = Topology::builder().service_addresses([plot.service]).backends(count);
        let topology = match builder.backend_mtu(plot.backend_mtu).build() {
            Ok(topology) => topology,
            Err(error) if error.is_permission() => {
                println!("skipped: {error} (run as root)");
                return None;
            }
            Err(error) => panic!("{error:?}"),
        };
        let servers = topology.start_servers(&[80], &[53]).expect("servers start");
        let decapsulation = topology.backends().iter().map(decapsulate).map(Some).collect();
        let text = configuration(plot, &topology);
        let config =
            Config::parse("site.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}")).config;
        let instance = new_instance();
        let started =
            topology.balancer().run(|| maglev_probe::up(&instance, &config)).expect("a thread gets in");
        started.unwrap_or_else(|error| panic!("{error:?}"));
        let datapath = Datapath::open(&instance).expect("what was pinned opens");
        let site = Self { topology, datapath, config, service: plot.service, servers, decapsulation };
        site.wait_for_neighbours();
        Some(site)
    }

    /// The address of the TCP service.
    #[must_use]
    pub fn web(&self) -> SocketAddr {
        SocketAddr::new(self.service, 80)
    }

    /// The address of the UDP service.
    #[must_use]
    pub fn dns(&self) -> SocketAddr {
        SocketAddr::new(self.service, 53)
    }

    /// Makes changes to `web`, from where its neighbours are.
    pub fn change(&self, changes: &[Change]) -> Result<Changed, DatapathError> {
        self.change_service("web", changes)
    }

    /// Makes changes to a service, from where its neighbours are.
    ///
    /// # Panics
    ///
    /// When no thread gets into the balancer's namespace.
    pub fn change_service(&self, service: &str, changes: &[Change]) -> Result<Changed, DatapathError> {
        let request = Request::of(service, changes);
        self.topology.balancer().run(|| self.datapath.change(&request)).expect("a thread gets in")
    }

    /// Everything there is to see.
    ///
    /// # Panics
    ///
    /// When a map cannot be read.
    #[must_use]
    pub fn sample(&self) -> Sample {
        self.datapath.sample().expect("maps are read")
    }

    /// The service of that name, now.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn service(&self, name: &str) -> ServiceSample {
        let services = self.sample().services;
        services.into_iter().find(|service| service.name == name).expect("the service is there")
    }

    /// The backend of `web` of that name, now.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn backend(&self, name: &str) -> BackendSample {
        let backends = self.service("web").backends;
        backends.into_iter().find(|backend| backend.name == name).expect("the backend is there")
    }

    /// Packets that met that verdict.
    ///
    /// # Panics
    ///
    /// When there is no such verdict.
    #[must_use]
    pub fn verdict(&self, word: &str) -> u64 {
        self.sample().verdicts.iter().find(|(known, _)| *known == word).expect("a verdict of that name").1
    }

    /// The client's addresses of the services' family.
    #[must_use]
    pub fn client_addresses(&self) -> Vec<IpAddr> {
        let addresses = self.topology.client().addresses().iter().copied();
        addresses.filter(|address| address.is_ipv4() == self.service.is_ipv4()).collect()
    }

    /// A connection to `web` from one of the client's addresses.
    ///
    /// # Panics
    ///
    /// When it is not made.
    #[must_use]
    pub fn connect(&self) -> Connection {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let sources = self.client_addresses();
        let source = sources[NEXT.fetch_add(1, Ordering::Relaxed) as usize % sources.len()];
        Connection::open(self.topology.client().namespace(), SocketAddr::new(source, 0), self.web())
            .unwrap_or_else(|error| panic!("{error:?}; verdicts {:?}", self.sample().verdicts))
    }

    /// Connections to `web` until `count` of them are at `backend`; all of them, those elsewhere too.
    ///
    /// # Panics
    ///
    /// When some thousand connections do not suffice.
    #[must_use]
    pub fn connect_to(&self, backend: &str, count: usize) -> Vec<Connection> {
        let mut connections = Vec::new();
        while connections.iter().filter(|one: &&Connection| one.backend() == backend).count() < count {
            assert!(connections.len() < 2000, "2000 connections, and fewer than {count} at {backend}");
            connections.push(self.connect());
        }
        connections
    }

    /// Many connections to `web`, opened and closed until stopped.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn traffic(&self, tcp: TcpLoad) -> Traffic {
        let tcp = TcpLoad { targets: vec![self.web()], ..tcp };
        let sources = self.client_addresses();
        let load = Load { sources, tcp, limit: Duration::from_secs(60), ..Load::default() };
        Traffic::start(self.topology.client().namespace(), load).expect("traffic starts")
    }

    /// Ends the server of a host, as the end of its process does: connections are reset, new ones refused.
    pub fn stop_server(&mut self, name: &str) {
        self.servers.retain(|server| server.name() != name);
    }

    /// Starts the server of a host again.
    ///
    /// # Panics
    ///
    /// When there is no such host, or it cannot be started.
    pub fn start_server(&mut self, name: &str) {
        let host = self.topology.backend(name).expect("a host of that name");
        self.servers.push(self.topology.start_server(host, &[80], &[53]).expect("the server starts"));
    }

    /// Has a host take no outer header off any more.
    ///
    /// # Panics
    ///
    /// When there is no such host.
    pub fn stop_decapsulation(&mut self, name: &str) {
        let place = self.topology.backends().iter().position(|host| host.name() == name);
        self.decapsulation[place.expect("a host of that name")] = None;
    }

    /// Has a host take outer headers off again.
    ///
    /// # Panics
    ///
    /// When there is no such host, or the program does not attach.
    pub fn start_decapsulation(&mut self, name: &str) {
        let place = self.topology.backends().iter().position(|host| host.name() == name);
        let place = place.expect("a host of that name");
        self.decapsulation[place] = Some(decapsulate(&self.topology.backends()[place]));
    }

    /// What one of the hosts would be as a backend of `web`.
    ///
    /// # Panics
    ///
    /// When there is no such host.
    #[must_use]
    pub fn spare(&self, name: &str) -> maglev_core::service::Backend {
        let host = self.topology.backend(name).expect("a host of that name");
        maglev_core::service::Backend {
            name: name.to_owned(),
            address: SocketAddr::new(host.address().into(), 80),
            weight: 100,
            state: maglev_core::service::BackendState::Active,
            health: maglev_core::health::Health::Unknown,
        }
    }

    /// The kernel resolves next hops by itself, a moment after it was told to.
    fn wait_for_neighbours(&self) {
        for service in &self.config.services {
            for backend in &service.backends {
                let Some(host) = self.topology.backend(&backend.name) else { continue };
                if backend.address.is_ipv6() {
                    // The kernel lists its IPv6 neighbours in no file; one that answers is known.
                    eventually("a backend answers the balancer", || {
                        let balancer = self.topology.balancer();
                        let patience = Duration::from_secs(1);
                        balancer
                            .run(|| {
                                TcpStream::connect_timeout(
                                    &SocketAddr::new(backend.address.ip(), 80),
                                    patience,
                                )
                            })
                            .expect("a thread gets in")
                            .is_ok()
                    });
                    continue;
                }
                let interface = host.balancer_side().name().to_owned();
                eventually("the next hops are resolved", || {
                    let known =
                        self.topology.balancer().run(|| fs::read_to_string("/proc/thread-self/net/arp"));
                    let known = known.expect("a thread gets in").expect("the kernel tells its neighbours");
                    known.lines().any(|line| line.ends_with(&interface) && line.contains(" 0x2 "))
                });
            }
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let instance = self.datapath.instance().clone();
        let down = self.topology.balancer().run(|| maglev_probe::down(&instance));
        // A test that took it down itself has nothing left to take down.
        if let Ok(Err(error)) = down
            && instance.exists()
        {
            eprintln!("the datapath stays: {error}");
        }
    }
}

/// Waits until `holds`, and says what it waited for when it does not come.
///
/// # Panics
///
/// When it does not hold within ten seconds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "waited ten seconds in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Has a host take outer headers off.
fn decapsulate(host: &Backend) -> Decapsulation {
    host.namespace()
        .run(|| Decapsulation::attach(host.interface().name(), AttachMode::Native))
        .expect("a thread gets into the backend")
        .expect("the decapsulating program attaches")
}

fn configuration(plot: &Plot, topology: &Topology) -> String {
    let Plot { forwarding, tracking, udp_tracking, settle_time, table_size, attach_mode, weights, .. } = plot;
    let interface = topology.client_side().name();
    let dns_table_size = plot.dns_table_size.unwrap_or(*table_size);
    let max_slots = 65_536.max(table_size.next_multiple_of(512) + dns_table_size.next_multiple_of(512));
    let mut text = format!(
        "[datapath]\ninterfaces = [\"{interface}\"]\nattach-mode = \"{attach_mode}\"\n\
         tunnel-source-v4 = \"10.81.0.254\"\ntunnel-source-v6 = \"fd00:81::fe\"\nmax-slots = {max_slots}\n"
    );
    let tcp = ("web", 80, "tcp", *forwarding, *tracking, *table_size);
    let udp = ("dns", 53, "udp", "l2", *udp_tracking, dns_table_size);
    for (name, port, protocol, forwarding, tracking, table_size) in [tcp, udp] {
        let service = SocketAddr::new(plot.service, port);
        let family = if plot.backends_on_ipv6 && protocol == "tcp" { SERVICE_V6 } else { plot.service };
        let _ = write!(
            text,
            "[[services]]\nname = \"{name}\"\naddress = \"{service}\"\nprotocol = \"{protocol}\"\n\
             table-size = {table_size}\nforwarding = \"{forwarding}\"\ntracking = \"{tracking}\"\n\
             settle-time = \"{settle_time}\"\n"
        );
        for (backend, weight) in topology.backends().iter().zip(weights) {
            let name = backend.name();
            let address = backend.address_like(family).expect("the lab's kernel has IPv6");
            let address = SocketAddr::new(address, port);
            let _ = write!(
                text,
                "[[services.backends]]\nname = \"{name}\"\naddress = \"{address}\"\nweight = {weight}\n"
            );
        }
    }
    text
}

/// An instance of a name that no other test has. One that is left behind goes with the next site.
///
/// # Panics
///
/// Never: the name is a good one.
#[must_use]
pub fn new_instance() -> Instance {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Instance::new(&format!("test-{}-{count}", std::process::id())).expect("a good name")
}

/// Takes down what a test run that was killed left.
fn sweep() {
    for instance in Instance::all().unwrap_or_default() {
        let maker = instance.name().strip_prefix("test-").and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|process| !PathBuf::from("/proc").join(process).exists()) {
            let _ = maglev_probe::down(&instance);
        }
    }
}
