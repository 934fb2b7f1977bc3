//! Non-interference: nothing changes for processes outside sessions, and a grant of everything
//! changes no result.

use super::{Context, Single};
use crate::harness::{
    Check, ensure,
    matrix::{everything_grant, fixture_grant},
    process,
    session::Shell,
    world::{Place, World},
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "interference",
            "a whole build runs outside while sessions exist",
            outside,
        ),
        Single::new(
            "interference",
            "a build has the same result under a grant of everything",
            same,
        )
        .once(),
        Single::new(
            "interference",
            "a session that ends leaves nothing refused",
            ended,
        ),
    ]
}

/// A build with compiler, make, git and Python that says what came out of it.
const BUILD: &str = r#"
set -e
rm -rf "$1"; mkdir -p "$1"; cd "$1"
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_DATE='2001-01-01T00:00:00Z' GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
printf '#include <stdio.h>\nint answer(void); int main(void) { printf("%%d\\n", answer()); return 0; }\n' > main.c
printf 'int answer(void) { return 42; }\n' > answer.c
printf 'prog: main.o answer.o\n\tgcc -o prog main.o answer.o\n%%.o: %%.c\n\tgcc -c -o $@ $<\n' > Makefile
git init -q -b main .; git add .; git commit -q -m one
make -s -j2; ./prog
python3 -c 'import os, json, tempfile, subprocess; print(subprocess.check_output(["./prog"]).decode().strip(), sorted(os.listdir(".")))'
mv answer.c other.c; git add -A; git commit -q -m two; git rev-parse HEAD; git gc -q; git fsck
chmod 600 Makefile; ln -s Makefile link; ln Makefile hard; rm -rf prog *.o; stat -c '%a %h %F' Makefile link
sha256sum other.c main.c | sha256sum
"#;

fn build(words: &[String], dir: &str) -> Check<String> {
    let mut whole = words.to_vec();
    whole.extend([
        "bash".into(),
        "-c".into(),
        BUILD.into(),
        "build".into(),
        dir.into(),
    ]);
    let ended = process::run(&whole)?;
    ensure(ended.code == 0, || {
        format!("the build failed with {}: {}", ended.code, ended.tail())
    })?;
    Ok(ended.stdout)
}

fn outside(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let launch = world.launch("fixture", &fixture_grant())?;
    let mut shell = Shell::start(&launch)?;
    let busy = format!("{}/busy", world.workspace);
    shell.may(&format!(
        "(while true; do cat {busy}/x /etc/shadow >/dev/null 2>&1; echo x > {busy}.x; done) & echo $! > {busy}.pid"
    ))?;
    let built = build(&[], "/srv/build-outside");
    shell.may(&format!("kill $(cat {busy}.pid)"))?;
    let built = built?;
    ensure(built.starts_with("42\n42 "), || {
        format!("the build came to {built}")
    })
}

fn same(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let launch = world.launch("everything", &everything_grant())?;
    let free = build(&[], "/srv/build")?;
    let none: [&str; 0] = [];
    let granted = build(&launch.words(&none), "/srv/build")?;
    ensure(free == granted, || {
        format!("expected the same as unconfined, {free:?}, saw {granted:?}")
    })
}

fn ended(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let launch = world.launch("fixture", &fixture_grant())?;
    for _ in 0..3 {
        launch.run(&["true"])?;
    }
    process::must(&[
        "bash",
        "-c",
        "cat /etc/shadow | wc -l; unshare --mount true",
    ])
    .map(drop)
}
