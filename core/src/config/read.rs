//! From the text of a configuration file to what it says.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::{Ipv4Net, Ipv6Net};
use toml::de::{DeTable, DeValue};

use super::{
    AttachMode, Config, ConfigErrors, ConfigWarning, DEFAULT_MAX_SLOTS, Datapath, Parsed, Reason,
    health::read_health,
    section::{Report, Reported, Section, Value, kind, parsed, text, whole},
};
use crate::{
    health::Health,
    rules::{BrokenRules, Finding, Place, check_config},
    seed::HashSeed,
    service::{
        Affinity, Backend, BackendState, DEFAULT_SETTLE_TIME, DEFAULT_TABLE_SIZE, DEFAULT_WEIGHT, Forwarding,
        Protocol, Service, Tracking,
    },
};

const ROOT_KEYS: &[&str] = &["seed", "datapath", "services"];
const DATAPATH_KEYS: &[&str] =
    &["interfaces", "attach-mode", "tunnel-source-v4", "tunnel-source-v6", "max-slots", "gateway-mac"];
const SERVICE_KEYS: &[&str] = &[
    "name",
    "address",
    "protocol",
    "table-size",
    "forwarding",
    "affinity",
    "tracking",
    "settle-time",
    "settle-limit",
    "health",
    "backends",
];
const BACKEND_KEYS: &[&str] = &["name", "address", "weight", "state"];

/// Reads a file's text and holds it against every rule.
pub(super) fn read(file: &str, text: &str) -> Result<Parsed, ConfigErrors> {
    let mut report = Report::new(file, text);
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            report.error(offset, String::new(), Reason::Syntax(error.message().to_owned()));
            return Err(ConfigErrors(report.into_errors()));
        }
    };
    let root = Section::new("", 0, document.get_ref());
    let outline = Outline::of(root, &mut report);

    let rules = check_config(&outline.config);
    if let Err(BrokenRules(broken)) = &rules {
        for finding in broken {
            let (offset, key) = outline.locate(finding.place);
            report.error(offset, key, Reason::Rule(finding.what.clone()));
        }
    }
    let warn = |finding: Finding<_>| {
        let (offset, key) = outline.locate(finding.place);
        (offset, ConfigWarning { file: report.file(), line: report.line(offset), key, warning: finding.what })
    };
    let mut warnings: Vec<_> = rules.unwrap_or_default().into_iter().map(warn).collect();
    warnings.sort_by_key(|&(offset, _)| offset);

    let errors = report.into_errors();
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    Ok(Parsed {
        config: outline.config,
        warnings: warnings.into_iter().map(|(_, warning)| warning).collect(),
    })
}

/// What could be read, whatever else is wrong, and the sections that it was read from.
struct Outline<'a> {
    config: Config,
    root: Section<'a>,
    datapath: Section<'a>,
    /// For each service that was read, its section and those of its backends.
    services: Vec<(Section<'a>, Vec<Section<'a>>)>,
}

impl<'a> Outline<'a> {
    fn of(root: Section<'a>, report: &mut Report<'_>) -> Self {
        root.refuse_unknown(ROOT_KEYS, report);
        let seed = root.optional("seed", report, parsed::<HashSeed>("12 bytes in base64"));
        let datapath_section =
            root.section("datapath", "datapath", report).unwrap_or(Section::absent("datapath"));
        let datapath = read_datapath(datapath_section, report);

        let (mut services, mut sections) = (Vec::new(), Vec::new());
        for section in root.sections("services", "services", report).unwrap_or_default().into_iter().flatten()
        {
            // A service of which something could not be read has its errors already; rules would only guess.
            if let Ok((service, backends)) = read_service(section, report) {
                services.push(service);
                sections.push((section, backends));
            }
        }
        let seed = seed.ok().flatten().unwrap_or_default();
        Self {
            config: Config { seed, datapath, services },
            root,
            datapath: datapath_section,
            services: sections,
        }
    }

    /// Where in the text a finding's place is, and the path of its key.
    fn locate(&self, place: Place) -> (usize, String) {
        let section = match place {
            Place { service: Some(service), backend: Some(backend), .. } => self.services[service].1[backend],
            Place { service: Some(service), .. } => self.services[service].0,
            Place { key: "services", .. } => self.root,
            Place { .. } => self.datapath,
        };
        (section.offset_of(place.key), section.key(place.key))
    }
}

/// Reads the datapath's section. A value that could not be read has been reported and counts as absent, except that
/// the backends which need a tunnel source are not reported too.
fn read_datapath(section: Section<'_>, report: &mut Report<'_>) -> Datapath {
    section.refuse_unknown(DATAPATH_KEYS, report);
    let interfaces = section.optional("interfaces", report, interfaces);
    let attach_mode = section.optional("attach-mode", report, parsed::<AttachMode>("a text"));
    let tunnel_source_v4 = section.optional("tunnel-source-v4", report, source_v4);
    let tunnel_source_v6 = section.optional("tunnel-source-v6", report, source_v6);
    let max_slots = section.optional("max-slots", report, whole::<u32>("512 to 4294967295"));
    let gateway_mac = section.optional("gateway-mac", report, mac);
    Datapath {
        interfaces: interfaces.ok().flatten().unwrap_or_default(),
        attach_mode: attach_mode.ok().flatten().unwrap_or_default(),
        tunnel_source_v4: tunnel_source_v4.unwrap_or(Some(Ipv4Net::from(Ipv4Addr::LOCALHOST))),
        tunnel_source_v6: tunnel_source_v6.unwrap_or(Some(Ipv6Net::from(Ipv6Addr::LOCALHOST))),
        max_slots: max_slots.map_or(u32::MAX, |slots| slots.unwrap_or(DEFAULT_MAX_SLOTS)),
        gateway_mac: gateway_mac.ok().flatten(),
    }
}

fn read_service<'a>(
    section: Section<'a>,
    report: &mut Report<'_>,
) -> Result<(Service, Vec<Section<'a>>), Reported> {
    section.refuse_unknown(SERVICE_KEYS, report);
    let name = section.required("name", "what the service is to be called", report, owned_text);
    let address = section.required("address", "an address and port: \"192.0.2.10:80\"", report, endpoint);
    let protocol = section.required("protocol", "\"tcp\" or \"udp\"", report, parsed::<Protocol>("a text"));
    let table_size = section.optional("table-size", report, whole::<u32>("3 to 1048573"));
    let forwarding = section.required(
        "forwarding",
        "\"ipip\", \"l2\" or \"observe\"",
        report,
        parsed::<Forwarding>("a text"),
    );
    let affinity = section.optional("affinity", report, parsed::<Affinity>("a text"));
    let tracking = section.optional("tracking", report, parsed::<Tracking>("a text"));
    let settle_time = section.optional("settle-time", report, duration);
    let settle_limit = section.optional("settle-limit", report, limit);
    let health = match section.section_if_any("health", "services.health", report) {
        Ok(section) => section.map(|section| read_health(section, report)).transpose(),
        Err(Reported) => Err(Reported),
    };

    let mut backends = Ok((Vec::new(), Vec::new()));
    for element in section.sections("backends", "services.backends", report)? {
        let backend = element.and_then(|element| Ok((read_backend(element, report)?, element)));
        match (&mut backends, backend) {
            (Ok((backends, sections)), Ok((backend, section))) => {
                backends.push(backend);
                sections.push(section);
            }
            (_, Err(Reported)) => backends = Err(Reported),
            (Err(Reported), _) => {}
        }
    }

    let (protocol, (backends, sections)) = (protocol?, backends?);
    let service = Service {
        name: name?,
        address: address?,
        protocol,
        table_size: table_size?.unwrap_or(DEFAULT_TABLE_SIZE),
        forwarding: forwarding?,
        affinity: affinity?.unwrap_or_default(),
        tracking: tracking?.unwrap_or(protocol.default_tracking()),
        settle_time: settle_time?.unwrap_or(DEFAULT_SETTLE_TIME),
        settle_limit: settle_limit?.flatten(),
        health: health?,
        backends,
    };
    Ok((service, sections))
}

fn read_backend(section: Section<'_>, report: &mut Report<'_>) -> Result<Backend, Reported> {
    section.refuse_unknown(BACKEND_KEYS, report);
    let name = section.required("name", "what the backend is to be called", report, owned_text);
    let address = section.required("address", "an address and port: \"10.0.1.11:80\"", report, endpoint);
    let weight = section.optional("weight", report, whole::<u16>("1 to 65535"));
    let state = section.optional("state", report, parsed::<BackendState>("a text"));
    Ok(Backend {
        name: name?,
        address: address?,
        weight: weight?.unwrap_or(DEFAULT_WEIGHT),
        state: state?.unwrap_or_default(),
        health: Health::Unknown,
    })
}

pub(super) fn owned_text(value: &Value<'_>) -> Result<String, Reason> {
    text("a text", value).map(str::to_owned)
}

fn endpoint(value: &Value<'_>) -> Result<SocketAddr, Reason> {
    let text = text("an address and port: \"192.0.2.10:80\"", value)?;
    text.parse().map_err(|_| {
        let hint = match text.parse::<IpAddr>() {
            Ok(address) => format!("it lacks the port: \"{}\"", SocketAddr::new(address, 80)),
            Err(_) => "that is \"192.0.2.10:80\" or \"[2001:db8::10]:80\"".to_owned(),
        };
        Reason::Value(format!("{text:?} is not an address and port; {hint}"))
    })
}

pub(super) fn duration(value: &Value<'_>) -> Result<Duration, Reason> {
    let text = text("a time with its unit: \"10m\"", value)?;
    humantime::parse_duration(text)
        .map_err(|error| Reason::Value(format!("{text:?} is not a time such as \"10m\" or \"90s\": {error}")))
}

/// A time, or `none`.
fn limit(value: &Value<'_>) -> Result<Option<Duration>, Reason> {
    if value.as_str() == Some("none") { Ok(None) } else { duration(value).map(Some) }
}

fn source_v4(value: &Value<'_>) -> Result<Ipv4Net, Reason> {
    let text = text("an IPv4 address or prefix", value)?;
    text.parse().or_else(|_| text.parse::<Ipv4Addr>().map(Ipv4Net::from)).map_err(|_| {
        Reason::Value(format!(
            "{text:?} is neither an IPv4 address (\"10.0.0.2\") nor a prefix (\"100.64.7.0/24\")"
        ))
    })
}

fn source_v6(value: &Value<'_>) -> Result<Ipv6Net, Reason> {
    let text = text("an IPv6 address or prefix", value)?;
    text.parse().or_else(|_| text.parse::<Ipv6Addr>().map(Ipv6Net::from)).map_err(|_| {
        Reason::Value(format!(
            "{text:?} is neither an IPv6 address (\"fd00::2\") nor a prefix (\"fd00:7::/96\")"
        ))
    })
}

fn mac(value: &Value<'_>) -> Result<[u8; 6], Reason> {
    let text = text("a MAC address", value)?;
    let mut octets = text.split(':').map(|octet| match octet.len() {
        2 if octet.bytes().all(|byte| byte.is_ascii_hexdigit()) => u8::from_str_radix(octet, 16).ok(),
        _ => None,
    });
    let mut mac = [0; 6];
    for octet in &mut mac {
        *octet = octets.next().flatten().ok_or_else(|| not_a_mac(text))?;
    }
    if octets.next().is_none() { Ok(mac) } else { Err(not_a_mac(text)) }
}

fn not_a_mac(text: &str) -> Reason {
    Reason::Value(format!("{text:?} is not a MAC address such as \"02:00:00:00:00:01\""))
}

fn interfaces(value: &Value<'_>) -> Result<Vec<String>, Reason> {
    let DeValue::Array(elements) = value else {
        return Err(kind("an array of interfaces: [\"eth0\"]", value));
    };
    elements
        .iter()
        .map(|element| text("the name of an interface", element.get_ref()).map(str::to_owned))
        .collect()
}
