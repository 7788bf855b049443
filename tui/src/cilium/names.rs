//! What a service is called: from the agent where it answers, or from a list that was asked of Kubernetes.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
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
    let answer = answer(socket).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    if head.split_whitespace().nth(1) != Some("200") {
        return None;
    }
    serde_json::from_slice(&answer[end + 4..]).ok()
}

/// What the agent says until it ends the connection, if it does so in time.
fn answer(socket: &Path) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer is not in chunks, and ends with the connection.
    stream.write_all(b"GET /v1/service HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n")?;
    let (mut answer, mut part) = (Vec::new(), [0; 16_384]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Ok(answer),
            count => answer.extend_from_slice(&part[..count]),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::{net::Shutdown, os::unix::net::UnixListener, path::PathBuf, thread};

    use super::*;

    const SERVICES: &str = r#"[
        {"spec": {"frontend-address": {"ip": "192.0.2.10", "port": 80, "protocol": "TCP"},
                  "flags": {"type": "LoadBalancer", "name": "nginx", "namespace": "default"}}},
        {"spec": {"frontend-address": {"ip": "2001:db8::10", "port": 443}, "flags": {"name": "six", "namespace": "web"}}},
        {"spec": {"frontend-address": {"ip": "10.96.0.1", "port": 443}, "flags": {"type": "ClusterIP"}}}
    ]"#;

    /// A run folder with an agent's socket that gives this answer to one request, piece by piece; then the request, and
    /// how many pieces were said.
    fn agent(
        name: &str,
        answer: Vec<String>,
        pause: Duration,
    ) -> (PathBuf, thread::JoinHandle<(String, usize)>) {
        let folder = std::env::temp_dir().join(format!("maglev-agent-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("cilium.sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let mut said = 0;
            for piece in answer {
                // Whoever asked may have gone.
                if stream.write_all(piece.as_bytes()).is_err() {
                    break;
                }
                said += 1;
                thread::sleep(pause);
            }
            let _ = stream.shutdown(Shutdown::Both);
            (String::from_utf8(request).unwrap(), said)
        });
        (folder, server)
    }

    fn named(names: &Names, address: &str) -> Option<String> {
        names.of(address.parse().unwrap(), false).map(str::to_owned)
    }

    #[test]
    fn the_agent_tells_its_services_by_http_on_its_socket() {
        let head = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n".to_owned();
        let (first, second) = SERVICES.split_at(100);
        let (folder, server) = agent("told", vec![head, first.to_owned(), second.to_owned()], Duration::ZERO);
        let names = Names::ask(&folder);
        let (request, _) = server.join().unwrap();
        assert!(request.starts_with("GET /v1/service HTTP/1.0\r\nHost: "), "{request}");
        assert_eq!(named(&names, "192.0.2.10:80").as_deref(), Some("default/nginx"));
        assert_eq!(named(&names, "[2001:db8::10]:443").as_deref(), Some("web/six"));
        assert_eq!(named(&names, "10.96.0.1:443"), None, "it has no name");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_agent_that_refuses_talks_nonsense_or_is_not_there_leaves_services_without_names() {
        for (name, answer) in [
            ("404", "HTTP/1.0 404 Not Found\r\n\r\n[]"),
            ("nonsense", "HTTP/1.0 200 OK\r\n\r\n{\"a\": "),
            ("nothing", ""),
        ] {
            let (folder, server) = agent(name, vec![answer.to_owned()], Duration::ZERO);
            assert_eq!(named(&Names::ask(&folder), "192.0.2.10:80"), None);
            server.join().unwrap();
            fs::remove_dir_all(folder).unwrap();
        }
        assert_eq!(named(&Names::ask(Path::new("/nonexistent")), "192.0.2.10:80"), None);
    }

    #[test]
    fn an_agent_that_answers_without_end_is_not_waited_for() {
        let drops = vec![" ".to_owned(); 400];
        let (folder, server) = agent("endless", drops, Duration::from_millis(25));
        assert_eq!(named(&Names::ask(&folder), "192.0.2.10:80"), None);
        let (_, said) = server.join().unwrap();
        assert!(said < 400, "it was heard out");
        fs::remove_dir_all(folder).unwrap();
    }
}
