//! Other processes by their files below /proc.

use std::fs;

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
};
use crate::harness::{
    Check, Doing, ensure, events,
    matrix::fixture_grant,
    process::{Background, shell},
    session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "proc",
        "nothing of a process outside is changed by its files",
        changes,
    )]
}

/// What is written where, and whether it can be read back.
const CHANGES: &[(&str, &str, bool)] = &[
    ("oom_score_adj", "1000", true),
    ("autogroup", "5", false),
    ("coredump_filter", "0x7f", true),
    ("clear_refs", "1", false),
    ("task/PID/oom_score_adj", "1000", true),
];

/// The kernel takes a change of an autogroup once in a tenth of a second (`proc_sched_autogroup_set_nice()`).
fn soon(command: &str) -> String {
    format!("for i in 1 2 3 4 5 6; do {command} && break; sleep 0.2; [ $i != 6 ]; done")
}

fn changes(_: &mut Context) -> Check {
    let Scene { world, .. } = scene("proc")?;
    let rules =
        "[[file]]\nid = \"proc\"\nallow = [\"read\", \"write\", \"list\"]\npath = [\"/proc/**\"]\n";
    let grant = format!("{}\n{rules}", fixture_grant());
    let outside = Background::start(std::process::Command::new("sleep").arg("1000"))?;
    let victim = outside.pid();
    let file =
        |pid: i32, name: &str| format!("/proc/{pid}/{}", name.replace("PID", &pid.to_string()));
    let any = grant.replace("control = \"session\"", "control = \"any\"");
    for (grant, opens) in [(&grant, false), (&any, true)] {
        let mut session = Shell::start(&world.launch("fixture", grant)?)?;
        let own = session.may("sleep 1000 & echo $!")?;
        let own = own
            .trim()
            .parse::<i32>()
            .map_err(|error| format!("{own}: {error}"))?;
        for (name, value, shows) in CHANGES {
            let (theirs, ours) = (file(victim, name), file(own, name));
            if !fs::exists(&theirs).doing("look")? {
                continue;
            }
            let before = shows
                .then(|| fs::read_to_string(&theirs))
                .transpose()
                .doing("read")?;
            let write = |path: &str| format!("echo {value} > {path}");
            // Whoever is in the same POSIX session shares the autogroup.
            let is_shared = *name == "autogroup";
            if is_shared {
                session.may_not(&write(&ours))?;
            } else {
                session.may(&write(&ours))?;
            }
            if opens && !is_shared {
                session.may(&write(&theirs))?;
                continue;
            }
            session.may_not(&write(&theirs))?;
            // Reading asks the kernel's own question alone.
            if let Some(before) = before {
                let now = fs::read_to_string(&theirs).doing("read")?;
                ensure(now == before, || {
                    format!("{name} was {before}, and is {now}")
                })?;
                session.may(&format!("cat {theirs}"))?;
            }
            shell(&soon(&write(&theirs)))?;
        }
        session.may(&format!("kill {own}"))?;
    }
    let told = events::query(&["--right", "process.control"])?;
    let named = told.iter().any(|event| {
        event.object.contains(&victim.to_string()) && event.reason == "outside-session"
    });
    ensure(named, || format!("no event names {victim}: {told:?}"))
}
