//! `cilium`: a Cilium node's own tables, read and never written.

mod hits;
mod maps;
mod plan;
mod services;
mod tables;
mod verify;

use maglev_core::cilium::{Frontend, FrontendKind, Node};
use maglev_probe::cilium;

use super::{Context, print};
use crate::{
    cilium::{
        names::Names,
        seed::{self, KnownSeed},
    },
    cli::{CiliumAction, CiliumCommand},
    failure::Failure,
};

/// What was read of a node, and what its services are called.
struct View<'a> {
    json: bool,
    words: &'a CiliumCommand,
    maps: Vec<cilium::MapReading>,
    node: Node,
    names: Names,
}

pub(super) fn run(context: &Context<'_>, words: &CiliumCommand) -> Result<(), Failure> {
    // A wrong list of names is told before anything else is done.
    let names = words.names.as_deref().map(Names::read).transpose()?;
    let reading = cilium::read(&words.pins).map_err(|error| Failure::of(&error))?;
    let view = View {
        json: context.json(),
        words,
        maps: reading.maps,
        node: Node::of(reading.snapshot),
        names: names.unwrap_or_else(|| Names::ask(&words.run_dir)),
    };
    match &words.action {
        CiliumAction::Hits(words) => hits::run(view, words),
        CiliumAction::Maps => maps::run(&view),
        CiliumAction::Services => services::run(&view),
        CiliumAction::Explain { service } => services::explain(&view, service.as_deref()),
        CiliumAction::Tables { service } => tables::run(&view, service.as_deref()),
        CiliumAction::Lookup { service, flow, older_hash } => {
            tables::lookup(&view, service, *flow, *older_hash)
        }
        CiliumAction::Plan(plan) => plan::run(&view, plan),
        CiliumAction::Verify { service } => verify::run(&view, service.as_deref()),
    }
}

impl View<'_> {
    fn name(&self, frontend: &Frontend) -> Option<&str> {
        name_of(&self.names, frontend)
    }

    /// What a frontend is called in a line: its name if it has one, and its address and id.
    fn title(&self, frontend: &Frontend) -> String {
        let name = self.name(frontend).map_or_else(String::new, |name| format!("{name}  "));
        let scope = if frontend.internal { "/internal" } else { "" };
        let (address, protocol) = (frontend.address, frontend.protocol_name());
        format!("{name}{address}/{protocol}{scope}  {}  id {}", frontend.kind, frontend.id)
    }

    /// The frontends of a service, by its name, address or id; all of them where none is named.
    fn select(&self, service: Option<&str>) -> Result<Vec<&Frontend>, Failure> {
        let frontends = self.node.frontends.iter();
        let Some(service) = service else { return Ok(frontends.collect()) };
        let found: Vec<&Frontend> =
            frontends.filter(|frontend| answers_to(&self.names, frontend, service)).collect();
        if found.is_empty() {
            return Err(Failure::Failed(format!(
                "there is no service {service} on this node: `maglev-top cilium services` lists them, by name (with --names, or where the agent answers), address and id"
            )));
        }
        Ok(found)
    }

    /// The one frontend that is meant by a service that has a table.
    fn with_table(&self, service: &str) -> Result<&Frontend, Failure> {
        let found = self.select(Some(service))?;
        let mut with_table = found.iter().filter(|frontend| frontend.table.is_some());
        match (with_table.next(), with_table.next()) {
            (Some(frontend), None) => Ok(frontend),
            (Some(_), Some(_)) => {
                let all: Vec<String> =
                    found.iter().filter(|one| one.table.is_some()).map(|one| self.title(one)).collect();
                Err(Failure::Refused(format!(
                    "maglev-top: {service} has several tables; take an id: {}",
                    all.join("; ")
                )))
            }
            (None, _) => Err(Failure::Failed(format!("{service} has no table. {}", found[0].story()))),
        }
    }

    fn seed(&self) -> Option<KnownSeed> {
        seed::find(self.words.seed, &self.words.run_dir, &self.node)
    }

    fn seed_or_failure(&self) -> Result<KnownSeed, Failure> {
        self.seed().ok_or_else(|| {
            Failure::Failed(
                "the seed is not known: it is not Cilium's default, and this node does not tell it; give --seed with the chart's maglev.hashSeed".to_owned(),
            )
        })
    }
}

fn name_of<'a>(names: &'a Names, frontend: &Frontend) -> Option<&'a str> {
    names.of(frontend.address, frontend.kind == FrontendKind::NodePort)
}

/// Whether a frontend is meant by that name, address or id.
fn answers_to(names: &Names, frontend: &Frontend, service: &str) -> bool {
    name_of(names, frontend) == Some(service)
        || frontend.address.to_string() == service
        || frontend.id.to_string() == service
}

/// A share of slots in percent.
fn share(slots: u32, of: usize) -> String {
    share_of(slots.into(), of as u64)
}

/// A share in percent.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn share_of(part: u64, of: u64) -> String {
    format!("{:.2}%", 100.0 * part as f64 / of.max(1) as f64)
}
