//! System calls that the kernel's security modules are not asked about. A seccomp filter refuses them
//! (EPERM) to what `bailiff run` starts; a process that was tagged lacks it.
//!
//! | call | refused | why |
//! |---|---|---|
//! | `personality` | all but asking, and what `setarch` sets for 32-bit programs and old names of the kernel | `READ_IMPLIES_EXEC` makes the heap executable (`do_brk_flags()`), past `process.jit` |
//! | `keyctl` | `KEYCTL_SESSION_TO_PARENT` | gives a keyring to the process outside that waits for the session |
//!
//! What else has no hook of its own needs none: it is asked about by a capability (`mount_setattr`,
//! `open_tree` of a clone, `swapon`, `acct`, `vhangup`, `iopl`), by `ptrace_access_check` (`kcmp`,
//! `process_madvise`, `get_robust_list`), or gives nothing (`O_PATH`, `pidfd_open`, `vmsplice`, `futex`,
//! `sync`, `modify_ldt`, `process_mrelease` of who is dying).
//!
//! On x86-64 the filter knows all three entries: the native one, x32 (a bit in the number) and that of
//! 32-bit programs, which has numbers of its own.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// Asking, which changes nothing, `PER_LINUX`, `PER_LINUX32`, and both with `UNAME26`.
const PERSONALITIES: [u64; 5] = [0xffff_ffff, 0, 8, 0x2_0000, 0x2_0008];

const KEYCTL_SESSION_TO_PARENT: u64 = 18;

/// Of one entry of the kernel.
struct Numbers {
    personality: i64,
    keyctl: i64,
}

const NATIVE: Numbers = Numbers {
    personality: libc::SYS_personality,
    keyctl: libc::SYS_keyctl,
};

/// `__X32_SYSCALL_BIT`
const X32: Numbers = Numbers {
    personality: libc::SYS_personality | 0x4000_0000,
    keyctl: libc::SYS_keyctl | 0x4000_0000,
};

/// arch/x86/entry/syscalls/syscall_32.tbl
const IA32: Numbers = Numbers {
    personality: 136,
    keyctl: 288,
};

/// What every compiled filter begins with: it loads the architecture, compares it, and ends who has
/// another.
const ARCHITECTURE_CHECK: usize = 3;

/// `BPF_JMP | BPF_JA`
const JUMP: u16 = 0x05;

/// Refuses the calls above to this process and what it becomes and starts. Needs `no_new_privs`.
///
/// # Errors
/// The kernel has no seccomp, or another filter forbids filters.
pub(super) fn install() -> Result<(), FilterError> {
    Ok(apply_filter(&program()?)?)
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    #[error("the filter of system calls cannot be built: {0}")]
    Build(#[from] seccompiler::BackendError),
    #[error("the filter of system calls cannot be installed: {0}")]
    Install(#[from] seccompiler::Error),
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut program = compile(&[NATIVE, X32])?;
    // The compiler knows no 32-bit entry. What it wrote for another one, without the check of the
    // architecture, follows, and is where the check leads that would have ended the process.
    let length = program.len() - ARCHITECTURE_CHECK;
    program[ARCHITECTURE_CHECK - 1] = sock_filter {
        code: JUMP,
        jt: 0,
        jf: 0,
        k: u32::try_from(length).unwrap_or(u32::MAX),
    };
    program.extend_from_slice(&compile(&[IA32])?[ARCHITECTURE_CHECK..]);
    Ok(program)
}

fn compile(entries: &[Numbers]) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules = BTreeMap::new();
    for entry in entries {
        rules.insert(entry.personality, vec![other_than(&PERSONALITIES)?]);
        rules.insert(entry.keyctl, vec![equal_to(KEYCTL_SESSION_TO_PARENT)?]);
    }
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, TargetArch::x86_64)?.try_into()
}

/// The kernel looks at 32 bits of these arguments.
fn condition(
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, value)
}

fn other_than(values: &[u64]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = values
        .iter()
        .map(|value| condition(SeccompCmpOp::Ne, *value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

fn equal_to(value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition(SeccompCmpOp::Eq, value)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;

    /// What the filter says, by a machine for the few instructions that it has.
    fn says(architecture: u32, number: i64, argument: u64) -> u32 {
        let program = program().unwrap();
        let (mut at, mut loaded) = (0, 0_u32);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            match code {
                0x20 => {
                    loaded = match k {
                        0 => number as u32,
                        4 => architecture,
                        16 => argument as u32,
                        20 => (argument >> 32) as u32,
                        other => panic!("a load at {other}"),
                    };
                }
                0x05 => at += k as usize,
                0x15 => at += jump(loaded == k),
                0x25 => at += jump(loaded > k),
                0x35 => at += jump(loaded >= k),
                0x45 => at += jump(loaded & k != 0),
                0x54 => loaded &= k,
                0x06 => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    const ALLOW: u32 = 0x7fff_0000;
    const REFUSE: u32 = 0x0005_0001;

    #[test]
    fn every_entry_is_judged() {
        let entries = [
            (X86_64, 135, 250),
            (X86_64, 0x4000_0087, 0x4000_00fa),
            (I386, 136, 288),
        ];
        for (architecture, personality, keyctl) in entries {
            for allowed in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff, 1 << 32] {
                assert_eq!(says(architecture, personality, allowed), ALLOW);
            }
            for refused in [0x40_0000, 0x4_0000, 0x40_0008, 1, 0xffff_fffe] {
                assert_eq!(says(architecture, personality, refused), REFUSE);
            }
            assert_eq!(says(architecture, keyctl, 18), REFUSE);
            assert_eq!(says(architecture, keyctl, 0), ALLOW);
            assert_eq!(says(architecture, 1, 0x40_0000), ALLOW);
        }
        // The other entry's numbers.
        assert_eq!(says(X86_64, 136, 0x40_0000), ALLOW);
        assert_eq!(says(I386, 135, 0x40_0000), ALLOW);
    }
}
