//! What is mounted while a session runs.

use std::fs;

use super::{Undo, grant};
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure,
        process::{self, shell},
        session::Shell,
    },
    scenarios::Context,
};

/// Reads a file by every one of these paths, in vain, at once and when the daemon has seen everything.
fn refused_now_and_later(inside: &mut Shell, paths: &[&str]) -> Check {
    for wait in [0, 800] {
        std::thread::sleep(std::time::Duration::from_millis(wait));
        for path in paths {
            inside.may_not(&format!("cat {path}"))?;
        }
    }
    Ok(())
}

const LATER: &str = "
[[file]]
id = \"secret\"
deny = [\"all\"]
path = [\"/later/data/secret/**\", \"/later/disk/secret/**\", \"/later/shm/secret/**\"]
";

pub(super) fn later_mounts(context: &mut Context) -> Check {
    let undo = Undo("clear /later; losetup -d /dev/loop6; rm /tmp/later.img");
    shell(
        "mkdir -p /later; mount --bind /later /later; mount --make-rprivate /later
         mkdir -p /later/{data,disk,shm,d/{1,2,3,4,5,6,7}}
         truncate -s 8M /tmp/later.img; mkfs.ext4 -q /tmp/later.img
         losetup /dev/loop6 /tmp/later.img; mount /dev/loop6 /later/disk
         mount -t tmpfs none /later/shm
         for d in data disk shm; do
           mkdir /later/$d/secret; echo secret > /later/$d/secret/f; echo open > /later/$d/f; done",
    )?;
    let mut inside = Shell::start(&grant("later", &["/later/**"], LATER)?)?;
    inside.may("cat /later/data/f /later/disk/f /later/shm/f")?;
    let all = [
        "/later/data/secret/f",
        "/later/disk/secret/f",
        "/later/shm/secret/f",
    ];
    refused_now_and_later(&mut inside, &all)?;
    // A bind of one that is on the root filesystem, one of a whole filesystem, and one that is moved.
    shell(
        "mount --bind /later/data /later/d/1
         mount --bind /later/shm /later/d/2; umount /later/shm
         mount --move /later/disk /later/d/3
         mount -t overlay none -o lowerdir=/later/data:/later/d/7 /later/d/4
         mount --bind /later/data/secret /later/d/5",
    )?;
    let at = [
        "1/secret/f",
        "2/secret/f",
        "3/secret/f",
        "4/secret/f",
        "5/f",
    ];
    let at = at.map(|at| format!("/later/d/{at}"));
    let at = at.each_ref().map(String::as_str);
    for path in at {
        fs::read_to_string(path).doing("read unconfined")?;
    }
    refused_now_and_later(&mut inside, &at)?;
    // The same by one that looks for the first time now, since it has them by these names.
    inside.may("cat /later/d/1/f /later/d/2/f /later/d/3/f")?;
    // The next daemon knows what this one saw.
    context.daemon()?.kill()?;
    shell(
        "umount /later/d/3; mount /dev/loop6 /later/d/6; mount --bind /later/data/secret /later/d/7",
    )?;
    refused_now_and_later(&mut inside, &["/later/d/6/secret/f", "/later/d/7/f"])?;
    context.daemon = Some(crate::harness::daemon::Daemon::start()?);
    refused_now_and_later(&mut inside, &at[..2])?;
    refused_now_and_later(&mut inside, &["/later/d/6/secret/f", "/later/d/7/f"])?;
    inside.may("cat /later/d/1/f /later/d/2/f")?;
    // What went comes back where it was.
    shell("umount /later/d/6; mount /dev/loop6 /later/disk")?;
    process::eventually("the disk is seen again", 10, || {
        matches!(inside.run("cat /later/disk/f"), Ok((0, _)))
    })?;
    refused_now_and_later(&mut inside, &["/later/disk/secret/f"])?;
    drop(undo);
    Ok(())
}

pub(super) fn comes_and_goes(_: &mut Context) -> Check {
    let undo = Undo("clear /comes");
    shell(
        "mkdir -p /comes/{in,out}/dir; echo below > /comes/in/dir/below; echo x > /comes/out/dir/f",
    )?;
    let mut inside = Shell::start(&grant("comes", &["/comes/in/**"], "")?)?;
    inside.may("cat /comes/in/dir/below")?;
    for round in ["first", "second"] {
        shell(&format!(
            "mount -t tmpfs none /comes/in/dir; echo {round} > /comes/in/dir/f
             mount -t tmpfs none /comes/out/dir; echo {round} > /comes/out/dir/f"
        ))?;
        process::eventually("a new filesystem is seen", 10, || {
            inside
                .run("cat /comes/in/dir/f")
                .is_ok_and(|(code, said)| code == 0 && said.contains(round))
        })?;
        inside.may("echo mine > /comes/in/dir/mine && rm /comes/in/dir/mine")?;
        inside.may_not("cat /comes/out/dir/f")?;
        // The number of what goes is used again by what comes, somewhere else and seen by nobody.
        shell(
            "umount /comes/in/dir /comes/out/dir
             unshare --mount bash -ec 'mount -t tmpfs none /comes/out/dir; echo x > /comes/out/dir/f; sleep 2' &
             sleep 1",
        )?;
        inside.may("cat /comes/in/dir/below")?;
        inside.may_not("cat /comes/out/dir/f")?;
    }
    drop(undo);
    Ok(())
}

/// Seconds that a process used of processors.
fn processor_seconds(pid: i32) -> Check<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).doing("read a stat")?;
    let fields = text.rsplit(')').next().unwrap_or("").split_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / 100.0)
}

pub(super) fn burst(context: &mut Context) -> Check {
    let undo = Undo("clear /burst");
    shell("mkdir -p /burst/{1..30}")?;
    let launch = grant("burst", &["/burst/**"], "")?;
    let pid = context.daemon()?.pid();
    let first = processor_seconds(pid)?;
    let sessions = (0..24)
        .map(|_| Shell::start(&launch))
        .collect::<Check<Vec<_>>>()?;
    let before = processor_seconds(pid)?;
    let started = before - first;
    let begun = std::time::Instant::now();
    shell("for i in {1..30}; do mount --bind /usr /burst/$i; done")?;
    process::must(&[BAILIFF, "run", "--quiet", "--grant", "base", "--", "true"])?;
    let mounted = begun.elapsed();
    std::thread::sleep(std::time::Duration::from_secs(1));
    shell("for i in {1..30}; do umount /burst/$i; done")?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    let spent = processor_seconds(pid)? - before;
    drop((sessions, undo));
    // Every change for every session would cost 60 times what it took to start them.
    ensure(mounted.as_secs() < 30 && spent < 10.0 * started, || {
        format!(
            "a session started after {mounted:?}; the daemon took {spent:.1} s of processor, and \
             {started:.1} s for 24 sessions"
        )
    })
}
