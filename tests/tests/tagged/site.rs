//! A balancer between two wires whose other ends are this test.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    process::Command,
    time::Duration,
};

use maglev_core::config::Config;
use maglev_lab::Namespace;
use maglev_probe::Datapath;
use maglev_tests::{Tap, new_instance};

/// The hardware address that tunnelled packets go to.
pub(crate) const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];

/// Where the outer headers come from.
pub(crate) const TUNNEL_SOURCES: [&str; 2] = ["10.81.0.254", "fd00:81::fe"];

const PATIENCE: Duration = Duration::from_secs(5);

/// The balancer.
pub(crate) struct Site {
    /// The wire that it balances.
    pub(crate) wire: Tap,
    /// Another one, which some backends are on.
    pub(crate) other: Tap,
    datapath: Datapath,
    namespace: Namespace,
}

/// The backends that an address stands for in a configuration: on the segment of the wire, in either family, or on the
/// other one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    V4,
    V6,
    Elsewhere,
}

impl Place {
    const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Elsewhere];

    fn backend(self, number: u8) -> IpAddr {
        match self {
            Self::V4 => [10, 81, 0, number].into(),
            Self::V6 => [0xfd00, 0x81, 0, 0, 0, 0, 0, u16::from(number)].into(),
            Self::Elsewhere => [10, 82, 0, number].into(),
        }
    }

    /// The hardware address of a backend.
    fn hardware_address(self, number: u8) -> [u8; 6] {
        [2, 0, 0, 0, 0x81 + self as u8, number]
    }
}

/// How many backends a service has.
const BACKENDS: u8 = 3;

/// A service: its name, port and protocol, its forwarding, and where its backends are.
type Row = (&'static str, u16, &'static str, &'static str, Place);

const SERVICES: [Row; 6] = [
    ("tunnel", 80, "tcp", "ipip", Place::V4),
    ("tunnel-six", 81, "tcp", "ipip", Place::V6),
    ("segment", 82, "tcp", "l2", Place::V4),
    ("elsewhere", 83, "tcp", "l2", Place::Elsewhere),
    ("datagrams", 53, "udp", "ipip", Place::V4),
    ("watched", 84, "tcp", "observe", Place::V4),
];

impl Site {
    /// Makes one whose services have addresses like `service`, or says why it cannot be made here.
    pub(crate) fn start(service: IpAddr, attach_mode: &str) -> Option<Self> {
        let namespace = match Namespace::new("tagged") {
            Ok(namespace) => namespace,
            Err(error) if error.is_permission() => {
                println!("skipped: {error} (run as root)");
                return None;
            }
            Err(error) => panic!("{error:?}"),
        };
        let (wire, other) = (Tap::create(&namespace, "wire")?, Tap::create(&namespace, "other")?);
        for (tap, address, length) in [
            (&wire, TUNNEL_SOURCES[0], 24),
            (&wire, TUNNEL_SOURCES[1], 64),
            (&other, "10.82.0.254", 24),
            (&other, "fd00:82::fe", 64),
        ] {
            tap.interface().add_address(address.parse().unwrap(), length).unwrap();
        }
        for parameter in ["net/ipv4/conf/all/forwarding", "net/ipv6/conf/all/forwarding"] {
            namespace.set_sysctl(parameter, "1").unwrap();
        }
        for place in Place::ALL {
            for number in 1..=BACKENDS {
                let interface = if place == Place::Elsewhere { &other } else { &wire };
                know(&namespace, place, number, interface.interface().name());
            }
        }
        let text = configuration(service, attach_mode);
        let config = Config::parse("tagged.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let instance = new_instance();
        let up = namespace.run(|| maglev_probe::up(&instance, &config.config)).unwrap();
        up.unwrap_or_else(|error| panic!("{error:?}"));
        let datapath = Datapath::open(&instance).unwrap();
        Some(Self { wire, other, datapath, namespace })
    }

    /// The verdict on a frame that comes in, and the frame that leaves by the wire and by the other one.
    pub(crate) fn balance(&self, frame: &[u8]) -> (&'static str, [Option<Vec<u8>>; 2]) {
        let before = self.datapath.sample().unwrap().verdicts;
        self.wire.send(frame);
        let after = self.datapath.sample().unwrap().verdicts;
        let more: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        let [((word, before), (_, after))] = more[..] else { panic!("one verdict, not {more:?}") };
        assert_eq!(after - before, 1, "{word}");
        let wait = |tap: &Tap, words: &[&str]| {
            let patience = if words.contains(word) { PATIENCE } else { Duration::ZERO };
            tap.receive(patience)
        };
        let answers = ["transmitted", "time-exceeded-answered", "too-big-answered", "echo-answered"];
        (word, [wait(&self.wire, &answers), wait(&self.other, &["redirected"])])
    }

    /// Where the backend is that a client gets, as the lookup table has it, and its hardware address.
    pub(crate) fn backend(&self, service: &str, client: SocketAddr) -> (IpAddr, [u8; 6]) {
        let (service, seed) = self.datapath.service(service).unwrap();
        let slot = service.flow_hash(&seed, client) % service.table_size;
        let sample = self.datapath.sample().unwrap();
        let sampled = sample.services.iter().find(|sampled| sampled.name == service.name).unwrap();
        let owner = sampled.slots.owner[slot as usize];
        let address = sampled.backends.iter().find(|backend| backend.id == owner).unwrap().address.ip();
        let all = Place::ALL.into_iter().flat_map(|place| (1..=BACKENDS).map(move |number| (place, number)));
        let (place, number) = all
            .into_iter()
            .find(|&(place, number)| place.backend(number) == address)
            .expect("one of the configuration's");
        (address, place.hardware_address(number))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let instance = self.datapath.instance().clone();
        if let Ok(Err(error)) = self.namespace.run(|| maglev_probe::down(&instance)) {
            eprintln!("the datapath stays: {error}");
        }
    }
}

/// Has the kernel know a backend's hardware address.
fn know(namespace: &Namespace, place: Place, number: u8, interface: &str) {
    let address = place.backend(number).to_string();
    let hardware_address = place.hardware_address(number).map(|octet| format!("{octet:02x}")).join(":");
    let words = ["neigh", "add", &address, "lladdr", &hardware_address, "dev", interface, "nud", "permanent"];
    let told = namespace.run(|| Command::new("ip").args(words).status()).unwrap().unwrap();
    assert!(told.success(), "{words:?}");
}

fn configuration(service: IpAddr, attach_mode: &str) -> String {
    let gateway = GATEWAY.map(|octet| format!("{octet:02x}")).join(":");
    let [v4, v6] = TUNNEL_SOURCES;
    let mut text = format!(
        "[datapath]\ninterfaces = [\"wire\"]\nattach-mode = \"{attach_mode}\"\ngateway-mac = \"{gateway}\"\n\
         tunnel-source-v4 = \"{v4}\"\ntunnel-source-v6 = \"{v6}\"\nmax-slots = 8192\n"
    );
    for (name, port, protocol, forwarding, place) in SERVICES {
        let address = SocketAddr::new(service, port);
        // What is not tunnelled is of its service's family.
        let is_tunnel = forwarding == "ipip";
        if !is_tunnel && place == Place::Elsewhere && service.is_ipv6() {
            continue;
        }
        let place = if !is_tunnel && service.is_ipv6() { Place::V6 } else { place };
        let _ = write!(
            text,
            "[[services]]\nname = \"{name}\"\naddress = \"{address}\"\nprotocol = \"{protocol}\"\n\
             table-size = 251\nforwarding = \"{forwarding}\"\n"
        );
        for number in 1..=BACKENDS {
            let address = SocketAddr::new(place.backend(number), port);
            let _ = write!(text, "[[services.backends]]\nname = \"b{number}\"\naddress = \"{address}\"\n");
        }
    }
    text
}
