//! How a change is shown before it is made.

use maglev_core::{change::Change, plan::Plan, service::BackendState};
use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Line};

use super::{
    super::panel::{self, Button},
    Focus, Origin, Phase, Planned, Preview,
};
use crate::{
    monitor::{
        action::Action,
        colours::natural,
        data::Data,
        forecast,
        number::{count, percent, several, short, signed},
        slots::{
            what_if::{self, Split},
            window::Window,
        },
        view::backends::{drain_words, mark},
        widget::text::{span, wrap},
    },
    source::ServiceChanges,
    terminal::look::Look,
};

/// How wide its sentences are at most.
const WIDTH: u16 = 66;

/// A heatmap of fewer rows shows too little to be worth them.
const LEAST_MAP: usize = 4;

/// How many of the changes that are staged are listed at once.
const LISTED: usize = 6;

impl Preview {
    /// Draws itself in the middle; where the slots behind it show what would become of them, beside these.
    pub(in crate::monitor::dialog) fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let split = Split::of(area).filter(|_| data.what_if.is_some());
        let place = split.map_or(area, |split| split.dialog);
        let width = WIDTH.min(place.width.saturating_sub(6)).max(10);
        let mut lines = self.sentences(data, look, width);
        if matches!(self.phase, Phase::Planned(_) | Phase::Executing(_)) {
            // What has to be read stands above; rows give way when there are many.
            let room = usize::from(place.height).saturating_sub(lines.len() + 6);
            lines.extend(match self.planned_services() {
                // A heading without rows says nothing.
                _ if room < 2 => Vec::new(),
                [planned] => table(planned, data, look, room),
                planned => services(&self.request.services, planned, look, room),
            });
            let room = usize::from(place.height).saturating_sub(lines.len() + 6);
            if split.is_none() {
                lines.extend(self.map(data, look, width, room));
            }
        }
        lines.push(Line::default());
        let verb = if matches!(self.origin, Origin::Undo(_)) { "Undo" } else { "Do it" };
        let act = match self.phase {
            Phase::Executing(_) => "…".to_owned(),
            _ => format!("{verb}: {}", self.words()),
        };
        let mut buttons =
            vec![Button { words: "Cancel".to_owned(), focused: self.focus == Focus::Cancel, enabled: true }];
        if !matches!(self.phase, Phase::Refused(_)) {
            buttons.push(Button { words: act, focused: self.focus == Focus::Act, enabled: self.ready() });
        }
        let undo = if matches!(self.origin, Origin::Undo(_)) { "Undo: " } else { "" };
        let service = self.only_service().map_or_else(String::new, |one| format!(" ({})", one.service));
        let title = format!("{undo}{}{service}", self.words());
        panel::draw(&title, lines, &buttons, look, place, buffer);
    }

    /// What it does, in words.
    fn sentences(&self, data: &Data, look: &Look, width: u16) -> Vec<Line<'static>> {
        let mut lines: Vec<Line<'static>> = Vec::new();
        if let Origin::Stage { chosen } = self.origin {
            lines.extend(self.staged(chosen, look));
        }
        let mut say = |text: &str, style| {
            lines.extend(wrap(text, width).into_iter().map(|text| Line::from(span(text, style))));
        };
        if let Some(note) = &self.note {
            say(note, look.warning());
        }
        let mut told = None;
        for (service, change) in self.changes() {
            // What is the same for all is said once; of what is staged each one was shown before.
            let news = told.replace(consequence(change)) != Some(consequence(change));
            if news && !matches!(self.origin, Origin::Stage { .. }) {
                say(consequence(change), look.text());
            }
            if let Some((words, style)) = at_stake(service, change, data, look) {
                let whose = if self.only_service().is_some() { "" } else { service };
                let colon = if whose.is_empty() { "" } else { ": " };
                say(&format!("{whose}{colon}{words}"), style);
            }
        }
        match &self.phase {
            Phase::Planning | Phase::Behind => {
                say("Working out what it moves …", look.faint());
                if self.pressed_early {
                    say("Nothing is done before that stands here. Press again then.", look.warning());
                }
            }
            Phase::Refused(reason) => say(&format!("This does not go: {reason}."), look.error()),
            Phase::Planned(planned) | Phase::Executing(planned) => {
                say(&moves(planned), look.heading());
                let removes = self.changes().any(|(_, change)| matches!(change, Change::Remove(_)));
                let known = planned.iter().map(|one| (one.plan.as_ref(), &one.load));
                for sentence in forecast::words(known, data, removes) {
                    say(&sentence, look.text());
                }
                if !self.last_active.is_empty() {
                    let mark = if self.request.force { "[x]" } else { "[ ]" };
                    let style = if self.focus == Focus::Force { look.selected() } else { look.warning() };
                    let whose = if self.only_service().is_some() {
                        String::new()
                    } else {
                        format!(" in {}", self.last_active.join(", "))
                    };
                    say(
                        &format!(
                            "No backend would be left{whose} that takes new connections: they would be dropped."
                        ),
                        look.warning(),
                    );
                    if self.pressed_early {
                        say("Nothing is done before that is allowed here:", look.warning());
                    }
                    let key = data.keymap.first(Action::Force);
                    lines.push(span(format!("{mark} {key}: do it nevertheless"), style).into());
                }
            }
        }
        lines
    }

    /// What is staged, around the chosen one.
    fn staged(&self, chosen: usize, look: &Look) -> Vec<Line<'static>> {
        let changes: Vec<String> = self
            .changes()
            .map(|(service, change)| format!("{service}: {}", super::words_of(change)))
            .collect();
        let first = chosen.saturating_sub(LISTED / 2).min(changes.len().saturating_sub(LISTED));
        let mut lines: Vec<Line<'static>> = Vec::new();
        for (index, words) in changes.iter().enumerate().skip(first).take(LISTED) {
            let (mark, style) =
                if index == chosen { (look.either("▌", ">"), look.selected()) } else { (" ", look.text()) };
            lines.push(Line::from(vec![span(mark.to_owned(), look.accent()), span(words.clone(), style)]));
        }
        if changes.len() > LISTED {
            lines.push(span(format!(" {} in all", changes.len()), look.faint()).into());
        }
        lines
    }

    /// A small heatmap of the slots as they would be, where there is room for one.
    fn map(&self, data: &Data, look: &Look, width: u16, room: usize) -> Vec<Line<'static>> {
        let Some(what_if) = self.what_if(data) else { return Vec::new() };
        let mut legend = what_if::legend(&what_if, data, look, width);
        legend.truncate(3);
        let rows = room.saturating_sub(legend.len() + 2);
        if rows < LEAST_MAP {
            return Vec::new();
        }
        let rows = u32::try_from(rows.min(12)).unwrap_or(12);
        let window = Window::overview(what_if.plan.table_size, u32::from(width) / 10 * 10, rows);
        let whose = if self.only_service().is_some() {
            String::new()
        } else {
            format!(" of {}", what_if.plan.service)
        };
        let title =
            format!("The slots{whose} as they would be, {} in a letter", count(u64::from(window.per_pixel)));
        let mut lines = vec![Line::default(), Line::from(span(title, look.heading()))];
        lines.extend(what_if::lines(&what_if.plan, window, None, data, look));
        lines.extend(legend);
        lines
    }
}

/// What a backend that is to leave still carries.
fn at_stake(service: &str, change: &Change, data: &Data, look: &Look) -> Option<(String, Style)> {
    let Change::Remove(name) = change else { return None };
    let service = data.services().iter().find(|other| other.name == service)?;
    let backend = service.backends.iter().find(|backend| backend.name == *name)?;
    if let Some((words, safe)) = drain_words(service, backend) {
        return Some((format!("It is {words}."), if safe { look.good() } else { look.warning() }));
    }
    let rates = data.history.service(&service.name)?.backend(backend.id)?.latest()?;
    let words = format!("It gets {} packets a second. To lose none, drain it first.", short(rates.packets));
    Some((words, look.warning()))
}

const fn consequence(change: &Change) -> &'static str {
    match change {
        Change::Add(_) => "It takes its share of the slots; connections that are there stay where they are.",
        Change::Drain(_) => {
            "It gets no new connections. Those that it has stay with it as long as they are used."
        }
        Change::Undrain(_) => "It gets its slots back, and new connections with them.",
        Change::SetHealth(..) => "Its checks say so.",
        Change::Remove(_) => "It leaves at once, and connections that it still has break.",
        Change::SetWeight(..) => {
            "Its share of the slots changes; connections that are there stay where they are."
        }
    }
}

fn moves(planned: &[Planned]) -> String {
    let sum = |of: fn(&Plan) -> u32| planned.iter().map(|one| of(&one.plan)).sum::<u32>();
    let (moved, size, minimum) =
        (sum(|plan| plan.moved), sum(|plan| plan.table_size), sum(|plan| plan.minimum));
    let excess = moved.saturating_sub(minimum);
    format!(
        "Moves {} of {} ({}). {} had to move, {} {} Maglev's own.",
        several(u64::from(moved), "slot", "slots"),
        count(u64::from(size)),
        percent(f64::from(moved), f64::from(size)),
        count(u64::from(minimum)),
        count(u64::from(excess)),
        if excess == 1 { "is" } else { "are" },
    )
}

/// What the change does to each service.
fn services(asked: &[ServiceChanges], planned: &[Planned], look: &Look, room: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::from(span(
        "  SERVICE         BACKEND            MOVES       OF  MINIMUM",
        look.heading(),
    ))];
    let shown = if planned.len() + 1 > room { room.saturating_sub(2) } else { planned.len() };
    for (one, Planned { plan, .. }) in asked.iter().zip(planned).take(shown) {
        let service: String = one.service.chars().take(14).collect();
        let names: Vec<&str> = one.changes.iter().map(Change::backend).collect();
        let backend: String = names.join(" ").chars().take(14).collect();
        let text = format!(
            "  {service:<15} {backend:<15} {:>8} {:>8} {:>8}",
            count(u64::from(plan.moved)),
            count(u64::from(plan.table_size)),
            count(u64::from(plan.minimum)),
        );
        lines.push(span(text, look.text()).into());
    }
    if shown < planned.len() {
        lines.push(span(format!("  and {} more", planned.len() - shown), look.faint()).into());
    }
    lines
}

/// What the change does to each backend, those first that it does most to.
fn table(planned: &Planned, data: &Data, look: &Look, room: usize) -> Vec<Line<'static>> {
    let Planned { plan, load } = planned;
    let mut rows: Vec<_> = plan.backends.iter().enumerate().collect();
    rows.sort_by_cached_key(|(_, row)| natural(&row.name));
    if rows.len() + 1 > room {
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.before.abs_diff(row.after)));
    }
    let heading = "  BACKEND         BEFORE           AFTER   CHANGE   PKT/S";
    let mut lines = vec![Line::from(span(heading, look.heading()))];
    let shown = if rows.len() + 1 > room { room.saturating_sub(2) } else { rows.len() };
    let draining = |name: &str| {
        data.services()
            .iter()
            .filter(|service| service.name == plan.service)
            .flat_map(|service| &service.backends)
            .any(|backend| backend.name == name && backend.state == BackendState::Draining)
    };
    for (index, row) in &rows[..shown] {
        let share = |slots: u32| percent(f64::from(slots), f64::from(plan.table_size));
        let change = i64::from(row.after) - i64::from(row.before);
        let sign = if change < 0 { "-" } else { "+" };
        let style = match change {
            0 => look.faint(),
            _ if change < 0 => look.draining(),
            _ => look.good(),
        };
        let name: String = row.name.chars().take(12).collect();
        lines.push(Line::from(vec![
            mark(data.colours.number(&row.name), data.colours.letter(&row.name), look),
            span(
                format!(
                    " {name:<12} {:>7} {:>6} {:>8} {:>6} ",
                    count(u64::from(row.before)),
                    share(row.before),
                    count(u64::from(row.after)),
                    share(row.after),
                ),
                look.text(),
            ),
            span(format!("{:>8}", format!("{sign}{}", count(change.unsigned_abs()))), style),
            span(format!("{:>8}", load.gained(*index).map_or_else(|| "-".to_owned(), signed)), style),
            span(if draining(&row.name) { " draining" } else { "" }, look.draining()),
        ]));
    }
    if shown < rows.len() {
        lines.push(span(format!("  and {} more", rows.len() - shown), look.faint()).into());
    }
    lines
}
