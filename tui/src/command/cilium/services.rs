//! `cilium services` and `cilium explain`

use maglev_core::cilium::{Frontend, Member};
use serde::Serialize;

use super::{View, print};
use crate::failure::Failure;

#[derive(Serialize)]
struct ServicesReport {
    services: Vec<ServiceReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ServiceReport {
    id: u16,
    address: String,
    protocol: &'static str,
    scope: &'static str,
    name: Option<String>,
    r#type: &'static str,
    flags: Vec<&'static str>,
    backends: Vec<BackendReport>,
    table: &'static str,
    reason: Option<&'static str>,
    proxy_port: Option<u16>,
    /// Where reverse NAT says that it is, if that is elsewhere.
    reverse_nat: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<String>,
}

/// A backend of a service.
#[derive(Serialize)]
struct BackendReport {
    id: u32,
    address: Option<String>,
    state: &'static str,
}

pub(super) fn run(view: &View<'_>) -> Result<(), Failure> {
    if view.json {
        let services = view.node.frontends.iter().map(|frontend| report(view, frontend, false)).collect();
        return print::json(&ServicesReport { services });
    }
    let mut rows = Vec::new();
    for frontend in &view.node.frontends {
        let explanation = frontend.explain();
        let port = frontend.proxy_port.map_or_else(String::new, |port| format!(", Envoy on port {port}"));
        let reason = explanation.reason.map_or_else(String::new, |reason| format!(": {reason}{port}"));
        let scope = if frontend.internal { "/internal" } else { "" };
        rows.push(vec![
            frontend.id.to_string(),
            view.name(frontend).unwrap_or("-").to_owned(),
            format!("{}/{}{scope}", frontend.address, frontend.protocol_name()),
            frontend.kind.to_string(),
            format!("{}{reason}", explanation.table),
            frontend.flags.names().join(", "),
        ]);
        for member in frontend.usable.iter().chain(&frontend.unusable) {
            let backend = format!("  {}", member.address());
            let id = format!("backend {}", member.id);
            rows.push(vec![
                String::new(),
                String::new(),
                backend,
                id,
                member.state.to_string(),
                String::new(),
            ]);
        }
    }
    print::columns(&["ID", "NAME", "SERVICE / BACKENDS", "TYPE", "TABLE / STATE", "FLAGS"], &[0], &rows)?;
    for (family, id) in view.node.orphans.keys() {
        print::line(&format!("stale: a table ({family}) of id {id}, which is no service's"))?;
    }
    Ok(())
}

pub(super) fn explain(view: &View<'_>, service: Option<&str>) -> Result<(), Failure> {
    let selected = view.select(service)?;
    if view.json {
        let services = selected.into_iter().map(|frontend| report(view, frontend, true)).collect();
        return print::json(&ServicesReport { services });
    }
    for frontend in selected {
        let explanation = frontend.explain();
        let reason = explanation.reason.map_or_else(String::new, |reason| format!(", {reason}"));
        print::line(&format!(
            "{}\n  table: {}{reason}\n  {}\n",
            view.title(frontend),
            explanation.table,
            frontend.story()
        ))?;
    }
    Ok(())
}

fn report(view: &View<'_>, frontend: &Frontend, with_explanation: bool) -> ServiceReport {
    let explanation = frontend.explain();
    ServiceReport {
        id: frontend.id,
        address: frontend.address.to_string(),
        protocol: frontend.protocol_name(),
        scope: if frontend.internal { "internal" } else { "external" },
        name: view.name(frontend).map(str::to_owned),
        r#type: frontend.kind.word(),
        flags: frontend.flags.names(),
        backends: frontend.usable.iter().chain(&frontend.unusable).map(BackendReport::of).collect(),
        table: explanation.table.word(),
        reason: explanation.reason.map(maglev_core::cilium::Reason::word),
        proxy_port: frontend.proxy_port,
        reverse_nat: frontend.reverse_nat.map(|address| address.to_string()),
        explanation: with_explanation.then(|| frontend.story()),
    }
}

impl BackendReport {
    fn of(member: &Member) -> Self {
        let address = member.record.map(|record| record.address.to_string());
        Self { id: member.id, address, state: member.state.word() }
    }
}
