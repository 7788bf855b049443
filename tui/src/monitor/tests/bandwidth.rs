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
    source::Source as _,
    terminal::{
        capability::{ColourDepth, Glyphs},
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
    }
}

#[test]
fn the_heatmap_takes_at_most_30_kb_a_frame_under_noise() {
    // Zipf's rates over 65,537 slots, each with the noise of chance, on a large terminal.
    let mut services = demonstration();
    services.truncate(1);
    services[0].table_size = 65_537;
    for (keys, width, height, most) in [
        ("c", 200, 50, 4e5),
        ("c", 120, 40, 4e5),
        ("c++++", 200, 50, 4e5),
        ("c", 200, 50, 4e3),
        ("c++++", 200, 50, 4e3),
        ("", 200, 50, 4e5),
    ] {
        let mut bench =
            Bench::of(services.clone(), ViewName::Slots, look(ColourDepth::Indexed, Glyphs::Unicode));
        let mut wire = Wire::new(&mut bench, width, height);
        bench.press(keys);
        let mut noise = Noise::new(&mut bench, most);
        for _ in 0..15 {
            noise.sample(&mut bench);
        }
        let first = wire.frame(&bench);
        let steady: Vec<usize> = (0..15)
            .map(|_| {
                noise.sample(&mut bench);
                wire.frame(&bench)
            })
            .collect();
        let mean = tell(&format!("heatmap {keys:?} {width}x{height}, {most} hits/s at most"), first, &steady);
        assert!(mean <= 30_000, "{keys:?}: {mean} bytes a frame");
    }
}

#[test]
fn a_thin_link_takes_a_quarter_for_a_picture_and_less_for_a_frame() {
    let mut services = demonstration();
    services.truncate(1);
    services[0].table_size = 65_537;
    let mut told = Vec::new();
    for thin in [false, true] {
        let look = look(ColourDepth::Indexed, Glyphs::Unicode);
        let look = if thin { look.sparing() } else { look };
        let mut bench = Bench::of(services.clone(), ViewName::Slots, look);
        let mut wire = Wire::new(&mut bench, 200, 50);
        bench.press("c++++");
        let mut noise = Noise::new(&mut bench, 4e3);
        for _ in 0..15 {
            noise.sample(&mut bench);
        }
        let first = wire.frame(&bench);
        let steady: Vec<usize> = (0..15)
            .map(|_| {
                noise.sample(&mut bench);
                wire.frame(&bench)
            })
            .collect();
        told.push((first, tell(if thin { "a thin link" } else { "a wide link" }, first, &steady)));
    }
    let [(wide_first, wide), (thin_first, thin)] = told[..] else { panic!("{told:?}") };
    assert!(thin_first * 4 <= wide_first && thin < wide, "{told:?}");
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
            result,
            spares: Vec::new(),
            late: Duration::ZERO,
        })));
    }
}
