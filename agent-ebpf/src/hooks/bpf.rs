//! `bpf(2)`, for sessions that have it: their own maps and programs for packets, and nothing of others.
//!
//! | hook | right |
//! |---|---|
//! | `bpf` | `kernel.bpf`; for commands, maps and programs that are not in the lists below never |
//! | `bpf_map` | never, for Bailiff's own: every descriptor of a map, by id, by pin or new |
//! | `bpf_prog` | never, for Bailiff's own: the same for programs. Nor for programs of other kinds, whoever loaded them, and for those that call functions of the kernel (kfuncs) |
//!
//! Links have no hook, and neither has what is pinned: so what makes a descriptor of either is refused.

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

/// `BPF_MAP_CREATE`
const CREATE: u32 = 0;
/// `BPF_PROG_LOAD`
const LOAD: u32 = 5;

/// What a session does with its own maps, programs and links. Not among them, and nor is what later kernels
/// have: what makes a descriptor of somebody else's, by a path that no hook sees or by number (`BPF_OBJ_GET`,
/// `BPF_*_GET_FD_BY_ID` but of types); `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`, which put something in the place of
/// what others attached without a link; `BPF_PROG_TEST_RUN`, which no signal ends; `BPF_BTF_LOAD`, since no cgroup is
/// charged for types (16 MB for each descriptor, `btf_parse()`; libbpf goes on without them where a program can);
/// `BPF_ENABLE_STATS`, iterators and tokens.
const COMMANDS: u64 = set(&[
    CREATE, 1, 2, 3, 4, // elements
    LOAD, 6, // pins
    11, 12, // BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID
    15, 16, // BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_QUERY
    19, 21, 22,
    23, // BPF_BTF_GET_FD_BY_ID, BPF_MAP_LOOKUP_AND_DELETE_ELEM, BPF_MAP_FREEZE, ids of types
    24, 25, 26, 27, // batches
    28, 29, 31, 34, // links
    35, // BPF_PROG_BIND_MAP
]);

/// Maps that hold numbers, and what packets are sent to. Not among them: values that are kept at tasks,
/// inodes, sockets and cgroups, of which everybody's can be given any number, and each is passed by whoever looks
/// for its own there (`bpf_local_storage_lookup()`); `BPF_MAP_TYPE_STRUCT_OPS`, by which the kernel's scheduler is
/// replaced without a program; sockets of others (sockmaps).
///
/// Nor those that take of the host what no cgroup counts: `BPF_MAP_TYPE_CPUMAP`, of which each entry is a thread of
/// the kernel (`__cpu_map_entry_alloc()`), outside of `pids.max`; `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, whose entries are
/// eight times as large as what is charged for them (`bpf_event_entry_gen()`). The rest is charged: the area when
/// the map is made, elements by `bpf_map_kmalloc_node()` and its like.
const MAPS: u64 = set(&[
    1, 2, 3, 5, 6, 7, // hashes, arrays, programs, stacks
    9, 10, 11, 12, 13, // least recently used, prefixes, of maps
    14, 17, 20, 25, // devices, XDP sockets, listening sockets
    22, 23, 27, 30, 31, // queues, rings, Bloom filters
]);

/// Programs for packets and for the session's sockets. Not among them: programs that run when other processes do
/// something, or that can put that off until then by a timer. By `bpf_send_signal` they kill whoever that is,
/// with no hook that sees it, or they refuse what it does, for all in a cgroup and after the end of who loaded
/// them.
const PROGRAMS: u64 = set(&[
    1, 3, 4, 6, // socket_filter, sched_cls, sched_act, xdp
    10, 11, 12, 19, // lwt
    21, 22, 30, 32, // sk_reuseport, flow_dissector, sk_lookup, netfilter
]);

const fn set(members: &[u32]) -> u64 {
    let mut set = 0;
    let mut index = 0;
    while index < members.len() {
        set |= 1 << members[index];
        index += 1;
    }
    set
}

#[inline(always)]
fn holds(set: u64, member: u32) -> bool {
    member < 64 && set >> (member & 63) & 1 != 0
}

/// `int bpf(int cmd, union bpf_attr *attr, unsigned int size, …)`
#[lsm(hook = "bpf")]
fn bpf(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let command: u32 = ctx.arg(0);
        if !subject.may(Surface::Bpf) {
            return opened(subject, Surface::Bpf, Right::KernelBpf, u64::from(command));
        }
        if !holds(COMMANDS, command) {
            return never(subject, u64::from(command));
        }
        let kinds = match command {
            CREATE => MAPS,
            LOAD => PROGRAMS,
            _ => return 0,
        };
        // The kernel's copy; its first member is the type of the map or the program.
        let kind = number_at(ctx.arg::<*const c_void>(1)) as u32;
        if holds(kinds, kind) {
            return 0;
        }
        never(subject, u64::from(kind))
    })
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
const MOST_MAPS: u32 = 16;

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
        if !holds(PROGRAMS, kind) || functions != 0 {
            return never(subject, u64::from(kind));
        }
        // Every program of Bailiff uses one of these, and no other can.
        let own = [
            opaque((&raw const LABELS) as u64),
            opaque((&raw const EVENTS) as u64),
            opaque((&raw const NOTICES) as u64),
        ];
        let mut number = 0;
        while number < MOST_MAPS {
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
