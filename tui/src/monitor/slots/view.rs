//! The view of the slots: the heatmap, where one is in it, what its colours mean, and the slot under the cursor.

use std::net::SocketAddr;

use maglev_core::elephant::{self, HotSlot};

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    text::{Line, Span},
};

use super::{
    draw::{self, Colouring, Marks},
    history::SlotHistory,
    legend,
    raster::Raster,
    search::{self, Found},
    story::{NextInLine, Story},
    what_if::{self, Split, WhatIf},
    window::Window,
};
use crate::{
    monitor::{
        action::Action,
        data::{Data, NoticeTone},
        dialog::{self, Dialog, search::SearchForm},
        history::compare::Moved,
        message::{Effect, Order},
        number::count,
        trace::{TraceNews, TracePane},
        view::{Component, Outcome, chrome::Layout},
        widget::text::{line, span, split_bottom, wrap},
    },
    terminal::look::Look,
};

/// How many elephants are marked at most.
const MARKED: usize = 50;

/// The view of the slots.
#[derive(Clone, Debug, Default)]
pub struct SlotsView {
    service: Option<String>,
    cursor: u32,
    /// Slots in a pixel; all of them on screen where none is chosen.
    zoom: Option<u32>,
    colouring: Colouring,
    raster: Raster,
    story: Option<Story>,
    next_in_line: NextInLine,
    elephants: Vec<HotSlot>,
    found: Option<Found>,
    trace: Option<TracePane>,
    /// What has another owner than at the moment that is compared with.
    moved: Option<Moved>,
}

/// Where the parts of the view go.
#[derive(Clone, Copy, Debug)]
struct Parts {
    header: Rect,
    map: Rect,
    minimap: Rect,
    legend: Rect,
    story: Rect,
}

impl Parts {
    /// Of the view as it is; where a change is shown beside it, the slots' part of it.
    fn shown(area: Rect, data: &Data) -> Self {
        let split = data.what_if.as_ref().and_then(|_| Split::of(area));
        split.map_or_else(|| Self::of(area), |split| Self::beside(split.slots))
    }

    /// While a change is shown the slots as they would be come first.
    fn beside(area: Rect) -> Self {
        let legend = if area.height >= 12 { 3 } else { 2 };
        Self::stacked(area, (1, 0, legend, 0))
    }

    /// The heatmap has what is left; on small terminals the others leave, the least needed first.
    fn of(area: Rect) -> Self {
        let heights = match area.height {
            0..3 => (0, 0, 0, 0),
            3..6 => (0, 0, 0, 1),
            6..12 => (1, 0, 1, 1),
            12..24 => (1, 1, 2, 2),
            _ => (1, 1, 2, 3),
        };
        Self::stacked(area, heights)
    }

    /// One part below the other, the heatmap with what is left.
    fn stacked(area: Rect, (header, minimap, legend, story): (u16, u16, u16, u16)) -> Self {
        let map = area.height - header - minimap - legend - story;
        let mut y = area.y;
        let mut next = |height: u16| {
            let part = Rect { y, height, ..area };
            y += height;
            part
        };
        Self {
            header: next(header),
            map: next(map),
            minimap: next(minimap),
            legend: next(legend),
            story: next(story),
        }
    }
}

impl SlotsView {
    /// The slot under the cursor.
    #[must_use]
    pub const fn cursor(&self) -> u32 {
        self.cursor
    }

    /// What is on screen.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.raster.window
    }

    /// Moves the cursor to the slot that was looked for.
    pub fn find(&mut self, found: Found) {
        self.cursor = found.slot;
        self.found = Some(found);
    }

    /// Moves the cursor to the most hit slot that `wanted` holds for.
    pub fn go_to_hottest(&mut self, data: &Data, wanted: impl Fn(usize) -> bool) {
        if let Some(slot) = search::hottest(data, wanted) {
            self.cursor = slot;
        }
    }

    /// The client's flow that was looked for, while the cursor is on its slot.
    #[must_use]
    pub fn flow(&self) -> Option<SocketAddr> {
        let found = self.found.as_ref()?;
        let here = self.service.as_ref() == Some(&found.service) && self.cursor == found.slot;
        found.flow.filter(|_| here)
    }

    /// The trace that is on screen.
    #[must_use]
    pub const fn trace(&self) -> Option<&TracePane> {
        self.trace.as_ref()
    }

    /// Begins to trace the flow that was looked for, or the client that was traced before; asks whose packets to trace
    /// where there is neither.
    pub fn begin_trace(&mut self, data: &mut Data) -> Outcome {
        let Some(service) = data.service.clone() else { return Outcome::Done };
        if let Some(reason) = &data.identity.read_only {
            let text = format!("no trace: {reason}");
            data.say(NoticeTone::Warning, text);
            return Outcome::Done;
        }
        let Some(client) = self.flow().or_else(|| self.trace.as_ref().map(TracePane::client)) else {
            return Outcome::Ask(Box::new(Dialog::Search(SearchForm::for_trace(&service))));
        };
        let (pane, outcome) = TracePane::begin(&service, client, data);
        self.trace = Some(pane);
        outcome
    }

    /// Takes in what is told of the trace of that number.
    pub fn hear_of_trace(&mut self, number: u64, news: TraceNews, data: &mut Data) {
        if let Some(trace) = &mut self.trace {
            trace.hear(number, news, data);
        }
    }

    /// Leaves the trace; what is to be done for that.
    pub fn close_trace(&mut self) -> Option<Order> {
        self.trace.take().and_then(|mut trace| trace.end())
    }

    /// What the trace leaves for the rest, and the trace's part: none while a change is shown beside the slots.
    fn split(&self, area: Rect, data: &Data) -> (Rect, Rect) {
        let is_shown = self.trace.is_some() && data.what_if.is_none();
        if is_shown { TracePane::split(area) } else { split_bottom(area, 0) }
    }

    fn last(data: &Data) -> u32 {
        let slots = data.service().map_or(0, |service| service.slots.len());
        u32::try_from(slots.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The next settling slot after the cursor, or before it, round the table.
    fn settling(&self, data: &Data, forward: bool) -> Option<u32> {
        let previous = &data.service()?.slots.previous;
        let size = previous.len();
        let cursor = self.cursor as usize;
        (1..=size)
            .map(|step| if forward { (cursor + step) % size } else { (cursor + size - step % size) % size })
            .find(|slot| !previous[*slot].is_none())
            .and_then(|slot| u32::try_from(slot).ok())
    }

    /// What is shown: what was chosen, or what moved where moments are compared.
    fn colouring(&self, data: &Data) -> Colouring {
        self.colouring.compared(data.time.comparison.is_some())
    }

    fn colour_by(&mut self, steps: usize) {
        let at = Colouring::ALL.iter().position(|colouring| *colouring == self.colouring).unwrap_or(0);
        self.colouring = Colouring::ALL[(at + steps) % Colouring::ALL.len()];
    }
}

impl Component for SlotsView {
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome {
        let window = self.raster.window;
        let (pixel, row) = (window.per_pixel.max(1), window.row_slots());
        let page = row.saturating_mul(window.rows.max(1));
        let moved = match action {
            Action::Left => self.cursor.saturating_sub(pixel),
            Action::Right => self.cursor.saturating_add(pixel),
            Action::Up if self.cursor < row => self.cursor,
            Action::Up => self.cursor - row,
            Action::Down if self.cursor.saturating_add(row) > Self::last(data) => self.cursor,
            Action::Down => self.cursor + row,
            Action::PageUp => self.cursor.saturating_sub(page),
            Action::PageDown => self.cursor.saturating_add(page),
            Action::First => 0,
            Action::Last => u32::MAX,
            Action::NextSettling | Action::PreviousSettling => {
                let next = self.settling(data, action == Action::NextSettling);
                if next.is_none() {
                    data.say(NoticeTone::Good, "no slot is settling");
                }
                next.unwrap_or(self.cursor)
            }
            Action::Search => {
                let Some(service) = &data.service else { return Outcome::Done };
                return Outcome::Ask(Box::new(Dialog::Search(SearchForm::new(service))));
            }
            Action::Trace => {
                return match self.trace.as_mut().and_then(TracePane::end) {
                    Some(order) => Outcome::Effect(Effect::Order(order)),
                    None => self.begin_trace(data),
                };
            }
            Action::CloseTrace => {
                let order = self.close_trace();
                return order.map_or(Outcome::Done, |order| Outcome::Effect(Effect::Order(order)));
            }
            Action::Hottest => match search::why_no_slot_is_hottest(data) {
                None => {
                    self.go_to_hottest(data, |_| true);
                    self.cursor
                }
                Some(reason) => {
                    data.say(NoticeTone::Warning, reason);
                    self.cursor
                }
            },
            Action::ZoomIn => {
                self.zoom = Some(window.closer());
                self.cursor
            }
            Action::ZoomOut => {
                self.zoom = Some(window.farther());
                self.cursor
            }
            Action::Overview => {
                self.zoom = None;
                self.cursor
            }
            Action::NextColouring => {
                self.colour_by(1);
                self.cursor
            }
            Action::PreviousColouring => {
                self.colour_by(Colouring::ALL.len() - 1);
                self.cursor
            }
            _ => {
                // The owner is bound by name here and now, wherever the cursor goes later.
                let owner = self.subject(data);
                return dialog::for_backend(action, data, owner.as_deref());
            }
        };
        self.cursor = moved.min(Self::last(data));
        Outcome::Done
    }

    fn refresh(&mut self, data: &Data) {
        let (Some(service), Some(sample)) = (data.service(), data.sample.as_ref()) else {
            self.raster = Raster::default();
            self.story = None;
            return;
        };
        if self.service.as_ref() != Some(&service.name) {
            (self.service, self.zoom, self.raster) = (Some(service.name.clone()), None, Raster::default());
        }
        let slots = &service.slots;
        self.cursor = self.cursor.min(Self::last(data));
        let map = Parts::shown(self.split(Layout::of(data.size, data.is_frozen()).content, data).0, data).map;
        // What would be is told by letters: each takes a cell.
        let half_blocks = data.half_blocks && data.what_if.is_none();
        let overview = draw::overview(map, slots.len(), half_blocks);
        let before = self.raster.window;
        let window = match self.zoom {
            Some(zoom) if zoom < overview.per_pixel => {
                let same = Window { first: before.first, ..overview.zoomed(zoom, self.cursor) };
                if same == before { same.following(self.cursor) } else { overview.zoomed(zoom, self.cursor) }
            }
            _ => {
                self.zoom = None;
                overview
            }
        };
        let history = data.service_history().map(|history| history.slots);
        self.moved = data.time.comparison.as_ref().and_then(|comparison| comparison.moved(service));
        let moved = self.moved.as_ref().map(|moved| &moved.differs[..]);
        self.raster.update(window, slots, history, moved, sample.taken_at);
        let rates = history.map_or(&[][..], SlotHistory::rates);
        self.elephants = elephant::hottest(&slots.owner, rates, MARKED);
        self.elephants.retain(|slot| slot.is_elephant);
        self.story = Story::of(data, self.cursor, &mut self.next_in_line);
    }

    fn copied(&self, _data: &Data) -> Option<String> {
        let story = self.story.as_ref()?;
        Some(format!("slot {}: {}", story.slot, story.words().join("; ")))
    }

    fn click(&mut self, place: Position, area: Rect, data: &mut Data) {
        let map = Parts::of(self.split(area, data).0).map;
        if let Some(slot) = draw::slot_at(self.raster.window, place, map, data.half_blocks) {
            self.cursor = slot.min(Self::last(data));
        }
    }

    fn wheel(&self, forward: bool) -> Action {
        if forward { Action::ZoomIn } else { Action::ZoomOut }
    }

    fn subject(&self, _data: &Data) -> Option<String> {
        self.story.as_ref().and_then(|story| story.owner.clone())
    }

    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let Some(service) = data.service() else {
            line(span(" no service", look.faint()), area, buffer);
            return;
        };
        let (area, below) = self.split(area, data);
        if let Some(trace) = &self.trace {
            trace.draw(data, look, below, buffer);
        }
        let parts = Parts::shown(area, data);
        if let Some(what_if) = &data.what_if {
            self.draw_what_if(what_if, data, look, parts, buffer);
            return;
        }
        self.draw_header(data, look, parts.header, buffer);
        let colouring = self.colouring(data);
        let marked: Vec<u32> = self.elephants.iter().map(|elephant| elephant.slot).collect();
        let marks = Marks { cursor: Some(self.cursor), elephants: &marked };
        draw::draw(&self.raster, colouring, marks, data, look, parts.map, buffer);
        self.draw_minimap(look, parts.minimap, buffer);
        let mut rest = parts.legend;
        let scale = legend::Heat { scale: self.raster.scale, elephants: &self.elephants };
        for text in legend::lines(colouring, data, service, &scale, self.moved.as_ref(), look, area.width) {
            if rest.is_empty() {
                break;
            }
            rest = line(text, rest, buffer);
        }
        self.draw_story(look, parts.story, buffer);
    }
}

impl SlotsView {
    /// The slots as the change that is shown would leave them.
    fn draw_what_if(&self, what_if: &WhatIf, data: &Data, look: &Look, parts: Parts, buffer: &mut Buffer) {
        let window = self.raster.window;
        let dot = look.either("·", "|");
        let header = Line::from(vec![
            span(" what if", look.accent()),
            span(
                format!(" {dot} {} {dot} letter {} ", what_if.words, count(u64::from(window.per_pixel))),
                look.text(),
            ),
            span(format!("{dot} {} would move", count(u64::from(what_if.plan.moved))), look.draining()),
        ]);
        line(header, parts.header, buffer);
        what_if::draw_map(what_if, window, self.cursor, data, look, parts.map, buffer);
        let mut rest = parts.legend;
        for text in what_if::legend(what_if, data, look, rest.width) {
            rest = line(text, rest, buffer);
        }
    }

    fn draw_header(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let window = self.raster.window;
        let shown = window.shown();
        let settling = data.service().map_or(0, |service| service.slots.settling()) as u64;
        let dash = look.either("–", "-");
        let dot = look.either("·", "|");
        let part = if u64::from(shown.end - shown.start) == u64::from(window.slots) {
            format!("all {} slots", count(u64::from(window.slots)))
        } else {
            format!(
                "slots {}{dash}{} of {}",
                count(u64::from(shown.start)),
                count(u64::from(shown.end.saturating_sub(1))),
                count(u64::from(window.slots)),
            )
        };
        let mut spans = vec![
            span(format!(" by {}", self.colouring(data).title()), look.accent()),
            span(
                format!(
                    " {dot} {part} {dot} pixel {} {dot} row {} ",
                    count(u64::from(window.per_pixel)),
                    count(u64::from(window.row_slots())),
                ),
                look.text(),
            ),
        ];
        if settling > 0 {
            spans.push(span(format!("{dot} {} settling", count(settling)), look.draining()));
        }
        line(Line::from(spans), area, buffer);
    }

    /// Where in the table the window is.
    fn draw_minimap(&self, look: &Look, area: Rect, buffer: &mut Buffer) {
        let window = self.raster.window;
        let area = area.intersection(buffer.area);
        if area.is_empty() || window.slots == 0 {
            return;
        }
        let left = draw::gutter(window.slots as usize, area.width);
        let wide = window.tile.map_or(1, |tile| u32::from(tile.wide));
        let width = u64::from(u32::from(area.width - left).min(window.columns * wide));
        let shown = window.shown();
        let slot_at = |x: u64| x * u64::from(window.slots) / width.max(1);
        let cells = (0..width).map(|x| {
            let (start, end) = (slot_at(x), slot_at(x + 1).max(slot_at(x) + 1));
            let inside = u64::from(shown.start) < end && start < u64::from(shown.end);
            if (start..end).contains(&u64::from(self.cursor)) {
                span(look.either("◆", "X"), look.accent())
            } else if inside {
                span(look.either("━", "="), look.text())
            } else {
                span(look.either("─", "-"), look.border())
            }
        });
        let spans: Vec<Span<'_>> =
            [span(" ".repeat(usize::from(left)), look.text())].into_iter().chain(cells).collect();
        line(Line::from(spans), area, buffer);
    }

    fn draw_story(&self, look: &Look, area: Rect, buffer: &mut Buffer) {
        let Some(story) = &self.story else { return };
        let words = story.words().join(look.either(" · ", "; "));
        let flow = self.flow().map_or_else(String::new, |flow| format!(", where {flow} falls"));
        let title = format!("slot {}{flow}", count(u64::from(story.slot)));
        let text = format!("{title}: {words}");
        let mut rest = area;
        for (index, text) in wrap(&text, area.width.saturating_sub(2)).into_iter().enumerate() {
            if rest.is_empty() {
                break;
            }
            let text = match text.strip_prefix(&title).filter(|_| index == 0) {
                Some(behind) => Line::from(vec![
                    span(format!(" {title}"), look.heading()),
                    span(behind.to_owned(), look.text()),
                ]),
                None => span(format!(" {text}"), look.text()).into(),
            };
            rest = line(text, rest, buffer);
        }
    }
}
