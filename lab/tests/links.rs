//! Namespaces and the links between them.

use std::net::IpAddr;
use std::time::Duration;

use maglev_lab::{End, Interface, LabError, MacAddress, Namespace, Offload};

fn namespaces() -> Option<(Namespace, Namespace)> {
    match (Namespace::new("left"), Namespace::new("right")) {
        (Ok(left), Ok(right)) => Some((left, right)),
        (Err(error), _) | (_, Err(error)) if error.is_permission() => {
            println!("skipped: {error} (run as root)");
            None
        }
        (Err(error), _) | (_, Err(error)) => panic!("{error:?}"),
    }
}

#[test]
fn a_namespace_is_another_one_and_this_thread_stays_where_it_is() {
    let here = Namespace::current().unwrap();
    let Some((left, right)) = namespaces() else { return };
    assert_ne!(left.inode(), here.inode());
    assert_ne!(left.inode(), right.inode());
    assert_eq!(left.run(|| Namespace::current().unwrap().inode()).unwrap(), left.inode());
    assert_eq!(Namespace::current().unwrap().inode(), here.inode());
}

#[test]
fn parameters_are_those_of_the_namespace() {
    let Some((left, right)) = namespaces() else { return };
    let before = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    left.set_sysctl("net/ipv4/ip_forward", "1").unwrap();
    right.set_sysctl("net/ipv4/ip_forward", "0").unwrap();
    assert_eq!(left.sysctl("net/ipv4/ip_forward").unwrap(), "1");
    assert_eq!(right.sysctl("net/ipv4/ip_forward").unwrap(), "0");
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), before);
    let error = left.set_sysctl("net/ipv4/no_such_parameter", "1").unwrap_err();
    assert!(matches!(&error, LabError::Failed { attempted, .. } if attempted.contains("no_such_parameter")));
}

#[test]
fn panics_reach_the_caller() {
    let Some((left, _)) = namespaces() else { return };
    let panic = std::panic::catch_unwind(|| left.run(|| panic!("from inside"))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"from inside"));
}

#[test]
fn a_pair_carries_packets_and_its_offloads_switch() {
    let Some((left, right)) = namespaces() else { return };
    let mac = MacAddress::new([2, 0, 0, 0, 0, 1]);
    let (near, far) = Interface::create_pair(
        &End { namespace: &left, name: "east", mac, mtu: 1500, index: None },
        &End {
            namespace: &right,
            name: "west",
            mac: MacAddress::new([2, 0, 0, 0, 0, 2]),
            mtu: 1500,
            index: Some(7),
        },
    )
    .unwrap();
    assert_eq!((near.mac(), far.index()), (mac, 7));
    assert_eq!(far.mac().to_string(), "02:00:00:00:00:02");
    for (interface, octet) in [(&near, 1), (&far, 2)] {
        interface.add_address(IpAddr::from([10, 80, 0, octet]), 24).unwrap();
        interface.add_address(IpAddr::from([0xfd00, 0x80, 0, 0, 0, 0, 0, u16::from(octet)]), 64).unwrap();
        interface.set_up().unwrap();
    }
    near.wait_until_running(Duration::from_secs(5)).unwrap();
    far.wait_until_running(Duration::from_secs(5)).unwrap();
    assert!(near.has_offload(Offload::TransmitChecksum).unwrap());
    assert!(!near.has_offload(Offload::GenericReceive).unwrap());
    let off = [
        Offload::TransmitChecksum,
        Offload::TcpSegmentation,
        Offload::GenericSegmentation,
        Offload::ScatterGather,
    ];
    near.set_offloads(&off, false).unwrap();
    near.set_offloads(&[Offload::GenericReceive], true).unwrap();
    for offload in off {
        assert!(!near.has_offload(offload).unwrap(), "{offload:?}");
    }
    assert!(near.has_offload(Offload::GenericReceive).unwrap());
    assert!(far.has_offload(Offload::TransmitChecksum).unwrap());

    for address in ["10.80.0.2:9", "[fd00:80::2]:9"] {
        let address: std::net::SocketAddr = address.parse().unwrap();
        let listener = right.run(|| std::net::TcpListener::bind(address)).unwrap().unwrap();
        let stream = left.run(|| std::net::TcpStream::connect(address)).unwrap().unwrap();
        assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
    }
}

#[test]
fn errors_say_what_was_attempted() {
    let Some((left, _)) = namespaces() else { return };
    let error = Interface::find(&left, "nothing0").unwrap_err();
    assert_eq!(error.to_string(), "cannot find the interface nothing0 in left");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("No such device"));
}
