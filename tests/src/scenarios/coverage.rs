//! What is attached, and what need not be; and that the scenarios themselves cannot hang.

use serde::Deserialize;

use super::{Context, Single};
use crate::harness::{Check, Doing, daemon::BAILIFF, ensure, process, session::Shell};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "coverage",
            "every LSM hook of this kernel is attached, or need not be",
            hooks,
        ),
        Single::new(
            "coverage",
            "a command whose output ends without a line break is seen to end",
            unended_line,
        ),
    ]
}

#[derive(Deserialize)]
struct Findings {
    hooks: Vec<Hook>,
    other_hooks: Others,
}

#[derive(Deserialize)]
struct Hook {
    hook: String,
    attached: bool,
    needed: bool,
}

#[derive(Deserialize)]
struct Others {
    unknown: Vec<String>,
    unattached: Vec<Other>,
}

#[derive(Deserialize)]
struct Other {
    hook: String,
    because: String,
}

fn hooks(_: &mut Context) -> Check {
    let ended = process::must(&[BAILIFF, "doctor", "--json"])?;
    let found: Findings =
        serde_json::from_str(&ended.stdout).doing("read `bailiff doctor --json`")?;
    let missing = found
        .hooks
        .iter()
        .filter(|hook| hook.needed && !hook.attached);
    let missing = missing.map(|hook| hook.hook.as_str()).collect::<Vec<_>>();
    ensure(missing.is_empty() && found.hooks.len() > 50, || {
        format!("not attached, of {}: {missing:?}", found.hooks.len())
    })?;
    let Others {
        unknown,
        unattached,
    } = found.other_hooks;
    ensure(unknown.is_empty(), || {
        format!("hooks that nobody has judged: {}", unknown.join(", "))
    })?;
    // As many as a kernel has, so that an empty list is not taken for a good one.
    ensure(unattached.len() > 100, || {
        format!("only {} hooks were found", unattached.len())
    })?;
    let silent = unattached.iter().find(|other| other.because.is_empty());
    ensure(silent.is_none(), || {
        format!(
            "{} has no reason",
            silent.map_or("", |other| other.hook.as_str())
        )
    })
}

fn unended_line(_: &mut Context) -> Check {
    let mut shell = Shell::unconfined(&[])?;
    let said = shell.may("printf unended")?;
    ensure(said == "unended", || format!("heard {said:?}"))?;
    let said = shell.may("echo ended")?;
    ensure(said == "ended\n", || format!("heard {said:?}"))?;
    let (code, said) = shell.run("printf '#done 0\\n#done-1 0\\n'; false")?;
    ensure(code == 1 && said == "#done 0\n#done-1 0\n", || {
        format!("{code}: {said:?}")
    })?;
    ensure(shell.may_not("printf secret").is_err(), || {
        "a success passed for a refusal".into()
    })
}
