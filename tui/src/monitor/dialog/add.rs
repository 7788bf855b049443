//! A new backend.

use std::net::{IpAddr, SocketAddr};

use maglev_core::{
    change::Change,
    health::Health,
    service::{Backend, BackendState, DEFAULT_WEIGHT, MAX_NAME},
};
use ratatui::{buffer::Buffer, crossterm::event::KeyEvent, layout::Rect, text::Line};

use super::{Answer, Dialog, field::Field, panel, preview::Preview, weight::parse_weight};
use crate::{
    monitor::{
        action::{Action, Context},
        data::Data,
        widget::text::{span, wrap},
    },
    terminal::look::Look,
};

/// How wide a field is.
const WIDTH: usize = 40;

/// The form for a new backend.
#[derive(Clone, Debug)]
pub struct AddForm {
    service: String,
    port: u16,
    /// Name, address and weight.
    fields: [Field; 3],
    focus: usize,
    /// Which of the backends on offer is in the fields.
    spare: usize,
    error: Option<String>,
}

impl AddForm {
    /// The contexts that its keys are looked up in.
    pub const CONTEXTS: &'static [Context] = &[Context::Form, Context::Fields, Context::Always];

    /// For that service; the first backend on offer that it does not have is in the fields already.
    #[must_use]
    pub fn new(data: &Data, service: &str) -> Self {
        let port = data.service().map_or(0, |service| service.address.port());
        let fields = [
            Field::new("name", ""),
            Field::new("address", ""),
            Field::new("weight", DEFAULT_WEIGHT.to_string()),
        ];
        let mut form = Self { service: service.to_owned(), port, fields, focus: 0, spare: 0, error: None };
        form.offer(data, 0);
        form
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What is on offer and not in the service.
    fn offers<'a>(&self, data: &'a Data) -> Vec<&'a Backend> {
        let members = data.services().iter().find(|service| service.name == self.service);
        let members = members.map_or(&[][..], |service| &service.backends);
        data.spares
            .iter()
            .filter(|spare| {
                !members
                    .iter()
                    .any(|member| member.name == spare.name || member.address == self.address_of(spare))
            })
            .collect()
    }

    /// A spare machine serves this service on the service's own port: ports are never rewritten.
    fn address_of(&self, spare: &Backend) -> SocketAddr {
        SocketAddr::new(spare.address.ip(), if self.port == 0 { spare.address.port() } else { self.port })
    }

    fn offer(&mut self, data: &Data, steps: isize) {
        let offers = self.offers(data);
        let Ok(count) = isize::try_from(offers.len()) else { return };
        if count == 0 {
            return;
        }
        let next = (isize::try_from(self.spare).unwrap_or(0) + steps).rem_euclid(count);
        self.spare = usize::try_from(next).unwrap_or(0);
        let spare = offers[self.spare].clone();
        let values = [spare.name.clone(), self.address_of(&spare).to_string(), spare.weight.to_string()];
        for (field, value) in self.fields.iter_mut().zip(values) {
            field.set(value);
        }
    }

    fn backend(&self) -> Result<Backend, (usize, String)> {
        let [name, address, weight] = &self.fields;
        let name = name.value();
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err((0, format!("a name has 1 to {MAX_NAME} bytes")));
        }
        let address = address.value();
        let parsed = address
            .parse::<SocketAddr>()
            .or_else(|_| address.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, self.port)));
        let Ok(address) = parsed else {
            let error = format!("{address:?} is no address: write 10.0.1.16:80 or [2001:db8::16]:80");
            return Err((1, error));
        };
        let weight = parse_weight(weight.value()).map_err(|error| (2, error))?;
        Ok(Backend {
            name: name.to_owned(),
            address,
            weight,
            state: BackendState::Active,
            health: Health::Unknown,
        })
    }

    pub(super) fn act(&mut self, action: Action, data: &Data) -> Answer {
        let count = self.fields.len();
        match action {
            Action::NextField => self.focus = (self.focus + 1) % count,
            Action::PreviousField => self.focus = (self.focus + count - 1) % count,
            Action::NextSpare => self.offer(data, 1),
            Action::PreviousSpare => self.offer(data, -1),
            Action::Cancel => return Answer::Close,
            Action::Accept => match self.backend() {
                Ok(backend) => {
                    return Preview::new(data, &self.service, vec![Change::Add(backend)])
                        .map_or(Answer::Close, |preview| Answer::Next(Box::new(Dialog::Preview(preview))));
                }
                Err((field, error)) => {
                    self.focus = field;
                    self.error = Some(error);
                    return Answer::Stay;
                }
            },
            _ => {}
        }
        self.error = None;
        Answer::Stay
    }

    pub(super) fn type_key(&mut self, key: KeyEvent) {
        self.error = None;
        if let Some(field) = self.fields.get_mut(self.focus) {
            field.type_key(key);
        }
    }

    pub(super) fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer) {
        let mut lines: Vec<Line<'_>> = self
            .fields
            .iter()
            .enumerate()
            .map(|(index, field)| field.line(index == self.focus, WIDTH, look))
            .collect();
        lines.push(Line::default());
        if let Some(error) = &self.error {
            lines.extend(wrap(error, 52).into_iter().map(|text| span(text, look.error()).into()));
        } else {
            let offers = self.offers(data).len();
            if offers > 0 {
                let text = format!("{offers} on offer: Up and Down go through them.");
                lines.push(span(text, look.faint()).into());
            }
            lines.push(
                span("Enter shows what it moves, Tab the next field, Esc leaves.", look.faint()).into(),
            );
        }
        panel::draw(&format!("A new backend for {}", self.service), lines, &[], look, area, buffer);
    }
}
