//! Programs that filters of traffic control run at the ingress of an interface: the way before tcx.

use std::io;

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};

use super::netlink::request;

/// The names of the programs that filters run on packets that come in by the interface of that index, as whoever put them
/// there named the filters: at most 255 bytes, and not the kernel's 15 of a program.
///
/// # Errors
///
/// When the kernel does not list them.
pub(crate) fn ingress_filters(interface: u32) -> io::Result<Vec<String>> {
    let mut message = TcMessage::default();
    message.header.index = interface.cast_signed();
    message.header.parent = TcHandle { major: TcHandle::CLSACT.major, minor: TcHandle::MIN_INGRESS };
    let answers = request(RouteNetlinkMessage::GetTrafficFilter(message), NLM_F_DUMP)?;
    let filters = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewTrafficFilter(filter) => Some(filter.attributes),
        _ => None,
    });
    let options = filters.flatten().filter_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    });
    let names = options.flatten().filter_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => Some(name),
        _ => None,
    });
    Ok(names.collect())
}
