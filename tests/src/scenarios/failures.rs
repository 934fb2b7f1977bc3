//! Bad inputs and bad hosts: each a message that says what is wrong and what to do.

use std::fs;

use super::{Context, Single};
use crate::harness::{Check, Doing, daemon::BAILIFF, ensure, process, report::skip};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("failures", name, run);
    let alone = |name, run| new(name, run).alone();
    vec![
        new(
            "an unknown key of a grant is shown at its place",
            unknown_key,
        ),
        new("a wrong type in a grant is shown at its place", wrong_type),
        new(
            "a bad address in a grant is shown at its place",
            bad_address,
        ),
        new(
            "an unterminated class in a grant is shown at its place",
            unterminated_class,
        ),
        new(
            "an unknown right in a grant names the nearest one",
            unknown_right,
        ),
        new("a grant that does not exist is named", unknown_grant),
        alone("the daemon says that it needs root", not_root),
        alone("the daemon says that cgroup v2 is missing", no_cgroup),
        alone("the daemon says that type information is missing", no_btf),
        alone("the daemon says that bpffs is missing", no_bpffs),
        alone(
            "doctor says first that the kernel takes no program",
            takes_no_program,
        ),
        alone(
            "the daemon says that a map is of another version",
            other_version,
        ),
        alone(
            "the daemon says that another user made the place of its pins",
            others_pins,
        ),
        alone("a command says that no daemon runs", no_daemon),
    ]
}

/// Root without the capabilities that programs need.
fn takes_no_program(_: &mut Context) -> Check {
    let doctor = process::run(&[
        "setpriv",
        "--bounding-set=-sys_admin,-bpf",
        BAILIFF,
        "doctor",
    ])?;
    says(&doctor, &["cannot enforce grants"])?;
    begins_with(&doctor, "programs")
}

/// The check that is bad comes first, in few words.
fn begins_with(doctor: &process::Ended, check: &str) -> Check {
    let first = doctor.stdout.lines().nth(1).unwrap_or_default();
    ensure(
        first.contains("BAD") && first.contains(check) && doctor.stdout.len() < 2000,
        || format!("expected `doctor` to begin with it, saw {}", doctor.stdout),
    )
}

/// Scenarios for a kernel that was started so that nothing can be enforced on it.
pub(crate) fn refusing() -> Vec<Single> {
    let (name, run): (_, fn(&mut Context) -> Check) = if boots_without_bpf() {
        ("the daemon says that the BPF LSM is missing", no_bpf_lsm)
    } else {
        (
            "the daemon says that the kernel is locked down",
            locked_down,
        )
    };
    vec![Single::new("boot", name, run).alone()]
}

/// Whether this kernel keeps its memory from eBPF programs.
pub(crate) fn boots_locked_down() -> bool {
    fs::read_to_string("/sys/kernel/security/lockdown")
        .is_ok_and(|levels| levels.contains("[confidentiality]"))
}

fn locked_down(_: &mut Context) -> Check {
    let daemon = process::run(&["timeout", "60", BAILIFF, "daemon"])?;
    says(
        &daemon,
        &["locked down for confidentiality", "lockdown=integrity"],
    )?;
    ensure(daemon.stderr.len() < 1000, || {
        format!("the daemon says {} bytes", daemon.stderr.len())
    })?;
    let doctor = process::run(&[BAILIFF, "doctor"])?;
    says(&doctor, &["lockdown=integrity", "cannot enforce grants"])?;
    begins_with(&doctor, "lockdown")
}

/// Whether this kernel was.
pub(crate) fn boots_without_bpf() -> bool {
    fs::read_to_string("/sys/kernel/security/lsm")
        .is_ok_and(|list| !list.trim().split(',').any(|module| module == "bpf"))
}

/// A message that must hold all these words, for a failure.
fn says(ended: &process::Ended, words: &[&str]) -> Check {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    ensure(ended.code != 0, || {
        format!("expected a failure, saw success: {said}")
    })?;
    let missing = words
        .iter()
        .filter(|word| !said.contains(**word))
        .collect::<Vec<_>>();
    ensure(missing.is_empty(), || {
        format!("expected a message with {missing:?}, saw: {said}")
    })
}

const HEAD: &str = "version = 1\nname = \"bad\"\n";

/// Both `grant check` and `run` must refuse the grant with a message at the right line.
fn refused_grant(text: &str, words: &[&str]) -> Check {
    let path = "/run/scenarios/bad.toml";
    fs::write(path, format!("{HEAD}{text}")).doing("write a grant")?;
    let mut all = vec!["bad.toml", "^"];
    all.extend(words);
    says(&process::run(&[BAILIFF, "grant", "check", path])?, &all)?;
    let run = process::run(&[
        BAILIFF,
        "run",
        "--grant",
        path,
        "--",
        "touch",
        "/run/scenarios/ran",
    ])?;
    says(&run, &all)?;
    ensure(!std::path::Path::new("/run/scenarios/ran").exists(), || {
        "the command ran under a grant with a mistake".into()
    })
}

fn unknown_key(_: &mut Context) -> Check {
    refused_grant(
        "[[file]]\nallow = [\"read\"]\npahts = [\"/x\"]\n",
        &["pahts", "path", "5"],
    )
}

fn wrong_type(_: &mut Context) -> Check {
    refused_grant("[[file]]\nallow = \"read\"\npath = 7\n", &["path", "5"])
}

fn bad_address(_: &mut Context) -> Check {
    refused_grant(
        "[[net]]\nallow = [\"connect\"]\nto = [\"10.0.0.0/33:80\"]\n",
        &["33", "5"],
    )
}

fn unterminated_class(_: &mut Context) -> Check {
    refused_grant(
        "[[file]]\nallow = [\"read\"]\npath = [\"/x/[abc\"]\n",
        &["[", "5"],
    )
}

fn unknown_right(_: &mut Context) -> Check {
    refused_grant(
        "[[file]]\nallow = [\"raed\"]\npath = [\"/x\"]\n",
        &["raed", "read", "4"],
    )
}

fn unknown_grant(_: &mut Context) -> Check {
    says(
        &process::run(&[BAILIFF, "run", "--grant", "codr", "--", "true"])?,
        &["codr", "coder"],
    )
}

/// A daemon that must not start.
fn daemon_in(words: &[&str], expected: &[&str]) -> Check {
    says(&process::run(words)?, expected)
}

fn not_root(_: &mut Context) -> Check {
    let words = [
        "setpriv",
        "--reuid=1000",
        "--clear-groups",
        BAILIFF,
        "daemon",
    ];
    daemon_in(&words, &["root"])
}

/// After these mounts, seen by nobody else.
fn daemon_after(mounts: &str, expected: &[&str]) -> Check {
    let script = format!("{mounts} && exec timeout 60 {BAILIFF} daemon");
    daemon_in(&["unshare", "--mount", "bash", "-c", &script], expected)
}

fn no_cgroup(_: &mut Context) -> Check {
    daemon_after(
        "umount -l /sys/fs/cgroup",
        &["cgroup v2", "mount -t cgroup2"],
    )
}

fn no_btf(_: &mut Context) -> Check {
    daemon_after(
        "mount -t tmpfs none /sys/kernel/btf",
        &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"],
    )
}

fn no_bpffs(_: &mut Context) -> Check {
    daemon_after("umount -l /sys/fs/bpf", &["/sys/fs/bpf", "mount -t bpf"])
}

/// An array of one number in the place of the ledger.
const PIN_ANOTHER_LEDGER: &str = "
import ctypes
def bpf(command, attributes):
    result = ctypes.CDLL(None).syscall(321, command, ctypes.byref(attributes), ctypes.sizeof(attributes))
    assert result >= 0
    return result
path = ctypes.create_string_buffer(b'/sys/fs/bpf/bailiff/maps/LEDGER')
made = bpf(0, (ctypes.c_uint32 * 4)(2, 4, 4, 1))
bpf(6, (ctypes.c_uint64 * 2)(ctypes.addressof(path), made))
";

fn other_version(_: &mut Context) -> Check {
    let pinned = format!(
        "mount -t bpf none /sys/fs/bpf && mkdir -p /sys/fs/bpf/bailiff/maps \
         && python3 -c \"{PIN_ANOTHER_LEDGER}\""
    );
    let words = [
        "/sys/fs/bpf/bailiff/maps/LEDGER",
        "another version",
        "remove /sys/fs/bpf/bailiff",
    ];
    daemon_after(&pinned, &words)
}

fn others_pins(_: &mut Context) -> Check {
    let made = "mount -t bpf none /sys/fs/bpf && \
                setpriv --reuid=1000 --clear-groups mkdir /sys/fs/bpf/bailiff";
    daemon_after(made, &["/sys/fs/bpf/bailiff", "uid 1000", "remove it"])
}

fn no_daemon(_: &mut Context) -> Check {
    let ended = process::run(&[
        BAILIFF,
        "run",
        "--grant",
        "coder",
        "--workspace",
        "/run/scenarios",
        "--",
        "touch",
        "/run/scenarios/ran",
    ]);
    says(&ended?, &["bailiff daemon"])?;
    ensure(!std::path::Path::new("/run/scenarios/ran").exists(), || {
        "the command ran without a daemon".into()
    })
}

fn no_bpf_lsm(_: &mut Context) -> Check {
    if !boots_without_bpf() {
        return skip("this kernel has it");
    }
    says(
        &process::run(&["timeout", "60", BAILIFF, "daemon"])?,
        &["bpf", "lsm="],
    )?;
    let doctor = process::run(&[BAILIFF, "doctor"])?;
    let said = format!("{}{}", doctor.stdout, doctor.stderr);
    ensure(said.contains("lsm="), || {
        format!("expected `bailiff doctor` to say it, saw {said}")
    })
}
