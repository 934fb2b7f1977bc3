//! Consoles: what one of them can do to all.

use std::{fs, process::Command};

use crate::{
    harness::{
        Check, Doing, ensure, events,
        matrix::fixture_grant,
        process::{self, Background, shell},
        session::Shell,
        world::{Place, World},
    },
    scenarios::Context,
};

/// Sends commands to consoles: `CONSOLE COMMAND NUMBER` with a number, `CONSOLE COMMAND BYTES` with bytes, of
/// which it says what became.
const CONTROL: &str = "import fcntl, os, sys
console = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
given = sys.argv[3]
if given.isdigit():
    fcntl.ioctl(console, int(sys.argv[2], 16), int(given))
else:
    given = bytearray(given.encode().decode('unicode_escape').encode('latin1').ljust(520, b'\\0'))
    fcntl.ioctl(console, int(sys.argv[2], 16), given)
    print(bytes(given[:8]).hex())
";

/// Leads a session at a console, as who is logged in there.
const OTHER: &str = "import fcntl, os, sys, termios, time
os.setsid()
fcntl.ioctl(os.open('/dev/tty5', os.O_RDWR), termios.TIOCSCTTY, 0)
time.sleep(1000)
";

/// What keys do at every console: `KDSKBSENT`, `KDSKBENT`, `KDSKBDIACR`, `KDSKBDIACRUC`, `KDSETKEYCODE`.
const KEYS: &[&str] = &[
    "4b49 '\\x00touch /pwned'",
    "4b47 '\\x00\\x1c\\x00\\x01'",
    "4b4b '\\x00'",
    "4bfb '\\x00'",
    "4b4d '\\x01'",
];

/// Which console is shown, and whether another can be: `VT_LOCKSWITCH`, `VT_UNLOCKSWITCH`, `VT_ACTIVATE`.
const SHOWN: &[&str] = &["560b 0", "560c 0", "5606 1"];

pub(super) fn all_consoles(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let program = format!("{}/console.py", world.workspace);
    fs::write(&program, CONTROL).doing("write")?;
    let rule = "[[file]]\nid = \"consoles\"\nallow = [\"read\", \"write\", \"ioctl\"]\n\
                path = [\"/dev/tty0\", \"/dev/tty5\", \"/dev/tty6\"]\n";
    let grant = fixture_grant().replace("capabilities = []", "capabilities = [\"sys_tty_config\"]");
    let at = |console: &str, act: &str| format!("python3 {program} /dev/{console} {act}");
    // `KDGKBSENT` of the first key, `KDGKBENT` of Enter.
    let keys = || -> Check<String> {
        let string = shell(&at("tty0", "4b48 '\\x00'"))?;
        let enter = shell(&at("tty0", "4b46 '\\x00\\x1c'"))?;
        Ok(string.stdout + &enter.stdout)
    };
    let before = keys()?;
    let mut other = Command::new("python3");
    let _other = Background::start(other.args(["-c", OTHER]))?;
    process::eventually("somebody is at a console", 10, || {
        shell("ps -e -o tty= | grep -q tty5").is_ok_and(|found| found.code == 0)
    })?;
    let mut session = Shell::start(&world.launch("fixture", &format!("{grant}\n{rule}"))?)?;
    for act in KEYS.iter().chain(SHOWN) {
        session.may_not(&at("tty0", act))?;
    }
    session.may(&at("tty0", "4b48 '\\x00'"))?;
    // `KDSKBMODE`: no keys at all, where somebody is and where nobody is.
    session.may_not(&at("tty5", "4b45 4"))?;
    session.may(&at("tty6", "4b45 4"))?;
    ensure(keys()? == before, || "keys do something else".into())?;
    let told = events::of(&session.session)?;
    for (right, reason) in [
        ("file.ioctl", "self-protection"),
        ("process.control", "outside-session"),
    ] {
        ensure(
            told.iter()
                .any(|event| event.right == right && event.reason == reason),
            || format!("no event tells of {right}: {told:?}"),
        )?;
    }
    // Who is not confined says what keys do.
    shell(&at("tty0", KEYS[0]))?;
    ensure(keys()? != before, || "nobody can".into())?;
    for act in SHOWN {
        shell(&at("tty0", act))?;
    }
    shell(&at("tty6", "4b45 3")).map(drop)
}
