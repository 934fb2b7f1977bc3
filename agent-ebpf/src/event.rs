//! What the daemon is told: one record in the ring buffer. A full buffer changes no verdict; the
//! loss is counted.

use core::{ffi::c_void, ptr::addr_of_mut};

use agent_abi::{
    Event, EventKind, Reason, Right, Verdict,
    event::Detail,
    limits::{MAX_DEPTH, MAX_EVENT_PATH, MAX_NAME},
    share::{EVENTS_BYTES, record_bytes},
};
use aya_ebpf::bindings::BPF_RB_AVAIL_DATA;
use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
    bpf_get_current_uid_gid, bpf_ktime_get_boot_ns, bpf_loop, bpf_probe_read_kernel,
    bpf_ringbuf_output, bpf_ringbuf_query,
};

use crate::{
    automaton::bounded,
    counter::add,
    kernel::{
        DENTRY_INODE, Dentry, INODE_INO, Inode, TASK_REAL_PARENT, TASK_TGID, Task, is_null, load,
        opaque,
    },
    maps::{EVENTS, SHARES, TAKEN},
    name::Gathered,
    notice::count_loss,
    scratch::Scratch,
    subject::Subject,
    walk::{Which, gather, is_as_judged},
};

/// What a hook says of a decision that is worth an event.
#[derive(Clone, Copy)]
pub(crate) struct Finding {
    pub right: Right,
    pub reason: Reason,
    pub rule: u16,
    pub detail: Detail,
}

const NO_DETAIL: Detail = Detail {
    words: [0; 2],
    extra: 0,
};

/// Reports a decision about something without a path.
#[inline(always)]
pub(crate) fn report(subject: &Subject, scratch: *mut Scratch, verdict: Verdict, finding: Finding) {
    let said = Said::new(verdict, finding.right, finding.reason, finding.rule);
    fill(subject, scratch, said, finding.detail);
    send(subject, scratch);
}

/// Verdict, right, reason and rule in one register: callers have no room on the stack for them.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Said(u64);

impl Said {
    #[inline(always)]
    pub(crate) fn new(verdict: Verdict, right: Right, reason: Reason, rule: u16) -> Self {
        let (verdict, right) = (verdict as u8, right as u8);
        Self(
            u64::from(verdict)
                | u64::from(right) << 8
                | u64::from(reason as u8) << 16
                | u64::from(rule) << 24,
        )
    }
}

/// Reports a decision about a file.
///
/// A program of its own: it needs room on the stack that what calls it has used up.
#[inline(never)]
pub(crate) fn report_file(
    subject: &Subject,
    scratch: *mut Scratch,
    said: Said,
    dentry: *const Dentry,
    which: Which,
) {
    fill(subject, scratch, said, NO_DETAIL);
    gather(scratch, dentry, which);
    write_path(scratch);
    let moved = !is_as_judged(scratch, dentry, which);
    // SAFETY: the current task's scratch; loads through the hook's dentry.
    unsafe {
        let event = addr_of_mut!((*scratch).record.event);
        (*event).moved = u8::from(moved);
        (*event).dev = (*scratch).walk.dev;
        let inode: *const Inode = load(dentry, &DENTRY_INODE);
        if !is_null(dentry, &DENTRY_INODE) && !inode.is_null() {
            (*event).ino = load(inode, &INODE_INO);
        }
    }
    send(subject, scratch);
}

#[inline(always)]
fn fill(subject: &Subject, scratch: *mut Scratch, said: Said, detail: Detail) {
    // SAFETY: the current task's scratch; helpers without preconditions.
    unsafe {
        let ids = bpf_get_current_pid_tgid();
        let parent: *const Task = load(subject.task, &TASK_REAL_PARENT);
        let event = addr_of_mut!((*scratch).record.event);
        event.write(Event {
            time: bpf_ktime_get_boot_ns(),
            cgroup: bpf_get_current_cgroup_id(),
            ino: 0,
            detail,
            slot: subject.label.slot,
            generation: subject.label.generation,
            pid: (ids >> 32) as u32,
            tid: ids as u32,
            parent: load(parent, &TASK_TGID),
            uid: bpf_get_current_uid_gid() as u32,
            dev: 0,
            rule: (said.0 >> 24) as u16,
            path_len: 0,
            kind: EventKind::Decision as u8,
            verdict: said.0 as u8,
            right: (said.0 >> 8) as u8,
            reason: (said.0 >> 16) as u8,
            truncated: 0,
            moved: 0,
            reserved: [0; 2],
            comm: [0; 16],
        });
        bpf_get_current_comm((&raw mut (*event).comm).cast::<c_void>(), 16);
    }
}

/// Room for one more component after the cursor.
const PATH_LIMIT: u32 = (MAX_EVENT_PATH - 256) as u32;

/// Joins the gathered names from the root down.
#[inline(always)]
fn write_path(scratch: *mut Scratch) {
    // SAFETY: the current task's scratch is the callback's context.
    unsafe {
        (*scratch).walk.cursor = 0;
        let mut joining = Joining { scratch };
        bpf_loop(
            (*scratch).walk.depth,
            append as *mut c_void,
            (&raw mut joining).cast(),
            0,
        );
        (*scratch).record.event.path_len = (*scratch).walk.cursor as u16;
    }
}

#[repr(C)]
struct Joining {
    scratch: *mut Scratch,
}

/// Appends `/` and one name. When the path gets too long it starts anew: the tail tells more.
unsafe extern "C" fn append(step: u32, joining: *mut Joining) -> i64 {
    // SAFETY: `joining` is `write_path`'s; indices are masked to their arrays.
    unsafe {
        let scratch = (*joining).scratch;
        let index =
            (*scratch).walk.depth.wrapping_sub(1).wrapping_sub(step) as usize & (MAX_DEPTH - 1);
        let name = (&raw const (*scratch).names)
            .cast::<Gathered>()
            .add(index)
            .read();
        let length = if name.bytes() > MAX_NAME as u64 {
            MAX_NAME as u64
        } else {
            name.bytes()
        };
        if (*scratch).walk.cursor >= PATH_LIMIT {
            (*scratch).walk.cursor = 0;
            (*scratch).record.event.truncated = 1;
        }
        let cursor = opaque(u64::from((*scratch).walk.cursor)) & (MAX_EVENT_PATH as u64 - 1);
        if cursor >= u64::from(PATH_LIMIT) {
            return 1;
        }
        let path = (&raw mut (*scratch).record.path).cast::<u8>();
        *path.add(cursor as usize) = b'/';
        bpf_probe_read_kernel(
            path.add(cursor as usize + 1).cast(),
            bounded(length),
            name.address as *const c_void,
        );
        (*scratch).walk.cursor = cursor as u32 + 1 + length as u32;
    }
    0
}

#[inline(always)]
fn send(subject: &Subject, scratch: *mut Scratch) {
    let slot = subject.account();
    // SAFETY: the record is in the current task's scratch; the size is bounded by the mask.
    unsafe {
        (*scratch).record.event.slot = slot;
        let path_len =
            opaque(u64::from((*scratch).record.event.path_len)) & (MAX_EVENT_PATH as u64 - 1);
        let size = size_of::<Event>() as u64 + path_len;
        if has_room(slot, record_bytes(size)) {
            let sent = bpf_ringbuf_output(
                (&raw const EVENTS).cast_mut().cast(),
                (&raw mut (*scratch).record).cast(),
                size,
                0,
            );
            if sent == 0 {
                if let Some(share) = SHARES.get_ptr_mut(slot) {
                    add(&raw mut (*share).bytes, record_bytes(size));
                }
                return;
            }
        }
    }
    count_loss(slot);
}

/// Whether a session's events that wait are fewer than what is free, with this one. Processors that ask
/// at the same time may exceed that by a record each.
#[inline(always)]
fn has_room(slot: u32, size: u64) -> bool {
    let (Some(share), Some(taken)) = (SHARES.get(slot), TAKEN.get(slot)) else {
        return false;
    };
    // The daemon may have counted a record already that is not counted here yet.
    let waiting = share.bytes.wrapping_sub(*taken).cast_signed().max(0);
    // SAFETY: the map, and a flag that the helper knows.
    let used = unsafe {
        bpf_ringbuf_query(
            (&raw const EVENTS).cast_mut().cast(),
            BPF_RB_AVAIL_DATA.into(),
        )
    };
    let free = (EVENTS_BYTES as u64).wrapping_sub(used).cast_signed();
    waiting.wrapping_add(size.cast_signed()) <= free
}
