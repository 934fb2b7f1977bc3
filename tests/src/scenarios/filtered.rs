//! System calls that no hook sees: row 78 of the catalogue. `bailiff run` filters them.

use std::fs;

use super::{
    Context, Single,
    lifecycle::{scene, tagged_shell},
};
use crate::harness::{Check, Doing, daemon::BAILIFF, ensure, process, session::Shell};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("surface", name, run);
    vec![
        new(
            "changes its personality by every entry of the kernel",
            personality,
        ),
        new("gives a keyring to who waits outside", keyring),
        new("status says whose system calls are filtered", told),
    ]
}

/// `READ_IMPLIES_EXEC`, which makes the heap executable.
const EXECUTABLE: i64 = 0x40_0000;
const ASK: i64 = 0xffff_ffff;
const X32: i64 = 0x4000_0000;

fn entry_32(number: i32, argument: i64) -> i64 {
    let result: i32;
    // SAFETY: a call that takes numbers only; the compiler's own use of `rbx` is kept by the exchange.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {argument}", "int 0x80", "xchg rbx, {argument}",
            argument = inout(reg) argument => _,
            inlateout("eax") number => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result.into()
}

fn entry_64(number: i64, argument: i64) -> i64 {
    // SAFETY: calls that take numbers only.
    let result = unsafe { libc::syscall(number, argument, 0, 0, 0, 0) };
    if result < 0 {
        -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        result
    }
}

/// `bailiff-scenarios personalities`
pub(crate) fn personalities() {
    let results = [
        entry_64(libc::SYS_personality, EXECUTABLE),
        entry_64(libc::SYS_personality | X32, EXECUTABLE),
        entry_32(136, EXECUTABLE),
        entry_64(libc::SYS_personality, ASK),
        entry_32(136, ASK),
        entry_64(libc::SYS_personality, 8),
        entry_32(136, 0),
    ];
    println!("{results:?}");
}

fn personality(_: &mut Context) -> Check {
    let scene = scene("personality")?;
    let driver = format!("{}/personality/driver", scene.world.workspace);
    fs::copy("/proc/self/exe", &driver).doing("copy the driver")?;
    let command = format!("{driver} personalities");
    let said = Shell::start(&scene.launch)?.may(&command)?;
    let expected = "[-1, -1, -1, 0, 0, 0, 8]\n";
    ensure(said == expected, || {
        format!("expected {expected:?}, saw {said:?}")
    })?;
    // Three words tell what it was before.
    let said = Shell::unconfined(&[])?.may(&command)?;
    let done = said.starts_with("[0, ") && said.ends_with(", 4194304, 4194304, 4194304, 8]\n");
    ensure(done, || format!("expected it done outside, saw {said:?}"))
}

/// KEYCTL_SESSION_TO_PARENT, also where the grant opens keyrings.
fn keyring(_: &mut Context) -> Check {
    let scene = scene("keyring")?;
    let text = crate::harness::matrix::fixture_grant() + "\n[kernel]\nkeyrings = true\n";
    let ask = "python3 -c 'import ctypes; c = ctypes.CDLL(None, use_errno=True); \
         print(c.syscall(250, 1, None, 0, 0, 0) > 0, c.syscall(250, 18, 0, 0, 0, 0), \
         ctypes.get_errno())'";
    let mut inside = Shell::start(&scene.world.launch("keyring", &text)?)?;
    let said = inside.may(ask)?;
    ensure(said == "True -1 1\n", || {
        format!("expected a refusal, saw {said:?}")
    })?;
    let said = Shell::unconfined(&[])?.may(ask)?;
    ensure(said.starts_with("True 0"), || {
        format!("expected it done outside, saw {said:?}")
    })
}

fn told(_: &mut Context) -> Check {
    let scene = scene("filtered")?;
    let inside = Shell::start(&scene.launch)?;
    let status =
        |session: &str| Ok::<_, String>(process::must(&[BAILIFF, "status", session])?.stdout);
    let said = status(&inside.session)?;
    ensure(said.contains("filtered by seccomp"), || {
        format!("expected a filter, saw {said}")
    })?;
    let (_scene, _shell, cgroup) = tagged_shell("unfiltered", &[])?;
    let listed = process::must(&[BAILIFF, "ps", "--json"])?.stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).doing("read")?;
    let sessions = listed["items"].as_array().cloned().unwrap_or_default();
    let name = sessions
        .iter()
        .find(|session| {
            session["cgroup"]
                .as_str()
                .is_some_and(|path| cgroup.ends_with(path))
        })
        .and_then(|session| session["name"].as_str().map(str::to_owned))
        .ok_or_else(|| format!("no session on {cgroup}: {listed}"))?;
    let said = status(&name)?;
    ensure(said.contains("not filtered"), || {
        format!("expected no filter, saw {said}")
    })
}
