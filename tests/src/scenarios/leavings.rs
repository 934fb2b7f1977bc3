//! What one session leaves for the next: links, grants and includes that it made.

mod shown;

use std::{fs, os::unix::fs::symlink, path::Path};

use super::{Context, Single};
use crate::harness::{
    Check, Doing,
    daemon::{BAILIFF, Daemon},
    ensure,
    process::{self, Ended, eventually, shell},
    session::{Launch, Shell},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("leavings", name, run).once();
    let mut all = vec![
        // Before any session here could make links of the system.
        new(
            "links of a home directory keep nobody from starting",
            dotfiles,
        ),
        new(
            "a link that a session made leads the next nowhere",
            planted_link,
        ),
        new(
            "a file beside a grant is included by its path only",
            planted_include,
        ),
        new(
            "a session cannot change the grant that it runs under",
            own_grant,
        ),
        new(
            "a grant that a session could have written is refused",
            written_grant,
        ),
        new(
            "what is done later to a link or a grant hides no session that made it",
            aged,
        ),
        new(
            "a link that root was given later may be the user's session's",
            given_away,
        ),
        new(
            "a working directory that a session replaced by a link is not granted",
            moved_workplace,
        ),
    ];
    all.extend(shown::scenarios());
    all
}

/// A directory of one scenario, without what an earlier run left.
fn ground(name: &str) -> Check<String> {
    let top = format!("/srv/leavings/{name}");
    shell(&format!("rm -rf {top}; mkdir -p {top}/agent"))?;
    Ok(top)
}

/// A grant outside every session's reach.
fn launch(name: &str, rules: &str) -> Check<Launch> {
    let path = format!("/etc/bailiff/grants/leavings-{name}.toml");
    fs::create_dir_all("/etc/bailiff/grants").doing("make a directory")?;
    fs::write(&path, text(name, rules)).doing("write a grant")?;
    Ok(Launch::grant(&path))
}

fn text(name: &str, rules: &str) -> String {
    format!("version = 1\nname = \"{name}\"\ninclude = [\"base\"]\n{rules}\n")
}

/// Everything in a directory.
fn all(directory: &str) -> String {
    format!("[[file]]\nid = \"agent\"\nallow = [\"all\"]\npath = [\"{directory}/**\"]\n")
}

/// A command of one line that writes a text.
fn written(text: &str, path: &str) -> String {
    format!("printf '%b' '{}' >{path}", text.replace('\n', "\\n"))
}

/// A session that says its remarks.
fn run(grant: &str, script: &str) -> Check<Ended> {
    process::run(&[BAILIFF, "run", "--grant", grant, "--", "bash", "-c", script])
}

fn refused(ended: &Ended) -> Check {
    let said = ended.stderr.contains("Permission denied");
    ensure(ended.code == 1 && said, || ended.tail())
}

fn succeeded(ended: &Ended) -> Check {
    ensure(ended.code == 0, || ended.tail())
}

fn planted_link(context: &mut Context) -> Check {
    context.daemon()?;
    let top = ground("link")?;
    let agent = format!("{top}/agent");
    let victim = format!("{top}/victim");
    fs::create_dir(&victim).doing("make a directory")?;
    let launch = launch("link", &all(&agent))?;
    let mut first = Shell::start(&launch)?;
    first.may(&format!("rmdir {agent} && ln -s {victim} {agent}"))?;
    let write = format!("echo x >{agent}/planted");
    // While the first runs, when it has ended, and after the daemon was started anew.
    let again = |when: &str| -> Check {
        let second = run(&launch.grant, &write)?;
        refused(&second).map_err(|error| format!("{when}: {error}"))?;
        let told = second
            .stderr
            .contains("could have been made by the session link-");
        ensure(told && second.stderr.contains(&victim), || {
            format!("{when}: nothing is remarked on: {}", second.stderr)
        })
    };
    again("while it runs")?;
    drop(first);
    again("after its end")?;
    context.daemon()?.kill()?;
    context.daemon = None;
    context.daemon = Some(Daemon::start()?);
    again("after a restart")?;
    let left = fs::read_dir(&victim).doing("list a directory")?.count();
    ensure(left == 0, || {
        "something was written through the link".into()
    })?;
    // A part of the way to another place, too.
    let below = self::launch("link-below", &all(&format!("{agent}/below")))?;
    fs::create_dir(format!("{victim}/below")).doing("make a directory")?;
    refused(&run(
        &below.grant,
        &format!("echo x >{agent}/below/planted"),
    )?)?;
    // Unconfined it leads there, and so it does when somebody outside makes it anew.
    all_ended("link-")?;
    shell(&format!(
        "{write}; rm {victim}/planted {agent}; ln -s {victim} {agent}"
    ))?;
    succeeded(&run(&launch.grant, &write)?)?;
    ensure(Path::new(&victim).join("planted").exists(), || {
        "what is granted was not written".into()
    })?;
    // Links of the system are nobody's doing.
    let merged = fs::symlink_metadata("/bin").is_ok_and(|bin| bin.is_symlink());
    let shown = process::must(&[BAILIFF, "grant", "show", "base"])?;
    ensure(!merged || shown.stdout.contains("/usr/bin/"), || {
        shown.tail()
    })
}

/// Makes a file anew, as who mends a grant that a session could have written.
fn anew(file: &str) -> Check {
    shell(&format!("cp {file} {file}.new && mv {file}.new {file}")).map(drop)
}

/// Ends a session. What was made while one ran that could write everything is trusted by no later one, and so
/// are the grants that the next scenario writes.
pub(super) fn end(shell: Shell) -> Check {
    let session = shell.session.clone();
    drop(shell);
    all_ended(&session)
}

/// Waits until no session runs whose name begins so, and what is made now is plainly of later.
fn all_ended(name: &str) -> Check {
    eventually("the session has ended", 30, || {
        let listed = process::must(&[BAILIFF, "ps", "--json"]);
        listed.is_ok_and(|listed| !listed.stdout.contains(&format!("\"{name}")))
    })?;
    // The clock of files moves by ticks.
    std::thread::sleep(std::time::Duration::from_millis(50));
    Ok(())
}

fn planted_include(context: &mut Context) -> Check {
    context.daemon()?;
    let top = ground("include")?;
    let agent = format!("{top}/agent");
    let secret = format!("{top}/secret");
    fs::write(&secret, "secret").doing("write a secret")?;
    let first = launch("include", &all(&agent))?;
    let wide = "version = 1\nname = \"base\"\n[[file]]\nid = \"wide\"\nallow = [\"all\"]\n\
                path = [\"/**\"]\n";
    let mut shell = Shell::start(&first)?;
    shell.may(&written(wide, &format!("{agent}/base.toml")))?;
    end(shell)?;
    let grant = format!("{agent}/first.toml");
    let read = format!("cat {secret}");
    fs::write(&grant, text("first", "")).doing("write a grant")?;
    refused(&run(&grant, &read)?)?;
    let by_path = text("first", "").replace("\"base\"", "\"./base.toml\"");
    fs::write(&grant, by_path).doing("write a grant")?;
    let ended = run(&grant, &read)?;
    let told = ended
        .stderr
        .contains("base.toml lies where the session include-");
    ensure(ended.code == 125 && told, || ended.tail())?;
    // What somebody outside made there is included.
    anew(&format!("{agent}/base.toml"))?;
    succeeded(&run(&grant, &read)?)
}

fn own_grant(context: &mut Context) -> Check {
    context.daemon()?;
    let top = ground("own")?;
    let agent = format!("{top}/agent");
    let grant = format!("{agent}/dir/own.toml");
    fs::create_dir(format!("{agent}/dir")).doing("make a directory")?;
    let included = format!("{agent}/more.toml");
    fs::write(&included, "version = 1\nname = \"more\"\n").doing("write a grant")?;
    let own = text("own", &all(&agent)).replace("\"base\"", "\"base\", \"../more.toml\"");
    fs::write(&grant, &own).doing("write a grant")?;
    let mut session = Shell::start(&Launch::grant(&grant))?;
    let tries = |session: &mut Shell| -> Check {
        for file in [&grant, &included] {
            session.may(&format!("cat {file}"))?;
            session.may_not(&format!("echo >>{file}"))?;
            session.may_not(&format!("rm -f {file}"))?;
            session.may_not(&format!("chmod 777 {file}"))?;
            session.may(&format!("echo x >{agent}/new"))?;
            session.may_not(&format!("mv -f {agent}/new {file}"))?;
            session.run(&format!("ln {file} {agent}/link"))?;
            session.run(&format!("rm -f {agent}/new"))?;
        }
        session.run(&format!("mv {agent}/dir {agent}/moved"))?;
        session.run(&format!(
            "mkdir {agent}/prepared; mv --exchange {agent}/prepared {agent}/dir"
        ))?;
        let there = fs::read_to_string(&grant).doing("read the grant")?;
        ensure(there == own, || "the grant was changed".into())?;
        ensure(!Path::new(&format!("{agent}/link")).exists(), || {
            "it was linked".into()
        })?;
        // The twin beside them.
        session
            .may(&format!(
                "echo x >{agent}/dir/other; mv {agent}/dir/other {agent}/o; rm {agent}/o"
            ))
            .map(drop)
    };
    tries(&mut session)?;
    context.daemon()?.kill()?;
    context.daemon = Some(Daemon::start()?);
    tries(&mut session)?;
    // Others may start under it while the session runs, which could not have changed it.
    succeeded(&run(&grant, "true")?)?;
    drop(session);
    // By a second name it could be changed.
    fs::hard_link(&grant, format!("{agent}/second")).doing("make a link")?;
    let ended = run(&grant, "true")?;
    let told = ended.stderr.contains("has 2 names");
    ensure(ended.code == 125 && told, || ended.tail())?;
    fs::remove_file(format!("{agent}/second")).doing("remove a link")?;
    succeeded(&run(&grant, "true")?)
}

fn written_grant(context: &mut Context) -> Check {
    context.daemon()?;
    let top = ground("written")?;
    let agent = format!("{top}/agent");
    let grant = format!("{agent}/g.toml");
    fs::write(&grant, text("g", "")).doing("write a grant")?;
    succeeded(&run(&grant, "true")?)?;
    let first = launch("written", &all(&agent))?;
    let mut session = Shell::start(&first)?;
    let is_refused = |path: &str| -> Check {
        let ended = run(path, "true")?;
        let told = ended.stderr.contains("lies where the session written-");
        ensure(ended.code == 125 && told, || ended.tail())
    };
    is_refused(&grant)?;
    // Times that it sets say nothing.
    let text = text("g", &all("/srv/leavings"));
    session.may(&format!(
        "{}; touch -d 2100-01-01 {grant}",
        written(&text, &grant)
    ))?;
    // Nor does a link to a grant that is as it was.
    session.may(&format!("ln -s {} {agent}/l.toml", first.grant))?;
    is_refused(&grant)?;
    end(session)?;
    is_refused(&grant)?;
    is_refused(&format!("{agent}/l.toml"))?;
    context.daemon()?.kill()?;
    context.daemon = Some(Daemon::start()?);
    is_refused(&grant)?;
    // Written in place it is the same file still.
    fs::write(&grant, text).doing("write a grant")?;
    is_refused(&grant)?;
    // A copy is as good as any, where no session writes and here.
    shell(&format!(
        "cp {grant} /etc/bailiff/grants/leavings-copy.toml"
    ))?;
    succeeded(&run("leavings-copy", "true")?)?;
    all_ended("g-")?;
    anew(&grant)?;
    succeeded(&run(&grant, "true")?)
}

fn aged(context: &mut Context) -> Check {
    context.daemon()?;
    let top = ground("aged")?;
    let agent = format!("{top}/agent");
    let (link, grant, spare) = (
        format!("{agent}/link"),
        format!("{agent}/g.toml"),
        format!("{agent}/spare"),
    );
    let secret = format!("{top}/secret/s");
    shell(&format!("mkdir {top}/secret; echo secret >{secret}"))?;
    let mut session = Shell::start(&launch("aged", &all(&agent))?)?;
    for act in [
        format!("mkdir {spare}; ln -s {top}/secret {link}; ln -P {link} {spare}/l"),
        written(&text("g", &all(&top)), &grant),
        format!("ln {grant} {spare}/g; touch -h -d 2100-01-01 {link} {grant}"),
    ] {
        session.may(&act)?;
    }
    end(session)?;
    let through = launch("aged-link", &all(&link))?.grant;
    let read = format!("cat {link}/s {secret}");
    let both_refused = |after: &str, link: &str, file: &str| -> Check {
        let told = |ended: Ended, code: i32, said: &str| {
            let right = ended.code == code && ended.stderr.contains(said);
            ensure(right, || format!("after {after}: {}", ended.tail()))
        };
        told(run(&through, &read)?, 1, link)?;
        told(run(&grant, "true")?, 125, file)
    };
    both_refused("its end", "changed by others", "has 2 names")?;
    // Each advances the time of change.
    for act in [
        format!("rm -r {spare}"),
        format!("chown -h 0:0 {link} {grant}; chmod 600 {grant}"),
        format!("mv {link} {link}2; mv {link}2 {link}; mv {grant} {grant}2; mv {grant}2 {grant}"),
    ] {
        shell(&act)?;
        both_refused(&act, "made by the session aged-", "the session aged-")?;
    }
    // Made anew they are followed and read.
    all_ended("aged-")?;
    shell(&format!("ln -sfn {top}/secret {link}"))?;
    anew(&grant)?;
    succeeded(&run(&through, &read)?)?;
    succeeded(&run(&grant, &format!("cat {secret}"))?)
}

fn given_away(context: &mut Context) -> Check {
    const GROUP: &str = "bailiff:x:900:";
    context.daemon()?;
    let groups = fs::read_to_string("/etc/group").doing("read the groups")?;
    fs::write("/etc/group", format!("{groups}{GROUP}\n")).doing("write the groups")?;
    let checked = given_to_root();
    fs::write("/etc/group", groups).doing("write the groups")?;
    checked
}

fn given_to_root() -> Check {
    let top = ground("given")?;
    let agent = format!("{top}/agent");
    shell(&format!(
        "mkdir {top}/secret; echo secret >{top}/secret/s; ln -s secret {top}/old
         chmod 755 {top}; chmod 700 {top}/secret; chown 1000:1000 {agent}"
    ))?;
    // The user's session may make anything here as far as its grant says.
    let mut user = launch("given", &all(&top))?;
    user.before = "setpriv --reuid=1000 --regid=1000 --groups=900"
        .split(' ')
        .map(str::to_owned)
        .collect();
    let mut session = Shell::start(&user)?;
    session.may(&format!("ln -s {top}/secret {agent}/link"))?;
    session.may_not(&format!("ln -s {top}/secret {top}/link"))?;
    end(session)?;
    let through = |link: &str| -> Check<Ended> {
        let grant = launch("given-link", &all(link))?.grant;
        run(&grant, &format!("cat {link}/s"))
    };
    let link = format!("{agent}/link");
    refused(&through(&link)?)?;
    shell(&format!("chown -R -h 0:0 {agent}"))?;
    let ended = through(&link)?;
    refused(&ended)?;
    let told = ended.stderr.contains("made by the session given-");
    ensure(told, || format!("nothing is remarked on: {}", ended.stderr))?;
    // One that was root's before is nobody's doing; nor is one that root makes.
    succeeded(&through(&format!("{top}/old"))?)?;
    all_ended("given-")?;
    shell(&format!("ln -sfn {top}/secret {link}"))?;
    succeeded(&through(&link)?)
}

fn moved_workplace(context: &mut Context) -> Check {
    context.daemon()?;
    let top = ground("workplace")?;
    let place = format!("{top}/agent");
    let victim = format!("{top}/victim");
    fs::create_dir(&victim).doing("make a directory")?;
    let grant = launch("workplace", &all("${cwd}"))?.grant;
    let work = |directory: &str, script: &str| {
        let words = [
            BAILIFF, "run", "--grant", &grant, "--", "bash", "-c", script,
        ];
        process::run_with(&words, &mut |command| {
            // As a shell that was told `cd`.
            command.current_dir(directory).env("PWD", directory);
        })
    };
    let write = "echo x >planted && pwd -P";
    succeeded(&work(&place, &format!("{write}; rm planted"))?)?;
    succeeded(&work(
        &place,
        &format!("cd / && rmdir {place} && ln -s {victim} {place}"),
    )?)?;
    let ended = work(&place, write)?;
    refused(&ended)?;
    let told = ended.stderr.contains("made by the session workplace-");
    ensure(told && ended.stderr.contains(&victim), || {
        format!("nothing is remarked on: {}", ended.stderr)
    })?;
    let left = fs::read_dir(&victim).doing("list a directory")?.count();
    ensure(left == 0, || {
        "something was written through the link".into()
    })?;
    // Who goes there by its own name means it, and so does who makes the link.
    let wrote = |ended: &Ended| -> Check {
        succeeded(ended)?;
        ensure(ended.stdout.trim() == victim, || ended.tail())?;
        fs::remove_file(format!("{victim}/planted")).doing("remove what was written")
    };
    wrote(&work(&victim, write)?)?;
    all_ended("workplace-")?;
    shell(&format!("ln -sfn {victim} {place}"))?;
    wrote(&work(&place, write)?)
}

fn dotfiles(context: &mut Context) -> Check {
    context.daemon()?;
    let top = ground("home")?;
    let home = format!("{top}/home");
    shell(&format!(
        "mkdir -p {home}/.cargo {top}/dots/nvm; echo '[user]' >{top}/dots/gitconfig
         chown -R 1000:1000 {home}; cd {home}; ln -s loop .pyenv"
    ))?;
    for (name, to) in [(".gitconfig", "gitconfig"), (".nvm", "nvm")] {
        let link = format!("{home}/{name}");
        symlink(format!("{top}/dots/{to}"), &link).doing("make a link")?;
        shell(&format!("chown -h 1000:1000 {link}"))?;
    }
    let coder = |script: &str| {
        let words = [
            BAILIFF,
            "run",
            "--grant",
            "coder",
            "--set",
            &format!("workspace={top}/agent"),
            "--",
            "bash",
            "-c",
            script,
        ];
        process::run_with(&words, &mut |command| {
            command.env("HOME", &home).current_dir("/srv");
        })
    };
    let read = "cat ~/.gitconfig";
    let started = coder(read)?;
    refused(&started)?;
    for told in [
        "/.gitconfig (rules tool-config)",
        "/.nvm (rules toolchains)",
        "others than root",
    ] {
        ensure(started.stderr.contains(told), || {
            format!("`{told}` is not remarked on: {}", started.stderr)
        })?;
    }
    let words = [BAILIFF, "grant", "check", "coder"];
    let checked = process::run_with(&words, &mut |command| {
        command.env("HOME", &home).current_dir("/srv");
    })?;
    let told = checked.stdout.contains("/.gitconfig (rules tool-config)");
    ensure(checked.code == 0 && told, || checked.tail())?;
    // The twin: links of root's, in a home directory of root's.
    shell(&format!("rm {home}/.pyenv; chown -R -h 0:0 {home}"))?;
    let started = coder(read)?;
    succeeded(&started)?;
    ensure(!started.stderr.contains("nothing is granted"), || {
        started.tail()
    })
}
