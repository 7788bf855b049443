use std::{iter, time::Duration};

use maglev_core::{sample::Sample, seed::HashSeed, service::Service};
use ratatui::{
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind},
    layout::{Rect, Size},
};

use crate::{
    monitor::{
        data::Data,
        message::{Effect, Message, Order, Sampled},
        model::Model,
        trace::TraceNews,
        view::ViewName,
    },
    simulation::{Simulation, demonstration, spares},
    source::{Checker, Source, SourceError, Trace},
    terminal::{
        capability::{Capability, ColourDepth, Glyphs},
        look::Look,
        theme::Theme,
    },
};

/// The monitor on a simulation, without a terminal and without threads.
pub(super) struct Bench {
    pub(super) simulation: Simulation,
    pub(super) model: Model,
    pub(super) look: Look,
    /// Whether what is asked of the source is left unanswered.
    pub(super) deaf: bool,
    /// The changes that were to be made meanwhile.
    waiting: Vec<Order>,
    pub(super) quit: bool,
    pub(super) clipboard: String,
    /// The trace that was asked for, and its number.
    pub(super) trace: Option<(u64, Box<dyn Trace>)>,
}

pub(super) const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 10)];

pub(super) fn look(depth: ColourDepth, glyphs: Glyphs) -> Look {
    Look::new(Theme::load("dark").unwrap(), Capability { depth, glyphs })
}

impl Bench {
    pub(super) fn new(view: ViewName) -> Self {
        Self::of(demonstration(), view, look(ColourDepth::Indexed, Glyphs::Unicode))
    }

    pub(super) fn of(services: Vec<Service>, view: ViewName, look: Look) -> Self {
        let simulation = Simulation::by_hand(services, spares(), HashSeed::default(), 7).unwrap();
        let mut data = Data::new(simulation.identity(), simulation.seed(), look.half_blocks());
        data.service = Some("web".to_owned());
        let mut bench = Self {
            simulation,
            model: Model::new(data, view),
            look,
            deaf: false,
            waiting: Vec::new(),
            quit: false,
            clipboard: String::new(),
            trace: None,
        };
        bench.sample();
        bench
    }

    /// Some seconds on, with a sample each.
    pub(super) fn after(mut self, seconds: u32) -> Self {
        self.pass(seconds);
        self
    }

    pub(super) fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.simulation.advance(Duration::from_secs(1));
            self.sample();
        }
    }

    pub(super) fn sample(&mut self) {
        let sampled = Sampled::look(&mut self.simulation, Duration::ZERO, self.model.data.interval);
        self.update(Message::Sampled(Box::new(sampled)));
        self.tell_of_trace();
    }

    /// What a look brings that comes to that.
    pub(super) fn show(&mut self, result: Result<Sample, SourceError>, late: Duration) {
        self.update(Message::Sampled(Box::new(Sampled {
            result,
            identity: self.simulation.identity(),
            seed: self.simulation.seed(),
            spares: self.simulation.spares(),
            checker: Checker::Unknown,
            late,
            interval: self.model.data.interval,
        })));
    }

    /// What the trace's thread would tell.
    fn tell_of_trace(&mut self) {
        let Some((number, trace)) = &mut self.trace else { return };
        let packets = iter::from_fn(|| trace.next(Duration::ZERO).unwrap()).collect();
        let (number, lost) = (*number, trace.lost().unwrap());
        self.update(Message::Traced(number, TraceNews::Packets { packets, lost }));
    }

    /// Answers again, first what is still waited for.
    pub(super) fn listen(&mut self) {
        self.deaf = false;
        let waiting = std::mem::take(&mut self.waiting);
        self.follow(waiting.into_iter().map(Effect::Order).collect());
    }

    pub(super) fn update(&mut self, message: Message) {
        let effects = self.model.update(message);
        self.follow(effects);
    }

    fn follow(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Order(order @ Order::Execute(..)) if self.deaf => self.waiting.push(order),
                Effect::Order(Order::Plan(id, request)) if !self.deaf => {
                    let result = self.simulation.plan(&request);
                    let stale = result.as_ref().is_err_and(|error| error.stale);
                    self.update(Message::Planned(id, result));
                    if stale {
                        self.sample();
                    }
                }
                Effect::Order(Order::Execute(id, request)) => {
                    let result = self.simulation.execute(&request);
                    self.update(Message::Executed(id, result));
                    self.sample();
                }
                Effect::Order(Order::Trace(number, client)) if !self.deaf => {
                    let mut trace = self.simulation.trace(client).unwrap();
                    trace.begin().unwrap();
                    self.trace = Some((number, trace));
                    self.update(Message::Traced(number, TraceNews::Begun));
                }
                Effect::Order(Order::EndTrace) => self.trace = None,
                Effect::Copy(text) => self.clipboard = text,
                Effect::Quit { .. } => self.quit = true,
                _ => {}
            }
        }
    }

    /// Presses keys: characters, and names in angle brackets.
    pub(super) fn press(&mut self, keys: &str) -> &mut Self {
        let mut rest = keys;
        while let Some(first) = rest.chars().next() {
            let (name, behind) = match rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
                Some((name, behind)) if name.len() > 1 => (name.to_owned(), behind),
                _ => (first.to_string(), &rest[first.len_utf8()..]),
            };
            rest = behind;
            self.update(Message::Key(key(&name)));
        }
        self
    }

    /// Presses the mouse there, or turns its wheel: 0 is a press, 1 forward, 2 back.
    pub(super) fn click(&mut self, column: u16, row: u16, how: u8) {
        let kind = match how {
            0 => MouseEventKind::Down(MouseButton::Left),
            1 => MouseEventKind::ScrollUp,
            _ => MouseEventKind::ScrollDown,
        };
        self.update(Message::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    }

    pub(super) fn resize(&mut self, width: u16, height: u16) -> &mut Self {
        self.update(Message::Resize(Size::new(width, height)));
        self
    }

    /// How many changes were made.
    pub(super) fn simulation_events(&mut self) -> usize {
        self.simulation.sample().unwrap().events.len()
    }

    pub(super) fn buffer(&self) -> Buffer {
        let area = Rect::from((ratatui::layout::Position::ORIGIN, self.model.data.size));
        let mut buffer = Buffer::empty(area);
        self.model.draw(&self.look, area, &mut buffer);
        buffer
    }

    pub(super) fn text(&self) -> String {
        let buffer = self.buffer();
        let width = usize::from(buffer.area.width.max(1));
        let rows = buffer.content().chunks(width);
        rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n").collect()
    }

    #[track_caller]
    pub(super) fn expect(&mut self, words: &str) -> &mut Self {
        let text = self.text();
        assert!(text.contains(words), "no {words:?} in\n{text}");
        self
    }
}

pub(super) fn key(name: &str) -> KeyEvent {
    let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
    match name {
        "Tab" => plain(KeyCode::Tab),
        "BackTab" => KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT),
        "Enter" => plain(KeyCode::Enter),
        "Esc" => plain(KeyCode::Esc),
        "Up" => plain(KeyCode::Up),
        "Down" => plain(KeyCode::Down),
        "Left" => plain(KeyCode::Left),
        "Right" => plain(KeyCode::Right),
        "Home" => plain(KeyCode::Home),
        "End" => plain(KeyCode::End),
        "PageDown" => plain(KeyCode::PageDown),
        "PageUp" => plain(KeyCode::PageUp),
        "Backspace" => plain(KeyCode::Backspace),
        _ => {
            let (modifiers, letter) = match name.strip_prefix("C-") {
                Some(letter) => (KeyModifiers::CONTROL, letter),
                None => (KeyModifiers::NONE, name),
            };
            KeyEvent::new(KeyCode::Char(letter.chars().next().unwrap()), modifiers)
        }
    }
}
