//! The kernel, and what it lets this process do.

use std::{fs, io, path::Path};

use nix::{
    sys::{statvfs::FsFlags, statvfs::statvfs, utsname::uname},
    unistd::{AccessFlags, access},
};

use crate::bpffs::{MOUNT_POINT, is_bpffs};

/// The kernel, and what it lets this process do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The kernel's release, as `uname -r` has it.
    pub release: String,
    /// Whether the kernel carries its types (`/sys/kernel/btf/vmlinux`).
    pub has_btf: bool,
    /// Whether the kernel is one in which soft interrupts are preempted (`PREEMPT_RT`).
    pub is_real_time: bool,
    /// `net.core.bpf_jit_enable`; `None` where it is not for this process to read.
    pub jit: Option<u8>,
    /// What this process may do.
    pub capabilities: Capabilities,
    /// The file system that pins lie in.
    pub bpffs: Bpffs,
}

/// The capabilities in effect (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

/// The file system that pins lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bpffs {
    /// It is mounted, and this process may write to it.
    Writable,
    /// It is mounted, and this process may not write to it.
    NotPermitted,
    /// It is mounted so that nobody may write to it.
    ReadOnly,
    /// It is not mounted where this process looks.
    Absent,
}

impl Machine {
    /// Looks.
    ///
    /// # Errors
    ///
    /// When the kernel does not say who it is.
    pub fn look() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/thread-self/status")?;
        let number =
            |path: &str| fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u8>().ok());
        Ok(Self {
            release: uname()?.release().to_string_lossy().into_owned(),
            has_btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            is_real_time: number("/sys/kernel/realtime") == Some(1),
            jit: number("/proc/sys/net/core/bpf_jit_enable"),
            capabilities: Capabilities::of_status(&status),
            bpffs: Bpffs::look(),
        })
    }
}

impl Capabilities {
    const NET_ADMIN: u32 = 12;
    const SYS_ADMIN: u32 = 21;
    const PERFMON: u32 = 38;
    const BPF: u32 = 39;

    /// The capabilities in that set of bits.
    #[must_use]
    pub const fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    fn of_status(status: &str) -> Self {
        let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        Self(bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0))
    }

    const fn has(self, capability: u32) -> bool {
        self.0 >> capability & 1 != 0
    }

    /// Those that are missing to change a datapath, by name; `CAP_SYS_ADMIN` stands for `CAP_BPF` and `CAP_PERFMON`, and
    /// is needed itself to learn of other programs.
    #[must_use]
    pub fn missing(self) -> Vec<&'static str> {
        let needed = [
            (self.has(Self::BPF) || self.has(Self::SYS_ADMIN), "CAP_BPF"),
            (self.has(Self::PERFMON) || self.has(Self::SYS_ADMIN), "CAP_PERFMON"),
            (self.has(Self::NET_ADMIN), "CAP_NET_ADMIN"),
            (self.has(Self::SYS_ADMIN), "CAP_SYS_ADMIN"),
        ];
        needed.into_iter().filter(|(has, _)| !has).map(|(_, name)| name).collect()
    }

    /// Whether programs may be loaded and attached.
    #[must_use]
    pub const fn may_load(self) -> bool {
        let bpf = self.has(Self::BPF) && self.has(Self::PERFMON);
        (bpf || self.has(Self::SYS_ADMIN)) && self.has(Self::NET_ADMIN)
    }
}

impl Bpffs {
    fn look() -> Self {
        let point = Path::new(MOUNT_POINT);
        if !is_bpffs(point) {
            Self::Absent
        } else if statvfs(point).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY)) {
            Self::ReadOnly
        } else if access(point, AccessFlags::W_OK).is_ok() {
            Self::Writable
        } else {
            Self::NotPermitted
        }
    }
}

/// The first two numbers of a kernel's release.
#[must_use]
pub fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, version_of};

    #[test]
    fn releases_of_all_distributions_are_read() {
        assert_eq!(version_of("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version_of("5.18-rc3"), Some((5, 18)));
        assert_eq!(version_of("4.18.0-553.el8.x86_64"), Some((4, 18)));
        assert_eq!(version_of("unknown"), None);
    }

    #[test]
    fn capabilities_are_those_of_the_kernel() {
        let of = |bits: &str| Capabilities::of_status(&format!("Name:\tx\nCapEff:\t{bits}\nCapBnd:\t0\n"));
        assert!(of("000001ffffffffff").missing().is_empty());
        assert_eq!(of("0").missing(), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
        // What the unit has: it loads, and cannot ask for programs by their ids.
        assert_eq!(of("000000c000001000").missing(), ["CAP_SYS_ADMIN"]);
        assert!(of("000000c000001000").may_load());
        // Without CAP_PERFMON the verifier allows too little.
        assert!(!of("0000008000001000").may_load());
        assert!(!of("0000000000001000").may_load());
    }
}
