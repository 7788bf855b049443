//! What the colours of slots mean, with numbers.

use maglev_core::{cilium::Counted, elephant::HotSlot, sample::ServiceSample};
use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{
    draw::{self, Colouring},
    raster::Scale,
};
use crate::{
    monitor::{
        data::Data,
        history::compare::Moved,
        number::{count, percent, several, short},
        view::backends::mark,
        widget::text::span,
    },
    terminal::{look::Look, theme::LEVELS},
};

/// What is told of hits.
#[derive(Clone, Copy, Debug)]
pub struct Heat<'a> {
    /// What levels stand for.
    pub scale: Scale,
    /// The slots that have so many packets that they are marked, the hottest first.
    pub elephants: &'a [HotSlot],
}

/// The legend, in as many lines of that width as it takes.
#[must_use]
pub fn lines(
    colouring: Colouring,
    data: &Data,
    service: &ServiceSample,
    heat: &Heat<'_>,
    moved: Option<&Moved>,
    look: &Look,
    width: u16,
) -> Vec<Line<'static>> {
    let entries = match colouring {
        Colouring::Owner => owners(data, service, look),
        Colouring::Hits if service.counted() == Counted::Nothing => {
            vec![vec![span(why_not_counted(data, service), look.warning())]]
        }
        Colouring::Hits => hits(heat, look),
        Colouring::Age => ages(look),
        Colouring::Moved => ways(data, service, moved, look),
    };
    flow(entries, width)
}

/// Why the hits of a service are not counted: it is Cilium's, then.
pub(super) fn why_not_counted(data: &Data, service: &ServiceSample) -> String {
    let node = data.sample.as_ref().and_then(|sample| sample.cilium.as_ref());
    let facts = service.cilium.as_ref();
    match (node, facts) {
        (Some(node), _) if node.counted.is_empty() && !node.not_counted.is_empty() => {
            node.not_counted.clone()
        }
        (_, Some(facts)) if facts.internal => {
            "hits are not counted: these clients are balanced at their sockets".to_owned()
        }
        (_, Some(facts)) if facts.explanation.reason.is_some() => {
            "hits are not counted: Cilium looks at no table of it".to_owned()
        }
        (Some(node), _) if data.services().iter().all(|other| other.counted() == Counted::Nothing) => {
            node.counted.clone()
        }
        (Some(_), _) => "hits are not counted: there is no room for it".to_owned(),
        _ => "hits are not counted".to_owned(),
    }
}

/// Entries one behind the other, in as many lines of that width as it takes.
#[must_use]
pub fn flow(entries: Vec<Vec<Span<'static>>>, width: u16) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for entry in entries {
        let wide: usize = entry.iter().map(Span::width).sum();
        match lines.last_mut() {
            Some(line) if line.width() + wide <= usize::from(width) => line.spans.extend(entry),
            _ => lines.push(Line::from([vec![Span::raw(" ")], entry].concat())),
        }
    }
    lines
}

fn owners(data: &Data, service: &ServiceSample, look: &Look) -> Vec<Vec<Span<'static>>> {
    #[expect(clippy::cast_precision_loss, reason = "a table has far fewer than 2^52 slots")]
    let slots = service.slots.len() as f64;
    let mut entries: Vec<_> = service
        .backends
        .iter()
        .map(|backend| {
            let (number, letter) = (data.colours.number(&backend.name), data.colours.letter(&backend.name));
            let share = percent(f64::from(backend.slots), slots);
            let style = if backend.slots == 0 { look.faint() } else { look.text() };
            vec![
                mark(number, letter, look),
                span(format!(" {} {} {share}   ", backend.name, count(u64::from(backend.slots))), style),
            ]
        })
        .collect();
    // Slots of Cilium's do not settle.
    if service.cilium.is_some() {
        return entries;
    }
    let settling = service.slots.settling();
    let told = span(format!(": settling, {}", count(settling as u64)), look.text());
    entries.push(if look.half_blocks() {
        let some = (0..3).map(|number| span("■", Style::new().fg(look.backend_settling(number))));
        some.chain([span(format!(" {}", look.settling_word()), look.text()), told]).collect()
    } else {
        vec![span("CAPITALS", look.text()), told]
    });
    entries
}

/// How many slots have another owner than at the moment that is compared with, and from whom to whom.
fn ways(data: &Data, service: &ServiceSample, moved: Option<&Moved>, look: &Look) -> Vec<Vec<Span<'static>>> {
    let title = data.time.comparison.as_ref().map_or("", |comparison| &comparison.title);
    let Some(moved) = moved else {
        let text = format!("{} had no such table at {title}", service.name);
        return vec![vec![span(text, look.warning())]];
    };
    let total = count(moved.count() as u64);
    let slots = count(service.slots.len() as u64);
    let at = if title.starts_with("before ") { "" } else { "at " };
    let told = format!("{total} of {slots} slots have another owner than {at}{title}   ");
    let shade = if look.half_blocks() {
        format!("{}: fewer than a third of a pixel   ", look.settling_word())
    } else {
        "CAPITALS: a third of a pixel and more   ".to_owned()
    };
    let mut entries = vec![vec![span(told, look.text())]];
    let arrow = look.either("→", "to");
    for (from, to, slots) in &moved.ways {
        let name = |owner: &Option<String>| owner.clone().unwrap_or_else(|| "nobody".to_owned());
        let mark = to.as_ref().map_or_else(
            || span("-", look.text()),
            |to| mark(data.colours.number(to), data.colours.letter(to), look),
        );
        let text = format!(" {} {arrow} {} {}   ", name(from), name(to), count(*slots as u64));
        entries.push(vec![mark, span(text, look.text())]);
    }
    entries.push(vec![span(shade, look.text())]);
    entries
}

/// A sample of a level, as the heatmap draws it.
fn swatch(level: usize, colours: &[ratatui::style::Color; LEVELS], look: &Look) -> Span<'static> {
    if look.half_blocks() {
        span("  ", Style::new().bg(colours[level]))
    } else {
        span(draw::ramp_glyph(level, look).to_string().repeat(2), look.text())
    }
}

fn hits(heat: &Heat<'_>, look: &Look) -> Vec<Vec<Span<'static>>> {
    let mut entries = Vec::new();
    if let Some(hottest) = heat.elephants.first() {
        // What stands out is told first: the rest may have no room.
        let text = format!(
            " {}, the hottest {} of the packets   ",
            several(heat.elephants.len() as u64, "elephant slot", "elephant slots"),
            percent(hottest.share, 1.0),
        );
        entries.push(vec![span(draw::elephant(look), look.warning()), span(text, look.text())]);
    }
    entries.push(vec![swatch(0, &look.heat, look), span(" none  ", look.text())]);
    for level in (1..LEVELS).step_by(2) {
        let begins = heat.scale.begins(u8::try_from(level).unwrap_or(0));
        let mut spans = vec![swatch(level, &look.heat, look)];
        if level + 1 < LEVELS {
            spans.push(swatch(level + 1, &look.heat, look));
        }
        spans.push(span(format!(" {}  ", short(f64::from(begins))), look.text()));
        entries.push(spans);
    }
    entries.push(vec![span("hits/s and up (the hottest slot of a pixel)  ", look.faint())]);
    if look.half_blocks() {
        entries.push(vec![swatch(7, &look.heat_settling, look), span(" settling", look.text())]);
    } else {
        entries.push(vec![span("underlined", look.settling_mark()), span(": settling", look.text())]);
    }
    entries
}

fn ages(look: &Look) -> Vec<Vec<Span<'static>>> {
    let mut entries = Vec::new();
    for (level, words) in [
        (11, "just now"),
        (9, "5 s"),
        (7, "20 s"),
        (5, "90 s"),
        (3, "10 min"),
        (1, "longer"),
        (0, "not seen to change"),
    ] {
        entries.push(vec![swatch(level, &look.age, look), span(format!(" {words}  "), look.text())]);
    }
    entries
}
