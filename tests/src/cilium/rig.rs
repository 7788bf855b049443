//! What the agent writes into its maps.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::kernel::RawMap;

const HASH: u32 = 1;
const ARRAY: u32 = 2;
const LRU_HASH: u32 = 9;
const HASH_OF_MAPS: u32 = 13;
const ROOM: u32 = 4096;

/// The maps of one address family.
#[derive(Debug)]
struct Family {
    services: RawMap,
    backends: RawMap,
    reverse_nat: RawMap,
    maglev: RawMap,
}

/// A Cilium node's maps; they go with it.
#[derive(Debug)]
pub struct Rig {
    /// Where they are pinned.
    pub folder: PathBuf,
    v4: Family,
    v6: Family,
    table_size: u32,
}

/// A frontend as the agent writes it.
#[derive(Clone, Debug)]
pub struct Frontend<'a> {
    /// Its id.
    pub id: u16,
    /// Its address.
    pub address: &'a str,
    /// The first byte of its flags, and the second above it.
    pub flags: u16,
    /// The first word of its value: affinity, algorithm, or Envoy's port.
    pub word: u32,
    /// The ids of its usable backends.
    pub usable: &'a [u32],
    /// The ids of the others.
    pub unusable: &'a [u32],
}

/// A table that a service has, or had.
#[derive(Debug)]
pub struct Table(RawMap);

impl Table {
    /// Writes these owners over those that it has.
    ///
    /// # Panics
    ///
    /// When they are not as many as the table has slots.
    pub fn overwrite(&self, owners: &[u32]) {
        let bytes: Vec<u8> = owners.iter().flat_map(|owner| owner.to_ne_bytes()).collect();
        self.0.set(&[0; 4], &bytes);
    }
}

impl Rig {
    /// A node without services, of tables of that size; `None` without the privileges, which is said.
    ///
    /// # Panics
    ///
    /// When the maps cannot be made for another reason.
    #[must_use]
    pub fn new(table_size: u32) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/sys/fs/bpf/maglev-cilium-test-{}-{count}", std::process::id()));
        let made = maglev_probe::ensure_mounted()
            .map_err(|error| error.to_string())
            .and_then(|_| fs::create_dir(&folder).map_err(|error| error.to_string()))
            .and_then(|()| Self::lay_out(&folder, table_size).map_err(|error| error.to_string()));
        match made {
            Ok((v4, v6)) => Some(Self { folder, v4, v6, table_size }),
            Err(error) => {
                println!("skipped: {error} (run as root)");
                // Whoever may make a folder here may make no maps yet.
                let _ = fs::remove_dir_all(&folder);
                None
            }
        }
    }

    fn lay_out(folder: &Path, table_size: u32) -> io::Result<(Family, Family)> {
        let pinned = |name: &str, kind, key, value| {
            let map = RawMap::create(kind, key, value, ROOM, None)?;
            map.pin(&folder.join(name)).map(|()| map)
        };
        let family = |name: &str, address: u32| {
            let maglev = Self::maglev(table_size)?;
            maglev.pin(&folder.join(format!("cilium_{name}_maglev")))?;
            pinned(&format!("cilium_{name}_affinity"), LRU_HASH, 8.max(address) + 8, 16)?;
            io::Result::Ok(Family {
                services: pinned(&format!("cilium_{name}_services_v2"), HASH, address + 8, 12)?,
                backends: pinned(&format!("cilium_{name}_backends_v3"), HASH, 4, address + 8)?,
                reverse_nat: pinned(&format!("cilium_{name}_reverse_nat"), HASH, 2, address + 2)?,
                maglev,
            })
        };
        pinned("cilium_lb_affinity_match", HASH, 8, 1)?;
        Ok((family("lb4", 4)?, family("lb6", 16)?))
    }

    /// Writes a backend of that id, protocol and state.
    pub fn backend(&self, id: u32, address: SocketAddr, protocol: u8, state: u8) {
        self.backend_of(id, address, protocol, state, 0);
    }

    /// Writes a backend that is in another cluster of a mesh.
    pub fn backend_of(&self, id: u32, address: SocketAddr, protocol: u8, state: u8, cluster: u16) {
        let mut value = endpoint(address);
        value.extend([protocol, state]);
        value.extend(cluster.to_ne_bytes());
        value.extend([0, 0]);
        self.family(address).backends.set(&id.to_ne_bytes(), &value);
    }

    /// Writes a frontend and its slots.
    ///
    /// # Panics
    ///
    /// When its address is none.
    pub fn frontend(&self, frontend: &Frontend<'_>) {
        self.frontend_of(frontend, 6);
    }

    /// Writes a frontend of another protocol than TCP, and its slots.
    ///
    /// # Panics
    ///
    /// When its address is none.
    pub fn frontend_of(&self, frontend: &Frontend<'_>, protocol: u8) {
        self.write(frontend, protocol, 0);
    }

    /// Writes a frontend of the scope of clients in the cluster, and its slots.
    ///
    /// # Panics
    ///
    /// When its address is none.
    pub fn internal_frontend(&self, frontend: &Frontend<'_>) {
        self.write(frontend, 6, 1);
    }

    fn write(&self, frontend: &Frontend<'_>, protocol: u8, scope: u8) {
        let address: SocketAddr = frontend.address.parse().expect("an address");
        let family = self.family(address);
        let entry = |slot: usize, word: u32, count: usize, unusable: usize, flags: u16| {
            let half = |number: usize| u16::try_from(number).expect("16 bits").to_ne_bytes();
            let mut key = endpoint(address);
            key.extend(half(slot));
            key.extend([protocol, scope, 0, 0]);
            let mut value = word.to_ne_bytes().to_vec();
            value.extend(half(count));
            value.extend(frontend.id.to_be_bytes());
            value.extend(flags.to_le_bytes());
            value.extend(half(unusable));
            family.services.set(&key, &value);
        };
        entry(0, frontend.word, frontend.usable.len(), frontend.unusable.len(), frontend.flags);
        for (slot, &id) in (1..).zip(frontend.usable) {
            entry(slot, id, 0, 0, 0);
        }
        for (slot, &id) in (frontend.usable.len() + 1..).zip(frontend.unusable) {
            entry(slot, id, 0, 0, 0x4000);
        }
        if frontend.id != 0 {
            family.reverse_nat.set(&frontend.id.to_be_bytes(), &endpoint(address));
        }
    }

    /// Writes an entry by which newer versions drop what is for an address and no service of it.
    ///
    /// # Panics
    ///
    /// When its address is none.
    pub fn wildcard_drop(&self, address: &str) {
        let address: SocketAddr = address.parse().expect("an address");
        let mut key = endpoint(address);
        key.extend([0; 6]);
        let value = [0, 0, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0];
        self.family(address).services.set(&key, &value);
    }

    /// Gives the service a new inner map with these owners, as each rebuild does.
    ///
    /// # Panics
    ///
    /// When they are not as many as the table has slots.
    #[expect(clippy::must_use_candidate, reason = "few write over a table that is there")]
    pub fn table(&self, id: u16, v6: bool, owners: &[u32]) -> Table {
        assert_eq!(owners.len(), self.table_size as usize);
        let inner = RawMap::create(ARRAY, 4, 4 * self.table_size, 1, None).expect("an inner map");
        let table = Table(inner);
        table.overwrite(owners);
        let family = if v6 { &self.v6 } else { &self.v4 };
        family.maglev.set_map(&id.to_be_bytes(), &table.0);
        table
    }

    /// Takes the service's table away.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn drop_table(&self, id: u16, v6: bool) {
        let family = if v6 { &self.v6 } else { &self.v4 };
        assert!(family.maglev.remove(&id.to_be_bytes()), "there was no table");
    }

    /// Takes a frontend of TCP away, with its slots and its reverse NAT entry.
    ///
    /// # Panics
    ///
    /// When its address is none.
    pub fn remove(&self, frontend: &Frontend<'_>) {
        let address: SocketAddr = frontend.address.parse().expect("an address");
        let family = self.family(address);
        for slot in 0..=frontend.usable.len() + frontend.unusable.len() {
            let slot = u16::try_from(slot).expect("16 bits");
            let key = [&endpoint(address)[..], &slot.to_ne_bytes(), &[6, 0, 0, 0]].concat();
            assert!(family.services.remove(&key), "the frontend was there");
        }
        family.reverse_nat.remove(&frontend.id.to_be_bytes());
    }

    /// Makes the Maglev maps anew for tables of another size, as the agent does when its configuration says so.
    ///
    /// # Panics
    ///
    /// When they cannot be made.
    pub fn resize(&mut self, table_size: u32) {
        for (name, family) in [("lb4", &mut self.v4), ("lb6", &mut self.v6)] {
            let path = self.folder.join(format!("cilium_{name}_maglev"));
            fs::remove_file(&path).expect("the map was pinned");
            family.maglev = Self::maglev(table_size).expect("a map of maps");
            family.maglev.pin(&path).expect("a pin");
        }
        self.table_size = table_size;
    }

    /// Puts a map of another shape under the name of one of Cilium's: its type, key size, value size and room.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn misshape(&self, name: &str, (kind, key, value, room): (u32, u32, u32, u32)) {
        let path = self.folder.join(name);
        fs::remove_file(&path).expect("the map was pinned");
        let map = RawMap::create(kind, key, value, room, None).expect("a map");
        map.pin(&path).expect("a pin");
    }

    /// Puts tables of another shape into the IPv4 Maglev map: maps of that type, value size and room.
    ///
    /// # Panics
    ///
    /// When they cannot be made.
    pub fn misshape_tables(&self, id: u16, (kind, value, room): (u32, u32, u32)) {
        let path = self.folder.join("cilium_lb4_maglev");
        fs::remove_file(&path).expect("the map was pinned");
        let inner = RawMap::create(kind, 4, value, room, None).expect("an inner map");
        let outer = RawMap::create(HASH_OF_MAPS, 2, 4, ROOM, Some(&inner)).expect("a map of maps");
        outer.pin(&path).expect("a pin");
        outer.set_map(&id.to_be_bytes(), &inner);
    }

    /// Makes every map anew, empty, under the pins that there were, as an agent does that does not take over what it finds.
    ///
    /// # Panics
    ///
    /// When they cannot be made.
    pub fn restart(&mut self) {
        for entry in fs::read_dir(&self.folder).expect("the folder") {
            fs::remove_file(entry.expect("a pin").path()).expect("a pin goes");
        }
        (self.v4, self.v6) = Self::lay_out(&self.folder, self.table_size).expect("new maps");
    }

    fn maglev(table_size: u32) -> io::Result<RawMap> {
        let inner = RawMap::create(ARRAY, 4, 4 * table_size, 1, None)?;
        RawMap::create(HASH_OF_MAPS, 2, 4, ROOM, Some(&inner))
    }

    fn family(&self, address: SocketAddr) -> &Family {
        if address.is_ipv4() { &self.v4 } else { &self.v6 }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn endpoint(address: SocketAddr) -> Vec<u8> {
    let mut bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(address.port().to_be_bytes());
    bytes
}
