//! The real loop, over a list of events.

use std::{collections::VecDeque, io, time::Duration};

use ratatui::{Terminal, backend::TestBackend};

use super::support::{Bench, look};
use crate::{
    monitor::{
        Ended,
        cycle::{self, Event, Host},
        message::{Message, Order},
        view::ViewName,
    },
    terminal::capability::{ColourDepth, Glyphs},
};

/// Batches of events: those of one batch are there at once.
struct Script {
    batches: VecDeque<VecDeque<Event>>,
    orders: Vec<Order>,
    suspended: usize,
}

impl Host for Script {
    fn next(&mut self, limit: Option<Duration>) -> Option<Event> {
        let Some(batch) = self.batches.front_mut() else {
            assert!(limit.is_some(), "the loop waits, and nothing comes any more");
            return None;
        };
        match (batch.pop_front(), limit) {
            (Some(event), _) => Some(event),
            (None, Some(_)) => {
                self.batches.pop_front();
                None
            }
            (None, None) => panic!("an empty batch"),
        }
    }

    fn order(&mut self, order: Order) {
        self.orders.push(order);
    }

    fn mouse(&mut self, _listen: bool) -> io::Result<()> {
        Ok(())
    }

    fn copy(&mut self, _text: &str) -> io::Result<()> {
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.suspended += 1;
        Ok(())
    }
}

fn keys(keys: &str) -> VecDeque<Event> {
    keys.chars()
        .map(|key| {
            let code = ratatui::crossterm::event::KeyCode::Char(key);
            let modifiers = ratatui::crossterm::event::KeyModifiers::NONE;
            Event::Message(Message::Key(ratatui::crossterm::event::KeyEvent::new(code, modifiers)))
        })
        .collect()
}

fn run(batches: impl IntoIterator<Item = VecDeque<Event>>) -> (Ended, Script, String) {
    let mut bench = Bench::new(ViewName::Backends).after(2);
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let mut script = Script { batches: batches.into_iter().collect(), orders: Vec::new(), suspended: 0 };
    let mut look = look(ColourDepth::Indexed, Glyphs::Unicode);
    let (ended, _) = cycle::run(&mut terminal, &mut look, &mut bench.model, &mut script).unwrap();
    (ended, script, terminal.backend().to_string())
}

#[test]
fn keys_are_taken_in_before_the_next_frame() {
    let (ended, script, screen) = run([keys("jjd"), VecDeque::from([Event::End(15)])]);
    assert_eq!(ended, Ended::Signal(15));
    assert!(screen.contains("drain b3 (web)"), "{screen}");
    assert!(
        matches!(&script.orders[..], [Order::Plan(1, request)] if request.services[0].changes[0].backend() == "b3")
    );
}

#[test]
fn the_loop_ends_as_it_is_told() {
    assert_eq!(run([keys("q")]).0, Ended::Quit);
    assert_eq!(run([VecDeque::from([Event::TerminalGone])]).0, Ended::TerminalGone);
    assert_eq!(Ended::Signal(15).exit_status(), 143);
    assert_eq!(Ended::TerminalGone.exit_status(), 129);
    let (_, script, _) = run([VecDeque::from([Event::Stop]), keys("q")]);
    assert_eq!(script.suspended, 1);
}
