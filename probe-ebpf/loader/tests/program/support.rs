//! The programs, loaded with small maps of their own, and one service to begin with.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    env,
    error::Error,
    fs, io, iter,
    net::{Ipv4Addr, SocketAddrV4},
    path::PathBuf,
};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, MapData, PerCpuArray},
    programs::{TestRun as _, TestRunOptions, Xdp},
    util::nr_cpus,
};
use maglev_core::{
    flow,
    slot::{Deadline, Epoch, SlotWord},
};
use maglev_probe_abi::{
    AFFINITY_NONE, AFFINITY_SOURCE, BACKEND_ACTIVE, BackendCounters, BackendRecord, DecapSettings,
    DecapVerdict, FORWARDING_IPIP, FirstFragment, FlowKey, FragmentKey, ROW_WORDS, Row, ServiceCounters,
    ServiceKey, ServiceRecord, Settings, SettlingBucket, TRACKING_SETTLING, TrackedFlow, Verdict, map,
    program,
};
use nix::time::{ClockId, clock_gettime};

static KEPT: &[u8] = aya::include_bytes_aligned!("../../object/maglev.bpf.o");

/// One more than how many backends there can be.
const BACKENDS: u32 = 128;

pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;
pub(crate) const XDP_TX: u32 = 3;
pub(crate) const XDP_REDIRECT: u32 = 4;

/// The hardware address that packets of a service come to.
pub(crate) const BALANCER: [u8; 6] = [2, 0, 0, 0, 0, 0xb0];
/// Whom they come from.
pub(crate) const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0xa0];
/// Whom they go to where the gateway is fixed.
pub(crate) const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 0xc0];

/// A service of four backends, 10.0.0.1 to 10.0.0.4, of which the first owns all slots.
pub(crate) const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 80);
pub(crate) const SERVICE_NUMBER: u32 = 3;
pub(crate) const TABLE_SIZE: u32 = 251;
pub(crate) const FIRST_SLOT: u32 = 1024;
pub(crate) const SEED: u32 = 0xcafe_f00d;
pub(crate) const SETTLE_MILLISECONDS: u64 = 600_000;

/// What a record is to aya: bytes.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Bytes<T>(pub(crate) T);

#[expect(unsafe_code, reason = "aya copies values as bytes, and has its own trait to say which may be")]
// SAFETY: what is `bytemuck::Pod` has no padding, no pointers, and no invalid values.
unsafe impl<T: bytemuck::Pod> Pod for Bytes<T> {}

/// How far the time that the programs go by may be behind the clock: two ticks, of which there are at least a hundred
/// a second.
pub(crate) const LAG: u64 = 20;

/// The clock that the programs go by.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).expect("Linux has this clock");
    u64::try_from(time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000).expect("it is after boot")
}

/// The object under test.
pub(crate) fn object() -> Cow<'static, [u8]> {
    env::var_os("MAGLEV_EBPF_OBJECT").map_or(Cow::Borrowed(KEPT), |path| Cow::Owned(fs::read(path).unwrap()))
}

/// Another object of the same build, of that name: `kept`, or what lies beside the one under test.
pub(crate) fn beside(name: &str, kept: &'static [u8]) -> Cow<'static, [u8]> {
    env::var_os("MAGLEV_EBPF_OBJECT")
        .map(PathBuf::from)
        .map_or(Cow::Borrowed(kept), |path| Cow::Owned(fs::read(path.with_file_name(name)).unwrap()))
}

/// The object's programs and maps, in the kernel.
pub(crate) struct Programs {
    pub(crate) ebpf: Ebpf,
    rows: u32,
}

/// Where a frame came in, and where in its memory it starts.
#[derive(Default)]
struct Context {
    interface: u32,
    start: u32,
}

/// Whether the kernel said that it is for others. Root may be without the privileges, in a container for example.
pub(crate) fn is_permission(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: &'static str,
    pub(crate) action: u32,
    pub(crate) frame: Vec<u8>,
}

impl Programs {
    /// Loads them with so many rows of slots; `None`, and words, where that takes another user.
    pub(crate) fn load(rows: u32) -> Option<Self> {
        let mut loader = EbpfLoader::new();
        let processors = u32::try_from(nr_cpus().unwrap()).unwrap();
        for (name, entries) in [
            (map::SLOTS, rows),
            (map::DEADLINES, rows),
            (map::SETTLE_LIMITS, rows),
            (map::SLOT_HITS, rows * processors),
            (map::BACKENDS, BACKENDS),
            (map::BACKEND_COUNTERS, BACKENDS),
            (map::BACKEND_IDENTITIES, BACKENDS),
        ] {
            loader.map_max_entries(name, entries);
        }
        let mut ebpf = match loader.load(&object()) {
            Err(error) if is_permission(&error) => {
                println!("skipped: to load XDP programs takes privileges ({error}; run as root)");
                return None;
            }
            result => result.unwrap(),
        };
        for name in [program::MAGLEV, program::DECAP] {
            let program: &mut Xdp = ebpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        Some(Self { ebpf, rows })
    }

    /// One of the programs, to attach it.
    pub(crate) fn program(&mut self, name: &str) -> &mut Xdp {
        self.ebpf.program_mut(name).unwrap().try_into().unwrap()
    }

    /// Runs a program on a frame that came in by loopback.
    pub(crate) fn run_once(&self, name: &str, frame: &[u8], context: Option<&[u8]>) -> (u32, Vec<u8>) {
        let program: &Xdp = self.ebpf.program(name).unwrap().try_into().unwrap();
        let mut output = vec![0; frame.len() + 256];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut output);
        options.ctx_in = context;
        let result = program.test_run(options).unwrap();
        output.truncate(usize::try_from(result.data_size_out).unwrap());
        (result.return_value, output)
    }

    /// Balances a frame that came in by loopback; there must be exactly one verdict.
    pub(crate) fn balance(&self, frame: &[u8]) -> Outcome {
        let before = self.verdicts();
        let (action, frame) = self.run_once(program::MAGLEV, frame, None);
        Outcome { verdict: one_more(&before, &self.verdicts()), action, frame }
    }

    /// Balances a frame that came in by the interface of that index, which must run an XDP program.
    pub(crate) fn balance_from(&self, frame: &[u8], interface: u32) -> Outcome {
        self.balance_in(frame, &Context { interface, ..Context::default() })
    }

    /// Balances a frame that has so many bytes of another program's notes in front of it, and less room for that.
    pub(crate) fn balance_behind(&self, frame: &[u8], notes: u32) -> Outcome {
        let with_notes = [&vec![0; usize::try_from(notes).unwrap()], frame].concat();
        self.balance_in(&with_notes, &Context { start: notes, ..Context::default() })
    }

    fn balance_in(&self, data: &[u8], context: &Context) -> Outcome {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let end = u32::try_from(data.len()).unwrap();
        let context = [context.start, end, 0, context.interface, 0, 0].map(u32::to_ne_bytes).concat();
        let before = self.verdicts();
        let (action, frame) = self.run_once(program::MAGLEV, data, Some(&context));
        Outcome { verdict: one_more(&before, &self.verdicts()), action, frame }
    }

    /// Takes the outer header off a frame; there must be exactly one verdict.
    pub(crate) fn decapsulate(&self, frame: &[u8]) -> Outcome {
        let before = self.decap_verdicts();
        let (action, frame) = self.run_once(program::DECAP, frame, None);
        Outcome { verdict: one_more(&before, &self.decap_verdicts()), action, frame }
    }

    pub(crate) fn verdicts(&self) -> BTreeMap<&'static str, u64> {
        let counters = self.per_processor::<u64>(map::VERDICTS);
        Verdict::ALL
            .iter()
            .map(|verdict| {
                (
                    verdict.word(),
                    counters.get(&(*verdict as u32), 0).unwrap().iter().map(|count| count.0).sum(),
                )
            })
            .collect()
    }

    fn decap_verdicts(&self) -> BTreeMap<&'static str, u64> {
        let counters = self.per_processor::<u64>(map::DECAP_VERDICTS);
        DecapVerdict::ALL
            .iter()
            .map(|verdict| {
                (
                    verdict.word(),
                    counters.get(&(*verdict as u32), 0).unwrap().iter().map(|count| count.0).sum(),
                )
            })
            .collect()
    }

    fn array<T: bytemuck::Pod>(&self, name: &str) -> Array<&MapData, Bytes<T>> {
        self.ebpf.map(name).unwrap().try_into().unwrap()
    }

    pub(crate) fn array_mut<T: bytemuck::Pod>(&mut self, name: &str) -> Array<&mut MapData, Bytes<T>> {
        self.ebpf.map_mut(name).unwrap().try_into().unwrap()
    }

    pub(crate) fn per_processor<T: bytemuck::Pod>(&self, name: &str) -> PerCpuArray<&MapData, Bytes<T>> {
        self.ebpf.map(name).unwrap().try_into().unwrap()
    }

    pub(crate) fn put_service(&mut self, key: ServiceKey, record: ServiceRecord) {
        let mut services: HashMap<_, Bytes<ServiceKey>, Bytes<ServiceRecord>> =
            self.ebpf.map_mut(map::SERVICES).unwrap().try_into().unwrap();
        services.insert(Bytes(key), Bytes(record), 0).unwrap();
    }

    /// Has echo requests to an address answered.
    pub(crate) fn put_address(&mut self, address: [u8; 16], family: u8) {
        let mut addresses: HashMap<_, Bytes<ServiceKey>, u32> =
            self.ebpf.map_mut(map::ADDRESSES).unwrap().try_into().unwrap();
        addresses.insert(Bytes(ServiceKey { address, family, ..ServiceKey::default() }), 1, 0).unwrap();
    }

    pub(crate) fn remove_service(&mut self, key: ServiceKey) {
        let mut services: HashMap<_, Bytes<ServiceKey>, Bytes<ServiceRecord>> =
            self.ebpf.map_mut(map::SERVICES).unwrap().try_into().unwrap();
        // It need not be there.
        let _ = services.remove(&Bytes(key));
    }

    /// What the program on that processor last took the time to be.
    pub(crate) fn time_on(&self, processor: usize) -> u64 {
        let Bytes([_, milliseconds]) =
            self.per_processor::<[u64; 2]>(map::CLOCK).get(&0, 0).unwrap()[processor];
        milliseconds
    }

    pub(crate) fn put_backend(&mut self, number: u32, record: BackendRecord) {
        self.array_mut(map::BACKENDS).set(number, Bytes(record), 0).unwrap();
    }

    pub(crate) fn put_settings(&mut self, settings: Settings) {
        self.array_mut(map::SETTINGS).set(0, Bytes(settings), 0).unwrap();
    }

    pub(crate) fn put_decap_settings(&mut self, settings: DecapSettings) {
        self.array_mut(map::DECAP_SETTINGS).set(0, Bytes(settings), 0).unwrap();
    }

    pub(crate) fn bucket(&self, number: u32) -> SettlingBucket {
        self.array::<SettlingBucket>(map::SETTLING_FLOWS).get(&number, 0).unwrap().0
    }

    pub(crate) fn put_bucket(&mut self, number: u32, bucket: SettlingBucket) {
        self.array_mut(map::SETTLING_FLOWS).set(number, Bytes(bucket), 0).unwrap();
    }

    pub(crate) fn tracked(&self, key: &FlowKey) -> Option<TrackedFlow> {
        let flows: HashMap<_, Bytes<FlowKey>, Bytes<TrackedFlow>> =
            self.ebpf.map(map::TRACKED_FLOWS).unwrap().try_into().unwrap();
        flows.get(&Bytes(*key), 0).ok().map(|flow| flow.0)
    }

    pub(crate) fn put_tracked(&mut self, key: FlowKey, flow: TrackedFlow) {
        let mut flows: HashMap<_, Bytes<FlowKey>, Bytes<TrackedFlow>> =
            self.ebpf.map_mut(map::TRACKED_FLOWS).unwrap().try_into().unwrap();
        flows.insert(Bytes(key), Bytes(flow), 0).unwrap();
    }

    pub(crate) fn remove_tracked(&mut self, key: FlowKey) {
        let mut flows: HashMap<_, Bytes<FlowKey>, Bytes<TrackedFlow>> =
            self.ebpf.map_mut(map::TRACKED_FLOWS).unwrap().try_into().unwrap();
        // It need not be there.
        let _ = flows.remove(&Bytes(key));
    }

    pub(crate) fn first_fragment(&self, key: &FragmentKey) -> Option<FirstFragment> {
        let fragments: HashMap<_, Bytes<FragmentKey>, Bytes<FirstFragment>> =
            self.ebpf.map(map::FRAGMENTS).unwrap().try_into().unwrap();
        fragments.get(&Bytes(*key), 0).ok().map(|first| first.0)
    }

    pub(crate) fn put_first_fragment(&mut self, key: FragmentKey, first: FirstFragment) {
        let mut fragments: HashMap<_, Bytes<FragmentKey>, Bytes<FirstFragment>> =
            self.ebpf.map_mut(map::FRAGMENTS).unwrap().try_into().unwrap();
        fragments.insert(Bytes(key), Bytes(first), 0).unwrap();
    }

    fn word(&self, name: &str, slot: u32) -> u64 {
        let (row, word) = place(slot);
        self.array::<Row>(name).get(&row, 0).unwrap().0[word]
    }

    fn put_word(&mut self, name: &str, slot: u32, value: u64) {
        let (row, word) = place(slot);
        let mut rows = self.array_mut::<Row>(name);
        let mut words = rows.get(&row, 0).unwrap();
        words.0[word] = value;
        rows.set(row, words, 0).unwrap();
    }

    pub(crate) fn put_words(&mut self, name: &str, service: ServiceRecord, value: impl Fn(u32) -> u64) {
        let mut rows = self.array_mut::<Row>(name);
        let slots: Vec<u32> = (service.first_slot..service.first_slot + service.table_size).collect();
        for slots in slots.chunks(ROW_WORDS) {
            let mut words = [0; ROW_WORDS];
            for (word, slot) in iter::zip(&mut words, slots) {
                *word = value(*slot);
            }
            rows.set(place(slots[0]).0, Bytes(words), 0).unwrap();
        }
    }

    pub(crate) fn put_slot(&mut self, slot: u32, word: SlotWord) {
        self.put_word(map::SLOTS, slot, word.0);
    }

    pub(crate) fn slot(&self, slot: u32) -> SlotWord {
        SlotWord(self.word(map::SLOTS, slot))
    }

    pub(crate) fn limit(&self, slot: u32) -> Deadline {
        Deadline(self.word(map::SETTLE_LIMITS, slot))
    }

    pub(crate) fn deadline(&self, slot: u32) -> Deadline {
        Deadline(self.word(map::DEADLINES, slot))
    }

    pub(crate) fn put_deadline(&mut self, slot: u32, deadline: Deadline) {
        self.put_word(map::DEADLINES, slot, deadline.0);
    }

    pub(crate) fn put_limit(&mut self, slot: u32, limit: Deadline) {
        self.put_word(map::SETTLE_LIMITS, slot, limit.0);
    }

    /// Packets by slot, of those that had any, over all processors.
    pub(crate) fn slot_hits(&self) -> BTreeMap<u32, u64> {
        let rows = self.array::<Row>(map::SLOT_HITS);
        let mut hits = BTreeMap::new();
        for row in 0..rows.len() {
            for (word, count) in iter::zip(0.., rows.get(&row, 0).unwrap().0) {
                if count != 0 {
                    *hits.entry(row % self.rows * u32::try_from(ROW_WORDS).unwrap() + word).or_default() +=
                        count;
                }
            }
        }
        hits
    }

    /// Sums over all processors; the last packet is the latest.
    pub(crate) fn backend_counters(&self, number: u32) -> BackendCounters {
        let counters = self.per_processor::<BackendCounters>(map::BACKEND_COUNTERS).get(&number, 0).unwrap();
        counters.iter().fold(BackendCounters::default(), |sum, Bytes(counters)| BackendCounters {
            packets: sum.packets + counters.packets,
            bytes: sum.bytes + counters.bytes,
            new_connections: sum.new_connections + counters.new_connections,
            held_packets: sum.held_packets + counters.held_packets,
            last_packet: sum.last_packet.max(counters.last_packet),
        })
    }

    /// Sums over all processors.
    pub(crate) fn service_counters(&self) -> ServiceCounters {
        self.counters_of(SERVICE_NUMBER)
    }

    /// Those of any service.
    pub(crate) fn counters_of(&self, service: u32) -> ServiceCounters {
        let counters = self.per_processor::<ServiceCounters>(map::SERVICE_COUNTERS).get(&service, 0).unwrap();
        counters.iter().fold(ServiceCounters::default(), |sum, Bytes(counters)| ServiceCounters {
            packets: sum.packets + counters.packets,
            bytes: sum.bytes + counters.bytes,
            new_connections: sum.new_connections + counters.new_connections,
            held_packets: sum.held_packets + counters.held_packets,
            unremembered: sum.unremembered + counters.unremembered,
        })
    }
}

fn place(slot: u32) -> (u32, usize) {
    let slot = usize::try_from(slot).unwrap();
    (u32::try_from(slot / ROW_WORDS).unwrap(), slot % ROW_WORDS)
}

/// The verdict that there is one more of.
fn one_more(before: &BTreeMap<&'static str, u64>, after: &BTreeMap<&'static str, u64>) -> &'static str {
    let more: Vec<_> = after
        .iter()
        .filter(|(verdict, count)| before[*verdict] != **count)
        .map(|(verdict, count)| (*verdict, count - before[verdict]))
        .collect();
    match more[..] {
        [(verdict, 1)] => verdict,
        _ => panic!("a packet has one verdict, and this one has {more:?}"),
    }
}

/// An IPv4 address in the room of an IPv6 address.
pub(crate) fn wide(address: Ipv4Addr) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..4].copy_from_slice(&address.octets());
    wide
}

/// The address of a backend of the first service.
pub(crate) fn backend_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number)
}

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// The programs with a service to work on.
pub(crate) struct Scene {
    pub(crate) programs: Programs,
    pub(crate) record: ServiceRecord,
    protocol: u8,
}

impl Scene {
    /// A TCP service that remembers the flows of settling slots, in tunnels to a fixed gateway.
    pub(crate) fn new() -> Option<Self> {
        Self::of(TCP, |_| {})
    }

    /// A service of that protocol, changed in some way.
    pub(crate) fn of(protocol: u8, change: impl FnOnce(&mut ServiceRecord)) -> Option<Self> {
        let mut record = ServiceRecord {
            number: SERVICE_NUMBER,
            first_slot: FIRST_SLOT,
            table_size: TABLE_SIZE,
            hash_seed: SEED,
            forwarding: FORWARDING_IPIP,
            tracking: TRACKING_SETTLING,
            affinity: AFFINITY_NONE,
            settle_milliseconds: SETTLE_MILLISECONDS,
            ..ServiceRecord::default()
        };
        change(&mut record);
        record.rows = (record.first_slot + record.table_size).div_ceil(u32::try_from(ROW_WORDS).unwrap());
        let mut programs = Programs::load(record.rows)?;
        programs.put_settings(Settings {
            tunnel_source_v4: [10, 0, 0, 100],
            gateway: GATEWAY,
            has_gateway: 1,
            ..Settings::default()
        });
        let mut scene = Self { programs, record, protocol };
        scene.change_service(|_| {});
        for number in 1..=4 {
            scene.set_backend(number, |_| {});
        }
        scene.give_all(|_| SlotWord::new(1, 0, Epoch::new(0)));
        Some(scene)
    }

    /// Stores the words of all slots.
    pub(crate) fn give_all(&mut self, word: impl Fn(u32) -> SlotWord) {
        self.programs.put_words(map::SLOTS, self.record, |slot| word(slot).0);
    }

    /// Stores the deadlines of all slots.
    pub(crate) fn settle_all(&mut self, deadline: Deadline) {
        self.programs.put_words(map::DEADLINES, self.record, |_| deadline.0);
    }

    /// Stores the service again, changed.
    pub(crate) fn change_service(&mut self, change: impl FnOnce(&mut ServiceRecord)) {
        change(&mut self.record);
        let key = ServiceKey {
            address: wide(*SERVICE.ip()),
            port: SERVICE.port().to_be(),
            protocol: self.protocol,
            family: 4,
        };
        self.programs.put_service(key, self.record);
    }

    /// Stores a backend: active, of generation 7, and changed.
    pub(crate) fn set_backend(&mut self, number: u32, change: impl FnOnce(&mut BackendRecord)) {
        let mut record = BackendRecord {
            address: wide(backend_address(number)),
            generation: 7,
            state: BACKEND_ACTIVE,
            family: 4,
            service: SERVICE_NUMBER,
            ..BackendRecord::default()
        };
        change(&mut record);
        self.programs.put_backend(number, record);
    }

    /// The flow hash.
    pub(crate) fn hash(&self, client: SocketAddrV4) -> u32 {
        let port = if self.record.affinity == AFFINITY_SOURCE { 0 } else { client.port() };
        flow::hash_v4(client.ip().octets(), port, SERVICE.port(), self.protocol, SEED)
    }

    /// The slot of a flow, counted from the first one of all services.
    pub(crate) fn slot(&self, client: SocketAddrV4) -> u32 {
        FIRST_SLOT + self.hash(client) % self.record.table_size
    }

    /// What the flow is remembered under.
    pub(crate) fn key(client: SocketAddrV4) -> FlowKey {
        FlowKey {
            client: wide(*client.ip()),
            service: SERVICE_NUMBER,
            client_port: client.port().to_be(),
            padding: 0,
        }
    }

    /// The bucket of a flow.
    pub(crate) fn bucket_of(&self, client: SocketAddrV4) -> u32 {
        Self::key(client).bucket(self.hash(client))
    }

    /// Balances a packet, which must be sent, and answers to which backend.
    pub(crate) fn backend_of(&self, frame: &[u8]) -> u32 {
        let outcome = self.programs.balance(frame);
        assert_eq!((outcome.verdict, outcome.action), ("transmitted", XDP_TX));
        let outer = etherparse::Ipv4HeaderSlice::from_slice(&outcome.frame[14..]).unwrap();
        u32::from(outer.destination_addr()) - u32::from(backend_address(0))
    }
}
