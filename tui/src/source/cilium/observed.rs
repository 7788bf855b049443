//! A frontend as one look found it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use maglev_core::{
    cilium::{
        Counted, Explanation, Frontend, FrontendFlags, HashText, InnerTable, Member, Node, ServiceFacts,
        TableFacts, TablePresence, Verdict, Verification, WeightFit, verify,
    },
    health::Health,
    sample::{BackendId, BackendSample, ServiceSample, Slots},
    seed::HashSeed,
    service::{Affinity, BackendState, DEFAULT_WEIGHT, Forwarding, Protocol, Tracking},
};

use super::{identity::Identities, observing::Tally};

/// What tells frontends apart: address, protocol, and whether it is the scope of clients in the cluster.
pub(super) type FrontendKey = (SocketAddr, u8, bool);

/// A frontend, its backends by who they are, and its table.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) name: String,
    frontend: Frontend,
    explanation: Explanation,
    members: Vec<Seen>,
    owner: Arc<[BackendId]>,
    /// Its table, or the last one that it had.
    latest_table: Option<LatestTable>,
    verification: Option<Verification>,
}

/// A table that is there, or was.
#[derive(Clone, Debug)]
pub(super) struct LatestTable {
    /// The id of its inner map.
    pub(super) map: u32,
    /// Who owned its slots.
    pub(super) owner: Arc<[BackendId]>,
}

/// A backend of a frontend.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: BackendId,
    pub(super) member: Member,
    pub(super) usable: bool,
    slots: u32,
}

impl Seen {
    pub(super) fn name(&self) -> String {
        match self.member.record {
            Some(record) if record.cluster != 0 => {
                format!("{}@{}", record.address, record.cluster)
            }
            _ => self.member.address(),
        }
    }
}

pub(super) fn key_of(frontend: &Frontend) -> FrontendKey {
    (frontend.address, frontend.protocol, frontend.internal)
}

impl Observed {
    /// A frontend of `node`. What is as it was `before` is not worked out anew.
    pub(super) fn of(
        node: &Node,
        frontend: &Frontend,
        name: String,
        identities: &mut Identities,
        before: Option<&Self>,
    ) -> Self {
        let explanation = frontend.explain();
        if let Some(before) = before.filter(|before| before.is_like(frontend)) {
            return Self { name, explanation, frontend: frontend.clone(), ..before.clone() };
        }
        let table = node.table(frontend);
        let owners = table.as_ref().map_or(&[][..], |table| &table.owners);
        let mut members: Vec<Seen> = Vec::new();
        let mut add = |member: &Member, slots: u32| {
            let usable = frontend.usable.iter().any(|other| other.id == member.id);
            members.push(Seen { id: identities.of(member), member: *member, usable, slots });
        };
        for (member, slots) in owners {
            add(member, *slots);
        }
        for member in frontend.usable.iter().chain(&frontend.unusable) {
            if !owners.iter().any(|(owner, _)| owner.id == member.id) {
                add(member, 0);
            }
        }
        // The owners stand first, in their order.
        let owner = table.map_or_else(Arc::default, |table| {
            table.slots.iter().map(|&at| members[at as usize].id).collect()
        });
        let table = frontend.table.as_ref();
        let latest_table = table.map(|table| LatestTable { map: table.map, owner: Arc::clone(&owner) });
        let latest_table = latest_table.or_else(|| before?.latest_table.clone());
        Self {
            name,
            explanation,
            frontend: frontend.clone(),
            members,
            owner,
            latest_table,
            verification: None,
        }
    }

    /// Whether the table and its backends are those of `frontend`.
    fn is_like(&self, frontend: &Frontend) -> bool {
        let of = |frontend: &Frontend| {
            (frontend.table.clone(), frontend.usable.clone(), frontend.unusable.clone())
        };
        of(&self.frontend) == of(frontend)
    }

    /// Has it be verified anew.
    pub(super) fn forget_verification(&mut self) {
        self.verification = None;
    }

    /// Compares the table with the one that its backends and the seed call for, unless that is done.
    pub(super) fn verify(&mut self, seed: Option<&HashSeed>) {
        if self.frontend.table.is_none() || self.verification.is_some() {
            return;
        }
        self.verification = Some(match seed {
            Some(seed) => verify(&self.frontend, seed),
            None => Verification::without_seed(),
        });
    }

    pub(super) fn table(&self) -> Option<&InnerTable> {
        self.frontend.table.as_ref()
    }

    pub(super) fn latest_table(&self) -> Option<&LatestTable> {
        self.latest_table.as_ref()
    }

    pub(super) fn frontend(&self) -> &Frontend {
        &self.frontend
    }

    /// Whether Cilium looks at its table.
    pub(super) fn is_looked_at(&self) -> bool {
        self.explanation.table == TablePresence::Present
    }

    pub(super) fn explanation(&self) -> Explanation {
        self.explanation
    }

    pub(super) fn owner(&self) -> &[BackendId] {
        &self.owner
    }

    pub(super) fn members(&self) -> &[Seen] {
        &self.members
    }

    /// Whether the table is one that this program fills from what a sample holds.
    fn is_reproducible(&self) -> bool {
        let plain = |seen: &Seen| {
            let protocol = self.frontend.protocol;
            seen.member.record.is_some_and(|record| record.protocol == protocol && record.cluster == 0)
        };
        protocol_of(self.frontend.protocol).is_some()
            && self.verification.as_ref().is_some_and(is_plain)
            && self.members.iter().all(plain)
    }

    /// The weights of the usable backends, where the table tells them.
    fn weight(&self, seen: &Seen) -> u16 {
        let weights = self.verification.as_ref().map(|found| &found.weights);
        let Some(WeightFit::Inferred(inferred)) = weights else { return DEFAULT_WEIGHT };
        let at = self.frontend.usable.iter().position(|member| member.id == seen.member.id);
        let weight = at.and_then(|at| inferred.get(at)).copied();
        weight.and_then(|weight| u16::try_from(weight).ok()).unwrap_or(DEFAULT_WEIGHT)
    }

    /// The frontend as the monitor draws it, with what was counted of it.
    pub(super) fn sample(&self, tally: Option<&Tally>) -> ServiceSample {
        let frontend = &self.frontend;
        // Of a table that has just changed its size nothing is counted yet by slot, nor of one that nobody looks at; what
        // was counted before stays.
        let hits =
            tally.map(|tally| &tally.hits).filter(|hits| !hits.is_empty() && hits.len() == self.owner.len());
        let backends = self.members.iter().map(|seen| BackendSample {
            id: seen.id,
            name: seen.name(),
            address: seen
                .member
                .record
                .map_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), |record| record.address),
            weight: self.weight(seen),
            state: if seen.usable { BackendState::Active } else { BackendState::Draining },
            health: Health::Unknown,
            slots: seen.slots,
            counters: tally.and_then(|tally| tally.backends.get(&seen.id)).copied().unwrap_or_default(),
            quiet: None,
            by_hand: Vec::new(),
        });
        let affinity = frontend.flags.has(FrontendFlags::AFFINITY);
        ServiceSample {
            name: self.name.clone(),
            address: frontend.address,
            protocol: protocol_of(frontend.protocol).unwrap_or(Protocol::Tcp),
            forwarding: Forwarding::Observe,
            affinity: if affinity { Affinity::SourceIp } else { Affinity::None },
            tracking: Tracking::Never,
            settle_time: Duration::ZERO,
            is_checked: false,
            counters: tally.map(|tally| tally.all).unwrap_or_default(),
            unremembered: 0,
            backends: backends.collect(),
            slots: Slots {
                owner: Arc::clone(&self.owner),
                previous: vec![BackendId::NONE; self.owner.len()].into(),
                hits: hits.cloned().unwrap_or_default(),
            },
            cilium: Some(Arc::new(self.facts(hits.is_some()))),
        }
    }

    fn facts(&self, is_counted: bool) -> ServiceFacts {
        let frontend = &self.frontend;
        let states: BTreeMap<_, _> = self.members.iter().map(|seen| (seen.id, seen.member.state)).collect();
        ServiceFacts {
            id: frontend.id,
            kind: frontend.kind,
            protocol: frontend.protocol_name(),
            flags: frontend.flags,
            internal: frontend.internal,
            proxy_port: frontend.proxy_port,
            explanation: self.explanation,
            story: frontend.story(),
            table: frontend.table.as_ref().map(|table| TableFacts {
                map: table.map,
                bytes: table.bytes,
                verification: self.verification.clone(),
                is_reproducible: self.is_reproducible(),
            }),
            states,
            counted: if is_counted { Counted::HitsAndConnections } else { Counted::Nothing },
        }
    }
}

/// Whether a table is one that this program fills: as Cilium 1.17 and newer fills it.
fn is_plain(found: &Verification) -> bool {
    found.verdict == Verdict::Matches && found.text == HashText::WithProtocol
}

/// The protocols that this program's own tables are filled for.
const fn protocol_of(number: u8) -> Option<Protocol> {
    match number {
        6 => Some(Protocol::Tcp),
        17 => Some(Protocol::Udp),
        _ => None,
    }
}
