//! `bpf(2)`, for sessions that have it: Bailiff's own maps and programs stay out of reach, and so do
//! programs that run in other processes.
//!
//! | hook | right |
//! |---|---|
//! | `bpf` | `kernel.bpf`; to load programs of the kinds in [`acts_on_others`] never |
//! | `bpf_map` | never, for Bailiff's own: every descriptor of a map, by id, by pin or new |
//! | `bpf_prog` | never, for Bailiff's own: the same for programs. Without one nothing can be attached to a program or put in its place. Nor for programs of such kinds, whoever loaded them, and for those that call functions of the kernel (kfuncs) |
//!
//! Links have no hook, and neither has what is pinned: the two commands that make a descriptor of what a
//! session did not make are refused, and so is taking away what has no link, whoever attached it.

use core::ffi::c_void;

use agent_abi::{Image, Reason, Right, Surface, event::Detail, ledger::NO_RULE};
use aya_ebpf::{macros::lsm, programs::LsmContext};

use super::surface::opened;
use crate::{
    decide::{EPERM, refuse},
    kernel::{
        BpfMap, BpfProgram, BpfProgramDetails, MAP_VALUE_SIZE, PROGRAM_DETAILS, PROGRAM_FUNCTIONS,
        PROGRAM_KIND, PROGRAM_MAP_COUNT, PROGRAM_MAPS, load, number_at, opaque,
    },
    maps::{self, EVENTS, LABELS, NOTICES},
    subject::{Subject, guard},
};

/// `BPF_PROG_LOAD`
const LOAD: u32 = 5;
/// `BPF_OBJ_GET`: what is pinned, by a path that no hook sees.
const OBJECT_GET: u32 = 7;
/// `BPF_PROG_DETACH`: what somebody attached to a cgroup, a network namespace or a device without a link.
const DETACH: u32 = 9;
/// `BPF_LINK_GET_FD_BY_ID`
const LINK_BY_NUMBER: u32 = 30;

/// `int bpf(int cmd, union bpf_attr *attr, unsigned int size, …)`
#[lsm(hook = "bpf")]
fn bpf(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let command: u32 = ctx.arg(0);
        if matches!(command, OBJECT_GET | DETACH | LINK_BY_NUMBER) && subject.may(Surface::Bpf) {
            return never(subject, u64::from(command));
        }
        if command != LOAD || !subject.may(Surface::Bpf) {
            return opened(subject, Surface::Bpf, Right::KernelBpf, u64::from(command));
        }
        // The kernel's copy; its first member is the program's type.
        let kind = number_at(ctx.arg::<*const c_void>(1)) as u32;
        if acts_on_others(kind) {
            return never(subject, u64::from(kind));
        }
        0
    })
}

/// Programs that run when other processes do something, or that can put that off until then by a timer: by
/// `bpf_send_signal` they kill whoever that is, with no hook that sees it, or they refuse what it does, for all
/// in a cgroup and after the end of who loaded them.
#[inline(always)]
fn acts_on_others(kind: u32) -> bool {
    // kprobe, tracepoint, perf_event, raw_tracepoint; raw_tracepoint_writable; tracing, struct_ops, ext, lsm,
    // which change what the kernel does, too; syscall. cgroup_skb, cgroup_sock, sock_ops, cgroup_device,
    // cgroup_sock_addr, cgroup_sysctl, cgroup_sockopt.
    matches!(
        kind,
        2 | 5 | 7 | 17 | 24 | 26..=29 | 31 | 8 | 9 | 13 | 15 | 18 | 23 | 25
    )
}

#[inline(always)]
fn never(subject: &Subject, detail: u64) -> i32 {
    let detail = Detail {
        words: [detail, 0],
        extra: 0,
    };
    let reason = Reason::SelfProtection;
    refuse(subject, Right::KernelBpf, reason, NO_RULE, detail, EPERM)
}

/// `int bpf_map(struct bpf_map *, fmode_t)`
#[lsm(hook = "bpf_map")]
fn bpf_map(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let map: *const BpfMap = ctx.arg(0);
        // SAFETY: the hook's argument.
        let value_size: u32 = unsafe { load(map, &MAP_VALUE_SIZE) };
        // An image's map is one of many; no other has values of this size by chance.
        if value_size == size_of::<Image>() as u32 || maps::is_own(map as u64) {
            return never(subject, 0);
        }
        0
    })
}

/// More maps than a program of Bailiff uses.
const MAPS: u32 = 16;

/// `int bpf_prog(struct bpf_prog *)`
#[lsm(hook = "bpf_prog")]
fn bpf_prog(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let program: *const BpfProgram = ctx.arg(0);
        // SAFETY: the hook's argument and what is loaded from it.
        let (kind, functions, maps, count): (u32, u64, u64, u32) = unsafe {
            let details: *const BpfProgramDetails = load(program, &PROGRAM_DETAILS);
            (
                load(program, &PROGRAM_KIND),
                load(details, &PROGRAM_FUNCTIONS),
                load(details, &PROGRAM_MAPS),
                load(details, &PROGRAM_MAP_COUNT),
            )
        };
        // Among the functions are `bpf_task_from_pid` and `bpf_send_signal_task` (6.13+).
        if acts_on_others(kind) || functions != 0 {
            return never(subject, u64::from(kind));
        }
        // Every program of Bailiff uses one of these, and no other can.
        let own = [
            opaque((&raw const LABELS) as u64),
            opaque((&raw const EVENTS) as u64),
            opaque((&raw const NOTICES) as u64),
        ];
        let mut number = 0;
        while number < MAPS {
            let place = maps.wrapping_add(u64::from(number) * 8);
            let used = opaque(number_at(place as *const c_void));
            if number < count && own.contains(&used) {
                return never(subject, 0);
            }
            number += 1;
        }
        0
    })
}
