//! What each backend's weight calls for, what the table gives it, and what it got: the first two differ by arithmetic,
//! the third differs from the second by chance, and whether by more is tested.

use std::time::Duration;

use maglev_core::{
    balance::chance::{Chance, Deviation, SIGNIFICANT},
    cilium::Counted,
    elephant::{self, HotSlot},
    sample::{BackendSample, ServiceSample},
};
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
    text::Line,
};

use super::{
    Component, Outcome, ViewName,
    backends::{due, mark},
};
use crate::{
    monitor::{
        action::Action,
        data::Data,
        dialog,
        list::{List, Listed, Order, Value, steps},
        number::{count, duration, percent, several},
        standing::{NoTest, Standing},
        widget::{
            table::{self, Column, Rows},
            text::{line, span, split_bottom, wrap},
        },
    },
    state,
    terminal::look::Look,
};

/// How many of the slots that explain the packets are named.
const NAMED: usize = 5;

/// The view of the balance.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    list: List,
    findings: Option<Findings>,
}

/// What was found of the service, since its table last changed.
#[derive(Clone, Debug)]
struct Findings {
    service: String,
    age: Duration,
    chance: Result<Chance, NoTest>,
    unremembered: u64,
    /// New connections, and packets, of all backends.
    new_connections: u64,
    packets: u64,
    elephants: Vec<HotSlot>,
    rows: Vec<Row>,
}

/// One backend.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    state: &'static str,
    address: String,
    colour: usize,
    letter: char,
    weight: u16,
    /// The shares, 0 to 1, that the weight calls for and that the table gives.
    due: f64,
    given: f64,
    new_connections: u64,
    new_share: Option<f64>,
    deviation: Option<Deviation>,
    packet_share: Option<f64>,
}

impl Row {
    /// How far the table is from the weight, in parts of the weight's share.
    fn off(&self) -> Option<f64> {
        (self.due > 0.0).then(|| self.given / self.due - 1.0)
    }
}

/// Whether a deviation is chance, in a word that needs no colour.
fn verdict(deviation: Option<Deviation>) -> &'static str {
    match deviation {
        None => "-",
        Some(deviation) if !deviation.is_more_than_chance() => "chance",
        Some(deviation) if deviation.z > 0.0 => "MORE",
        Some(_) => "LESS",
    }
}

/// A p-value, in at most six characters.
fn p_value(p: f64) -> String {
    if p < 0.0001 { "<.0001".to_owned() } else { format!("{p:.4}") }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn in_percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| percent(share, 1.0))
}

impl Findings {
    fn of(data: &Data, service: &ServiceSample, standing: &Standing, now: Duration) -> Self {
        let sum = |of: fn(&Standing, &BackendSample) -> u64| {
            service.backends.iter().map(|backend| of(standing, backend)).sum::<u64>()
        };
        let (new_connections, packets) = (sum(Standing::new_connections), sum(Standing::packets));
        let chance = standing.chance(service);
        #[expect(clippy::cast_precision_loss, reason = "a table has far fewer than 2^52 slots")]
        let slots = service.slots.len().max(1) as f64;
        let rows = service.backends.iter().enumerate().map(|(index, backend)| {
            let new = standing.new_connections(backend);
            Row {
                name: backend.name.clone(),
                state: state::in_words(backend),
                address: backend.address.to_string(),
                colour: data.colours.number(&backend.name),
                letter: data.colours.letter(&backend.name),
                weight: backend.weight,
                due: due(service, backend),
                given: f64::from(backend.slots) / slots,
                new_connections: new,
                new_share: share(new, new_connections),
                deviation: chance
                    .as_ref()
                    .ok()
                    .and_then(|chance| chance.deviations.get(index).copied().flatten()),
                packet_share: share(standing.packets(backend), packets),
            }
        });
        let hottest = elephant::hottest(&service.slots.owner, &standing.hits(service), NAMED);
        Self {
            service: service.name.clone(),
            age: standing.age(now),
            unremembered: standing.unremembered(service),
            new_connections,
            packets,
            elephants: hottest.into_iter().filter(|slot| slot.is_elephant).collect(),
            rows: rows.collect(),
            chance,
        }
    }

    /// What the whole comes to, in sentences, each with how it is meant.
    fn sentences(&self, data: &Data, service: &ServiceSample, look: &Look) -> Vec<(String, Style)> {
        let mut said = Vec::new();
        let age = match self.age.as_secs() {
            0 => "moment".to_owned(),
            seconds => duration(Duration::from_secs(seconds)),
        };
        let since = format!(
            "In the {age} since the table last changed (or was first seen): {}, {}.",
            several(self.new_connections, "new connection", "new connections"),
            several(self.packets, "packet", "packets"),
        );
        said.push((since, look.text()));
        let furthest = self.rows.iter().filter_map(|row| Some((row, row.off()?)));
        if let Some((row, off)) = furthest.max_by(|one, other| one.1.abs().total_cmp(&other.1.abs())) {
            said.push((
                format!(
                    "Table beside weights: exact arithmetic, no chance in it. The furthest off is {}: {:+.2}% of its share.",
                    row.name,
                    100.0 * off
                ),
                look.text(),
            ));
        }
        said.push(self.connections(look));
        if self.unremembered > 0 {
            let words = several(self.unremembered, "new connection", "new connections");
            said.push((
                format!("{words} could not be remembered and went to the owner before: the test counts them there."),
                look.warning(),
            ));
        }
        let packets =
            "Packets beside slots: packets of one flow come together, so that no test of chance applies.";
        let explained = if self.elephants.is_empty() {
            " No slot is an elephant.".to_owned()
        } else {
            let named = self.elephants.iter().map(|slot| {
                let owner = service.slots.owner.get(slot.slot as usize).and_then(|id| data.backend_of(*id));
                let owner = owner.map_or("nobody", |owner| owner.name.as_str());
                format!("{} ({owner}, {})", count(u64::from(slot.slot)), percent(slot.share, 1.0))
            });
            let named: Vec<String> = named.collect();
            format!(" Elephant slots explain what differs: {}.", named.join(", "))
        };
        said.push((format!("{packets}{explained}"), look.text()));
        said
    }

    /// What the test of the whole says of new connections beside slots.
    fn connections(&self, look: &Look) -> (String, Style) {
        let what = "New connections beside slots";
        let chance = match &self.chance {
            Ok(chance) => chance,
            Err(NoTest::Affinity) => {
                return (
                    format!("{what}: no test applies, for all connections of a client go to one backend."),
                    look.faint(),
                );
            }
            Err(NoTest::NotCounted) => {
                return (format!("{what}: none are counted, for flows are not tracked."), look.faint());
            }
        };
        let Some(fit) = chance.fit else {
            return (format!("{what}: too few yet to tell, or one backend has all slots."), look.faint());
        };
        let (words, style) = if fit.is_more_than_chance() {
            ("more than chance", look.warning())
        } else {
            ("no more than chance", look.good())
        };
        (
            format!(
                "{what}: {words}. Chi-square {:.2} on {} degrees of freedom, p {} (more than chance: below {SIGNIFICANT}). Each backend: z, and p after Holm's correction for their number.",
                fit.statistic,
                fit.degrees_of_freedom,
                p_value(fit.p),
            ),
            style,
        )
    }
}

/// What rows can be sorted by.
fn orders<'a>() -> Vec<Order<&'a Row>> {
    type Read<'a> = fn(&&'a Row) -> Value;
    let order = |title, value: Read<'a>| Order { title, value };
    vec![
        order("BACKEND", |row| Value::Text(row.name.clone())),
        order("WEIGHT", |row| Value::Number(Some(f64::from(row.weight)))),
        order("DUE%", |row| Value::Number(Some(row.due))),
        order("SLOT%", |row| Value::Number(Some(row.given))),
        order("OFF", |row| Value::Number(row.off())),
        order("NEW", |row| Value::Number(row.new_share)),
        order("NEW%", |row| Value::Number(row.new_share)),
        order("Z", |row| Value::Number(row.deviation.map(|deviation| deviation.z))),
        order("P", |row| Value::Number(row.deviation.map(|deviation| deviation.p))),
        order("IS IT", |row| Value::Text(verdict(row.deviation).to_owned())),
        order("PKT%", |row| Value::Number(row.packet_share)),
    ]
}

fn columns<'a>(name: u16) -> Vec<Column<&'a Row>> {
    type Cell<'a> = fn(&&'a Row, &Look, u16) -> Line<'static>;
    let text =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: false, grows: false, rank, cell };
    let number =
        |title, width, rank, cell: Cell<'a>| Column { title, width, number: true, grows: false, rank, cell };
    vec![
        text("BACKEND", name, 0, |row, look, _| {
            let name = span(format!(" {}", row.name), look.text());
            Line::from(vec![mark(row.colour, row.letter, look), name])
        }),
        number("WEIGHT", 6, 10, |row, look, _| span(row.weight.to_string(), look.text()).into()),
        number("DUE%", 6, 4, |row, look, _| span(percent(row.due, 1.0), look.text()).into()),
        number("SLOT%", 6, 5, |row, look, _| span(percent(row.given, 1.0), look.text()).into()),
        number("OFF", 7, 7, |row, look, _| {
            let off = row.off().map_or_else(|| "-".to_owned(), |off| format!("{:+.2}%", 100.0 * off));
            span(off, look.faint()).into()
        }),
        number("NEW", 11, 8, |row, look, _| span(count(row.new_connections), look.text()).into()),
        number("NEW%", 6, 2, |row, look, _| span(in_percent(row.new_share), look.text()).into()),
        number("Z", 6, 6, |row, look, _| {
            let z = row.deviation.map_or_else(|| "-".to_owned(), |deviation| format!("{:+.1}", deviation.z));
            span(z, look.text()).into()
        }),
        number("P", 6, 9, |row, look, _| {
            let p = row.deviation.map_or_else(|| "-".to_owned(), |deviation| p_value(deviation.p));
            span(p, look.faint()).into()
        }),
        text("IS IT", 6, 1, |row, look, _| {
            let word = verdict(row.deviation);
            let style = match word {
                "MORE" | "LESS" => look.warning(),
                "chance" => look.good(),
                _ => look.faint(),
            };
            span(word, style).into()
        }),
        number("PKT%", 6, 3, |row, look, _| span(in_percent(row.packet_share), look.text()).into()),
    ]
}

/// Where the table goes, and the sentences below it.
fn parts(rows: usize, area: Rect) -> (Rect, Rect) {
    let wanted = u16::try_from(rows + 2).unwrap_or(u16::MAX);
    let words = if area.height >= 10 { 6 } else { 0 };
    split_bottom(area, area.height.saturating_sub(wanted).max(words))
}

impl Component for Balance {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        if let Some(steps) = steps(action, data.size.height) {
            if let Some(backend) = self.list.step(data.backend.as_deref(), steps) {
                data.backend = Some(backend);
            }
            return Outcome::Done;
        }
        match action {
            Action::Open => Outcome::Go(ViewName::Hot),
            _ => dialog::for_backend(action, data, self.subject(data).as_deref()),
        }
    }

    fn refresh(&mut self, data: &Data) {
        let standing = data.service.as_ref().and_then(|name| data.history.standings.service(name));
        self.findings = match (data.service(), standing, data.sample.as_ref()) {
            (Some(service), Some(standing), Some(sample)) => {
                Some(Findings::of(data, service, standing, sample.taken_at))
            }
            _ => None,
        };
        let rows = self.findings.iter().flat_map(|findings| &findings.rows).map(|row| Listed {
            name: row.name.clone(),
            text: format!("{} {} {} {}", row.name, row.address, row.state, verdict(row.deviation)),
            row,
        });
        let now = data.sample.as_ref().map_or(Duration::ZERO, |sample| sample.taken_at);
        self.list.refresh(rows.collect(), &orders(), now);
    }

    fn list(&self) -> Option<&List> {
        Some(&self.list)
    }

    fn list_mut(&mut self) -> Option<&mut List> {
        Some(&mut self.list)
    }

    fn subject(&self, data: &Data) -> Option<String> {
        data.backend.clone().filter(|backend| self.list.shows(backend))
    }

    fn copied(&self, data: &Data) -> Option<String> {
        let findings = self.findings.as_ref()?;
        let row = findings.rows.iter().find(|row| Some(&row.name) == data.backend.as_ref())?;
        Some(format!(
            "{} of {}: due {}, slots {}, new connections {}, packets {}; {}",
            row.name,
            findings.service,
            percent(row.due, 1.0),
            percent(row.given, 1.0),
            in_percent(row.new_share),
            in_percent(row.packet_share),
            verdict(row.deviation)
        ))
    }

    fn click(&mut self, place: Position, area: Rect, data: &mut Data) {
        let rows = self.rows(data);
        let row = table::row_at(rows, parts(rows.count, area).0, place.y);
        let name = row.and_then(|row| self.list.shown().get(row).cloned());
        if let Some(backend) = self.list.step(name.as_deref(), 0).filter(|_| name.is_some()) {
            data.backend = Some(backend);
        }
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let (Some(findings), Some(service)) = (&self.findings, data.service()) else {
            line(span(" no service", look.faint()), area, buffer);
            return;
        };
        if service.counted() == Counted::Nothing {
            line(
                span(" new connections are not counted: there is no saying who gets how many", look.faint()),
                area,
                buffer,
            );
            return;
        }
        let shown = self.list.shown();
        let row = |index: usize| findings.rows.iter().find(|row| Some(&row.name) == shown.get(index));
        let name = findings.rows.iter().map(|row| row.name.chars().count() + 2).max().unwrap_or(0);
        let name = u16::try_from(name.clamp(8, 24)).unwrap_or(24);
        let (top, bottom) = parts(shown.len(), area);
        table::draw(&columns(name), self.rows(data), row, look, top, buffer);
        let mut rest = bottom;
        for (words, style) in findings.sentences(data, service, look) {
            for text in wrap(&words, rest.width.saturating_sub(2)) {
                rest = line(span(format!(" {text}"), style), rest, buffer);
            }
        }
    }
}

impl Balance {
    fn rows(&self, data: &Data) -> Rows {
        let shown = self.list.shown();
        let selected = shown.iter().position(|name| Some(name) == data.backend.as_ref());
        Rows { count: shown.len(), selected, sorted: self.list.sorted() }
    }
}
