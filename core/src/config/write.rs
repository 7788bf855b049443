//! From a configuration to the text of a file that says the same.

use std::time::Duration;

use serde::Serialize;

use super::{Config, Datapath};
use crate::{
    health::{CheckKind, HealthCheck},
    service::{Affinity, Backend, BackendState, Forwarding, Protocol, Service, Tracking},
};

#[derive(Serialize)]
struct Document {
    seed: String,
    datapath: DatapathText,
    services: Vec<ServiceText>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DatapathText {
    interfaces: Vec<String>,
    attach_mode: &'static str,
    #[serde(rename = "tunnel-source-v4")]
    tunnel_source_v4: Option<String>,
    #[serde(rename = "tunnel-source-v6")]
    tunnel_source_v6: Option<String>,
    max_slots: u32,
    gateway_mac: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ServiceText {
    name: String,
    address: String,
    protocol: Protocol,
    table_size: u32,
    forwarding: Forwarding,
    affinity: Affinity,
    tracking: Tracking,
    settle_time: String,
    settle_limit: String,
    health: Option<HealthText>,
    backends: Vec<BackendText>,
}

#[derive(Serialize)]
struct HealthText {
    check: &'static str,
    interval: String,
    timeout: String,
    rise: u8,
    fall: u8,
    port: Option<u16>,
    via: &'static str,
    path: Option<String>,
    status: Option<String>,
    host: Option<String>,
}

#[derive(Serialize)]
struct BackendText {
    name: String,
    address: String,
    weight: u16,
    state: BackendState,
}

pub(super) fn write(config: &Config) -> String {
    let document = Document {
        seed: config.seed.to_string(),
        datapath: (&config.datapath).into(),
        services: config.services.iter().map(ServiceText::from).collect(),
    };
    toml::to_string(&document).unwrap_or_else(|error| unreachable!("a configuration is TOML: {error}"))
}

impl From<&Datapath> for DatapathText {
    fn from(datapath: &Datapath) -> Self {
        let source =
            |text: String, is_address: bool, address: String| if is_address { address } else { text };
        Self {
            interfaces: datapath.interfaces.clone(),
            attach_mode: datapath.attach_mode.word(),
            tunnel_source_v4: datapath
                .tunnel_source_v4
                .map(|net| source(net.to_string(), net.prefix_len() == 32, net.addr().to_string())),
            tunnel_source_v6: datapath
                .tunnel_source_v6
                .map(|net| source(net.to_string(), net.prefix_len() == 128, net.addr().to_string())),
            max_slots: datapath.max_slots,
            gateway_mac: datapath.gateway_mac.map(|mac| mac.map(|octet| format!("{octet:02x}")).join(":")),
        }
    }
}

impl From<&Service> for ServiceText {
    fn from(service: &Service) -> Self {
        let time = |time: Duration| humantime::format_duration(time).to_string();
        Self {
            name: service.name.clone(),
            address: service.address.to_string(),
            protocol: service.protocol,
            table_size: service.table_size,
            forwarding: service.forwarding,
            affinity: service.affinity,
            tracking: service.tracking,
            settle_time: time(service.settle_time),
            settle_limit: service.settle_limit.map_or_else(|| "none".to_owned(), time),
            health: service.health.as_ref().map(HealthText::from),
            backends: service.backends.iter().map(BackendText::from).collect(),
        }
    }
}

impl From<&HealthCheck> for HealthText {
    fn from(check: &HealthCheck) -> Self {
        let time = |time: Duration| humantime::format_duration(time).to_string();
        let http = match &check.kind {
            CheckKind::Tcp => None,
            CheckKind::Http(http) => Some(http),
        };
        Self {
            check: check.kind.word(),
            interval: time(check.interval),
            timeout: time(check.timeout),
            rise: check.rise,
            fall: check.fall,
            port: check.port,
            via: check.via.word(),
            path: http.map(|http| http.path.clone()),
            status: http.map(|http| http.status.to_string()),
            host: http.and_then(|http| http.host.clone()),
        }
    }
}

impl From<&Backend> for BackendText {
    fn from(backend: &Backend) -> Self {
        Self {
            name: backend.name.clone(),
            address: backend.address.to_string(),
            weight: backend.weight,
            state: backend.state,
        }
    }
}
