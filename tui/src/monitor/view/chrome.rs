//! What is around every view: title, tabs, status and keys.

use maglev_core::{cilium::Counted, sample::ServiceSample};
use ratatui::{
    buffer::Buffer,
    layout::{Rect, Size},
    text::{Line, Span},
};

use super::{ViewName, timeline};
use crate::{
    monitor::{
        action::{Action, BINDINGS, Context},
        data::{Data, NoticeTone},
        number::{duration, short},
        widget::text::{line, span},
    },
    source::Checker,
    terminal::look::Look,
};

/// Where everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What this is, and what state it is in.
    pub title: Rect,
    /// The views; empty on small terminals.
    pub tabs: Rect,
    /// The view.
    pub content: Rect,
    /// Where in time a frozen view is; empty where none is, and on small terminals.
    pub timeline: Rect,
    /// What happened, and what the monitor itself costs.
    pub status: Rect,
    /// Keys; empty on small terminals.
    pub footer: Rect,
}

impl Layout {
    /// On a terminal of that size. Below 60×16 the view gets what there is.
    #[must_use]
    pub fn of(size: Size, frozen: bool) -> Self {
        let small = size.width < 60 || size.height < 16;
        let (tabs, footer) = if small { (0, 0) } else { (1, 1) };
        let status = u16::from(size.height >= 4);
        let title = u16::from(size.height >= 3);
        let row = |y: u16, height: u16| Rect::new(0, y, size.width, height);
        let timeline = u16::from(frozen && !small);
        let content = size.height - title - tabs - timeline - status - footer;
        Self {
            title: row(0, title),
            tabs: row(title, tabs),
            content: row(title + tabs, content),
            timeline: row(title + tabs + content, timeline),
            status: row(title + tabs + content + timeline, status),
            footer: row(title + tabs + content + timeline + status, footer),
        }
    }
}

/// Draws the title: what is watched, and all that must not be overlooked.
pub fn title(data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
    // What must be seen stands first: it is the last to be cut off.
    let mut spans = Vec::new();
    if data.identity.simulated {
        spans.extend([span(" SIMULATED ", look.simulated()), Span::raw(" ")]);
    }
    if data.is_frozen() {
        spans.extend([span(" FROZEN ", look.frozen()), Span::raw(" ")]);
    }
    if data.checker == Checker::Nobody {
        spans.extend([span(" NOT CHECKED ", look.warning()), Span::raw(" ")]);
    }
    let staged = data.stage.changes().len();
    if staged > 0 {
        spans.extend([span(format!(" {staged} STAGED "), look.frozen()), Span::raw(" ")]);
    }
    if let Some(comparison) = &data.time.comparison {
        spans.extend([span(format!(" BESIDE {} ", comparison.title), look.frozen()), Span::raw(" ")]);
    }
    let attached = Some(&data.identity.attached).filter(|attached| !attached.is_empty());
    let read_only = data.identity.read_only.as_ref().map(|reason| format!(" READ-ONLY: {reason}"));
    let totals = Line::from(span(totals(data), look.text()));
    let name = [span("maglev-top ", look.heading()), span(data.identity.name.clone(), look.text())];
    spans.extend(name);
    if let Some(text) = read_only {
        spans.push(span(text, look.warning()));
    }
    let mut left = Line::from(spans);
    if let Some(attached) = attached {
        let text = span(format!(" on {attached}"), look.faint());
        if left.width() + text.width() + totals.width() < usize::from(area.width) {
            left.push_span(text);
        }
    }
    let (left_width, totals_width) = (left.width(), totals.width());
    line(left, area, buffer);
    if left_width + totals_width < usize::from(area.width) {
        let x = area.right() - u16::try_from(totals_width).unwrap_or(0);
        line(totals, Rect { x, width: area.right() - x, ..area }, buffer);
    }
}

/// What all services get together.
fn totals(data: &Data) -> String {
    let latest = |service: &ServiceSample| {
        data.history.service(&service.name).and_then(|history| history.track.latest())
    };
    let counted = data.services().iter().map(ServiceSample::counted).max();
    let mut known = data.services().iter().filter_map(latest).peekable();
    if known.peek().is_none() {
        return String::new();
    }
    let (mut packets, mut bits, mut new) = (0.0, 0.0, 0.0);
    for rates in known {
        packets += rates.packets;
        bits += rates.bits;
        new += rates.new_connections;
    }
    let bits =
        if counted == Some(Counted::Everything) { format!("{} bit/s  ", short(bits)) } else { String::new() };
    format!("{} pkt/s  {bits}{} new/s ", short(packets), short(new))
}

/// Draws the tabs, what is otherwise than at first in the list that is open, and which service is chosen.
pub fn tabs(active: ViewName, note: &str, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
    let mut spans = vec![Span::raw(" ")];
    for (number, view) in (1..).zip(ViewName::TABS) {
        let style = if view == active { look.selected() } else { look.text() };
        spans.push(span(format!("{number}"), look.accent()));
        spans.push(span(format!(" {} ", view.title()), style));
        spans.push(Span::raw(" "));
    }
    if !ViewName::TABS.contains(&active) {
        spans.push(span(format!(" {} ", active.title()), look.selected()));
        spans.push(Span::raw(" "));
    }
    if !note.is_empty() {
        spans.push(span(look.either("│", "|"), look.border()));
        spans.push(span(format!(" {note} "), look.warning()));
    }
    if let Some(service) = data.service() {
        let text = format!(" {} {} {}", service.name, service.address, service.protocol);
        spans.push(span(look.either("│", "|"), look.border()));
        spans.push(span(text, look.heading()));
    }
    line(Line::from(spans), area, buffer);
}

/// The view whose tab is drawn at that column.
#[must_use]
pub fn tab_at(x: u16) -> Option<ViewName> {
    let mut left = 1;
    ViewName::TABS.into_iter().find(|view| {
        let begins = left;
        // Its number, its title between blanks, and one between tabs.
        left += 4 + u16::try_from(view.title().len()).unwrap_or(0);
        (begins..left - 1).contains(&x)
    })
}

/// Draws what happened last on the left, and what the monitor costs on the right.
pub fn status(active: ViewName, note: &str, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
    let left = if let Some(failure) = &data.failure {
        span(format!(" no sample: {failure}"), look.error())
    } else if let Some(notice) = &data.notice {
        let style = match notice.tone {
            NoticeTone::Good => look.good(),
            NoticeTone::Warning => look.warning(),
            NoticeTone::Error => look.error(),
        };
        span(format!(" {}", notice.text), style)
    } else if let Some(frozen) = &data.time.frozen {
        span(timeline::words(&frozen.strip, look), look.text())
    } else if data.checker == Checker::Nobody {
        let text = " health checks are asked for and nobody runs them: maglev-top up --foreground";
        span(text, look.warning())
    } else if data.sample.is_none() {
        span(" waiting for the first sample", look.faint())
    } else if area.width < 60 {
        let service = data.service.clone().unwrap_or_default();
        span(format!(" {} {service} {note}", active.title()), look.faint())
    } else {
        span("", look.text())
    };
    let mut right = Vec::new();
    // A tenth of an interval is what a busy machine may take. Of a past moment its words say so.
    if data.late * 10 > data.interval && !data.is_frozen() {
        right.push(span(format!("late by {}  ", duration(data.late)), look.warning()));
    }
    right.push(span(
        format!("every {}  sends {:.1} KB/s ", duration(data.interval), data.traffic.rate / 1000.0),
        look.faint(),
    ));
    let (left, right) = (Line::from(left), Line::from(right));
    let (left_width, right_width) = (left.width(), right.width());
    line(left, area, buffer);
    if left_width + right_width < usize::from(area.width) {
        let x = area.right() - u16::try_from(right_width).unwrap_or(0);
        line(right, Rect { x, width: area.right() - x, ..area }, buffer);
    }
}

/// Draws the keys that mean something here, as many as there is room for; quitting and help are always among them, and what leads out of a
/// frozen picture.
pub fn footer(contexts: &[Context], data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
    let shown = contexts.iter().flat_map(|context| {
        BINDINGS.iter().filter(move |binding| binding.contexts.contains(context) && !binding.label.is_empty())
    });
    let read_only = data.identity.read_only.is_some();
    let shown = shown.filter(|binding| !(read_only && binding.changes)).filter_map(|binding| {
        let key = data.keymap.keys(binding).first()?;
        let unfreezes = binding.action == Action::Freeze && data.is_frozen();
        let label = if unfreezes { "unfreeze" } else { binding.label };
        let keys = [span(key.to_string(), look.accent()), span(format!(" {label}  "), look.faint())];
        let last = unfreezes || matches!(binding.action, Action::Help | Action::Quit);
        Some((last, keys))
    });
    let (last, first): (Vec<_>, Vec<_>) = shown.partition(|(last, _)| *last);
    let width = |keys: &[Span<'_>]| keys.iter().map(Span::width).sum::<usize>();
    let mut room =
        usize::from(area.width).saturating_sub(1 + last.iter().map(|(_, keys)| width(keys)).sum::<usize>());
    let mut spans = vec![Span::raw(" ")];
    for (_, keys) in first {
        if width(&keys) > room {
            continue;
        }
        room -= width(&keys);
        spans.extend(keys);
    }
    spans.extend(last.into_iter().flat_map(|(_, keys)| keys));
    line(Line::from(spans), area, buffer);
}
