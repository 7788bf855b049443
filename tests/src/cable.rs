//! A cable between two hosts, onto which frames are put as they are.

#![expect(unsafe_code, reason = "an address of the link layer is a structure of the kernel's")]

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::Arc,
};

use maglev_lab::{End, Interface, LabError, MacAddress, Namespace};

/// The hardware address of the end that frames are put on.
pub const OUTSIDE: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The hardware address of the end that they come out of.
pub const NODE: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Two hosts, and a cable between them: `wan0` outside, `eth0` at the node. They are there until the last copy is gone.
#[derive(Clone)]
pub struct Cable {
    /// The host outside.
    pub outside: Namespace,
    /// The node.
    pub node: Namespace,
    /// The node's interface.
    pub interface: Interface,
    socket: Arc<OwnedFd>,
    index: u32,
}

impl Cable {
    /// Lays one; `None` without the privileges, which is said.
    ///
    /// # Panics
    ///
    /// When it cannot be made for another reason.
    #[must_use]
    pub fn lay() -> Option<Self> {
        match Self::try_lay() {
            Ok(cable) => Some(cable),
            Err(error) if error.is_permission() => {
                println!("skipped: {error} (run as root)");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn try_lay() -> Result<Self, LabError> {
        let (outside, node) = (Namespace::new("outside")?, Namespace::new("node")?);
        let end = |namespace, name, mac, index| End {
            namespace,
            name,
            mac: MacAddress::new(mac),
            mtu: 1500,
            index: Some(index),
        };
        let (sender, interface) =
            Interface::create_pair(&end(&outside, "wan0", OUTSIDE, 101), &end(&node, "eth0", NODE, 102))?;
        sender.set_up()?;
        interface.set_up()?;
        interface.wait_until_running(std::time::Duration::from_secs(5))?;
        let socket = outside.run(packet_socket)?.expect("a packet socket");
        Ok(Self { index: sender.index(), outside, node, interface, socket: Arc::new(socket) })
    }

    /// Puts a frame onto it.
    ///
    /// # Panics
    ///
    /// When it is not taken.
    pub fn put(&self, frame: &[u8]) {
        // SAFETY: the record is made of integers alone, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).expect("a small number");
        address.sll_ifindex = self.index.cast_signed();
        address.sll_halen = 6;
        address.sll_addr[..6].copy_from_slice(&NODE);
        // SAFETY: frame and address are as long as is said.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                libc::socklen_t::try_from(size_of_val(&address)).expect("a short address"),
            )
        };
        assert_eq!(usize::try_from(sent), Ok(frame.len()), "{}", io::Error::last_os_error());
    }
}

fn packet_socket() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no address. Without a protocol it receives nothing.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
