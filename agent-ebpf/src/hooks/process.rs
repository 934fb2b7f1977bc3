//! Other processes, and capabilities.
//!
//! | hook | right |
//! |---|---|
//! | `task_kill`, `file_send_sigiotask`; `task_setrlimit`, `task_setscheduler` where the kernel signals by it | `process.signal` |
//! | `ptrace_access_check`, `ptrace_traceme` | `process.ptrace` |
//! | `task_setnice`, `task_setioprio`, `task_setscheduler`, `task_movememory`, `task_setpgid`, `task_setrlimit` | `process.control` |
//! | `capable` | `process.capability` |
//! | `file_fcntl` with `F_SETOWN`, `F_SETSIG`, and `O_ASYNC` for a device (and the commands in [`super::ioctl`]) | `process.signal` |
//! | the same with `F_SETLEASE`, `F_SETDELEG` | see [`super::locks`] |
//!
//! Within the session a process may do what the kernel allows; outside only what is granted, and to the
//! daemon ([`daemon::owns`]) nothing.

use agent_abi::{Reason, Right, Surface, event::Detail, ledger::NO_RULE};
use aya_ebpf::{macros::lsm, programs::LsmContext};

use super::call::{CAP_SYS_ADMIN, is_write, may_set_deadline, used_for};
use super::locks::{self, F_SETDELEG, F_SETLEASE};
use super::mounts::refuse_hosts_cgroups;
use crate::{
    address::Address,
    daemon,
    decide::{EPERM, refuse, refuse_silently},
    groups::{self, Whose},
    kernel::{Credentials, File, TASK_GROUP_LEADER, TASK_TGID, Task, UserNamespace, load},
    nested::is_made_by,
    place::is_character_device,
    subject::{Subject, guard},
};

const PTRACE_MODE_ATTACH: u32 = 2;
const PTRACE_MODE_NOAUDIT: u32 = 4;
/// `CAP_OPT_NOAUDIT`: the kernel only wonders.
const CAP_OPT_NOAUDIT: u32 = 2;

#[inline(always)]
fn target(task: *const Task, extra: u64) -> Detail {
    // SAFETY: a hook's argument.
    let id: u32 = unsafe { load(task, &TASK_TGID) };
    Detail {
        words: [u64::from(id), extra],
        extra: 0,
    }
}

/// `int task_kill(struct task_struct *, struct kernel_siginfo *, int sig, const struct cred *)`
#[lsm(hook = "task_kill")]
fn task_kill(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let task: *const Task = ctx.arg(0);
        let signal: u32 = ctx.arg(2);
        signals(subject, task, signal)
    })
}

#[inline(always)]
fn signals(subject: &Subject, task: *const Task, signal: u32) -> i32 {
    let reason = match reach(subject, task, Surface::SignalAny) {
        Ok(()) => return 0,
        Err(reason) => reason,
    };
    let detail = target(task, u64::from(signal));
    refuse(
        subject,
        Right::ProcessSignal,
        reason,
        NO_RULE,
        detail,
        EPERM,
    )
}

/// Why the grant lets the session do nothing to a task's process, where it is so. `any` opens the processes
/// of others, but never the daemon's.
#[inline(always)]
fn reach(subject: &Subject, task: *const Task, any: Surface) -> Result<(), Reason> {
    if subject.shares_session_with(task) {
        return Ok(());
    }
    if !subject.may(any) {
        return Err(Reason::OutsideSession);
    }
    if daemon::owns(Address::of(task)) {
        return Err(Reason::SelfProtection);
    }
    Ok(())
}

/// `int file_send_sigiotask(struct task_struct *, struct fown_struct *, int sig)`: what a file tells its
/// owner of, by any signal, from wherever the kernel noticed it. Who that is was a session's to say where it
/// may signal any process ([`signals_owner`]), so here it is nobody's act any more: none of it reaches the
/// daemon, which owns no file in this way.
#[lsm(hook = "file_send_sigiotask")]
fn file_send_sigiotask(ctx: LsmContext) -> i32 {
    let task: *const Task = ctx.arg(0);
    if daemon::owns(Address::of(task)) {
        -EPERM
    } else {
        0
    }
}

/// `int ptrace_access_check(struct task_struct *child, unsigned int mode)`: ptrace, and
/// `/proc/PID/{mem,environ,maps,fd,root,…}`, `process_vm_*`, `pidfd_getfd`, `kcmp`.
#[lsm(hook = "ptrace_access_check")]
fn ptrace_access_check(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let task: *const Task = ctx.arg(0);
        let mode: u32 = ctx.arg(1);
        let reason = if subject.shares_session_with(task) {
            if mode & PTRACE_MODE_ATTACH == 0 || subject.may(Surface::PtraceSession) {
                return 0;
            }
            Reason::NotGranted
        } else {
            Reason::OutsideSession
        };
        if mode & PTRACE_MODE_NOAUDIT != 0 {
            return refuse_silently(subject, EPERM);
        }
        refuse(
            subject,
            Right::ProcessPtrace,
            reason,
            NO_RULE,
            target(task, u64::from(mode)),
            EPERM,
        )
    })
}

/// `int ptrace_traceme(struct task_struct *parent)`
#[lsm(hook = "ptrace_traceme")]
fn ptrace_traceme(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let parent: *const Task = ctx.arg(0);
        if subject.shares_session_with(parent) && subject.may(Surface::PtraceSession) {
            return 0;
        }
        let detail = target(parent, 0);
        refuse(
            subject,
            Right::ProcessPtrace,
            Reason::NotGranted,
            NO_RULE,
            detail,
            EPERM,
        )
    })
}

/// Decides whether the task that is argument 0 may be controlled.
#[inline(always)]
fn control(ctx: &LsmContext) -> i32 {
    guard(ctx, |subject, ctx| controls(subject, ctx.arg(0)))
}

#[inline(always)]
fn controls(subject: &Subject, task: *const Task) -> i32 {
    match reach(subject, task, Surface::ControlAny) {
        Ok(()) => 0,
        Err(reason) => refuse_control(subject, reason, target(task, 0)),
    }
}

/// Refuses to control what is not the session's.
#[inline(always)]
pub(super) fn refuse_control(subject: &Subject, reason: Reason, detail: Detail) -> i32 {
    refuse(
        subject,
        Right::ProcessControl,
        reason,
        NO_RULE,
        detail,
        EPERM,
    )
}

/// `int task_setnice(struct task_struct *, int nice)`
#[lsm(hook = "task_setnice")]
fn task_setnice(ctx: LsmContext) -> i32 {
    control(&ctx)
}

/// `int task_setioprio(struct task_struct *, int ioprio)`
#[lsm(hook = "task_setioprio")]
fn task_setioprio(ctx: LsmContext) -> i32 {
    control(&ctx)
}

/// `int task_setscheduler(struct task_struct *)`. With `SCHED_FLAG_DL_OVERRUN` the kernel signals whoever runs for
/// longer than it was given (`check_dl_overrun()`). What is asked for no hook sees; a deadline is for `sys_nice`.
#[lsm(hook = "task_setscheduler")]
fn task_setscheduler(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let task: *const Task = ctx.arg(0);
        let result = controls(subject, task);
        if result != 0 || !has_capability(subject, CAP_SYS_NICE) || !may_set_deadline(subject) {
            return result;
        }
        signals(subject, task, SIGXCPU)
    })
}

/// `int task_movememory(struct task_struct *)`
#[lsm(hook = "task_movememory")]
fn task_movememory(ctx: LsmContext) -> i32 {
    control(&ctx)
}

/// `int task_setpgid(struct task_struct *, pid_t)`: the kernel signals groups as a whole (SIGTTOU,
/// SIGTTIN, SIGHUP), so a process that joined one with others in it would pull them along.
#[lsm(hook = "task_setpgid")]
fn task_setpgid(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let (task, group): (*const Task, u32) = (ctx.arg(0), ctx.arg(1));
        let result = controls(subject, task);
        if result != 0 {
            return result;
        }
        match groups::whose(subject, task, group) {
            Whose::Own => 0,
            Whose::Others => control_group(subject, group),
            Whose::Daemons => refuse_group(subject, Reason::SelfProtection, group),
        }
    })
}

/// Refuses to deal with a process group of others, unless the grant lets others be controlled.
#[inline(always)]
pub(super) fn control_group(subject: &Subject, group: u32) -> i32 {
    if subject.may(Surface::ControlAny) {
        return 0;
    }
    refuse_group(subject, Reason::OutsideSession, group)
}

#[inline(always)]
fn refuse_group(subject: &Subject, reason: Reason, group: u32) -> i32 {
    let detail = Detail {
        words: [0, u64::from(group)],
        extra: 0,
    };
    refuse_control(subject, reason, detail)
}

/// `int task_setrlimit(struct task_struct *, unsigned int resource, struct rlimit *)`
#[lsm(hook = "task_setrlimit")]
fn task_setrlimit(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let (task, resource): (*const Task, u32) = (ctx.arg(0), ctx.arg(1));
        let result = controls(subject, task);
        if result != 0 {
            return result;
        }
        match signal_of(resource) {
            0 => 0,
            signal => signals(subject, task, signal),
        }
    })
}

const SIGSEGV: u32 = 11;
const SIGXCPU: u32 = 24;
const SIGXFSZ: u32 = 25;

/// By what the kernel ends a process that passes a limit; 0 where calls fail and nothing else.
#[inline(always)]
fn signal_of(resource: u32) -> u32 {
    match resource {
        // RLIMIT_CPU, RLIMIT_RTTIME: after a second or so by SIGKILL (`check_process_timers()`).
        0 | 15 => SIGXCPU,
        // RLIMIT_FSIZE: `generic_write_check_limits()`
        1 => SIGXFSZ,
        // RLIMIT_STACK, RLIMIT_MEMLOCK, RLIMIT_AS: whose stack cannot grow (`acct_stack_growth()`).
        3 | 8 | 9 => SIGSEGV,
        _ => 0,
    }
}

/// `int capable(const struct cred *, struct user_namespace *, int cap, unsigned int opts)`: in every user
/// namespace, so root in a session is a user without privileges; but for those that it made, where the grant
/// opens containers.
#[lsm(hook = "capable")]
fn capable(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let capability: u32 = ctx.arg(2);
        let options: u32 = ctx.arg(3);
        // overlayfs asks on its own account.
        let asked: *const Credentials = ctx.arg(0);
        if subject.borrowed_credentials() == Some(asked) {
            return 0;
        }
        if is_of_own_namespace(subject, capability, ctx.arg(1)) {
            return match capability {
                CAP_SYS_ADMIN => refuse_hosts_cgroups(subject),
                _ => 0,
            };
        }
        if has_capability(subject, capability) {
            return used_for(subject, capability, ctx.arg(1));
        }
        if options & CAP_OPT_NOAUDIT != 0 {
            return refuse_silently(subject, EPERM);
        }
        refuse_capability(subject, capability)
    })
}

const CAP_SETFCAP: u32 = 31;
const CAP_MAC_OVERRIDE: u32 = 32;
const CAP_MAC_ADMIN: u32 = 33;

/// Whether it is a capability over what belongs to a user namespace that the session made, where the grant opens
/// these. Not those whose effect is the host's: other security modules are, and file capabilities that root of such a
/// namespace gives are good outside too where it is the host's root (`cap_convert_nscap()`). Whoever writes a map
/// with root in it needs `setfcap` of the namespace above (`verify_root_map()`), and a map gives none.
#[inline(always)]
fn is_of_own_namespace(
    subject: &Subject,
    capability: u32,
    namespace: *const UserNamespace,
) -> bool {
    if !subject.may(Surface::Containers) {
        return false;
    }
    match capability {
        CAP_MAC_OVERRIDE | CAP_MAC_ADMIN => false,
        CAP_SETFCAP => is_write(subject),
        _ => is_made_by(subject, namespace),
    }
}

pub(super) const CAP_FSETID: u32 = 4;
const CAP_SYS_NICE: u32 = 23;

#[inline(always)]
pub(super) fn has_capability(subject: &Subject, capability: u32) -> bool {
    let granted = subject.image.map_or(0, |image| image.header.capabilities);
    granted >> (capability & 63) & 1 == 1
}

/// Decides about what the kernel does not ask a capability for, and a grant does.
#[inline(always)]
pub(super) fn needs_capability(subject: &Subject, capability: u32) -> i32 {
    if has_capability(subject, capability) {
        0
    } else {
        refuse_capability(subject, capability)
    }
}

#[inline(always)]
fn refuse_capability(subject: &Subject, capability: u32) -> i32 {
    let detail = Detail {
        words: [u64::from(capability), 0],
        extra: 0,
    };
    refuse(
        subject,
        Right::ProcessCapability,
        Reason::NotGranted,
        NO_RULE,
        detail,
        EPERM,
    )
}

const F_SETFL: u32 = 4;
const F_SETOWN: u32 = 8;
const F_SETSIG: u32 = 10;
const F_SETOWN_EX: u32 = 15;
const O_ASYNC: u64 = 0o20_000;

/// `int file_fcntl(struct file *, unsigned int cmd, unsigned long arg)`: whoever owns a file gets
/// its signals, from the kernel and past `task_kill`. Which signal that is may be changed by whoever has
/// the file too, whoever owns it.
#[lsm(hook = "file_fcntl")]
fn file_fcntl(ctx: LsmContext) -> i32 {
    let command: u32 = ctx.arg(1);
    let argument: u64 = ctx.arg(2);
    if !matters(command, argument) {
        return 0;
    }
    guard(&ctx, |subject, ctx| {
        let argument: u64 = ctx.arg(2);
        if matches!(command, F_SETLEASE | F_SETDELEG) {
            return locks::lease(subject, command, argument);
        }
        if command == F_SETFL {
            return notifies(subject, ctx.arg(0));
        }
        if command == F_SETSIG {
            return signals_owner(subject);
        }
        // The number that the process itself knows: in its own pid namespace.
        // SAFETY: `current` is a valid task.
        let own = groups::number_of(subject, unsafe { load(subject.task, &TASK_GROUP_LEADER) });
        let owner = argument as u32;
        if command == F_SETOWN && (owner == 0 || owner == own) {
            return 0;
        }
        signals_owner(subject)
    })
}

/// Whether there is anything to judge about a command. A signal of 0 is what it is by default.
#[inline(always)]
fn matters(command: u32, argument: u64) -> bool {
    match command {
        F_SETFL => argument & O_ASYNC != 0,
        F_SETSIG => argument as u32 != 0,
        F_SETOWN | F_SETOWN_EX | F_SETLEASE | F_SETDELEG => true,
        _ => false,
    }
}

/// Decides about signals for what can be read from a file. Of a terminal they go to its foreground group,
/// which the kernel makes its owner by itself (`__tty_fasync()`, drivers/tty/tty_io.c): it may be
/// anybody's. No other device does so to anybody but the caller.
#[inline(always)]
pub(super) fn notifies(subject: &Subject, file: *const File) -> i32 {
    if is_character_device(file) {
        signals_owner(subject)
    } else {
        0
    }
}

/// Refuses to let signals go where nothing can tell whose process it is.
#[inline(always)]
pub(super) fn signals_owner(subject: &Subject) -> i32 {
    if subject.may(Surface::SignalAny) {
        return 0;
    }
    let detail = Detail {
        words: [0; 2],
        extra: 0,
    };
    refuse(
        subject,
        Right::ProcessSignal,
        Reason::OutsideSession,
        NO_RULE,
        detail,
        EPERM,
    )
}
