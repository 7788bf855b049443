//! Requests to the kernel over netlink, one at a time, each waiting for its answer.

use std::fmt::Debug;
use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::constants::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::error::LabError;
use crate::namespace::Namespace;

/// A netlink socket of one namespace; usable from any thread.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(crate) fn open(namespace: &Namespace, protocol: isize) -> Result<Self, LabError> {
        let socket = namespace
            .run(|| {
                let mut socket = Socket::new(protocol)?;
                socket.bind_auto()?;
                Ok::<_, io::Error>(socket)
            })?
            .map_err(|error| {
                LabError::new(format!("open a netlink socket in {}", namespace.name()), error)
            })?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends `message` and returns what the kernel answers before it acknowledges.
    pub(crate) fn request<M>(&mut self, message: M, flags: u16) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Debug,
    {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let kernel = SocketAddr::new(0, 0);
        self.socket.send_to(&bytes, &kernel, 0)?;
        self.answers()
    }

    fn answers<M: NetlinkDeserializable + Debug>(&self) -> io::Result<Vec<M>> {
        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<M>::deserialize(rest)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answers),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }
}

/// One request about links, addresses or routes of `namespace`; `attempted` is for the error.
pub(crate) fn configure(
    namespace: &Namespace,
    message: RouteNetlinkMessage,
    flags: u16,
    attempted: &dyn Fn() -> String,
) -> Result<Vec<RouteNetlinkMessage>, LabError> {
    Netlink::open(namespace, NETLINK_ROUTE)?
        .request(message, flags)
        .map_err(|error| LabError::new(attempted(), error))
}
