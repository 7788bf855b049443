//! How long the monitor takes for a frame and for a key, from the message to the last byte for the terminal: `cargo
//! bench -p maglev-top --bench monitor`.

use std::{
    cell::RefCell,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use maglev_core::{
    health::Health,
    sample::{BackendId, BackendSample, Counters, Sample, ServiceSample, Slots},
    service::{Affinity, BackendState, Forwarding, Protocol, Tracking},
};
use maglev_top::{
    monitor::{
        data::Data,
        message::{Message, Sampled},
        model::Model,
        view::ViewName,
    },
    source::{Checker, Identity},
    terminal::{
        capability::{Capability, ColourDepth, Glyphs},
        look::Look,
        screen::{Output, Present as _, Screen},
        theme::Theme,
    },
};
use ratatui::{
    Terminal,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::Size,
};

const SIZE: Size = Size::new(200, 50);

fn main() {
    divan::main();
}

/// A terminal that takes everything.
struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(divan::black_box(bytes).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Sink {
    fn size(&self) -> io::Result<Size> {
        Ok(SIZE)
    }
}

/// The monitor, a terminal, and a datapath on which more has happened at each look.
struct Scene {
    model: Model,
    terminal: Terminal<Screen<Sink>>,
    look: Look,
    sample: Sample,
    random: Rng,
}

impl Scene {
    /// 500 services; the first one has 1,000 backends and 65,537 slots, the others 3 and 251.
    fn new(view: ViewName) -> Self {
        let capability = Capability { depth: ColourDepth::Indexed, glyphs: Glyphs::Unicode };
        let look = Look::new(Theme::load("dark").expect("it is built in"), capability);
        let identity = Identity {
            name: "bench".to_owned(),
            attached: "nowhere".to_owned(),
            simulated: true,
            read_only: None,
            pins: None,
            interval: Duration::from_secs(1),
        };
        let mut data = Data::new(identity, None, look.half_blocks());
        data.service = Some("service-000".to_owned());
        let terminal =
            Terminal::new(Screen::new(Sink, true, ColourDepth::Indexed)).expect("a sink never fails");
        let services = (0..500).map(|number| match number {
            0 => service(0, 1000, 65_537),
            number => service(number, 3, 251),
        });
        let sample = Sample { services: services.collect(), processors: vec![0; 2], ..Sample::default() };
        let mut scene =
            Self { model: Model::new(data, view), terminal, look, sample, random: Rng::with_seed(3) };
        scene.model.update(Message::Resize(SIZE));
        for _ in 0..10 {
            let look = scene.look();
            scene.show(look);
        }
        scene
    }

    /// What a look finds next: some packets more in each slot, in no order.
    fn look(&mut self) -> Message {
        let random = &mut self.random;
        self.sample.taken_at += Duration::from_secs(1);
        for service in &mut self.sample.services {
            let hits = service.slots.hits.iter().map(|hits| hits + random.u64(..64));
            service.slots.hits = hits.collect();
            for backend in &mut service.backends {
                let packets = random.u64(..10_000);
                backend.counters.packets += packets;
                service.counters.packets += packets;
            }
        }
        let result = Ok(self.sample.clone());
        Message::Sampled(Box::new(Sampled {
            result,
            spares: Vec::new(),
            checker: Checker::Unknown,
            late: Duration::ZERO,
            identity: self.model.data.identity.clone(),
            seed: None,
            interval: self.model.data.interval,
        }))
    }

    fn show(&mut self, message: Message) {
        self.model.update(message);
        self.frame();
    }

    fn press(&mut self, key: KeyCode) {
        self.show(Message::Key(KeyEvent::new(key, KeyModifiers::NONE)));
    }

    fn frame(&mut self) {
        let Self { model, terminal, look, .. } = self;
        terminal
            .draw(|frame| model.draw(look, frame.area(), frame.buffer_mut()))
            .expect("a sink never fails");
        terminal.backend_mut().present().expect("a sink never fails");
    }
}

fn service(number: u16, backends: u16, slots: u32) -> ServiceSample {
    let owner: Arc<[BackendId]> =
        (0..slots).map(|slot| BackendId(1 + slot * 7919 % u32::from(backends))).collect();
    ServiceSample {
        name: format!("service-{number:03}"),
        address: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 10), 1000 + number)),
        protocol: Protocol::Tcp,
        forwarding: Forwarding::Ipip,
        affinity: Affinity::None,
        tracking: Tracking::Settling,
        settle_time: Duration::from_secs(60),
        is_checked: false,
        counters: Counters::default(),
        unremembered: 0,
        backends: (1..=backends).map(|number| backend(number, slots / u32::from(backends))).collect(),
        slots: Slots {
            previous: vec![BackendId::NONE; owner.len()].into(),
            hits: vec![0; owner.len()].into(),
            owner,
        },
        cilium: None,
    }
}

fn backend(number: u16, slots: u32) -> BackendSample {
    let [high, low] = number.to_be_bytes();
    BackendSample {
        id: BackendId(u32::from(number)),
        name: format!("backend-{number:04}"),
        address: SocketAddr::from((Ipv4Addr::new(10, 0, high, low), 80)),
        weight: 100,
        state: BackendState::Active,
        health: Health::Unknown,
        slots,
        counters: Counters::default(),
        quiet: Some(Duration::ZERO),
        by_hand: Vec::new(),
    }
}

/// The views that are measured, by their names.
const VIEWS: [&str; 3] = ["services", "backends", "slots"];

fn scene(view: &str) -> Scene {
    let view = ViewName::ALL.into_iter().find(|other| other.title() == view);
    Scene::new(view.expect("there is such a view"))
}

/// A look at the datapath, and the frame that shows it.
#[divan::bench(args = VIEWS, sample_count = 60)]
fn a_look_and_its_frame(bencher: divan::Bencher<'_, '_>, view: &str) {
    let scene = RefCell::new(scene(view));
    bencher
        .with_inputs(|| scene.borrow_mut().look())
        .bench_local_values(|look| scene.borrow_mut().show(look));
}

/// A step down, and the frame that shows it.
#[divan::bench(args = VIEWS, sample_count = 300)]
fn a_key_and_its_frame(bencher: divan::Bencher<'_, '_>, view: &str) {
    let mut scene = scene(view);
    bencher.bench_local(|| scene.press(KeyCode::Down));
}

/// A page down or up, and the frame that shows it.
#[divan::bench(args = VIEWS, sample_count = 300)]
fn a_page_and_its_frame(bencher: divan::Bencher<'_, '_>, view: &str) {
    let mut scene = scene(view);
    let mut down = false;
    bencher.bench_local(|| {
        down = !down;
        scene.press(if down { KeyCode::PageDown } else { KeyCode::PageUp });
    });
}
