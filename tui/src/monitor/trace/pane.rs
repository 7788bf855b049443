//! The pane below the slots: the last packets of a client, a line each, and what was done with them.

use std::{collections::VecDeque, net::SocketAddr};

use maglev_probe::{Verdict, trace::TracedPacket};
use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Line};

use super::{KEPT, LIMIT, TraceNews};
use crate::{
    monitor::{
        action::{Action, BINDINGS},
        data::{Data, NoticeTone},
        message::{Effect, Order},
        number::{count, duration, several},
        view::Outcome,
        widget::{
            table::{self, Column, Rows},
            text::{line, span, split_bottom, wrap},
        },
    },
    packet::{explanation, flags, protocol},
    terminal::look::Look,
};

/// Below that the slots have no room beside the pane.
const ROOM_FOR_BOTH: u16 = 20;

/// A trace, on screen below the slots of a service. There is one at a time.
#[derive(Clone, Debug)]
pub struct TracePane {
    /// The number that it was asked for by: what is told of another one is not heeded.
    number: u64,
    service: String,
    client: SocketAddr,
    state: State,
    packets: VecDeque<TracedPacket>,
    told: u64,
    lost: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Beginning,
    UnderWay,
    /// It is over; why.
    Over(String),
    /// It did not begin, or came to an end that nobody asked for; why.
    Failed(String),
}

impl TracePane {
    /// Begins to trace a client among the slots of a service.
    pub fn begin(service: &str, client: SocketAddr, data: &mut Data) -> (Self, Outcome) {
        let number = data.next_request();
        let pane = Self {
            number,
            service: service.to_owned(),
            client,
            state: State::Beginning,
            packets: VecDeque::new(),
            told: 0,
            lost: 0,
        };
        (pane, Outcome::Effect(Effect::Order(Order::Trace(number, client))))
    }

    /// Whether it is not over.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        matches!(self.state, State::Beginning | State::UnderWay)
    }

    /// The service that it was begun at.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The client.
    #[must_use]
    pub const fn client(&self) -> SocketAddr {
        self.client
    }

    /// How many packets it shows, or would where there were room.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.packets.len()
    }

    /// Ends it, and leaves on screen what was told; what is to be done for that.
    pub fn end(&mut self) -> Option<Order> {
        let under_way = self.is_under_way();
        if under_way {
            self.state = State::Over("ended".to_owned());
        }
        under_way.then_some(Order::EndTrace)
    }

    /// Takes in what is told of the trace of that number.
    pub fn hear(&mut self, number: u64, news: TraceNews, data: &mut Data) {
        if number != self.number || !self.is_under_way() {
            return;
        }
        match news {
            TraceNews::Begun => self.state = State::UnderWay,
            TraceNews::Packets { packets, lost } => {
                self.told += packets.len() as u64;
                self.lost = lost;
                self.packets.extend(packets);
                let too_many = self.packets.len().saturating_sub(KEPT);
                self.packets.drain(..too_many);
            }
            TraceNews::OutOfTime => {
                self.state = State::Over(format!("over after {}", duration(LIMIT)));
            }
            TraceNews::Failed(error) => {
                data.say(NoticeTone::Error, error.message.clone());
                self.state = State::Failed(error.message);
            }
        }
    }

    /// What is left of an area for the slots, and what of it is the pane's.
    #[must_use]
    pub fn split(area: Rect) -> (Rect, Rect) {
        let height = if area.height < ROOM_FOR_BOTH { area.height * 2 / 3 } else { area.height * 2 / 5 };
        split_bottom(area, height)
    }

    /// Draws it, and changes nothing.
    pub fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let mut rest = line(self.title(data, look), area, buffer);
        if let State::Failed(why) = &self.state {
            for words in wrap(why, area.width.saturating_sub(2)) {
                rest = line(span(format!(" {words}"), look.error()), rest, buffer);
            }
        }
        let Some(latest) = self.packets.back() else {
            if self.state == State::UnderWay {
                line(span(" no packet came in yet", look.faint()), rest, buffer);
            }
            return;
        };
        // The latest is told in full where there is room for that.
        let in_full = match rest.height {
            0..=4 => 0,
            5..=8 => 1,
            _ => 2,
        };
        let (rest, mut below) = split_bottom(rest, in_full);
        let rows = usize::from(rest.height.saturating_sub(1).max(1)).min(self.packets.len());
        let first = self.packets.len() - rows;
        let row = |index: usize| self.packets.get(first + index).map(Row::of);
        table::draw(&columns(), Rows { count: rows, selected: None, sorted: None }, row, look, rest, buffer);
        let words = format!("{}: {}", latest.word(), explanation(latest));
        for words in wrap(&words, area.width.saturating_sub(2)) {
            below = line(span(format!(" {words}"), look.text()), below, buffer);
        }
    }

    fn title(&self, data: &Data, look: &Look) -> Line<'static> {
        let dot = look.either(" · ", "; ");
        let what = if data.identity.simulated { "simulated" } else { "told" };
        let (state, style) = match &self.state {
            State::Beginning => ("beginning".to_owned(), look.accent()),
            State::UnderWay => (format!("at most {}{}", duration(LIMIT), ended_by(data)), look.accent()),
            State::Over(why) => (why.clone(), look.faint()),
            State::Failed(_) => ("failed".to_owned(), look.error()),
        };
        let client = match self.client.port() {
            0 => self.client.ip().to_string(),
            _ => self.client.to_string(),
        };
        let mut spans = vec![
            span(format!(" trace of {client}"), look.heading()),
            span(format!("{dot}{} {what}", several(self.told, "packet", "packets")), look.text()),
        ];
        if self.lost > 0 {
            spans.push(span(format!(", {} not", count(self.lost)), look.warning()));
        }
        spans.push(span(format!("{dot}{state}"), style));
        spans.into()
    }
}

/// By which keys a trace is ended.
fn ended_by(data: &Data) -> String {
    let binding = BINDINGS.iter().find(|binding| binding.action == Action::Trace);
    let keys = binding.map(|binding| data.keymap.shown(binding)).filter(|keys| !keys.is_empty());
    keys.map_or_else(String::new, |keys| format!(", {keys} ends it"))
}

/// A packet as it is shown.
struct Row {
    time: String,
    packet: String,
    service: String,
    slot: String,
    owner: String,
    previous: String,
    remembered: String,
    next_hop: String,
    words: String,
    fate: Fate,
}

/// What was done with a packet, as far as its colour goes.
#[derive(Clone, Copy)]
enum Fate {
    Sent,
    Dropped,
    Other,
}

impl Row {
    fn of(packet: &TracedPacket) -> Self {
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        let words = explanation(packet);
        let fate = match packet.verdict {
            Some(Verdict::Transmitted | Verdict::Redirected) => Fate::Sent,
            _ if words.starts_with("dropped") => Fate::Dropped,
            _ => Fate::Other,
        };
        Self {
            time: time_of_day(packet),
            packet: format!("{} {}", kind(packet), packet.length),
            service: name(&packet.service),
            slot: packet.slot.map_or_else(String::new, |(slot, _)| count(slot.into())),
            owner: name(&packet.owner),
            previous: name(&packet.previous),
            remembered: name(&packet.remembered),
            next_hop: packet.next_hop.as_ref().map_or_else(String::new, |hop| {
                format!(
                    "{} {}",
                    hop.interface,
                    hop.hardware_address.map(|octet| format!("{octet:02x}")).join(":")
                )
            }),
            words,
            fate,
        }
    }
}

impl Fate {
    fn style(self, look: &Look) -> Style {
        match self {
            Self::Sent => look.good(),
            Self::Dropped => look.error(),
            Self::Other => look.text(),
        }
    }
}

/// The time of day at which a packet came, in UTC, to the millisecond.
fn time_of_day(packet: &TracedPacket) -> String {
    let text = humantime::format_rfc3339_millis(packet.at).to_string();
    text.split_once('T').map_or(text.clone(), |(_, time)| time.trim_end_matches('Z').to_owned())
}

/// What a packet is: the flags of a TCP segment, the type of an ICMP message, else its protocol.
fn kind(packet: &TracedPacket) -> String {
    let protocol = protocol(packet.protocol);
    match protocol.as_str() {
        "tcp" => flags(packet.flags).join("+"),
        "icmp" | "icmpv6" => format!("{protocol} {}", packet.icmp_type),
        _ => protocol,
    }
}

fn columns() -> Vec<Column<Row>> {
    type Cell = fn(&Row, &Look, u16) -> Line<'static>;
    let column =
        |title, width, rank, cell: Cell| Column { title, width, number: false, grows: false, rank, cell };
    vec![
        column("TIME", 12, 1, |row, look, _| span(row.time.clone(), look.faint()).into()),
        column("PACKET", 12, 2, |row, look, _| span(row.packet.clone(), look.text()).into()),
        column("SERVICE", 8, 6, |row, look, _| span(row.service.clone(), look.text()).into()),
        column("SLOT", 7, 3, |row, look, _| span(row.slot.clone(), look.text()).into()),
        column("OWNER", 8, 4, |row, look, _| span(row.owner.clone(), look.text()).into()),
        column("PREVIOUS", 8, 5, |row, look, _| span(row.previous.clone(), look.settling_mark()).into()),
        column("REMEMBERED", 10, 7, |row, look, _| span(row.remembered.clone(), look.text()).into()),
        column("NEXT HOP", 22, 8, |row, look, _| span(row.next_hop.clone(), look.faint()).into()),
        Column {
            grows: true,
            ..column("DONE", 22, 0, |row, look, _| span(row.words.clone(), row.fate.style(look)).into())
        },
    ]
}
