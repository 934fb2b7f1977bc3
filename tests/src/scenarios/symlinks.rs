//! Symbolic links where programs outside would follow them.

use std::fs;

use super::{
    Context, Single,
    lifecycle::{Scene, scene},
};
use crate::harness::{
    Check, Doing, ensure, events, matrix::fixture_grant, process::shell, session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "symlinks",
            "where they are denied none is made, moved, exchanged or linked to, and files are",
            denied,
        ),
        Single::new(
            "symlinks",
            "under coder, a commit outside writes where git keeps its files and nowhere else",
            commit_outside,
        )
        .once(),
    ]
}

/// `renameat2(OLD, NEW, RENAME_EXCHANGE)`; `mv` has no word for it on Debian.
const EXCHANGE: &str = "exchange() { python3 -c 'import ctypes,os,sys
if ctypes.CDLL(None, use_errno=True).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2):
    sys.exit(os.strerror(ctypes.get_errno()))' \"$1\" \"$2\"; }";

/// `rename(OLD, NEW)` alone, without the copy that `mv` falls back to.
const RENAME: &str =
    "rename() { python3 -c 'import os,sys; os.rename(sys.argv[1], sys.argv[2])' \"$1\" \"$2\"; }";

fn denied(_: &mut Context) -> Check {
    let Scene { world, secret, .. } = scene("symlinks")?;
    let base = format!("{}/symlinks", world.workspace);
    let (kept, free) = (format!("{base}/kept"), format!("{base}/free"));
    shell(&format!(
        "rm -rf {base} && mkdir -p {kept}/below {free}/directory && ln -s {secret} {kept}/old
         ln -s {secret} {free}/directory/link"
    ))?;
    let rule =
        format!("[[file]]\nid = \"no-links\"\ndeny = [\"symlink\"]\npath = [\"{kept}/**\"]\n");
    let grant = format!("{}\n{rule}", fixture_grant());
    let mut session = Shell::start(&world.launch("fixture", &grant)?)?;
    for functions in [EXCHANGE, RENAME] {
        // One line for the shell that reads lines.
        fs::write(format!("{base}/functions"), functions).doing("write functions")?;
        session.may(&format!(". {base}/functions"))?;
    }
    session.may(&format!(
        "ln -s {secret} {free}/link && ln -s x {free}/other"
    ))?;
    for act in [
        format!("ln -s {secret} {kept}/link"),
        format!("ln -s {secret} {kept}/below/link"),
        format!("rename {free}/link {kept}/link"),
        format!("rename {free}/link {kept}/old"),
        format!("ln -P {free}/link {kept}/link"),
        format!("ln -P {kept}/old {kept}/link"),
        format!("rename {kept}/old {kept}/link"),
    ] {
        session.may_not(&act)?;
    }
    // Files are not concerned, to and fro.
    session.may(&format!(
        "echo text > {kept}/file && mkdir {kept}/made && rename {kept}/file {free}/file \
         && rename {free}/file {kept}/file && ln {kept}/file {kept}/hard && rename {kept}/hard {kept}/file2"
    ))?;
    session.may_not(&format!("exchange {free}/link {kept}/file"))?;
    session.may_not(&format!("exchange {kept}/file {free}/link"))?;
    session.may(&format!("exchange {free}/link {free}/other"))?;
    // A directory is what it is with all that is in it.
    let (code, said) = session.run(&format!("rename {free}/directory {kept}/directory"))?;
    ensure(code != 0 && said.contains("cross-device"), || {
        format!("the directory was moved: {code} {said}")
    })?;
    // What is there can go.
    session.may(&format!("rm {kept}/old"))?;
    let links = shell(&format!("find {kept} -type l"))?.stdout;
    ensure(links.trim().is_empty(), || format!("links came: {links}"))?;
    let told = events::of(&session.session)?;
    let named = told.iter().filter(|event| {
        event.right == "file.symlink"
            && event
                .rule
                .as_ref()
                .is_some_and(|rule| rule.id == "no-links")
    });
    let named = named.count();
    ensure(named >= 5, || format!("{named} events: {told:?}"))?;
    shell(&format!(
        "ln -s {secret} {kept}/link && mv -T {free}/link {kept}/second && rm -rf {base}"
    ))
    .map(drop)
}

fn commit_outside(_: &mut Context) -> Check {
    let Scene { world, .. } = scene("commits")?;
    let (workspace, home) = (
        format!("{}/commits/work", world.workspace),
        "/srv/commits-home",
    );
    let git = format!("cd {workspace} && HOME={home} GIT_EDITOR=true git");
    shell(&format!(
        "rm -rf {workspace} {home} && mkdir -p {workspace} {home} && echo '# mine' > {home}/.profile
         {git} init -q . && git config user.email a@b && git config user.name a
         echo one > file && git add file && git commit -qm one"
    ))?;
    let attack = format!(
        "ln -sfn {home}/.profile .git/new; mv -T .git/new .git/COMMIT_EDITMSG; ln -sfn {home}/.profile .git/logs/HEAD
         ln -s {home}/.profile link; mv -T link .git/COMMIT_EDITMSG
         echo 'touch {home}/pwned' > .git/SQUASH_MSG; echo two >> file; git init -q below && git -C below config core.symlinks"
    );
    let said = shell(&format!(
        "cd {workspace} && HOME={home} bailiff run --grant coder --set home={home} -- sh -c '{}' 2>&1 || true",
        attack.replace('\'', "'\\''")
    ))?;
    shell(&format!("{git} commit -qam two"))?;
    let profile = fs::read_to_string(format!("{home}/.profile")).doing("read")?;
    ensure(profile == "# mine\n", || {
        format!(
            "git wrote where the session led it: {profile}: {}",
            said.tail()
        )
    })?;
    let count = shell(&format!("{git} rev-list --count HEAD"))?.stdout;
    ensure(count.trim() == "2", || {
        format!("{count} commits: {}", said.tail())
    })?;
    shell(&format!("rm -rf {workspace} {home}")).map(drop)
}
