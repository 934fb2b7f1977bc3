//! Limits by which the kernel ends whoever passes them.

use std::fs;

use super::grant;
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure, events,
        process::{self, Background},
        session::{Launch, Shell},
    },
    scenarios::Context,
};

/// Each ends a process that is busy or writes.
const LIMITS: &[&str] = &[
    "--cpu=1:1",
    "--fsize=0:0",
    "--rttime=1:1",
    "--stack=4096:4096",
    "--as=4096:4096",
    "--memlock=0:0",
];

pub(super) fn kill(_: &mut Context) -> Check {
    let mut victim = Background::victim("limited")?;
    let pid = victim.pid();
    let limits = || fs::read_to_string(format!("/proc/{pid}/limits")).doing("read limits");
    let before = limits()?;
    let start = |process: &str| -> Check<Shell> {
        fs::write("/grant-limits.toml", grant(process, "")).doing("write the grant")?;
        Shell::start(&Launch::grant("/grant-limits.toml"))
    };
    let mut session = start("control = \"any\"")?;
    for limit in LIMITS {
        session.may_not(&format!("prlimit --pid {pid} {limit}"))?;
        session.may(&format!(
            "(sleep 9 & prlimit --pid $! {limit}; told=$?; kill -KILL $!; exit $told)"
        ))?;
    }
    ensure(limits()? == before, || "a limit is another".into())?;
    let told = events::of(&session.session)?;
    let of_limits = |event: &events::Event| {
        event.right == "process.signal" && event.object.contains(&format!("[{pid}]"))
    };
    ensure(told.iter().any(of_limits), || {
        format!("no event tells it: {told:?}")
    })?;
    let why = process::must(&[BAILIFF, "why", "--session", &session.session])?;
    ensure(why.stdout.contains("signal = \"any\""), || {
        format!("the key is not proposed: {}", why.tail())
    })?;
    session.may(&format!("prlimit --pid {pid} --nofile=100:100"))?;
    drop(session);
    let mut session = start("control = \"any\"\nsignal = \"any\"")?;
    session.may(&format!("prlimit --pid {pid} --fsize=0:0"))?;
    ensure(
        victim.child.try_wait().is_ok_and(|ended| ended.is_none()),
        || "the process ended".into(),
    )
}
