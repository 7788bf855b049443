//! How much goes to the terminal, counted where it leaves.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
    time::Duration,
};

use maglev_core::sample::Slots;
use ratatui::{Terminal, layout::Size};

use super::support::{Bench, look};
use crate::{
    monitor::{
        message::{Message, Sampled},
        view::ViewName,
    },
    simulation::demonstration,
    source::{Checker, Source as _},
    terminal::{
        capability::{ColourDepth, Glyphs},
        look::Look,
        screen::{Output, Present as _, Screen},
    },
};

#[derive(Clone)]
struct Counter {
    size: Size,
    calls: Rc<RefCell<Vec<usize>>>,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls.borrow_mut().push(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Counter {
    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }
}

/// The bytes of each write.
struct Wire {
    terminal: Terminal<Screen<Counter>>,
    calls: Rc<RefCell<Vec<usize>>>,
}

impl Wire {
    fn new(bench: &mut Bench, width: u16, height: u16) -> Self {
        bench.resize(width, height);
        let calls = Rc::new(RefCell::new(Vec::new()));
        let counter = Counter { size: Size::new(width, height), calls: Rc::clone(&calls) };
        let depth = bench.look.capability.depth;
        Self { terminal: Terminal::new(Screen::new(counter, true, depth)).unwrap(), calls }
    }

    /// The bytes of a frame, which are one write or none.
    fn frame(&mut self, bench: &Bench) -> usize {
        self.calls.borrow_mut().clear();
        self.terminal.draw(|frame| bench.model.draw(&bench.look, frame.area(), frame.buffer_mut())).unwrap();
        let bytes = self.terminal.backend_mut().present().unwrap();
        assert!(self.calls.borrow().len() <= 1, "{} writes", self.calls.borrow().len());
        assert_eq!(self.calls.borrow().iter().sum::<usize>(), bytes);
        bytes
    }
}

/// Whether figures are printed, for whoever wants to know them.
fn tell(what: &str, first: usize, steady: &[usize]) -> usize {
    let mean = steady.iter().sum::<usize>() / steady.len();
    println!(
        "{what}: first frame {first} bytes, then {mean} in the mean, {} at most",
        steady.iter().max().unwrap()
    );
    mean
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let mut bench = Bench::new(ViewName::Backends).after(3);
    let mut wire = Wire::new(&mut bench, 120, 40);
    assert!(wire.frame(&bench) > 1000);
    for view in ["1", "2", "3", "4", "5", "?"] {
        bench.press(view);
        wire.frame(&bench);
        assert_eq!(wire.frame(&bench), 0);
    }
}

#[test]
fn a_frozen_screen_writes_nothing() {
    let mut bench = Bench::new(ViewName::Backends).after(9);
    let mut wire = Wire::new(&mut bench, 120, 40);
    for (keys, weight) in ["<C-f>", "[[", "1", "2", "3", "4", "5", "?", "2v"].into_iter().zip(50..) {
        bench.press(keys);
        wire.frame(&bench);
        bench.pass(3);
        let changes = vec![maglev_core::change::Change::SetWeight("b1".to_owned(), weight)];
        let request = crate::source::ChangeRequest::of("web", changes);
        bench.simulation.execute(&request).unwrap();
        bench.pass(3);
        assert_eq!(wire.frame(&bench), 0, "after {keys}");
    }
}

#[test]
fn tables_take_at_most_4_kb_a_second() {
    for (key, view) in [
        ("1", ViewName::Services),
        ("2", ViewName::Backends),
        ("4", ViewName::Events),
        ("5", ViewName::Processors),
    ] {
        let look = look(ColourDepth::True, Glyphs::Unicode);
        let mut bench = Bench::of(demonstration(), ViewName::Backends, look).after(30);
        bench.press("d<Tab><Enter>").press(key);
        assert_eq!(bench.model.active(), view);
        let mut wire = Wire::new(&mut bench, 120, 40);
        let first = wire.frame(&bench);
        let steady: Vec<usize> = (0..20)
            .map(|_| {
                bench.pass(1);
                wire.frame(&bench)
            })
            .collect();
        let mean = tell(view.title(), first, &steady);
        assert!(mean <= 4096, "{}: {mean} bytes a second", view.title());
        // The backends have a small heatmap with them: in one of these seconds it shows that slots have settled.
        let above = steady.iter().filter(|bytes| **bytes > 4096).count();
        assert!(above <= usize::from(view == ViewName::Backends), "{}: {steady:?}", view.title());
    }
}

/// The heatmap of 65,537 slots under noise: the bytes of the first frame, and of those after it.
fn heatmap(keys: &str, (width, height): (u16, u16), most: f64, look: Look) -> (usize, Vec<usize>) {
    let mut services = demonstration();
    services.truncate(1);
    services[0].table_size = 65_537;
    let mut bench = Bench::of(services, ViewName::Slots, look);
    let mut wire = Wire::new(&mut bench, width, height);
    bench.press(keys);
    let mut noise = Noise::new(&mut bench, most);
    for _ in 0..15 {
        noise.sample(&mut bench);
    }
    let first = wire.frame(&bench);
    let steady = (0..15).map(|_| {
        noise.sample(&mut bench);
        wire.frame(&bench)
    });
    let steady = steady.collect::<Vec<usize>>();
    tell(&format!("heatmap {keys:?} {width}x{height}, {most} hits/s at most"), first, &steady);
    (first, steady)
}

#[test]
fn the_heatmap_takes_at_most_30_kb_a_frame_under_noise() {
    // Zipf's rates over the slots, each with the noise of chance. The first frame is a whole picture.
    for (keys, size, most, whole) in [
        ("c", (120, 40), 4e5, 40_000),
        ("c", (200, 50), 4e5, 80_000),
        ("c++++", (200, 50), 4e5, 80_000),
        ("c", (200, 50), 4e3, 30_000),
        ("c++++", (200, 50), 4e3, 30_000),
        ("", (120, 40), 4e5, 50_000),
        ("", (200, 50), 4e5, 105_000),
    ] {
        let (first, steady) = heatmap(keys, size, most, look(ColourDepth::Indexed, Glyphs::Unicode));
        assert!(steady.iter().all(|bytes| *bytes <= 30_000), "{keys:?}: {steady:?}");
        assert!(first <= whole, "{keys:?}: {first} bytes for the first frame");
    }
}

#[test]
fn a_thin_link_takes_half_for_a_picture_and_for_a_frame() {
    let [wide, thin] = [false, true].map(|thin| {
        let look = look(ColourDepth::Indexed, Glyphs::Unicode);
        let (first, steady) = heatmap("c", (200, 50), 4e5, if thin { look.sparing() } else { look });
        (first, steady.iter().sum::<usize>())
    });
    assert!(thin.0 * 2 <= wide.0 && thin.1 * 2 <= wide.1, "{wide:?}, {thin:?}");
}

struct Noise {
    random: fastrand::Rng,
    rates: Vec<f64>,
    hits: Vec<u64>,
    sample: maglev_core::sample::Sample,
}

impl Noise {
    fn new(bench: &mut Bench, most: f64) -> Self {
        let mut random = fastrand::Rng::with_seed(11);
        let sample = bench.simulation.sample().unwrap();
        let slots = sample.services[0].slots.len();
        let mut rates: Vec<f64> =
            (1..=u32::try_from(slots).unwrap()).map(|rank| most / f64::from(rank).powf(1.1)).collect();
        random.shuffle(&mut rates);
        Self { random, rates, hits: vec![0; slots], sample }
    }

    fn sample(&mut self, bench: &mut Bench) {
        for (hits, rate) in self.hits.iter_mut().zip(&self.rates) {
            // About Poisson's: a mean, and its root to and fro.
            let spread = (self.random.f64() + self.random.f64() + self.random.f64() - 1.5) * 2.0;
            let packets = rate + spread * rate.sqrt();
            let chance = if packets.fract() > self.random.f64() { 1.0 } else { 0.0 };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number, small and never negative"
            )]
            let packets = (packets.max(0.0).floor() + chance) as u64;
            *hits += packets;
        }
        self.sample.taken_at += Duration::from_secs(1);
        let slots = &mut self.sample.services[0].slots;
        *slots = Slots { hits: self.hits.as_slice().into(), ..slots.clone() };
        let result = Ok(self.sample.clone());
        bench.update(Message::Sampled(Box::new(Sampled {
            checker: Checker::Unknown,
            result,
            spares: Vec::new(),
            late: Duration::ZERO,
        })));
    }
}
