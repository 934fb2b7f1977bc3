//! What the daemon is told: one record in the ring buffer. A full buffer changes no verdict; the
//! loss is counted.

use core::{ffi::c_void, ptr::addr_of_mut};

use agent_abi::{
    Event, EventKind, Reason, Right, Verdict,
    event::Detail,
    limits::{MAX_DEPTH, MAX_EVENT_PATH, MAX_NAME},
};
use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
    bpf_get_current_uid_gid, bpf_ktime_get_boot_ns, bpf_loop, bpf_probe_read_kernel,
    bpf_ringbuf_output,
};

use crate::{
    automaton::bounded,
    kernel::{
        DENTRY_INODE, Dentry, INODE_INO, Inode, TASK_REAL_PARENT, TASK_TGID, Task, is_null, load,
        opaque,
    },
    maps::{DROPS, EVENTS},
    name::Name,
    scratch::Scratch,
    subject::Subject,
    walk::gather,
};

/// What a hook says of a decision that is worth an event.
#[derive(Clone, Copy)]
pub struct Finding {
    pub right: Right,
    pub reason: Reason,
    pub rule: u16,
    pub detail: Detail,
}

/// Reports a decision about something without a path.
#[inline(always)]
pub fn report(subject: &Subject, scratch: *mut Scratch, verdict: Verdict, finding: Finding) {
    fill(subject, scratch, verdict, finding);
    send(scratch);
}

/// Reports a decision about a file.
#[inline(always)]
pub fn report_file(
    subject: &Subject,
    scratch: *mut Scratch,
    verdict: Verdict,
    finding: Finding,
    dentry: *const Dentry,
) {
    fill(subject, scratch, verdict, finding);
    gather(scratch, dentry);
    write_path(scratch);
    // SAFETY: the current task's scratch; loads through the hook's dentry.
    unsafe {
        let event = addr_of_mut!((*scratch).record.event);
        (*event).dev = (*scratch).walk.dev;
        let inode: *const Inode = load(dentry, &DENTRY_INODE);
        if !is_null(dentry, &DENTRY_INODE) && !inode.is_null() {
            (*event).ino = load(inode, &INODE_INO);
        }
    }
    send(scratch);
}

#[inline(always)]
fn fill(subject: &Subject, scratch: *mut Scratch, verdict: Verdict, finding: Finding) {
    // SAFETY: the current task's scratch; helpers without preconditions.
    unsafe {
        let ids = bpf_get_current_pid_tgid();
        let parent: *const Task = load(subject.task, &TASK_REAL_PARENT);
        let event = addr_of_mut!((*scratch).record.event);
        event.write(Event {
            time: bpf_ktime_get_boot_ns(),
            cgroup: bpf_get_current_cgroup_id(),
            ino: 0,
            detail: finding.detail,
            slot: subject.label.slot,
            generation: subject.label.generation,
            pid: (ids >> 32) as u32,
            tid: ids as u32,
            parent: load(parent, &TASK_TGID),
            uid: bpf_get_current_uid_gid() as u32,
            dev: 0,
            rule: finding.rule,
            path_len: 0,
            kind: EventKind::Decision as u8,
            verdict: verdict as u8,
            right: finding.right as u8,
            reason: finding.reason as u8,
            truncated: 0,
            reserved: [0; 3],
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
            .cast::<Name>()
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
fn send(scratch: *mut Scratch) {
    // SAFETY: the record is in the current task's scratch; the size is bounded by the mask.
    unsafe {
        let path_len =
            opaque(u64::from((*scratch).record.event.path_len)) & (MAX_EVENT_PATH as u64 - 1);
        let size = size_of::<Event>() as u64 + path_len;
        let sent = bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            (&raw mut (*scratch).record).cast(),
            size,
            0,
        );
        if sent != 0 {
            count_drop();
        }
    }
}

/// Counts an event that could not be sent.
#[inline(always)]
pub fn count_drop() {
    if let Some(drops) = DROPS.get_ptr_mut(0) {
        // SAFETY: this CPU's value; a lost increment under preemption is of a count of losses
        // that is then still above zero.
        unsafe { *drops += 1 };
    }
}
