//! What a service is called: from the agent where it answers, or from a list that was asked of Kubernetes.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde::Deserialize;

use crate::failure::Failure;

/// How long the agent may take to answer: names are never waited for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names by address, and by node port for addresses of the node's own.
#[derive(Debug, Default)]
pub(crate) struct Names {
    addresses: BTreeMap<SocketAddr, String>,
    ports: BTreeMap<u16, String>,
}

impl Names {
    /// The names in a list from Kubernetes.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown =
            if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
        let refused = |error: &dyn std::error::Error| {
            Failure::Refused(format!(
                "maglev-top: {shown}: {error}; --names takes the output of `kubectl get services -A -o json`"
            ))
        };
        let mut text = String::new();
        if path == Path::new("-") {
            io::stdin().read_to_string(&mut text).map_err(|error| refused(&error))?;
        } else {
            text = fs::read_to_string(path).map_err(|error| refused(&error))?;
        }
        let list: KubernetesList = serde_json::from_str(&text).map_err(|error| refused(&error))?;
        Ok(Self::of_kubernetes(list))
    }

    /// The names that the agent knows; none where it does not answer, as newer ones do not.
    pub(crate) fn ask(run_dir: &Path) -> Self {
        ask(&run_dir.join("cilium.sock")).map(Self::of_agent).unwrap_or_default()
    }

    /// What the service at that address is called.
    pub(crate) fn of(&self, address: SocketAddr, node_port: bool) -> Option<&str> {
        let by_port = || self.ports.get(&address.port()).filter(|_| node_port);
        self.addresses.get(&address).or_else(by_port).map(String::as_str)
    }

    fn of_kubernetes(list: KubernetesList) -> Self {
        let mut names = Self::default();
        for KubernetesService { metadata, spec, status } in list.items {
            let name = format!("{}/{}", metadata.namespace, metadata.name);
            let ingress = status.load_balancer.ingress.into_iter().filter_map(|ingress| ingress.ip);
            let ips = spec.cluster_ips.iter().chain(&spec.cluster_ip).chain(&spec.external_ips).cloned();
            // A headless service has `None` for an address.
            let ips: Vec<IpAddr> = ips.chain(ingress).filter_map(|ip| ip.parse().ok()).collect();
            for port in spec.ports {
                names.addresses.extend(ips.iter().map(|&ip| (SocketAddr::new(ip, port.port), name.clone())));
                names.ports.extend(port.node_port.map(|port| (port, name.clone())));
            }
        }
        names
    }

    fn of_agent(services: Vec<AgentService>) -> Self {
        let named = services.into_iter().filter_map(|service| {
            let AgentSpec { frontend, flags } = service.spec;
            let name = flags.name.filter(|name| !name.is_empty())?;
            let address = SocketAddr::new(frontend.ip.parse().ok()?, frontend.port);
            Some((address, format!("{}/{name}", flags.namespace.unwrap_or_default())))
        });
        Self { addresses: named.collect(), ports: BTreeMap::new() }
    }
}

/// Asks the agent's API for its services.
fn ask(socket: &Path) -> Option<Vec<AgentService>> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    // HTTP/1.0: the answer is not in chunks, and ends with the connection.
    stream
        .write_all(b"GET /v1/service HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    if head.split_whitespace().nth(1) != Some("200") {
        return None;
    }
    serde_json::from_slice(&answer[end + 4..]).ok()
}

#[derive(Deserialize)]
struct KubernetesList {
    items: Vec<KubernetesService>,
}

#[derive(Deserialize)]
struct KubernetesService {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    #[serde(default, rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(default, rename = "externalIPs")]
    external_ips: Vec<String>,
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    port: u16,
    node_port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    load_balancer: LoadBalancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Ingress>,
}

#[derive(Deserialize)]
struct Ingress {
    ip: Option<String>,
}

#[derive(Deserialize)]
struct AgentService {
    spec: AgentSpec,
}

#[derive(Deserialize)]
struct AgentSpec {
    #[serde(rename = "frontend-address")]
    frontend: AgentAddress,
    #[serde(default)]
    flags: AgentFlags,
}

#[derive(Deserialize)]
struct AgentAddress {
    ip: String,
    port: u16,
}

#[derive(Default, Deserialize)]
struct AgentFlags {
    name: Option<String>,
    namespace: Option<String>,
}
