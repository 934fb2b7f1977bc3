//! Sessions without a word of TOML, and what their agents are told.

use std::process::Command;

use super::{Context, Single};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure,
    process::{self, Ended, shell},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("command line", name, run).once();
    vec![
        new(
            "without a grant a program has its own, else the coder's",
            unnamed,
        ),
        new("options allow and deny besides, and nothing more", added),
        new(
            "what an agent asks about is its command's refusal by a rule",
            why,
        ),
    ]
}

const CHECKOUT: &str = "/root/checkout";
const SECRET: &str = "/srv/command-line/secret";

fn prepare(context: &mut Context) -> Check {
    context.daemon()?;
    shell(&format!(
        "rm -rf {CHECKOUT} /srv/command-line; mkdir -p {CHECKOUT} /srv/command-line/below
         echo secret > {SECRET}; echo other > /srv/command-line/below/other; echo token > {CHECKOUT}/.env
         printf '#!/bin/sh\nexec \"$@\"\n' > /usr/local/bin/reviewer; chmod +x /usr/local/bin/reviewer"
    ))
    .map(drop)
}

/// In the checkout, as somebody types it.
fn run(options: &[&str], command: &[&str]) -> Check<Ended> {
    let mut run = Command::new(BAILIFF);
    run.arg("run").args(options).arg("--").args(command);
    run.current_dir(CHECKOUT)
        .env("HOME", "/root")
        .env("PWD", CHECKOUT);
    run.stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    process::finish(run.spawn().doing("start bailiff run")?, "bailiff run")
}

fn says(ended: &Ended, parts: &[&str]) -> Check {
    let text = format!("{}{}", ended.stdout, ended.stderr);
    for part in parts {
        ensure(text.contains(part), || format!("no `{part}` in {text}"))?;
    }
    Ok(())
}

fn unnamed(context: &mut Context) -> Check {
    prepare(context)?;
    let ended = run(&[], &["sh", "-c", "echo made > made; cat .env"])?;
    says(
        &ended,
        &[
            "under the grant `coder`",
            "there is none for sh",
            "(secrets)",
        ],
    )?;
    let made = shell(&format!("cat {CHECKOUT}/made"))?;
    ensure(
        made.stdout == "made\n" && !ended.stdout.contains("token"),
        || ended.tail(),
    )?;
    // A program that a grant is called by.
    let ended = run(
        &[],
        &["reviewer", "sh", "-c", "cat made; echo more >> made"],
    )?;
    says(
        &ended,
        &[
            "under the grant `reviewer`, which is for this program",
            "(unchanged)",
        ],
    )?;
    let made = shell(&format!("cat {CHECKOUT}/made"))?;
    ensure(made.stdout == "made\n" && ended.stdout == "made\n", || {
        ended.tail()
    })
}

fn added(context: &mut Context) -> Check {
    prepare(context)?;
    let both = format!("cat {SECRET} /srv/command-line/below/other");
    let refused = run(&[], &["sh", "-c", &both])?;
    ensure(refused.code != 0 && refused.stdout.is_empty(), || {
        refused.tail()
    })?;
    says(
        &refused,
        &["file.read /srv/command-line/secret and another"],
    )?;
    let allow = "file.read:/srv/command-line/below";
    let allowed = run(&["--allow", allow], &["sh", "-c", &both])?;
    ensure(allowed.stdout == "other\n", || allowed.tail())?;
    let denied = run(
        &["--deny", "file.all:made"],
        &["sh", "-c", "echo x > made; echo y > also"],
    )?;
    says(&denied, &["(command-line-1)"])?;
    let seen = shell(&format!("cd {CHECKOUT}; ls made also 2>/dev/null || true"))?;
    ensure(seen.stdout == "also\n", || seen.tail())?;
    let audited = run(&["--audit"], &["cat", SECRET])?;
    ensure(audited.stdout == "secret\n", || audited.tail())?;
    says(&audited, &["would have refused 1 action"])?;
    // Whoever looks sees that it is not the grant alone.
    let seen = run(&["--net", "127.0.0.1:9"], &["bailiff", "status"])?;
    says(&seen, &["coder+"])
}

/// Programs look around where nothing is granted; what is asked about is what a rule refused.
fn why(context: &mut Context) -> Check {
    prepare(context)?;
    let probing = format!(
        "import os\nfor name in '.env', '{SECRET}', '/srv/command-line/below/other':\n \
        try: open(name)\n except OSError: pass\n"
    );
    let asked = |question: &str| {
        let script = format!("python3 -c \"$1\"; {question}");
        run(&["--quiet"], &["sh", "-c", &script, "sh", &probing])
    };
    says(
        &asked("bailiff why")?,
        &["/checkout/.env", "Credentials are outside this grant"],
    )?;
    let path = format!("bailiff why --path '{SECRET}'");
    says(&asked(&path)?, &["file.read on /srv/command-line/secret"])?;
    let all = asked("bailiff why --last 3")?;
    let told = all.stdout.matches(" was refused ").count();
    ensure(told == 3, || format!("{told} told: {}", all.stdout))?;
    let none = asked("bailiff why --right net.connect 2>&1")?;
    says(&none, &["nothing of that kind was refused"])?;
    // Another command's, when that was the last.
    let later = asked("cat /etc/shadow; bailiff why")?;
    says(&later, &["/etc/shadow"])
}
