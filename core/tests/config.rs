//! Configuration files: what they say, and what is wrong with them, line by line.

use std::time::Duration;

use maglev_core::{
    config::{AttachMode, Config, ConfigErrors, Datapath},
    health::{CheckKind, Health, HealthCheck, HttpCheck, Via},
    seed::HashSeed,
    service::{Affinity, Backend, BackendState, Forwarding, Protocol, Service, Tracking},
};

/// The example of the documentation.
const FULL: &str = r#"seed = "AKHYE28K1gPQgfHT"

[datapath]
interfaces = ["eth0", "eth1"]
attach-mode = "native"
tunnel-source-v4 = "100.64.7.0/24"
tunnel-source-v6 = "fd00::2"
max-slots = 65536
gateway-mac = "02:00:00:00:00:01"

[[services]]
name = "web"
address = "192.0.2.10:80"
protocol = "tcp"
table-size = 251
forwarding = "ipip"
affinity = "source-ip"
tracking = "always"
settle-time = "90s"
settle-limit = "1h"

[[services.backends]]
name = "web-1"
address = "10.0.1.11:80"
weight = 200
state = "draining"

[[services.backends]]
name = "web-2"
address = "[fd00::12]:80"
"#;

/// A file whose service keeps every rule, for others to break one.
const PLAIN: &str = r#"[[services]]
name = "web"
address = "192.0.2.10:80"
protocol = "tcp"
table-size = 251
forwarding = "observe"

[[services.backends]]
name = "web-1"
address = "10.0.1.11:80"

[[services.backends]]
name = "web-2"
address = "10.0.1.12:80"
"#;

fn errors(text: &str) -> Vec<String> {
    let ConfigErrors(errors) = Config::parse("web.toml", text).expect_err("the file is wrong");
    errors.iter().map(ToString::to_string).collect()
}

fn warnings(text: &str) -> Vec<String> {
    let parsed = Config::parse("web.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
    parsed.warnings.iter().map(ToString::to_string).collect()
}

/// `PLAIN` with `from` replaced by `to` has that one error.
#[track_caller]
fn refused(from: &str, to: &str, error: &str) {
    assert!(PLAIN.contains(from), "{from}");
    let errors = errors(&PLAIN.replacen(from, to, 1));
    assert_eq!(errors, [error], "{from} → {to}");
}

#[test]
fn everything_that_can_be_said() {
    let parsed = Config::parse("web.toml", FULL).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parsed.warnings, []);
    let expected = Config {
        seed: "AKHYE28K1gPQgfHT".parse().unwrap(),
        datapath: Datapath {
            interfaces: vec!["eth0".to_owned(), "eth1".to_owned()],
            attach_mode: AttachMode::Native,
            tunnel_source_v4: Some("100.64.7.0/24".parse().unwrap()),
            tunnel_source_v6: Some("fd00::2/128".parse().unwrap()),
            max_slots: 65_536,
            gateway_mac: Some([2, 0, 0, 0, 0, 1]),
        },
        services: vec![Service {
            name: "web".to_owned(),
            address: "192.0.2.10:80".parse().unwrap(),
            protocol: Protocol::Tcp,
            table_size: 251,
            forwarding: Forwarding::Ipip,
            affinity: Affinity::SourceIp,
            tracking: Tracking::Always,
            settle_time: Duration::from_secs(90),
            settle_limit: Some(Duration::from_secs(3600)),
            health: None,
            backends: vec![
                Backend {
                    name: "web-1".to_owned(),
                    address: "10.0.1.11:80".parse().unwrap(),
                    weight: 200,
                    state: BackendState::Draining,
                    health: Health::Unknown,
                },
                Backend {
                    name: "web-2".to_owned(),
                    address: "[fd00::12]:80".parse().unwrap(),
                    weight: 100,
                    state: BackendState::Active,
                    health: Health::Unknown,
                },
            ],
        }],
    };
    assert_eq!(parsed.config, expected);
    assert_eq!(Config::parse("shown", &expected.to_toml()).unwrap().config, expected);
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = Config::parse("web.toml", &PLAIN.replace("table-size = 251\n", "")).unwrap().config;
    assert_eq!(config.seed, HashSeed::default());
    assert_eq!(config.datapath, Datapath::default());
    assert_eq!(config.datapath.max_slots, 1_048_576);
    let service = &config.services[0];
    assert_eq!((service.table_size, service.affinity), (16_381, Affinity::None));
    assert_eq!((service.tracking, service.settle_limit), (Tracking::Settling, None));
    assert_eq!(service.settle_time, Duration::from_secs(600));
    assert_eq!((service.backends[0].weight, service.backends[0].state), (100, BackendState::Active));

    let udp = Config::parse("web.toml", &PLAIN.replace("\"tcp\"", "\"udp\"")).unwrap().config;
    assert_eq!(udp.services[0].tracking, Tracking::Always);
}

#[test]
fn a_file_without_services_is_empty_and_says_so() {
    assert_eq!(Config::parse("web.toml", "").unwrap().config, Config::default());
    assert_eq!(warnings("# nothing\n"), ["web.toml:1: services: there is no service"]);
}

#[test]
fn what_is_not_toml_has_its_line() {
    let errors = errors("seed = \"JLfvgnHc2kaSUFaI\"\n\nname = = 1\n");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("web.toml:3: "), "{errors:?}");
    let twice = self::errors("seed = \"JLfvgnHc2kaSUFaI\"\nseed = \"JLfvgnHc2kaSUFaI\"\n");
    assert!(twice[0].starts_with("web.toml:2: "), "{twice:?}");
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand() {
    assert_eq!(
        errors("sede = \"JLfvgnHc2kaSUFaI\"\n[datapath]\ninterface = \"eth0\"\n"),
        [
            "web.toml:1: sede: unknown key; there may be seed, datapath, services",
            "web.toml:3: datapath.interface: unknown key; there may be interfaces, attach-mode, tunnel-source-v4, \
             tunnel-source-v6, max-slots, gateway-mac",
        ]
    );
    refused(
        "table-size",
        "table_size",
        "web.toml:5: services.table_size: unknown key; there may be name, address, protocol, table-size, forwarding, \
         affinity, tracking, settle-time, settle-limit, health, backends",
    );
    refused(
        "name = \"web-2\"",
        "name = \"web-2\"\nwieght = 3",
        "web.toml:14: services.backends.wieght: unknown key; there may be name, address, weight, state",
    );
    assert_eq!(
        errors("[[service]]\n"),
        ["web.toml:1: service: unknown key; there may be seed, datapath, services"]
    );
}

#[test]
fn keys_that_have_no_default_are_missed() {
    refused("name = \"web\"\n", "", "web.toml:1: services.name: missing; what the service is to be called");
    refused(
        "forwarding = \"observe\"\n",
        "",
        "web.toml:1: services.forwarding: missing; \"ipip\", \"l2\" or \"observe\"",
    );
    refused("protocol = \"tcp\"\n", "", "web.toml:1: services.protocol: missing; \"tcp\" or \"udp\"");
    refused(
        "address = \"10.0.1.12:80\"\n",
        "",
        "web.toml:12: services.backends.address: missing; an address and port: \"10.0.1.11:80\"",
    );
}

#[test]
fn values_of_another_kind() {
    refused(
        "table-size = 251",
        "table-size = \"251\"",
        "web.toml:5: services.table-size: expected a whole number, and this is a text",
    );
    refused("name = \"web\"", "name = 3", "web.toml:2: services.name: expected a text, and this is a number");
    refused("\"tcp\"", "\"sctp\"", "web.toml:4: services.protocol: \"sctp\" is none of tcp, udp");
    refused(
        "forwarding",
        "settle-time = 600\nforwarding",
        "web.toml:6: services.settle-time: expected a time with its unit: \"10m\", and this is a number",
    );
    assert_eq!(
        errors("services = 3\ndatapath = \"eth0\"\n"),
        [
            "web.toml:1: services: expected an array of tables, and this is a number",
            "web.toml:2: datapath: expected a table, and this is a text",
        ]
    );
    assert_eq!(
        errors("[datapath]\ninterfaces = \"eth0\"\ngateway-mac = \"2:0:0:0:0:1\"\n"),
        [
            "web.toml:2: datapath.interfaces: expected an array of interfaces: [\"eth0\"], and this is a text",
            "web.toml:3: datapath.gateway-mac: \"2:0:0:0:0:1\" is not a MAC address such as \"02:00:00:00:00:01\"",
        ]
    );
}

#[test]
fn table_sizes_are_primes() {
    refused(
        "table-size = 251",
        "table-size = 250",
        "web.toml:5: services.table-size: table size 250 is not a prime; use one of Cilium's: 251, 509, 1021, 2039, \
         4093, 8191, 16381, 32749, 65521, 131071",
    );
    refused(
        "table-size = 251",
        "table-size = 1048583",
        "web.toml:5: services.table-size: table size 1048583 is over the largest, 1048573",
    );
    refused(
        "table-size = 251",
        "table-size = -251",
        "web.toml:5: services.table-size: -251 is not a number from 3 to 1048573",
    );
}

#[test]
fn names_and_addresses_stand_once() {
    let second = "[[services]]\nname = \"dns\"\naddress = \"192.0.2.10:80\"\nprotocol = \"tcp\"\n\
                  forwarding = \"observe\"\nbackends = [{ name = \"a\", address = \"10.0.1.1:80\" }]\n";
    let both = format!("{PLAIN}{second}");
    assert_eq!(
        errors(&both),
        ["web.toml:17: services.address: service web has this address and protocol already"]
    );
    assert!(
        Config::parse(
            "web.toml",
            &both.replace("\nprotocol = \"tcp\"\nforwarding", "\nprotocol = \"udp\"\nforwarding")
        )
        .is_ok()
    );
    let named = both.replace("\"dns\"", "\"web\"").replace(
        "192.0.2.10:80\"\nprotocol = \"tcp\"\nforwarding",
        "192.0.2.11:80\"\nprotocol = \"tcp\"\nforwarding",
    );
    assert_eq!(errors(&named), ["web.toml:16: services.name: another service is named web too"]);

    refused(
        "web-2",
        "web-1",
        "web.toml:13: services.backends.name: another backend of the service is named web-1 too",
    );
    refused(
        "10.0.1.12",
        "10.0.1.11",
        "web.toml:14: services.backends.address: backend web-1 has this address already",
    );
}

#[test]
fn names_are_short_and_plain() {
    refused("\"web\"", "\"\"", "web.toml:2: services.name: a name may not be empty");
    refused(
        "\"web-2\"",
        "\"web 2\"",
        "web.toml:13: services.backends.name: ' ' may not stand in a name: letters, digits and - _ . : / may",
    );
    let long = "x".repeat(64);
    refused(
        "\"web\"",
        &format!("\"{long}\""),
        "web.toml:2: services.name: a name has at most 63 bytes, and this one has 64",
    );
}

#[test]
fn addresses_are_those_of_one_machine_and_port() {
    let refused_service = |address: &str, reason: &str| {
        refused("192.0.2.10:80", address, &format!("web.toml:3: services.address: {reason}"));
    };
    refused_service(
        "192.0.2.10",
        "\"192.0.2.10\" is not an address and port; it lacks the port: \"192.0.2.10:80\"",
    );
    refused_service(
        "web:80",
        "\"web:80\" is not an address and port; that is \"192.0.2.10:80\" or \"[2001:db8::10]:80\"",
    );
    let refused_backend = |address: &str, reason: &str| {
        // The error says enough; that the port is unlike the service's is only a warning.
        refused("10.0.1.12:80", address, &format!("web.toml:14: services.backends.address: {reason}"));
    };
    refused_backend("10.0.1.12:0", "port 0 is no port to send to");
    refused_backend("0.0.0.0:80", "0.0.0.0 is no address to send to");
    refused_backend("224.0.0.1:80", "224.0.0.1 is a multicast address");
    refused_backend("255.255.255.255:80", "255.255.255.255 is the broadcast address");
}

#[test]
fn backends_can_be_reached_by_the_forwarding() {
    refused(
        "10.0.1.12:80",
        "[fd00::12]:80",
        "web.toml:14: services.backends.address: observe forwarding leaves the packet as it is, so a backend of an \
         IPv4 service has an IPv4 address; only ipip takes any",
    );
    let ipip = PLAIN.replace("observe", "ipip").replace("10.0.1.12:80", "[fd00::12]:80");
    let no_v4 = "web.toml:10: services.backends.address: packets for an IPv4 backend get an outer IPv4 header: set its \
                 source, datapath.tunnel-source-v4";
    let no_v6 = "web.toml:14: services.backends.address: packets for an IPv6 backend get an outer IPv6 header: set its \
                 source, datapath.tunnel-source-v6";
    assert_eq!(errors(&ipip), [no_v4, no_v6]);
    // Once is enough, however many backends there are.
    assert_eq!(errors(&PLAIN.replace("observe", "ipip")), [no_v4]);
    // On one line, so that those behind it keep their numbers.
    let with_v4 =
        ipip.replacen("[[services]]", "datapath = { tunnel-source-v4 = \"10.0.0.2\" }\n[[services]]", 1);
    assert_eq!(errors(&with_v4), [no_v6.replace(":14:", ":15:")]);
    let wrong = with_v4.replace("\"10.0.0.2\"", "\"fd00::2\"").replace("[fd00::12]:80", "10.0.1.12:80");
    assert_eq!(
        errors(&wrong),
        [
            "web.toml:1: datapath.tunnel-source-v4: \"fd00::2\" is neither an IPv4 address (\"10.0.0.2\") nor a prefix \
          (\"100.64.7.0/24\")"
        ]
    );
}

#[test]
fn the_datapath_keeps_its_rules() {
    let datapath = |line: &str| errors(&format!("[datapath]\n{line}\n"));
    assert_eq!(
        datapath("tunnel-source-v4 = \"100.64.7.1/24\""),
        [
            "web.toml:2: datapath.tunnel-source-v4: a prefix has no bits set behind its length: write 100.64.7.0/24"
        ]
    );
    assert_eq!(
        datapath("tunnel-source-v6 = \"ff02::1\""),
        ["web.toml:2: datapath.tunnel-source-v6: ff02::1 is no address to send from"]
    );
    assert_eq!(
        datapath("interfaces = [\"eth0\", \"eth0\"]"),
        ["web.toml:2: datapath.interfaces: eth0 stands there twice"]
    );
    assert_eq!(
        datapath("interfaces = [\"a/b\"]"),
        [
            "web.toml:2: datapath.interfaces: \"a/b\" cannot be an interface: names have 1 to 15 bytes, no slash, colon or \
          white space"
        ]
    );
    assert_eq!(
        datapath("gateway-mac = \"01:00:5e:00:00:01\""),
        [
            "web.toml:2: datapath.gateway-mac: a gateway has the address of one machine: not a group's, not all zeros"
        ]
    );
    assert_eq!(
        datapath("attach-mode = \"driver\""),
        ["web.toml:2: datapath.attach-mode: \"driver\" is none of auto, native, generic"]
    );
}

#[test]
fn weights_are_in_range_and_count() {
    let weigh = |to: &str, error: &str| {
        refused("name = \"web-2\"\n", &format!("name = \"web-2\"\nweight = {to}\n"), error);
    };
    weigh(
        "0",
        "web.toml:14: services.backends.weight: a weight is 1 to 65535; for no new connections set state = \"draining\"",
    );
    weigh("65536", "web.toml:14: services.backends.weight: 65536 is not a number from 1 to 65535");
    let light = PLAIN
        .replace("name = \"web-1\"", "name = \"web-1\"\nweight = 1")
        .replace("name = \"web-2\"", "name = \"web-2\"\nweight = 2");
    let ignored = "web.toml:10: services.backends.weight: the fill ignores weights whose mean, in whole numbers, is \
                   below 2, and gives equal shares (3 over 2 active backends here): multiply every weight of the \
                   service by 2 or more";
    assert_eq!(errors(&light), [ignored]);
    assert!(Config::parse("web.toml", &light.replace("weight = 2", "weight = 1")).is_ok());
    assert!(Config::parse("web.toml", &light.replace("weight = 2", "weight = 3")).is_ok());
    // A draining backend's weight does not count.
    assert!(
        Config::parse("web.toml", &light.replace("weight = 2", "weight = 2\nstate = \"draining\"")).is_ok()
    );
}

#[test]
fn a_service_has_a_backend() {
    let without = &PLAIN[..PLAIN.find("[[services.backends]]").unwrap()];
    assert_eq!(errors(without), ["web.toml:1: services.backends: a service needs a backend at least"]);
    let empty = without.replace("forwarding", "backends = []\nforwarding");
    assert_eq!(errors(&empty), ["web.toml:6: services.backends: a service needs a backend at least"]);
}

#[test]
fn seeds_have_twelve_bytes() {
    assert_eq!(
        errors("seed = \"JLfvgnHc2kY=\"\n"),
        ["web.toml:1: seed: the seed has 8 bytes, and must have 12 (16 characters of base64)"]
    );
    assert!(errors("seed = \"JLfv!\"\n")[0].starts_with("web.toml:1: seed: the seed is not base64: "));
}

#[test]
fn what_settles_and_for_how_long() {
    let service = |line: &str, error: &str| {
        refused("forwarding", &format!("{line}\nforwarding"), &format!("web.toml:6: services.{error}"));
    };
    service(
        "settle-time = \"1999ms\"",
        "settle-time: shorter than the shortest there is, 2s; flows that are silent for so long are given up",
    );
    service("settle-time = \"2000500us\"", "settle-time: must be whole milliseconds");
    service("settle-time = \"40years\"", "settle-time: longer than the longest there is, 17years");
    service("settle-limit = \"9m\"", "settle-limit: shorter than settle-time");
    service("settle-limit = \"40years\"", "settle-limit: longer than the longest there is, 17years");
    let udp =
        PLAIN.replace("\"tcp\"", "\"udp\"").replace("forwarding", "tracking = \"settling\"\nforwarding");
    assert_eq!(
        errors(&udp),
        [
            "web.toml:6: services.tracking: UDP has no SYN that tells a new flow from an old one: take \"always\", or \
          \"never\" to hash only"
        ]
    );
    let unit = errors(&PLAIN.replace("forwarding", "settle-time = \"10\"\nforwarding"));
    assert!(
        unit[0].starts_with("web.toml:6: services.settle-time: \"10\" is not a time such as \"10m\""),
        "{unit:?}"
    );
}

#[test]
fn slots_have_room_in_whole_rows() {
    // Three of the largest, no datapath section to point at.
    let large = |number: u32| {
        format!(
            "[[services]]\nname = \"s{number}\"\naddress = \"192.0.2.{number}:80\"\nprotocol = \"tcp\"\ntable-size = 524287\n\
             forwarding = \"observe\"\nbackends = [{{ name = \"a\", address = \"10.0.0.1:80\" }}]\n"
        )
    };
    assert!(Config::parse("web.toml", &[large(1), large(2)].concat()).is_ok());
    assert_eq!(
        errors(&[large(1), large(2), large(3)].concat()),
        [
            "web.toml:1: datapath.max-slots: the services take 1572864 slots (each in whole rows of 512), over max-slots, \
          1048576"
        ]
    );
    let text = |max: u32| format!("datapath = {{ max-slots = {max} }}\n{PLAIN}");
    assert!(Config::parse("web.toml", &text(512)).is_ok());
    assert_eq!(
        errors(&text(511)),
        [
            "web.toml:1: datapath.max-slots: the services take 512 slots (each in whole rows of 512), over max-slots, 511"
        ]
    );
}

#[test]
fn what_may_not_be_meant_is_a_warning() {
    assert_eq!(warnings(PLAIN), [""; 0]);
    assert_eq!(
        warnings(&PLAIN.replace("10.0.1.12:80", "10.0.1.12:8080")),
        [
            "web.toml:14: services.backends.address: port 8080 is unlike the service's: ports are not rewritten, so packets \
          arrive at port 80"
        ]
    );
    assert_eq!(
        warnings(&PLAIN.replace("10.0.1.11:80", "10.0.1.11:8080").replace("10.0.1.12:80", "10.0.1.12:8080")),
        [
            "web.toml:10: services.backends.address: port 8080, of 2 backends, is unlike the service's: ports are not \
             rewritten, so packets arrive at port 80"
        ]
    );
    assert_eq!(
        warnings(&PLAIN.replace("table-size = 251", "table-size = 3").replace(
            "[[services.backends]]\nname = \"web-1\"\n",
            "[[services.backends]]\nname = \"web-3\"\naddress = \"10.0.1.13:80\"\n[[services.backends]]\n\
             name = \"web-4\"\naddress = \"10.0.1.14:80\"\n[[services.backends]]\nname = \"web-1\"\n"
        )),
        ["web.toml:8: services.backends: only 3 slots for 4 active backends: 1 of them get none"]
    );
    let draining = PLAIN
        .replace("name = \"web-1\"", "name = \"web-1\"\nstate = \"draining\"")
        .replace("name = \"web-2\"", "name = \"web-2\"\nstate = \"draining\"");
    assert_eq!(
        warnings(&draining),
        ["web.toml:8: services.backends: no backend is active: new connections have nowhere to go"]
    );
}

#[test]
fn everything_wrong_is_said_at_once() {
    let text = PLAIN.replace("251", "250").replace("10.0.1.11:80", "10.0.1.11:0").replace("web-2", "web 2");
    let text = format!("seed = \"short\"\n{text}");
    let lines: Vec<_> =
        errors(&text).iter().map(|error| error.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect();
    assert_eq!(
        lines,
        [
            "web.toml:1: seed",
            "web.toml:6: services.table-size",
            "web.toml:11: services.backends.address",
            "web.toml:14: services.backends.name",
        ]
    );
}

/// `PLAIN` with what a service asks to have checked.
fn with_health(section: &str) -> String {
    PLAIN.replacen(
        "[[services.backends]]",
        &format!("[services.health]\n{section}\n[[services.backends]]"),
        1,
    )
}

#[test]
fn what_is_checked_of_backends() {
    let checked = |section| {
        let config =
            Config::parse("web.toml", &with_health(section)).unwrap_or_else(|errors| panic!("{errors}"));
        let config = config.config;
        assert_eq!(Config::parse("shown", &config.to_toml()).unwrap().config, config);
        config.services[0].health.clone().expect("a health section")
    };
    let tcp = HealthCheck {
        kind: CheckKind::Tcp,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        port: None,
        via: Via::Direct,
    };
    assert_eq!(checked("check = \"tcp\""), tcp);
    let http = HttpCheck { path: "/".to_owned(), host: None, status: "200".parse().unwrap() };
    assert_eq!(checked("check = \"http\""), HealthCheck { kind: CheckKind::Http(http), ..tcp.clone() });
    let all = "check = \"http\"\ninterval = \"500ms\"\ntimeout = \"100ms\"\nrise = 1\nfall = 9\nport = 8081\n\
               path = \"/ready?deep=1\"\nstatus = \"200-299,301\"\nhost = \"web.example\"";
    let http = HttpCheck {
        path: "/ready?deep=1".to_owned(),
        host: Some("web.example".to_owned()),
        status: "200-299,301".parse().unwrap(),
    };
    assert_eq!(
        checked(all),
        HealthCheck {
            kind: CheckKind::Http(http),
            interval: Duration::from_millis(500),
            timeout: Duration::from_millis(100),
            rise: 1,
            fall: 9,
            port: Some(8081),
            via: Via::Direct,
        }
    );
    assert_eq!(checked("check = \"tcp\"\nvia = \"direct\""), tcp);
    assert_eq!(Config::parse("web.toml", PLAIN).unwrap().config.services[0].health, None);
}

#[test]
fn checks_through_the_tunnel_go_where_packets_do() {
    let observed = with_health("check = \"tcp\"\nvia = \"tunnel\"");
    assert_eq!(
        errors(&observed),
        [
            "web.toml:8: services.health: via = \"tunnel\" is the way of the service's packets, and observe forwards none: \
             check it with via = \"direct\""
        ]
    );
    let balanced = format!(
        "{}\n[datapath]\ntunnel-source-v4 = \"10.0.0.1\"\ntunnel-source-v6 = \"fd00::1\"\n",
        observed.replace("observe", "ipip")
    );
    let config = Config::parse("web.toml", &balanced).unwrap_or_else(|errors| panic!("{errors}")).config;
    assert_eq!(config.services[0].health.as_ref().unwrap().via, Via::Tunnel);
    assert_eq!(Config::parse("shown", &config.to_toml()).unwrap().config, config);
    let mixed = balanced.replace("10.0.1.11:80", "[fd00::b1]:80");
    assert_eq!(
        errors(&mixed),
        [
            "web.toml:13: services.backends.address: health.via = \"tunnel\" takes an IPv4 backend of an IPv4 service: \
             a check is a connection to the backend's own address that is led through the tunnel, and cannot change \
             its family; give it an IPv4 address, or check it with via = \"direct\""
        ]
    );
    let direct = mixed.replace("via = \"tunnel\"", "via = \"direct\"");
    assert!(Config::parse("web.toml", &direct).is_ok());
}

#[test]
fn checks_are_in_range() {
    let line = PLAIN.lines().position(|line| line == "[[services.backends]]").unwrap() + 1;
    for (section, at, error) in [
        ("interval = \"2s\"", 0, "check: missing; \"tcp\" or \"http\""),
        ("check = \"icmp\"", 1, "check: \"icmp\" is not one of tcp, http"),
        ("check = \"tcp\"\nvia = \"elsewhere\"", 2, "via: \"elsewhere\" is none of direct, tunnel"),
        (
            "check = \"tcp\"\ninterval = \"50ms\"",
            2,
            "interval: 50ms is not from 100ms to 1h, in whole milliseconds",
        ),
        (
            "check = \"tcp\"\ntimeout = \"3s\"",
            2,
            "timeout: a timeout of 3s is longer than the interval of 2s: a check would not be over when the next is due",
        ),
        (
            "check = \"tcp\"\ninterval = \"500ms\"",
            2,
            "interval: a timeout of 1s is longer than the interval of 500ms: a check would not be over when the next is due",
        ),
        ("check = \"tcp\"\nrise = 0", 2, "rise: 0 is not a number from 1 to 255"),
        ("check = \"tcp\"\nfall = 256", 2, "fall: 256 is not a number from 1 to 255"),
        ("check = \"tcp\"\nport = 0", 2, "port: port 0 is no port to connect to"),
        ("check = \"tcp\"\npath = \"/\"", 2, "path: only a check = \"http\" has it"),
        ("check = \"http\"\npath = \"ready\"", 2, "path: \"ready\" does not begin with /"),
        ("check = \"http\"\npath = \"/a b\"", 2, "path: ' ' may not stand in a request: write it with %"),
        ("check = \"http\"\nhost = \"\"", 2, "host: a host may not be empty"),
        (
            "check = \"http\"\nstatus = 99",
            2,
            "status: \"99\" does not say which statuses are good: write 200, \"200-399\" or \"200,204,301-302\", with 8 parts at most, each from 100 to 599",
        ),
        (
            "check = \"http\"\nstatus = true",
            2,
            "status: expected a status such as 200, or a text such as \"200-399\", and this is true or false",
        ),
    ] {
        assert_eq!(
            errors(&with_health(section)),
            [format!("web.toml:{}: services.health.{error}", line + at)],
            "{section}"
        );
    }
    let long = format!("check = \"http\"\npath = \"/{}\"", "x".repeat(127));
    assert!(errors(&with_health(&long))[0].contains("128 bytes are over the most there is room for, 127"));
}
