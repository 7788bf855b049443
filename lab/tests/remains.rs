//! What a lab leaves behind: nothing. Alone in its file, so that no other test's threads or descriptors
//! are counted.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use maglev_lab::{Interface, Load, Namespace, TcpLoad, Topology, Traffic};

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn remains(here: &Namespace) -> (usize, usize, usize, usize) {
    let interfaces = Interface::names(here).unwrap().len();
    (interfaces, entries("/proc/self/fd"), entries("/proc/self/task"), entries("/run/netns"))
}

#[test]
fn nothing_is_left() {
    if let Err(error) = Namespace::new("trial") {
        assert!(error.is_permission(), "{error:?}");
        return println!("skipped: {error} (run as root)");
    }
    let here = Namespace::current().unwrap();
    let before = remains(&here);
    for abandoned in [false, true] {
        let service = IpAddr::from([192, 0, 2, 10]);
        let topology = Topology::builder().service_addresses([service]).build().unwrap();
        let servers = topology.start_servers(&[80], &[80]).unwrap();
        topology.route_to_backend(service, &topology.backends()[0]).unwrap();
        let tcp =
            TcpLoad { targets: vec![SocketAddr::new(service, 80)], connections: 50, ..TcpLoad::default() };
        let sources = topology.client().addresses().to_vec();
        let traffic =
            Traffic::start(topology.client().namespace(), Load { sources, tcp, ..Load::default() }).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while traffic.report().requests < 20 {
            assert!(Instant::now() < deadline, "{:?}", traffic.report());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(entries("/proc/self/task") > before.2 + 7);
        if abandoned {
            // In the worst order: the network goes first.
            drop(topology);
            drop(servers);
            drop(traffic);
        } else {
            assert_eq!(traffic.stop().broken.total(), 0);
        }
    }
    assert_eq!(remains(&here), before);
}
