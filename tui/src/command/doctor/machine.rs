//! The kernel, and what it lets this process do.

use maglev_probe::survey::{Bpffs, Capabilities, Trial, version_of};

use super::{
    finding::{Found, Judgement},
    scene::Scene,
};

/// The oldest kernel that takes the program: XDP `frags`.
const OLDEST: (u32, u32) = (5, 18);

/// What these findings are about.
const MACHINE: &str = "kernel";

pub(super) fn kernel_version(scene: &Scene) -> Vec<Found> {
    vec![judge_version(&scene.machine.release).about(MACHINE)]
}

fn judge_version(release: &str) -> Judgement {
    let needed = format!("{}.{}", OLDEST.0, OLDEST.1);
    match version_of(release) {
        None => Judgement::skipped(format!("nothing is known of release {release:?}")),
        Some(version) if version < OLDEST => Judgement::fault(
            format!("Linux {release}: the program needs {needed} or newer (XDP frags)"),
            "boot a newer kernel",
        ),
        Some(_) => Judgement::ok(format!("Linux {release}; {needed} is needed")),
    }
}

pub(super) fn kernel_types(scene: &Scene) -> Vec<Found> {
    let judgement = if scene.machine.has_btf {
        Judgement::ok("/sys/kernel/btf/vmlinux is there")
    } else {
        Judgement::warning(
            "there is no /sys/kernel/btf/vmlinux: spin locks in maps, which the program has, are known by types",
            "a kernel built with CONFIG_DEBUG_INFO_BTF=y; whether this one takes the program, `program-loads` says",
        )
    };
    vec![judgement.about(MACHINE)]
}

pub(super) fn preemption(scene: &Scene) -> Vec<Found> {
    let judgement = if scene.machine.is_real_time {
        Judgement::warning(
            "this is a real-time kernel (PREEMPT_RT): programs interrupt one another, and counts may miss packets",
            "a kernel without PREEMPT_RT, where counts are to be exact",
        )
    } else {
        Judgement::ok("programs are not interrupted by one another")
    };
    vec![judgement.about(MACHINE)]
}

pub(super) fn privileges(scene: &Scene) -> Vec<Found> {
    vec![judge_privileges(scene.machine.capabilities).about("this process")]
}

fn judge_privileges(capabilities: Capabilities) -> Judgement {
    let missing = capabilities.missing();
    if missing.is_empty() {
        Judgement::ok("it has CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN")
    } else if capabilities.may_load() {
        Judgement::warning(
            format!("{} is missing: other programs' names are not told", missing.join(", ")),
            "run it as root for the rest",
        )
    } else {
        Judgement::skipped(format!(
            "{} missing: nothing can be brought up or changed, and much of what follows is not told; run it as root",
            missing.join(", ")
        ))
    }
}

pub(super) fn bpffs(scene: &Scene) -> Vec<Found> {
    vec![judge_bpffs(scene.machine.bpffs, scene.machine.capabilities.may_load()).about("/sys/fs/bpf")]
}

fn judge_bpffs(bpffs: Bpffs, is_privileged: bool) -> Judgement {
    let mend = "mount -t bpf bpf /sys/fs/bpf";
    match bpffs {
        Bpffs::Writable => Judgement::ok("a bpffs is mounted, and pins can be made"),
        Bpffs::Absent => Judgement::warning(
            "no bpffs is mounted here: `up` mounts one, and pins made in another mount namespace are not seen (`ip netns exec` hides them: use `nsenter --net=…`)",
            mend,
        ),
        Bpffs::ReadOnly => Judgement::fault(
            "the bpffs is mounted read-only: nothing can be pinned",
            "mount -o remount,rw /sys/fs/bpf",
        ),
        Bpffs::NotPermitted if is_privileged => Judgement::fault(
            "the bpffs may not be written to: nothing can be pinned",
            "chmod 0700 /sys/fs/bpf, as its owner",
        ),
        Bpffs::NotPermitted => {
            Judgement::skipped("a bpffs is mounted, and not for this user to write to; run it as root")
        }
    }
}

pub(super) fn jit(scene: &Scene) -> Vec<Found> {
    let machine_code = match &scene.trial {
        Some(Ok(trial)) => Some(trial.machine_code),
        _ => None,
    };
    vec![judge_jit(scene.machine.jit, machine_code).about(MACHINE)]
}

fn judge_jit(sysctl: Option<u8>, machine_code: Option<u32>) -> Judgement {
    match (sysctl, machine_code) {
        (_, Some(0)) | (Some(0), None) => Judgement::warning(
            "programs are interpreted: several times slower",
            "sysctl -w net.core.bpf_jit_enable=1, then `down` and `up`",
        ),
        (_, Some(bytes)) => Judgement::ok(format!("programs are compiled: {bytes} bytes of machine code")),
        (Some(_), None) => Judgement::ok("programs are compiled"),
        (None, None) => Judgement::skipped("net.core.bpf_jit_enable is root's to read"),
    }
}

pub(super) fn program_loads(scene: &Scene) -> Vec<Found> {
    vec![judge_trial(scene.trial.as_ref()).about(MACHINE)]
}

fn judge_trial(trial: Option<&Result<Trial, String>>) -> Judgement {
    match trial {
        None => Judgement::skipped("it needs CAP_BPF and CAP_NET_ADMIN"),
        Some(Ok(trial)) => {
            Judgement::ok(format!("the kernel takes the program (tag {:016x})", trial.tag.to_be()))
        }
        Some(Err(why)) => Judgement::fault(
            why.clone(),
            "see `kernel-version`; in a container, allow bpf(2) (seccomp); under kernel lockdown, none is loaded",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn kernels_before_frags_do_not_do() {
        assert_eq!(judge_version("5.17.15").verdict, Verdict::Fault);
        assert_eq!(judge_version("4.18.0-553.el8").verdict, Verdict::Fault);
        assert_eq!(judge_version("5.18.0").verdict, Verdict::Ok);
        assert_eq!(judge_version("6.1.0-18-amd64").verdict, Verdict::Ok);
        assert_eq!(judge_version("plan9").verdict, Verdict::Skipped);
    }

    #[test]
    fn want_of_privileges_is_no_fault_of_the_host() {
        assert_eq!(judge_privileges(Capabilities::of_bits(u64::MAX)).verdict, Verdict::Ok);
        assert_eq!(judge_privileges(Capabilities::of_bits(0)).verdict, Verdict::Skipped);
        assert_eq!(judge_bpffs(Bpffs::NotPermitted, false).verdict, Verdict::Skipped);
        assert_eq!(judge_trial(None).verdict, Verdict::Skipped);
    }

    #[test]
    fn pins_need_a_file_system_that_takes_them() {
        assert_eq!(judge_bpffs(Bpffs::Writable, true).verdict, Verdict::Ok);
        assert_eq!(judge_bpffs(Bpffs::Absent, true).verdict, Verdict::Warning);
        assert_eq!(judge_bpffs(Bpffs::ReadOnly, false).verdict, Verdict::Fault);
        assert_eq!(judge_bpffs(Bpffs::NotPermitted, true).verdict, Verdict::Fault);
    }

    #[test]
    fn what_was_made_of_the_program_counts_for_more_than_the_sysctl() {
        assert_eq!(judge_jit(Some(0), Some(4096)).verdict, Verdict::Ok);
        assert_eq!(judge_jit(Some(1), Some(0)).verdict, Verdict::Warning);
        assert_eq!(judge_jit(Some(0), None).verdict, Verdict::Warning);
        assert_eq!(judge_jit(None, None).verdict, Verdict::Skipped);
    }

    #[test]
    fn a_program_that_the_kernel_refuses_is_a_fault() {
        assert_eq!(judge_trial(Some(&Err("refused".to_owned()))).verdict, Verdict::Fault);
        let trial = Trial { tag: 1, machine_code: 2 };
        assert_eq!(judge_trial(Some(&Ok(trial))).verdict, Verdict::Ok);
    }
}
