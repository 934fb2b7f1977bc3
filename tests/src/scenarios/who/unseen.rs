//! Whose birth `task_newtask` does not see: the kernel leaves a tracepoint's program out where another task was
//! preempted in it (from 7.0 on). What `task_alloc` gave such a child stays, here given by hand.

use super::{enter, make_cgroup, remove_cgroup, tag, untag};
use crate::{
    harness::{Check, daemon::BAILIFF, ensure, events, members, process, session::Shell},
    scenarios::{Context, lifecycle::scene},
};

/// Reads or writes the label of a process as the kernel side keeps it.
const LABEL: &str = "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, *words):
    attributes = (ctypes.c_uint64 * 4)(*words)
    result = libc.syscall(321, command, attributes, 32)
    assert result >= 0, os.strerror(ctypes.get_errno())
    return result
path = ctypes.create_string_buffer(b'/sys/fs/bpf/bailiff/maps/LABELS')
labels = bpf(7, ctypes.addressof(path))
key = ctypes.c_int(os.pidfd_open(int(sys.argv[1])))
value = ctypes.c_uint64(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
command = 2 if len(sys.argv) > 2 else 1
bpf(command, labels, ctypes.addressof(key), ctypes.addressof(value), 0)
print(value.value)
";

/// Beside the label of a child whose own is not settled.
const NEWBORN: u64 = 1 << 31;

fn label_of(pid: i32) -> Check<u64> {
    let said = process::must(&["python3", "-c", LABEL, &pid.to_string()])?;
    let number = said.stdout.trim();
    number.parse().map_err(|_| format!("no label: {number}"))
}

/// A process as a child of `label` whose birth went unseen.
fn unseen_child(label: u64) -> Check<Shell> {
    let shell = Shell::unconfined(&[])?;
    let bits = (label | NEWBORN).to_string();
    process::must(&["python3", "-c", LABEL, &shell.pid.to_string(), &bits])?;
    Ok(shell)
}

pub(super) fn keeps_a_label(_: &mut Context) -> Check {
    let scene = scene("unseen")?;
    let read = format!("cat {}", scene.secret);
    let top = make_cgroup("scenario-unseen")?;
    let first = Shell::unconfined(&[])?;
    enter(&top, first.pid)?;
    tag(&scene, &top)?;
    let untagged = label_of(first.pid)?;
    unseen_child(untagged)?.may_not(&read)?;
    untag(&top)?;
    unseen_child(untagged)?.may(&read)?;

    // The slot is another session's by now, or none's.
    tag(&scene, &top)?;
    let other = Shell::unconfined(&[])?;
    enter(&top, other.pid)?;
    let ended = label_of(other.pid)?;
    ensure(ended != untagged, || "two sessions with one label".into())?;
    let mut child = unseen_child(untagged)?;
    child.may(&read)?;
    ensure(label_of(child.pid).is_err(), || {
        "a label that is none is kept".into()
    })?;
    let name = members::all()?
        .into_iter()
        .find_map(|member| (member.pid == other.pid).then_some(member.session)?);
    process::must(&[BAILIFF, "stop", &name.ok_or("the shell is in no session")?])?;
    unseen_child(ended)?.may_not(&read)?;
    unseen_child(untagged)?.may(&read)?;
    let refused = events::query(&["--path", &format!("*{}", scene.secret)])?;
    ensure(!refused.is_empty(), || "no event of the refusal".into())?;
    remove_cgroup(&top)
}
