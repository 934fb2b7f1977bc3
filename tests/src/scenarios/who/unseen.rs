//! Whose birth `task_newtask` does not see: the kernel leaves a tracepoint's program out where another task was
//! preempted in it (from 7.0 on). What `task_alloc` gave such a child stays, here given by hand.

use super::{enter, make_cgroup, remove_cgroup, tag, untag};
use crate::{
    harness::{Check, daemon::BAILIFF, ensure, events, label, members, process, session::Shell},
    scenarios::{Context, lifecycle::scene},
};

/// Beside the label of a child whose own is not settled.
const NEWBORN: u64 = 1 << 31;

/// A process as a child of `label` whose birth went unseen.
fn unseen_child(label: u64) -> Check<Shell> {
    let shell = Shell::unconfined(&[])?;
    label::give(shell.pid, label | NEWBORN)?;
    Ok(shell)
}

pub(super) fn keeps_a_label(_: &mut Context) -> Check {
    let scene = scene("unseen")?;
    let read = format!("cat {}", scene.secret);
    let top = make_cgroup("scenario-unseen")?;
    let first = Shell::unconfined(&[])?;
    enter(&top, first.pid)?;
    tag(&scene, &top)?;
    let untagged = label::of(first.pid)?;
    unseen_child(untagged)?.may_not(&read)?;
    untag(&top)?;
    unseen_child(untagged)?.may(&read)?;

    // The slot is another session's by now, or none's.
    tag(&scene, &top)?;
    let other = Shell::unconfined(&[])?;
    enter(&top, other.pid)?;
    let ended = label::of(other.pid)?;
    ensure(ended != untagged, || "two sessions with one label".into())?;
    let mut child = unseen_child(untagged)?;
    child.may(&read)?;
    ensure(label::of(child.pid).is_err(), || {
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
