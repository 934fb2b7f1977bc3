//! What `bailiff ps --tasks --json` says: who is in, as the kernel has it.

use std::{
    collections::BTreeSet, os::unix::fs::MetadataExt, process::Command, thread, time::Duration,
};

use serde::Deserialize;

use super::{Check, Doing, daemon::BAILIFF, ensure, process};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Member {
    pub(crate) session: Option<String>,
    pub(crate) pid: i32,
    pub(crate) tid: i32,
    pub(crate) command: String,
    pub(crate) cgroup: u64,
    pub(crate) place: Option<String>,
    pub(crate) standing: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Member>,
}

pub(crate) fn all() -> Check<Vec<Member>> {
    let ended = process::must(&[BAILIFF, "ps", "--tasks", "--json"])?;
    let page: Page = serde_json::from_str(&ended.stdout).doing("read `bailiff ps --tasks`")?;
    Ok(page.items)
}

/// No thread's label and place disagree. One that is just being born, and can be seen before it is
/// settled, is not so any more when it is looked at again.
pub(crate) fn agree(when: &str) -> Check {
    agree_within(when, Duration::from_millis(40))
}

/// The same where processors stand still for long: what disagrees no more after `patience` is let pass.
pub(crate) fn agree_within(when: &str, patience: Duration) -> Check {
    let disagreeing = || -> Check<BTreeSet<Member>> {
        let mut all = all()?;
        all.retain(|member| member.standing == "free" || member.standing == "torn");
        Ok(all.into_iter().collect())
    };
    let mut astray = disagreeing()?;
    for _ in 0..2 {
        if astray.is_empty() {
            return Ok(());
        }
        thread::sleep(patience / 2);
        let again = disagreeing()?;
        astray.retain(|member| again.contains(member));
    }
    ensure(astray.is_empty(), || {
        let doing: String = astray.iter().map(doing).collect();
        format!("{when}, label and place of tasks disagree: {astray:?}\n{doing}")
    })
}

/// What a task and its parent are in the middle of, as far as the kernel says it.
pub(crate) fn doing(member: &Member) -> String {
    let of = |pid: &str| {
        let script = format!(
            "cd /proc/{pid} && echo {pid}: $(grep -E '^(State|PPid|TracerPid|Threads|SigQ)' status) \
             syscall $(cat syscall) stack $(cat stack) flags $(cut -d' ' -f9 stat)"
        );
        let said = Command::new("bash").args(["-c", &script]).output();
        said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned())
            .unwrap_or_default()
    };
    let status = std::fs::read_to_string(format!("/proc/{}/status", member.pid));
    let status = status.unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let own = of(&member.tid.to_string());
    own + &parent.map(|pid| of(pid.trim())).unwrap_or_default()
}

/// Nobody in this cgroup has a label.
pub(crate) fn none_in(cgroup: &str) -> Check {
    let id = std::fs::metadata(cgroup).doing("look at a cgroup")?.ino();
    let mut all = all()?;
    all.retain(|member| member.cgroup == id);
    ensure(all.is_empty(), || {
        format!("expected nobody in {cgroup} to have a label, saw {all:?}")
    })
}
