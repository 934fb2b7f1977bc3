//! What a session mounts itself.

use std::fs;

use super::{Undo, grant, refusals};
use crate::{
    harness::{Check, Doing, ensure, process::shell, session::Shell},
    scenarios::Context,
};

pub(super) fn own_mounts(_: &mut Context) -> Check {
    let undo = Undo("clear /own-m");
    shell(
        "mkdir -p /own-m/{w,x,y,p,b,up,work,secret/work}
         cp /usr/bin/true /own-m/w/true; echo kept > /own-m/secret/work/f",
    )?;
    let rest = "
[[file]]
id = \"maps\"
allow = [\"write\"]
path = [\"/proc/**\"]

[process]
capabilities = [\"sys_admin\", \"setuid\", \"setgid\", \"dac_override\", \"sys_chroot\"]

[kernel]
mount = true
namespaces = true
";
    let granted = ["/own-m/{w,x,y,p,b,up,work}/**"];
    let mut inside = Shell::start(&grant("own-m", &granted, rest)?)?;
    // Where others would see it.
    for act in [
        "mount -t tmpfs none /own-m/x",
        "mount --bind /own-m/w /own-m/x",
        "mount -t proc proc /own-m/p",
        "mount -t overlay none -o lowerdir=/etc /own-m/x",
        "mount -o remount,ro /dev/shm",
        "umount /dev/shm 2>&1 | sed 's/must be superuser/not permitted/'; false",
        "unshare --mount mount -t tmpfs none /own-m/x",
    ] {
        inside.may_not(act)?;
    }
    let own =
        |act: &str| format!("unshare --user --map-root-user --mount --pid --fork bash -c '{act}'");
    // What is its own, or keeps its name.
    for act in [
        "mount -t tmpfs none /own-m/x && echo mine > /own-m/x/f && grep mine /own-m/x/f && ls /own-m/x",
        "mount -t tmpfs none /own-m/x && mkdir /own-m/x/d && mv /own-m/x/d /own-m/x/e && rmdir /own-m/x/e",
        "mount -t tmpfs none /own-m/x && mount -n --move /own-m/x /own-m/y && touch /own-m/y/f && umount /own-m/y",
        "mount -t proc proc /own-m/p && cat /own-m/p/self/status >/dev/null",
        "mount --bind /own-m/w /own-m/b && /own-m/b/true",
    ] {
        inside
            .may(&own(act))
            .map_err(|error| format!("{error}{}", refusals(&inside.session)))?;
    }
    for act in [
        "mount -t tmpfs none /own-m/x && cp /usr/bin/true /own-m/x/ && /own-m/x/true",
        "mount -t proc proc /own-m/p && echo core > /own-m/p/sys/kernel/core_pattern",
        "mount --bind /etc /own-m/b && cat /own-m/b/shadow",
        "mount --rbind / /own-m/b && cat /own-m/b/etc/shadow",
        "mount -t overlay none -o lowerdir=/etc /own-m/x && cat /own-m/x/shadow",
        "mount -t overlay none -o lowerdir=/own-m/w,upperdir=/own-m/up,workdir=/own-m/secret /own-m/x",
        "mount -t tmpfs none /own-m/x && touch /own-m/x/f && mount --bind /own-m/secret /own-m/x && cat /own-m/x/work/f",
    ] {
        inside.may_not(&own(act))?;
    }
    let kept = fs::read_to_string("/own-m/secret/work/f").doing("read")?;
    let seen = shell(
        "ls /own-m/x /own-m/y /own-m/b /own-m/p; grep -c own-m /proc/self/mountinfo || true",
    )?;
    ensure(kept == "kept\n" && seen.stdout.ends_with("\n0\n"), || {
        format!("outside there is {kept:?} and {}", seen.stdout)
    })?;
    drop(undo);
    Ok(())
}

/// Each call with the hook that sees it first.
const WAYS: &str = r#"
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *arguments):
    words = [a.encode() if isinstance(a, str) else a for a in arguments]
    result = libc.syscall(number, *words)
    error = ctypes.get_errno() if result < 0 else 0
    print(name, "refused" if error == 1 else f"{result} {error}", flush=True)
    return result
CWD = -100
call("sb_mount", 165, "none", "/every/x", "tmpfs", 0, None)
call("sb_mount", 165, "/every/w", "/every/x", None, 4096, None)
call("sb_umount", 166, "/every/m", 2)
call("sb_pivotroot", 155, "/every/m", "/every/m")
tree = libc.syscall(428, CWD, b"/every/w", 1)
if tree >= 0:
    call("move_mount", 429, tree, "", CWD, "/every/x", 4)
context = libc.syscall(430, b"tmpfs", 0)
if context >= 0:
    call("fs_context_parse_param", 431, context, 1, "size", "1m", 0)
    call("sb_kern_mount", 431, context, 6, None, None, 0)
picked = libc.syscall(433, CWD, b"/every/m", 0)
if picked >= 0:
    call("sb_remount", 431, picked, 7, None, None, 0)
"#;

pub(super) fn every_way(_: &mut Context) -> Check {
    let undo = Undo("clear /every");
    shell("mkdir -p /every/{w,x,m}; mount -t tmpfs none /every/m")?;
    fs::write("/every/w/ways.py", WAYS).doing("write")?;
    let rest = "\n[process]\ncapabilities = [\"sys_admin\"]\n";
    let mut inside = Shell::start(&grant("every", &["/every/**"], rest)?)?;
    let before = fs::read_to_string("/proc/self/mountinfo").doing("read")?;
    let said = inside.may("python3 /every/w/ways.py")?;
    let passed = said.lines().find(|line| !line.ends_with("refused"));
    ensure(passed.is_none() && said.lines().count() >= 4, || {
        said.clone()
    })?;
    let after = fs::read_to_string("/proc/self/mountinfo").doing("read")?;
    ensure(before == after, || format!("mounts became {after}"))?;
    // Unconfined each goes through, but for the change of root.
    let free = shell("python3 /every/w/ways.py")?.stdout;
    let refused = free
        .lines()
        .filter(|line| line.ends_with("refused"))
        .count();
    ensure(refused == 0, || free.clone())?;
    drop(undo);
    Ok(())
}
