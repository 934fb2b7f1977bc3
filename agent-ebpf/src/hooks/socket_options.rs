//! What changes a socket so that its packets go elsewhere, come from elsewhere, or say more than the
//! destination was judged for.
//!
//! | hook | right |
//! |---|---|
//! | `socket_setsockopt` | `net.option`: all options but those of [`agent_abi::socket_option`] |
//! | `socket_sendmsg` with control messages ([`super::network`]) | the same |

use core::ffi::c_void;

use agent_abi::{
    Reason, Right,
    event::Detail,
    ledger::NO_RULE,
    socket_option::{self, Control, control, is_harmless},
};
use agent_decide::destination::{AF_INET, AF_INET6};
use aya_ebpf::{
    helpers::generated::{bpf_loop, bpf_task_pt_regs},
    macros::lsm,
    programs::LsmContext,
};

use crate::{
    decide::{EACCES, refuse},
    kernel::{
        REGISTERS_CALL, REGISTERS_FIRST_OF_32, REGISTERS_THIRD, Registers, SOCK_FAMILY, SOCKET_SK,
        Sock, Socket, load, number_at,
    },
    subject::{Subject, guard_unless},
};

/// In [`Detail::extra`]: not an option but a control message.
const MESSAGE: u64 = 1;
/// In [`Detail::extra`]: several datagrams to addresses.
const BATCH: u64 = 2;

/// `int socket_setsockopt(struct socket *, int level, int optname)`
#[lsm(hook = "socket_setsockopt")]
fn socket_setsockopt(ctx: LsmContext) -> i32 {
    guard_unless(
        &ctx,
        |ctx| is_harmless(ctx.arg(1), ctx.arg(2)),
        |subject, ctx| refuse_option(subject, ctx.arg(1), ctx.arg(2), 0),
    )
}

#[inline(always)]
fn refuse_option(subject: &Subject, level: u32, number: u32, extra: u64) -> i32 {
    let detail = Detail {
        words: [level.into(), number.into()],
        extra,
    };
    let reason = Reason::NotGranted;
    refuse(subject, Right::NetOption, reason, NO_RULE, detail, EACCES)
}

/// Control messages of one `sendmsg` that are looked at; with more it is refused.
const MAX_MESSAGES: u32 = 32;

/// Size of a `struct cmsghdr`
const HEADER: u64 = 16;

/// A walk over control messages, as `for_each_cmsghdr` makes it.
#[repr(C)]
struct Walk {
    at: u64,
    left: u64,
    level: u32,
    kind: u32,
    is_refused: u64,
    has_ended: u64,
}

/// Refuses control messages of an Internet socket that change where it goes or comes from. They are in the
/// kernel's memory already (`____sys_sendmsg()`), where nobody can change them.
#[inline(always)]
pub(super) fn judge_control(
    subject: &Subject,
    socket: *const Socket,
    control: u64,
    length: u64,
) -> i32 {
    // SAFETY: the hook's argument.
    let sock: *const Sock = unsafe { load(socket, &SOCKET_SK) };
    if sock.is_null() {
        return 0; // closed meanwhile: the protocol answers
    }
    // SAFETY: not NULL, and loaded from the hook's argument.
    let family: u16 = unsafe { load(sock, &SOCK_FAMILY) };
    if family != AF_INET && family != AF_INET6 {
        return 0;
    }
    let mut walk = Walk {
        at: control,
        left: length,
        level: 0,
        kind: 0,
        is_refused: 0,
        has_ended: 0,
    };
    // SAFETY: the callback has the signature that bpf_loop expects, and its context outlives it.
    unsafe { bpf_loop(MAX_MESSAGES, step as *mut c_void, (&raw mut walk).cast(), 0) };
    if walk.is_refused == 0 && walk.has_ended == 1 {
        return 0;
    }
    refuse_option(subject, walk.level, walk.kind, MESSAGE)
}

unsafe extern "C" fn step(_step: u32, walk: *mut Walk) -> i64 {
    // SAFETY: `walk` is `judge_control`'s.
    let walk = unsafe { &mut *walk };
    if walk.left < HEADER {
        walk.has_ended = 1;
        return 1;
    }
    let number = |offset| number_at(walk.at.wrapping_add(offset) as *const c_void);
    let (length, names) = (number(0), number(8));
    let (level, kind) = (names as u32, (names >> 32) as u32);
    let is_harmless = match control(level, kind) {
        Control::Harmless => true,
        Control::Source { interface } => {
            length >= HEADER + u64::from(interface) + 4
                && number(HEADER + u64::from(interface)) as u32 == 0
        }
        Control::Refused => false,
    };
    // Every protocol answers EINVAL to what is shorter than its header or longer than what is left.
    if !is_harmless || length < HEADER || length > walk.left {
        walk.level = level;
        walk.kind = kind;
        walk.is_refused = 1;
        return 1;
    }
    let whole = length.wrapping_add(7) & !7;
    walk.at = walk.at.wrapping_add(whole);
    walk.left = walk.left.saturating_sub(whole);
    0
}

/// `sendmmsg` of x86-64, of i386, and of the x32 ABI; `socketcall` of i386 with its number for it.
const SENDMMSG: u64 = 307;
const SENDMMSG_32: u64 = 345;
const SENDMMSG_X32: u64 = 0x4000_0000 + 538;
const SOCKETCALL: u64 = 102;
const SOCKETCALL_SENDMMSG: u32 = 20;

/// Whether the system call under way sends several messages.
///
/// After the first the kernel asks no hook about those to the same address (`____sys_sendmsg()` with
/// `used_address`), whatever their control messages are. Without an address it asks about each.
#[inline(always)]
pub(super) fn is_batch(subject: &Subject) -> bool {
    // SAFETY: the current task; never NULL.
    let registers: *const Registers =
        unsafe { bpf_task_pt_regs(subject.task.cast_mut().cast()) as *const Registers };
    // SAFETY: typed by the helper.
    let (call, first, third): (u64, u64, u64) = unsafe {
        (
            load(registers, &REGISTERS_CALL),
            load(registers, &REGISTERS_FIRST_OF_32),
            load(registers, &REGISTERS_THIRD),
        )
    };
    match call {
        SENDMMSG => third as u32 > 1,
        SENDMMSG_32 | SENDMMSG_X32 => true,
        SOCKETCALL => first as u32 == SOCKETCALL_SENDMMSG,
        _ => false,
    }
}

/// Refuses several datagrams to addresses in one call.
#[inline(always)]
pub(super) fn refuse_batch(subject: &Subject) -> i32 {
    refuse_option(subject, socket_option::UDP, 0, BATCH)
}
