//! Grants that checkouts bring with them: written by `bailiff init`, found by `bailiff run`, used on a user's word.

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use super::{Context, Single};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure,
    process::{self, Ended, shell},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("checkout", name, run).once();
    vec![
        new(
            "what init writes is found, trusted and used, also after a restart",
            written,
        ),
        new("a grant of a clone waits for its user's word", cloned),
        new(
            "a session neither changes nor trusts a checkout's grant",
            sessions,
        ),
    ]
}

const TOP: &str = "/root/checkouts";

/// A repository with a file of Go's in it.
fn repository(name: &str) -> Check<String> {
    let at = format!("{TOP}/{name}");
    shell(&format!(
        "rm -rf {at}; mkdir -p {at}/.git {at}/src /root/go/pkg/mod; touch {at}/go.mod; echo token > {at}/.env"
    ))?;
    Ok(at)
}

/// As somebody types it in a directory.
fn bailiff(at: &str, words: &[&str]) -> Check<Ended> {
    let mut command = Command::new(BAILIFF);
    command.args(words).current_dir(at);
    command.env("HOME", "/root").env("PWD", at);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    process::finish(command.spawn().doing("start bailiff")?, "bailiff")
}

fn run(at: &str, script: &str) -> Check<Ended> {
    bailiff(at, &["run", "--", "sh", "-c", script])
}

fn says(ended: &Ended, part: &str) -> Check {
    let text = format!("{}{}", ended.stdout, ended.stderr);
    ensure(text.contains(part), || format!("no `{part}` in {text}"))
}

/// Neither the checkout's grant nor another in its place.
fn refused(ended: &Ended, why: &str) -> Check {
    ensure(ended.code == 125 && ended.stdout.is_empty(), || {
        format!("expected a refusal: {}", ended.tail())
    })?;
    says(ended, why)
}

fn works(ended: &Ended, out: &str) -> Check {
    ensure(ended.code == 0 && ended.stdout == out, || ended.tail())
}

fn written(context: &mut Context) -> Check {
    context.daemon()?;
    let at = repository("written")?;
    let src = format!("{at}/src");
    let init = bailiff(&src, &["init"])?;
    ensure(init.code == 0 && init.stderr.is_empty(), || init.tail())?;
    says(&init, "Go")?;
    let check = bailiff(&at, &["grant", "check", "bailiff.toml"])?;
    ensure(check.code == 0 && check.stdout.lines().count() == 1, || {
        check.tail()
    })?;
    // From below it is about the whole checkout all the same.
    let script = "echo a > ../a && cat ../a; cat ../.env; echo $GOTMPDIR";
    let ended = run(&src, script)?;
    works(&ended, &format!("a\n{at}\n"))?;
    says(&ended, "under the checkout's own grant")?;
    says(&ended, "(secrets)")?;
    let again = bailiff(&at, &["init"])?;
    ensure(again.code == 1, || again.tail())?;
    // A name has the word, and what is in no checkout is nobody's.
    let named = bailiff(
        &src,
        &["run", "--grant", "coder", "--", "sh", "-c", "echo a > ../a"],
    )?;
    ensure(named.code != 0, || named.tail())?;
    context.daemon = None;
    context.daemon = Some(Daemon::start()?);
    works(&run(&src, "cat ../a")?, "a\n")?;
    // Written in place, as an editor does: the same file, and another text.
    shell(&format!("echo '# more' >> {at}/bailiff.toml"))?;
    refused(&run(&at, "cat a")?, "is not what you trusted on")?;
    works(
        &bailiff(&at, &["trust", "--yes"])?,
        &format!("{at}/bailiff.toml is used by `bailiff run` from now on, as it is now\n"),
    )?;
    works(&run(&at, "cat a")?, "a\n")?;
    shell(&format!("rm {at}/bailiff.toml"))?;
    refused(&run(&at, "cat a")?, "is not found from here")?;
    let forgotten = bailiff(&at, &["trust", "--remove"])?;
    ensure(forgotten.code == 0, || forgotten.tail())?;
    says(&run(&at, "cat a")?, "under the grant `coder`")
}

fn cloned(context: &mut Context) -> Check {
    context.daemon()?;
    let at = repository("cloned")?;
    shell(&format!(
        "printf 'version = 1\\nname = \"wide\"\\ninclude = [\"base\", \"./more.toml\"]\\n' > {at}/bailiff.toml
         printf 'version = 1\\nname = \"more\"\\n[[file]]\\nid = \"wide\"\\nallow = [\"read\"]\\npath = [\"/**\"]\\n' > {at}/more.toml"
    ))?;
    refused(&run(&at, "cat .env")?, "is not trusted yet")?;
    let listed = bailiff(&at, &["trust", "--list"])?;
    ensure(!listed.stdout.contains(&at), || listed.tail())?;
    // Nobody is there to be asked: it is shown, and not taken.
    let shown = bailiff(&at, &["trust"])?;
    ensure(shown.code == 1, || shown.tail())?;
    says(&shown, "It allows more than `coder`")?;
    says(&shown, "(wide)")?;
    refused(&run(&at, "cat .env")?, "is not trusted yet")?;
    let trusted = bailiff(&at, &["trust", "--yes"])?;
    ensure(trusted.code == 0, || trusted.tail())?;
    works(&run(&at, "cat .env")?, "token\n")?;
    // What it includes is part of what was shown.
    shell(&format!("sed -i s/read/write/ {at}/more.toml"))?;
    refused(&run(&at, "cat .env")?, "is not what you trusted on")?;
    // It is this path's alone, and a link is nobody's.
    let other = repository("copied")?;
    shell(&format!("cp {at}/bailiff.toml {at}/more.toml {other}"))?;
    refused(&run(&other, "cat .env")?, "is not trusted yet")?;
    shell(&format!("ln -sf {at}/bailiff.toml {other}/bailiff.toml"))?;
    let passed = run(&other, "echo on")?;
    works(&passed, "on\n")?;
    says(&passed, "is no regular file, and is not used")
}

fn sessions(context: &mut Context) -> Check {
    context.daemon()?;
    let at = repository("sessions")?;
    let init = bailiff(&at, &["init"])?;
    ensure(init.code == 0, || init.tail())?;
    let before = shell(&format!("cat {at}/bailiff.toml"))?.stdout;
    let tries = format!(
        "echo '# x' >> bailiff.toml; rm -f bailiff.toml; mv bailiff.toml x; cp go.mod new && mv new bailiff.toml
         {BAILIFF} trust --yes; {BAILIFF} trust --remove; {BAILIFF} trust --list; {BAILIFF} init --force"
    );
    for options in [&["run"][..], &["run", "--grant", "coder"]] {
        let words = [options, &["--", "sh", "-c", &tries]].concat();
        let ended = bailiff(&at, &words)?;
        let told = ended
            .stderr
            .matches("this process runs in the session")
            .count();
        ensure(told == 4, || {
            format!("{told} times refused: {}", ended.tail())
        })?;
        let now = shell(&format!("cat {at}/bailiff.toml"))?.stdout;
        ensure(now == before, || format!("it is another now: {now}"))?;
    }
    // One that may write it, by a grant of its own: the next session is started by nobody's mistake.
    shell(
        "printf 'version = 1\\nname = \"any\"\\ninclude = [\"base\"]\\n[[file]]\\nallow = [\"all\"]\\npath = [\"/root/checkouts/**\"]\\n' \
         > /etc/bailiff/grants/checkout-any.toml",
    )?;
    let any = |script: &str| {
        bailiff(
            &at,
            &["run", "--grant", "checkout-any", "--", "sh", "-c", script],
        )
    };
    works(
        &any("cp bailiff.toml /root/checkouts/kept && rm bailiff.toml")?,
        "",
    )?;
    refused(&run(&at, "echo on")?, "is not found from here")?;
    works(&any("cp /root/checkouts/kept bailiff.toml")?, "")?;
    sleep(Duration::from_millis(50));
    // The text is what was trusted, whoever wrote it again.
    works(&run(&at, "echo on")?, "on\n")?;
    works(&any("mkdir src/.git")?, "")?;
    refused(
        &run(&format!("{at}/src"), "echo on")?,
        "is not found from here",
    )?;
    works(&any("echo '# x' >> bailiff.toml")?, "")?;
    refused(&run(&at, "echo on")?, "is not what you trusted on")
}
