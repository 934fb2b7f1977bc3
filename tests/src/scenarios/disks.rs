//! Controls of disks.

use std::fs;

use super::{Context, Single};
use crate::harness::{
    Check, Doing, ensure, events,
    matrix::fixture_grant,
    process::shell,
    session::Shell,
    world::{Place, World},
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![Single::new(
        "descriptors",
        "a disk that may be read and controlled is not changed",
        read_only,
    )]
}

const DISK: &str = "/dev/loop3";

/// Sends a command by a descriptor that is open for reading; its argument is a file's descriptor or a buffer.
const CONTROL: &str = "import fcntl, os, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
given = os.open(sys.argv[3], os.O_RDONLY) if len(sys.argv) > 3 else bytearray(512)
fcntl.ioctl(disk, int(sys.argv[2], 16), given)
";

/// `BLKGETSIZE64`, `BLKSSZGET`, `BLKPBSZGET`, `BLKROGET`, `LOOP_GET_STATUS64`
const ASKS: &[&str] = &["80081272", "1268", "127b", "125e", "4c05"];

/// `LOOP_CLR_FD`, `LOOP_SET_STATUS64`, `LOOP_SET_DIRECT_IO`, `BLKFLSBUF`, `BLKRRPART`
const CHANGES: &[&str] = &["4c01", "4c04", "4c08", "1261", "125f"];

const LOOP_CHANGE_FD: &str = "4c06";

/// Takes the disk away.
struct Undo;

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = shell(&format!("losetup -d {DISK}; rm -f /tmp/disk.img"));
    }
}

fn read_only(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let other = format!("{}/other.img", world.workspace);
    let program = format!("{}/control.py", world.workspace);
    fs::write(&program, CONTROL).doing("write")?;
    let _undo = Undo;
    shell(&format!(
        "modprobe loop; truncate -s 1M /tmp/disk.img {other}; losetup -r {DISK} /tmp/disk.img"
    ))?;
    let behind = || fs::read_to_string("/sys/block/loop3/loop/backing_file").doing("read");
    let control = |command: &str| format!("python3 {program} {DISK} {command}");
    let change = format!("{} {other}", control(LOOP_CHANGE_FD));
    let start = |rights: &str| {
        let rule = format!("[[file]]\nid = \"disk\"\nallow = [{rights}]\npath = [\"{DISK}\"]\n");
        Shell::start(&world.launch("fixture", &format!("{}\n{rule}", fixture_grant()))?)
    };
    let mut session = start("\"read\", \"ioctl\"")?;
    session.may_not(&change)?;
    for command in CHANGES {
        session.may_not(&control(command))?;
    }
    for command in ASKS {
        session.may(&control(command))?;
    }
    let seen = behind()?;
    ensure(seen.trim() == "/tmp/disk.img", || {
        format!("behind the disk is {seen}")
    })?;
    let told = events::of(&session.session)?;
    let of_disk = told
        .iter()
        .filter(|event| event.object == DISK)
        .map(|event| event.right.as_str())
        .collect::<Vec<_>>();
    ensure(
        !of_disk.is_empty() && of_disk.iter().all(|right| *right == "file.write"),
        || format!("expected file.write of the disk, saw {of_disk:?}"),
    )?;
    drop(session);
    start("\"read\", \"write\", \"ioctl\"")?.may(&change)?;
    let seen = behind()?;
    ensure(seen.trim() == other, || {
        format!("behind the disk is still {seen}")
    })
}
