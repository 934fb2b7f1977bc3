//! Mounts at random: whatever is mounted where, nothing is opened that was denied.

use std::fs;

use super::{Undo, grant};
use crate::{
    harness::{
        Check, Doing, ensure,
        process::{self, shell},
        session::Shell,
    },
    scenarios::Context,
};

/// Numbers without a pattern, the same ones each time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % count as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const RANDOM: &str = "
[[file]]
id = \"names\"
allow = [\"list\"]
path = [\"/random/**\"]

[[file]]
id = \"secret\"
deny = [\"read\"]
path = [\"/random/{a,r,d}/secret/**\"]
";

/// The texts of all files that can be read there, sorted.
const READ_ALL: &str = "grep -rhsE '^(a|r|d)-' /random | sort -u";

pub(super) fn random_mounts(context: &mut Context) -> Check {
    let undo = Undo("clear /random; losetup -d /dev/loop5; rm /tmp/random.img");
    shell(
        "mkdir -p /random; mount --bind /random /random; mount --make-rprivate /random
         mkdir -p /random/{a,r,d,x/{1,2,3,4}}
         truncate -s 8M /tmp/random.img; mkfs.ext4 -q /tmp/random.img
         losetup /dev/loop5 /tmp/random.img; mount /dev/loop5 /random/d
         mount -t tmpfs none /random/a
         for m in a r d; do mkdir /random/$m/{open,secret,none}
           for k in open secret none; do echo $m-$k > /random/$m/$k/f; done; done",
    )?;
    let granted = [
        "/random/{a,r,d}/open/**",
        "/random/{a,r,d}/secret/**",
        "/random/x/**",
    ];
    let mut inside = Shell::start(&grant("random", &granted, RANDOM)?)?;
    let first = inside.may(READ_ALL)?;
    ensure(first == "a-open\nd-open\nr-open\n", || {
        format!("read {first}")
    })?;
    let mut dice = Dice(0x5eed_1234_abcd_ef01);
    let sources = [
        "/random/a",
        "/random/r",
        "/random/d",
        "/random/a/secret",
        "/random/r/secret",
        "/random/d/secret",
        "/random/a/none",
        "/random/r/none",
        "/random/d/none",
        "/random",
        "/random/x/1",
        "/random/x/2",
    ];
    let places = ["/random/x/1", "/random/x/2", "/random/x/3", "/random/x/4"];
    let mut done = Vec::new();
    for step in 0..70 {
        let (from, to, other) = (dice.one(&sources), dice.one(&places), dice.one(&places));
        let act = match dice.below(12) {
            0..=2 => format!("mount --bind {from} {to}"),
            3 => format!("mount --rbind {from} {to}"),
            4 => format!("mount --move {other} {to}"),
            5 | 6 => format!("umount -l {to}"),
            7 => format!("mount -t overlay none -o lowerdir={from} {to}"),
            8 => format!("umount /random/d; umount -l {to}; mount /dev/loop5 {to}"),
            9 => "umount -l /random/d; mount /dev/loop5 /random/d".into(),
            10 => format!(
                "mount -t tmpfs none {to} && mkdir -p {to}/secret && echo new > {to}/secret/f"
            ),
            _ => format!(
                "umount -l /random/a; mount -o remount,bind,ro {to}; mount --bind {to} /random/a"
            ),
        };
        // Some are no mounts at all, which is as good.
        process::run(&["bash", "-c", &act])?;
        done.push(act);
        if step % 6 == 5 {
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        if step == 35 {
            context.daemon()?.kill()?;
        }
        if step == 38 {
            context.daemon = Some(crate::harness::daemon::Daemon::start()?);
        }
        let now = inside.may(READ_ALL)?;
        let new = now
            .lines()
            .find(|line| !first.lines().any(|known| known == *line));
        if let Some(new) = new {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let mounts = mounts.lines().filter(|line| line.contains("/random"));
            return Err(format!(
                "{new} could be read after {}; mounted is {}",
                done.join("; "),
                mounts.collect::<Vec<_>>().join(" | ")
            ));
        }
    }
    inside.may("cat /random/r/open/f")?;
    drop(undo);
    Ok(())
}

/// The same as [`random_mounts`] by a session that may mount, in a namespace of its own.
pub(super) fn own_random_mounts(_: &mut Context) -> Check {
    let undo = Undo("clear /mine");
    shell(
        "mkdir -p /mine; mount --bind /mine /mine; mount --make-rprivate /mine
         mkdir -p /mine/{a,r,x/{1,2,3,4}}; mount -t tmpfs none /mine/a
         for m in a r; do mkdir /mine/$m/{open,secret,none}
           for k in open secret none; do echo $m-$k > /mine/$m/$k/f; done; done",
    )?;
    let rest = "
[[file]]
id = \"names\"
allow = [\"list\"]
path = [\"/mine/**\"]

[[file]]
id = \"secret\"
deny = [\"read\"]
path = [\"/mine/{a,r}/secret/**\"]

[[file]]
id = \"maps\"
allow = [\"write\"]
path = [\"/proc/**\"]

[process]
capabilities = [\"sys_admin\", \"setuid\", \"setgid\", \"dac_override\"]

[kernel]
mount = true
namespaces = true
";
    let granted = ["/mine/{a,r}/open/**", "/mine/{a,r}/secret/**", "/mine/x/**"];
    let mut inside = Shell::start(&grant("mine", &granted, rest)?)?;
    let mut dice = Dice(0x0123_4567_89ab_cdef);
    let mut steps = Vec::new();
    for _ in 0..60 {
        let from = dice.one(&[
            "/mine/a",
            "/mine/r",
            "/mine/a/secret",
            "/mine/r/secret",
            "/mine/a/none",
            "/mine/r/none",
            "/mine",
            "/mine/x/1",
            "/mine/x/2",
        ]);
        let places = ["/mine/x/1", "/mine/x/2", "/mine/x/3", "/mine/x/4"];
        let (to, other) = (dice.one(&places), dice.one(&places));
        steps.push(match dice.below(8) {
            0..=2 => format!("mount --bind {from} {to}"),
            3 => format!("mount --rbind {from} {to}"),
            4 => format!("mount -n --move {other} {to}"),
            5 => format!("umount -l {to}"),
            6 => format!("mount -t overlay none -o lowerdir={from}:/mine/x {to}"),
            _ => format!(
                "mount -t tmpfs none {to} && mkdir -p {to}/secret && echo own > {to}/secret/f"
            ),
        });
    }
    let read = "grep -rhsE '^(a|r)-' /mine";
    let script = steps
        .iter()
        .enumerate()
        .map(|(number, step)| {
            format!("{{ {step}; }} 2>/dev/null && echo done; {read} | sed 's/^/{number} /'")
        })
        .collect::<Vec<_>>()
        .join("\n");
    fs::write("/mine/x/script", script).doing("write a script")?;
    let said =
        inside.may("cp /mine/x/script /mine/x/own && unshare --user --map-root-user --mount bash /mine/x/own; true")?;
    let read = said.lines().filter_map(|line| line.split_once(' '));
    let new = read.clone().find(|(_, text)| !text.ends_with("-open"));
    ensure(new.is_none(), || {
        format!("read {new:?} after {}", steps.join("; "))
    })?;
    // Most of it was done, and what is granted could be read all the while.
    let done = said.lines().filter(|line| *line == "done").count();
    ensure(done > 20 && read.count() > steps.len(), || said.clone())?;
    drop(undo);
    Ok(())
}
