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
    monitor::view::ViewName,
    simulation::demonstration,
    source::Source as _,
    terminal::{
        capability::{ColourDepth, Glyphs},
        frame::MOST,
        look::Look,
        screen::{Output, Present as _, Screen},
        theme::Theme,
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

    /// The bytes of a frame, which are one write or none, and never more than a frame may have.
    fn frame(&mut self, bench: &Bench) -> usize {
        self.calls.borrow_mut().clear();
        self.terminal.draw(|frame| bench.model.draw(&bench.look, frame.area(), frame.buffer_mut())).unwrap();
        let bytes = self.terminal.backend_mut().present().unwrap();
        assert!(self.calls.borrow().len() <= 1, "{} writes", self.calls.borrow().len());
        assert_eq!(self.calls.borrow().iter().sum::<usize>(), bytes);
        assert!(bytes <= MOST, "{bytes} bytes in a frame");
        bytes
    }

    /// The bytes of the frames that it takes to have on screen all that there is.
    fn picture(&mut self, bench: &Bench) -> Vec<usize> {
        let mut frames = vec![self.frame(bench)];
        while self.terminal.backend().is_behind() {
            frames.push(self.frame(bench));
        }
        frames
    }
}

/// Whether figures are printed, for whoever wants to know them.
fn tell(what: &str, first: &[usize], steady: &[usize]) -> usize {
    let mean = steady.iter().sum::<usize>() / steady.len();
    println!(
        "{what}: first {} bytes, in frames of {first:?}, then {mean} in the mean, {} at most",
        first.iter().sum::<usize>(),
        steady.iter().max().unwrap()
    );
    mean
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let mut bench = Bench::new(ViewName::Backends).after(3);
    let mut wire = Wire::new(&mut bench, 120, 40);
    assert!(wire.picture(&bench)[0] > 1000);
    for view in ["1", "2", "3", "4", "5", "?"] {
        bench.press(view);
        wire.picture(&bench);
        assert_eq!(wire.frame(&bench), 0);
    }
}

#[test]
fn a_frozen_screen_writes_nothing() {
    let mut bench = Bench::new(ViewName::Backends).after(9);
    let mut wire = Wire::new(&mut bench, 120, 40);
    for (keys, weight) in ["<C-f>", "[[", "1", "2", "3", "4", "5", "?", "2v"].into_iter().zip(50..) {
        bench.press(keys);
        wire.picture(&bench);
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
        let first = wire.picture(&bench);
        let steady: Vec<usize> = (0..20)
            .map(|_| {
                bench.pass(1);
                wire.frame(&bench)
            })
            .collect();
        let mean = tell(view.title(), &first, &steady);
        assert!(mean <= 4096, "{}: {mean} bytes a second", view.title());
        // The backends have a small heatmap with them: in one of these seconds it shows that slots have settled.
        let above = steady.iter().filter(|bytes| **bytes > 4096).count();
        assert!(above <= usize::from(view == ViewName::Backends), "{}: {steady:?}", view.title());
    }
}

/// The heatmap of 65,537 slots under noise, as those keys have it: the bytes of the frames that the first picture takes,
/// and of one frame a second after it.
fn heatmap(keys: &str, (width, height): (u16, u16), most: f64, look: Look) -> (Vec<usize>, Vec<usize>) {
    let (mut bench, mut noise) = noisy(most, look);
    let mut wire = Wire::new(&mut bench, width, height);
    bench.press(keys);
    for _ in 0..15 {
        noise.sample(&mut bench);
    }
    let first = wire.picture(&bench);
    let steady = (0..15).map(|_| {
        noise.sample(&mut bench);
        let bytes = wire.frame(&bench);
        assert!(!wire.terminal.backend().is_behind(), "{bytes} bytes were not enough");
        bytes
    });
    let steady = steady.collect::<Vec<usize>>();
    tell(&format!("heatmap {keys:?} {width}x{height}, {most} hits/s at most"), &first, &steady);
    (first, steady)
}

/// Zipf's rates over 65,537 slots, each with the noise of chance, the most of them so many a second.
fn noisy(most: f64, look: Look) -> (Bench, Noise) {
    let mut services = demonstration();
    services.truncate(1);
    services[0].table_size = 65_537;
    // As many as there are colours for.
    let backends =
        services[0].backends.clone().into_iter().cycle().zip(1..=12_u8).map(|(backend, number)| {
            let address = std::net::SocketAddr::from(([10, 9, 0, number], 80));
            maglev_core::service::Backend { name: format!("b{number}"), address, ..backend }
        });
    services[0].backends = backends.collect();
    let mut bench = Bench::of(services, ViewName::Slots, look);
    let noise = Noise::new(&mut bench, most);
    (bench, noise)
}

#[test]
fn the_heatmap_takes_at_most_30_kb_a_frame_under_noise() {
    assert_eq!(MOST, 30_000);
    // Each frame is held to it where it is counted. At 120 by 40 the first picture is one, too; larger ones may take more.
    for (keys, size, most, frames) in [
        ("", (120, 40), 4e5, 1),
        ("c", (120, 40), 4e5, 1),
        ("c", (120, 40), 4e3, 1),
        ("", (200, 50), 4e5, 3),
        ("c", (200, 50), 4e5, 2),
        ("c++++", (200, 50), 4e5, 2),
        ("c", (200, 50), 4e3, 1),
        ("c++++", (200, 50), 4e3, 1),
    ] {
        let (first, _) = heatmap(keys, size, most, look(ColourDepth::Indexed, Glyphs::Unicode));
        assert!(first.len() <= frames, "{keys:?}: {first:?}");
    }
}

#[test]
fn whatever_changes_the_whole_picture_takes_at_most_30_kb_a_frame() {
    for (size @ (width, height), most) in [((120, 40), 2), ((200, 50), 3)] {
        for depth in [ColourDepth::Indexed, ColourDepth::True] {
            let (mut bench, mut noise) = noisy(4e5, look(depth, Glyphs::Unicode));
            let mut wire = Wire::new(&mut bench, width, height);
            noise.sample(&mut bench);
            wire.picture(&bench);
            for (what, keys) in [
                ("another colouring", "c"),
                ("a zoom", "+++"),
                ("a page", "<PageDown>"),
                ("another view", "2"),
                ("back from it", "3"),
                ("a third colouring", "c"),
                ("the first colouring", "c"),
            ] {
                bench.press(keys);
                let frames = wire.picture(&bench);
                println!("{what} at {size:?}, {depth:?}: frames of {frames:?} bytes");
                assert!(frames.len() <= most, "{what}: {frames:?}");
            }
            for theme in ["light", "gruvbox"] {
                bench.look = bench.look.with_theme(Theme::load(theme).unwrap());
                let frames = wire.picture(&bench);
                println!("{theme} at {size:?}, {depth:?}: frames of {frames:?} bytes");
                assert!(frames.len() <= most, "{theme}: {frames:?}");
            }
        }
    }
}

#[test]
fn a_thin_link_takes_half_for_a_picture_and_for_a_frame() {
    let [wide, thin] = [false, true].map(|thin| {
        let look = look(ColourDepth::Indexed, Glyphs::Unicode);
        let (first, steady) = heatmap("c", (200, 50), 4e5, if thin { look.sparing() } else { look });
        (first.iter().sum::<usize>(), steady.iter().sum::<usize>())
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
        bench.show(Ok(self.sample.clone()), Duration::ZERO);
    }
}
