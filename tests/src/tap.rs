//! A wire whose other end is this process: frames that it writes come in at an interface, and what the interface sends it
//! reads, byte for byte, VLAN tags among them (a packet socket is told tags beside the frame).

use std::{
    io,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use maglev_lab::{Interface, Namespace};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// The longest frame that is read, in bytes.
const LONGEST: usize = 16_384;

/// A tap device in a namespace, up; it goes with this value.
pub struct Tap {
    // It blocks: what is written to one that does not block never meets native XDP (`tun_can_build_skb`,
    // drivers/net/tun.c).
    device: SyncDevice,
    interface: Interface,
}

impl Tap {
    /// Makes an interface of that name, or says why none can be made here.
    ///
    /// # Panics
    ///
    /// When something but the privileges or the kernel's driver is missing.
    #[must_use]
    pub fn create(namespace: &Namespace, name: &str) -> Option<Self> {
        let build = || DeviceBuilder::new().name(name).layer(Layer::L2).build_sync();
        let device = match namespace.run(build).expect("a thread gets in") {
            Ok(device) => device,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) =>
            {
                println!("skipped: a tap device takes root and /dev/net/tun ({error})");
                return None;
            }
            Err(error) => panic!("{error:?}"),
        };
        let interface = Interface::find(namespace, name).expect("it is there");
        interface.set_up().expect("it comes up");
        Some(Self { device, interface })
    }

    /// The interface.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Has a frame come in.
    ///
    /// # Panics
    ///
    /// When the kernel does not take it.
    pub fn send(&self, frame: &[u8]) {
        assert_eq!(self.device.send(frame).expect("the kernel takes the frame"), frame.len());
    }

    /// The next frame to one host that the interface sends; what the kernel tells groups of hosts is left out.
    ///
    /// # Panics
    ///
    /// When the device cannot be read.
    #[must_use]
    pub fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = PollTimeout::try_from(left).expect("less than days");
            if poll(&mut [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)], wait)
                .expect("it is waited for")
                == 0
            {
                return None;
            }
            let mut frame = vec![0; LONGEST];
            let length = self.device.recv(&mut frame).expect("a frame is read");
            frame.truncate(length);
            if frame[0] & 1 == 0 {
                return Some(frame);
            }
        }
    }
}
