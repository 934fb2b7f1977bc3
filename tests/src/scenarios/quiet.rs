//! Single refusals that nothing else would notice if they were missing.

use super::{Context, Single, leavings::end, lifecycle::scene};
use crate::harness::{
    Check, Doing, ensure, events, matrix::fixture_grant, process, session::Shell,
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "processes",
            "a quiet question gets no other answer",
            question,
        ),
        Single::new(
            "files",
            "a nameless file needs more than writing in its directory",
            nameless,
        ),
        Single::new(
            "files",
            "sessions of different grants take turns in one directory",
            turns,
        ),
    ]
}

/// Whether attributes of the kind `trusted` are shown: the kernel asks for a capability and wants nobody
/// to hear of it (`simple_xattr_list()`).
const LIST: &str = "python3 -c 'import os; print(os.listxattr(\"/w/quiet/mount/f\"))'";

fn question(_: &mut Context) -> Check {
    let scene = scene("quiet")?;
    let place = format!("{}/quiet/mount", scene.world.workspace);
    process::shell(&format!(
        "mkdir -p {place}; mount -t tmpfs none {place}; touch {place}/f
         setfattr -n trusted.mark -v 1 {place}/f"
    ))?;
    let checked = (|| {
        let shown = |shell: &mut Shell| Ok::<_, String>(shell.may(LIST)?.contains("trusted.mark"));
        ensure(shown(&mut Shell::unconfined(&[])?)?, || {
            "expected the attribute in no session".into()
        })?;
        let mut inside = Shell::start(&scene.launch)?;
        ensure(!shown(&mut inside)?, || {
            "expected it hidden in a session".into()
        })?;
        let audit = fixture_grant().replacen("version = 1", "version = 1\nmode = \"audit\"", 1);
        let mut audited = Shell::start(&scene.world.launch("quiet", &audit)?)?;
        ensure(shown(&mut audited)?, || {
            "expected it shown in audit mode".into()
        })?;
        for session in [&inside.session, &audited.session] {
            let events = events::of(session)?;
            let told = events
                .iter()
                .any(|event| event.right == "process.capability");
            ensure(!told, || format!("expected no event in {session}"))?;
        }
        end(audited)
    })();
    process::shell(&format!("umount {place}"))?;
    checked
}

fn nameless(_: &mut Context) -> Check {
    let scene = scene("nameless")?;
    let text = format!(
        "{}\n[[file]]\nid = \"rewrite\"\nallow = [\"read\", \"write\", \"list\"]\npath = [\"/srv/rewrite/**\"]\n",
        fixture_grant()
    );
    process::shell("mkdir -p /srv/rewrite; echo old > /srv/rewrite/f")?;
    let mut inside = Shell::start(&scene.world.launch("rewrite", &text)?)?;
    let open = |place: &str| {
        format!("python3 -c 'import os; os.open(\"{place}\", os.O_TMPFILE | os.O_RDWR, 0o600)'")
    };
    inside.may("echo new > /srv/rewrite/f")?;
    inside.may_not(&open("/srv/rewrite"))?;
    inside.may(&open(&scene.world.dropbox))?;
    Shell::unconfined(&[])?.may(&open("/srv/rewrite"))?;
    let kept = std::fs::read_to_string("/srv/rewrite/f").doing("read")?;
    ensure(kept == "new\n", || format!("expected `new`, saw {kept:?}"))
}

/// How often each takes its turn.
const ROUNDS: usize = 5;

/// What the kernel side remembers of a directory is one grant's alone. The two differ in one name of the same
/// length, so that their images number the same places alike.
fn turns(_: &mut Context) -> Check {
    let scene = scene("turns")?;
    let top = "/srv/turns";
    process::shell(&format!(
        "mkdir -p {top}/one {top}/two; for i in one two; do echo x > {top}/$i/f; done"
    ))?;
    let start = |name: &str| {
        let rule = format!(
            "[[file]]\nid = \"{name}\"\nallow = [\"read\"]\npath = [\"{top}/{name}/**\"]\n"
        );
        let text = format!("{}\n{rule}", fixture_grant());
        Shell::start(&scene.world.launch(&format!("turns-{name}"), &text)?)
    };
    let mut sessions = [("one", "two", start("one")?), ("two", "one", start("two")?)];
    // By the shell alone: a program's start would be many opens more.
    let read = |name: &str| format!("read -r line < {top}/{name}/f");
    let take_turns = |sessions: &mut [(&str, &str, Shell)]| -> Check {
        for _ in 0..ROUNDS {
            for (own, other, session) in &mut *sessions {
                session.may(&read(own))?;
                session.may_not(&read(other))?;
            }
        }
        Ok(())
    };
    take_turns(&mut sessions)?;
    // Their images are made anew for a filesystem that comes.
    process::shell(&format!(
        "mkdir -p {top}/new; mount -t tmpfs none {top}/new"
    ))?;
    let again = take_turns(&mut sessions);
    process::shell(&format!("umount {top}/new"))?;
    again?;
    for (own, _, _) in &sessions {
        Shell::unconfined(&[])?.may(&read(own))?;
    }
    Ok(())
}
