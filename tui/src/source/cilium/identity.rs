//! Which backend is which from one look to the next. Cilium's own ids are a node's alone, and an agent that starts anew
//! may give others; an address stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use maglev_core::{cilium::Member, sample::BackendId};

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// At that address, of that protocol, in that cluster.
    At(SocketAddr, u8, u16),
    /// Of that id, and in no map.
    Lost(u32),
}

/// The number that each backend goes by as long as this program watches.
#[derive(Debug, Default)]
pub(super) struct Identities {
    numbers: BTreeMap<Who, BackendId>,
    last: u32,
}

impl Identities {
    /// The number of a backend; a new one where it was not met before.
    pub(super) fn of(&mut self, member: &Member) -> BackendId {
        let who = member
            .record
            .map_or(Who::Lost(member.id), |record| Who::At(record.address, record.protocol, record.cluster));
        let last = &mut self.last;
        *self.numbers.entry(who).or_insert_with(|| {
            *last += 1;
            BackendId(*last)
        })
    }

    /// Forgets all others: pods come and go for years.
    pub(super) fn keep(&mut self, used: &BTreeSet<BackendId>) {
        self.numbers.retain(|_, number| used.contains(number));
    }
}
