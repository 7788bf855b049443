//! The services of a Cilium node: who has a table, why others have none, and what of the tables needs a look.

use std::fmt::Write as _;

use humansize::{BINARY, format_size};
use maglev_core::{
    cilium::{Reason, ServiceFacts, TablePresence, Verdict},
    sample::ServiceSample,
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use crate::{
    monitor::{
        data::Data,
        number::{count, several},
        widget::text::{line, span, wrap},
    },
    terminal::look::Look,
};

/// Whether it has a table, and whether that is right; why it has none.
pub(super) fn table(facts: &ServiceFacts) -> String {
    let explanation = facts.explanation;
    let port = facts.proxy_port.map_or_else(String::new, |port| format!(", Envoy on port {port}"));
    let reason = explanation.reason.map_or_else(String::new, |reason| format!(": {reason}{port}"));
    let verification = facts.table.as_ref().and_then(|table| table.verification.as_ref());
    let verdict = match verification {
        Some(found) if explanation.reason.is_none() => match found.verdict {
            Verdict::Differs => {
                format!(", {} WRONG", several(found.differing.len() as u64, "slot", "slots"))
            }
            verdict => format!(", {verdict}"),
        },
        _ => String::new(),
    };
    format!("{}{reason}{verdict}", explanation.table)
}

/// The same, in its colour: what is by design stands back, what is not stands out.
pub(super) fn table_cell(facts: &ServiceFacts, look: &Look) -> Span<'static> {
    let verification = facts.table.as_ref().and_then(|table| table.verification.as_ref());
    let style = match (facts.explanation.table, facts.explanation.reason) {
        (_, Some(Reason::NoBackends | Reason::Unknown)) | (TablePresence::Stale, _) => look.warning(),
        (TablePresence::Absent, _) => look.faint(),
        (TablePresence::Present, _) => match verification.map(|found| found.verdict) {
            Some(Verdict::Differs) => look.error(),
            Some(Verdict::Matches) => look.good(),
            Some(Verdict::Unexplained) | None => look.text(),
        },
    };
    span(table(facts), style)
}

/// The tables of the node, and those that nobody looks at; then the chosen service in sentences.
pub(super) fn draw(data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
    let Some(node) = data.sample.as_ref().and_then(|sample| sample.cilium.as_ref()) else { return };
    let mut rest =
        line(span(format!(" {}", tables(data.services(), node.table_bytes)), look.text()), area, buffer);
    let width = rest.width.saturating_sub(2);
    for (words, style) in [(&node.counted, look.faint()), (&node.not_counted, look.warning())] {
        for text in wrap(words, width) {
            rest = line(span(format!(" {text}"), style), rest, buffer);
        }
    }
    for (family, id) in &node.orphans {
        let text = format!(" stale: a table ({family}) of id {id}, which is no service's");
        rest = line(span(text, look.warning()), rest, buffer);
    }
    let seed = format!(" seed {}", node.seed);
    rest = line(span(seed, look.faint()), rest, buffer);
    let Some((service, facts)) = data.service().and_then(|one| Some((one, one.cilium.as_ref()?))) else {
        return;
    };
    rest = line("", rest, buffer);
    let title = Line::from(vec![
        span(format!(" {}", service.name), look.heading()),
        span(
            format!(
                "  {}/{}  {}  id {}  {}",
                service.address,
                facts.protocol,
                facts.kind,
                facts.id,
                flags(facts)
            ),
            look.text(),
        ),
    ]);
    rest = line(title, rest, buffer);
    for text in wrap(&story(facts), rest.width.saturating_sub(2)) {
        rest = line(span(format!(" {text}"), look.text()), rest, buffer);
    }
}

fn flags(facts: &ServiceFacts) -> String {
    let names = facts.flags.names();
    if names.is_empty() { String::new() } else { format!("({})", names.join(", ")) }
}

/// How many tables there are, of which sizes, and what they take.
fn tables(services: &[ServiceSample], bytes: u64) -> String {
    let mut sizes: Vec<usize> =
        services.iter().map(|service| service.slots.len()).filter(|size| *size > 0).collect();
    let number = sizes.len() as u64;
    sizes.sort_unstable();
    sizes.dedup();
    let sizes: Vec<String> = sizes.into_iter().map(|size| count(size as u64)).collect();
    if number == 0 {
        return "no service has a table".to_owned();
    }
    format!(
        "{} of {} slots, {}",
        several(number, "table", "tables"),
        sizes.join(" and "),
        format_size(bytes, BINARY)
    )
}

/// Why it has a table or none, and what was found of the table.
fn story(facts: &ServiceFacts) -> String {
    let mut story = facts.story.clone();
    let Some(table) = &facts.table else { return story };
    let _ = write!(story, " Inner map {}.", table.map);
    if let Some(found) = &table.verification {
        let reason = found.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let what = match found.verdict {
            Verdict::Matches => "Every slot is as the backends and the seed call for".to_owned(),
            Verdict::Differs => format!(
                "{} not as the backends and the seed call for: `maglev-top cilium verify --service {}` lists them",
                several(found.differing.len() as u64, "slot is", "slots are"),
                facts.id
            ),
            Verdict::Unexplained => "There is no saying whether the slots are right".to_owned(),
        };
        let _ = write!(story, " {what}{reason}.");
    }
    story
}
