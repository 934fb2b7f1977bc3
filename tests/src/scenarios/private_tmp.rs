//! `tmp = "private"`: a filesystem for temporary files that is one session's, and gone with it.

use std::fs;

use super::{Context, Single};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure, events, process,
    session::{Launch, Shell},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("private tmp", name, run);
    vec![
        new(
            "what is in it is executed, is nobody else's, and goes with its session",
            own,
        ),
        new(
            "it is kept while no daemon runs, and taken away by the next",
            dead_daemon,
        )
        .once(),
        new("where it cannot be had the session is told so", elsewhere).once(),
    ]
}

/// With a rule for all of these places, so that it is not the path which keeps others out.
fn launch(name: &str, more: &str) -> Check<Launch> {
    let path = format!("/private-tmp-{name}.toml");
    let text = format!(
        "version = 1\nname = \"{name}\"\ninclude = [\"base\"]\n\
         [[file]]\nallow = [\"read\", \"write\", \"create\", \"list\", \"exec\", \"delete\"]\npath = [\"/run/{{bailiff/tmp,private-tmp}}/**\"]\n{more}\n"
    );
    fs::write(&path, text).doing("write a grant")?;
    fs::create_dir_all("/run/private-tmp").doing("make a directory")?;
    Ok(Launch::grant(&path))
}

const JIT: &str = "[process]\njit = true\n[environment]\ntmp = \"private\"";
const PLAIN: &str = "[environment]\ntmp = \"private\"";

fn tmp_of(shell: &mut Shell) -> Check<String> {
    let said = shell.may("echo $TMPDIR")?;
    let tmp = said.trim().to_owned();
    let number = shell.session.rsplit('-').next().unwrap_or_default();
    ensure(tmp == format!("/run/bailiff/tmp/{number}"), || {
        format!("TMPDIR of {} is {tmp}", shell.session)
    })?;
    Ok(tmp)
}

fn is_mounted(tmp: &str) -> Check<Option<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").doing("read the mounts")?;
    let mut lines = mounts.lines();
    Ok(lines
        .find(|line| line.split(' ').nth(4) == Some(tmp))
        .map(str::to_owned))
}

fn is_gone(tmp: &str) -> bool {
    !fs::exists(tmp).unwrap_or(true) && is_mounted(tmp).is_ok_and(|line| line.is_none())
}

fn own(context: &mut Context) -> Check {
    context.daemon()?;
    let mut shell = Shell::start(&launch("tmp-own", JIT)?)?;
    let tmp = tmp_of(&mut shell)?;
    shell.may("cp /bin/true $TMPDIR/program && $TMPDIR/program")?;
    shell.may("mkdir $TMPDIR/a && echo mine > $TMPDIR/a/file && mv $TMPDIR/a $TMPDIR/b && ln -s /etc/shadow $TMPDIR/link")?;
    shell.may_not("cat $TMPDIR/link")?;
    // Neither devices nor anybody's rights, and its user's alone.
    let line = is_mounted(&tmp)?.ok_or("it is not mounted")?;
    ensure(line.contains("nosuid,nodev"), || line.clone())?;
    let size = process::must(&[
        "sh",
        "-c",
        &format!("df -k --output=size {tmp} | tail -1; grep MemTotal /proc/meminfo | tr -dc 0-9"),
    ])?;
    let mut kilobytes = size.stdout.split_whitespace().flat_map(str::parse::<u64>);
    let (most, memory) = (
        kilobytes.next().unwrap_or(u64::MAX),
        kilobytes.next().unwrap_or(0),
    );
    ensure(most <= memory / 4 + 1024, || {
        format!("it holds {most} kB of {memory}")
    })?;
    let mode = process::must(&["stat", "-c", "%a %u", &tmp])?;
    ensure(mode.stdout.trim() == "700 0", || mode.tail())?;

    // Without `jit` nothing that was written is executed.
    let mut plain = Shell::start(&launch("tmp-plain", PLAIN)?)?;
    let plains = tmp_of(&mut plain)?;
    plain.may("echo x > $TMPDIR/file && cat $TMPDIR/file")?;
    plain.may_not("cp /bin/true $TMPDIR/program && $TMPDIR/program")?;

    // Another session has a rule for the path, and is refused the filesystem.
    plain.may_not(&format!("cat {tmp}/b/file"))?;
    plain.may_not(&format!("ls {tmp}"))?;
    plain.may_not(&format!("echo x > {tmp}/planted"))?;
    plain.may_not(&format!("cat /proc/{}/root{tmp}/b/file", shell.pid))?;
    shell.may_not(&format!("cat {plains}/file"))?;
    let told = events::of(&plain.session)?;
    ensure(
        told.iter().any(|event| event.reason == "unknown-mount"),
        || format!("saw {told:?}"),
    )?;
    // So is one in which no rule is missing, that began later and sees it mounted.
    let mut later = Shell::start(&launch("tmp-later", "[environment]\ntmp = \"shared\"")?)?;
    later.may_not(&format!("cat {tmp}/b/file"))?;
    later.may("echo x > /run/private-tmp/twin && cat /run/private-tmp/twin")?;

    // Outside it is as good as what it is: no grant comes from there.
    let grant = format!("{tmp}/grant.toml");
    shell.may(&format!(
        "printf 'version = 1\\nname = \"planted\"\\ninclude = [\"base\"]\\n' > {grant}"
    ))?;
    let refused = Launch::grant(&grant).run(&["true"])?;
    ensure(
        refused.code != 0 && refused.stderr.contains("session's own"),
        || refused.tail(),
    )?;

    // It goes from a mount namespace that was copied meanwhile, too.
    let mut copy = Shell::unconfined(&["unshare", "--mount", "--propagation", "private"])?;
    copy.may(&format!("cat {tmp}/b/file"))?;
    drop(shell);
    process::eventually("it goes with its session", 15, || is_gone(&tmp))?;
    copy.may(&format!("! test -e {tmp}"))?;
    // Its twin is untouched.
    plain.may("cat $TMPDIR/file").map(drop)
}

fn dead_daemon(context: &mut Context) -> Check {
    context.daemon()?;
    let launch = launch("tmp-dead", JIT)?;
    let (mut shell, mut other) = (Shell::start(&launch)?, Shell::start(&launch)?);
    let (tmp, others) = (tmp_of(&mut shell)?, tmp_of(&mut other)?);
    context.daemon()?.kill()?;
    shell.may("cp /bin/true $TMPDIR/program && $TMPDIR/program")?;
    other.may_not(&format!("cat {tmp}/program"))?;
    drop(other);
    context.daemon = Some(Daemon::start()?);
    process::eventually("what ended meanwhile is taken away", 15, || {
        is_gone(&others)
    })?;
    shell.may("$TMPDIR/program && echo x > $TMPDIR/more")?;
    drop(shell);
    process::eventually("the next daemon takes it away", 15, || is_gone(&tmp))
}

fn elsewhere(context: &mut Context) -> Check {
    context.daemon()?;
    let mut launch = launch("tmp-elsewhere", JIT)?;
    launch.before = ["unshare", "--mount"].map(str::to_owned).to_vec();
    let words = [
        &launch.before[..],
        &[BAILIFF, "run", "--grant", &launch.grant, "--", "sh", "-c"].map(str::to_owned),
        &["echo TMPDIR=$TMPDIR.".to_owned()],
    ]
    .concat();
    let said = process::run(&words)?;
    ensure(
        said.code == 0
            && said.stdout.contains("TMPDIR=.")
            && said.stderr.contains("TMPDIR is not the session's own"),
        || said.tail(),
    )
}
