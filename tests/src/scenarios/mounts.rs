//! Names of objects: what is mounted elsewhere, again or later changes what nobody may do.

use std::fs;

use super::{Context, Single};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure, events,
    process::{self, shell},
    session::{Launch, Shell},
};

pub(crate) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("mounts", name, run);
    vec![
        new(
            "what is mounted from a place that was deleted stops nobody",
            deleted_source,
        )
        .once(),
        new("what is mounted later lifts no denial", later_mounts),
        new(
            "a filesystem that comes to a granted directory, and goes, is seen",
            comes_and_goes,
        ),
        new(
            "no sequence of mounts gives a right, whoever restarts the daemon meanwhile",
            random_mounts,
        ),
        new(
            "no sequence of mounts of a session's own gives it a right",
            own_random_mounts,
        ),
        new("a burst of mounts holds up no session that starts", burst).once(),
        new(
            "a session that may mount does so for itself alone",
            own_mounts,
        ),
        new(
            "every way to mount is refused, whatever capability is held",
            every_way,
        ),
        new(
            "a second mount of proc, cgroup2 or bpf lifts no rule",
            second_mounts,
        ),
        new(
            "the daemon's own files are out of reach under every name",
            own_files,
        ),
        new(
            "what the kernel is told of lockdown and the like is out of reach under every name",
            kernel_limits,
        ),
    ]
}

/// Takes away a directory once nothing is mounted there and below: what is bound there is the host's own.
const CLEAR: &str = r#"
mounts() { awk -v top="$1" '$5 == top || index($5, top "/") == 1 { print $5 }' /proc/self/mountinfo; }
clear() {
    for _ in 1 2 3 4; do mounts "$1" | sort -r | while read -r at; do umount -l "$at"; done; done
    [ -n "$(mounts "$1")" ] || rm -rf "$1"
}
"#;

/// Takes down with its value what a scenario mounted.
struct Undo(&'static str);

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = process::run(&["bash", "-c", &format!("{CLEAR}{}", self.0)]);
    }
}

/// The last refusals of a session, for messages.
fn refusals(session: &str) -> String {
    let events = events::of(session).unwrap_or_default();
    let last = events.iter().rev().take(4).map(events::Event::brief);
    format!(" ({})", last.collect::<Vec<_>>().join("; "))
}

const GRANTS: &str = "/etc/bailiff/grants";

/// Writes a grant that allows everything on these patterns, and these tables besides.
fn grant(name: &str, paths: &[&str], rest: &str) -> Check<Launch> {
    // Where no session can write, whatever it is granted.
    fs::create_dir_all(GRANTS).doing("make the directory of grants")?;
    let path = format!("{GRANTS}/{name}.toml");
    let paths = paths.iter().map(|path| format!("{path:?}"));
    let paths = paths.collect::<Vec<_>>().join(", ");
    let text = format!(
        "version = 1\nname = \"{name}\"\ninclude = [\"base\"]\n\
         [[file]]\nid = \"granted\"\nallow = [\"all\"]\npath = [{paths}]\n{rest}"
    );
    fs::write(&path, text).doing("write a grant")?;
    Ok(Launch::grant(&path))
}

fn second_mounts(_: &mut Context) -> Check {
    let undo = Undo("clear /second; rmdir /sys/fs/cgroup/second");
    shell(
        "mkdir -p /second/w/{proc,bpf} /second/cg /second/late /sys/fs/cgroup/second
         mount -t proc proc /second/w/proc
         mount -t bpf none /second/w/bpf
         mount -t cgroup2 none /second/cg",
    )?;
    let controls = [
        ("proc/sys/kernel/core_pattern", "core"),
        ("proc/sysrq-trigger", "h"),
    ];
    for (grant_name, paths) in [("second-w", &["/second/**"]), ("second-all", &["/**"])] {
        let mut inside = Shell::start(&grant(grant_name, paths, "")?)?;
        // One that comes later is the same.
        shell("mountpoint -q /second/late || mount -t proc proc /second/late")?;
        let kept = fs::read_to_string("/proc/sys/kernel/core_pattern").doing("read")?;
        for (control, text) in controls {
            let control = control.strip_prefix("proc/").unwrap_or(control);
            for proc in ["/second/w/proc", "/second/late", "/proc"] {
                inside.may_not(&format!("echo {text} > {proc}/{control}"))?;
            }
        }
        let now = fs::read_to_string("/proc/sys/kernel/core_pattern").doing("read")?;
        ensure(now == kept, || format!("core_pattern became {now}"))?;
        for cgroups in ["/second/cg", "/sys/fs/cgroup"] {
            inside.may_not(&format!("echo 1 > {cgroups}/second/cgroup.kill"))?;
            inside.may_not(&format!("echo 0 > {cgroups}/cgroup.procs"))?;
            inside.may_not(&format!("mkdir {cgroups}/mine"))?;
        }
        inside.may_not("ls /second/w/bpf")?;
        // Their twins.
        inside.may("cat /second/w/proc/version /second/late/self/status >/dev/null")?;
        inside.may("echo renamed > /second/w/proc/self/comm")?;
        inside.may("cat /second/cg/cgroup.procs >/dev/null")?;
        inside.may("touch /second/w/file && rm /second/w/file")?;
    }
    shell(
        "cat /proc/sys/kernel/core_pattern > /tmp/pattern
         cat /tmp/pattern > /second/w/proc/sys/kernel/core_pattern
         echo 1 > /second/cg/second/cgroup.kill
         ls /second/w/bpf",
    )?;
    drop(undo);
    Ok(())
}

/// With write on /sys/** a session could shut BPF out by the kernel's lockdown, and no daemon started until
/// the host did.
fn kernel_limits(_: &mut Context) -> Check {
    let undo = Undo("clear /limits");
    shell(
        "mkdir -p /limits/{sys,security,debug,late}
         mountpoint -q /sys/kernel/security || mount -t securityfs none /sys/kernel/security
         mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
         mount -t sysfs none /limits/sys
         mount -t securityfs none /limits/security
         mount -t debugfs none /limits/debug",
    )?;
    let lockdown = "/sys/kernel/security/lockdown";
    let knob = "kprobes/enabled";
    let read = || {
        let files = [lockdown.to_owned(), format!("/sys/kernel/debug/{knob}")];
        files.map(|file| fs::read_to_string(file).unwrap_or_default())
    };
    let before = read();
    let mut inside = Shell::start(&grant("limits", &["/limits/**", "/sys/**"], "")?)?;
    // And one that comes later.
    shell("mount -t securityfs none /limits/late")?;
    for security in ["/sys/kernel/security", "/limits/security", "/limits/late"] {
        inside.may_not(&format!("echo confidentiality > {security}/lockdown"))?;
    }
    for debug in ["/sys/kernel/debug", "/limits/debug"] {
        inside.may_not(&format!("echo 0 > {debug}/{knob}"))?;
    }
    inside.may(&format!("cat {lockdown} >/dev/null"))?;
    for sys in ["/sys", "/limits/sys"] {
        inside.may_not(&format!("echo /bin/true > {sys}/kernel/uevent_helper"))?;
        let setting = format!("{sys}/kernel/mm/ksm/sleep_millisecs");
        inside.may(&format!("read old <{setting}; echo $old >{setting}"))?;
    }
    let now = read();
    ensure(now == before, || format!("{before:?} became {now:?}"))?;
    // Unconfined it can be done. Not the lockdown, which only the host's next start ends.
    shell(&format!(
        "cat /sys/kernel/debug/{knob} >/tmp/knob; cat /tmp/knob >/limits/debug/{knob}"
    ))?;
    drop(inside);
    drop(undo);
    Ok(())
}

/// A root directory as ostree has it: programs from one place, and the whole of the host's filesystem
/// beside it under another name.
fn own_files(_: &mut Context) -> Check {
    let undo = Undo("clear /own; rm -rf /var/lib/twin");
    shell(
        "mkdir -p /own/{usr,proc,dev,etc,tmp,run,run2,sysroot,x,late}; cd /own
         for l in bin sbin lib lib64; do ln -sfn usr/$l $l; done
         cp -a /etc/ld.so.cache /etc/passwd /etc/group etc/
         mkdir -p /var/lib/twin; echo twin > /var/lib/twin/file
         mount --bind /usr usr; mount --bind /proc proc; mount --bind /dev dev
         mount --bind / sysroot; mount --bind /run run; mount --bind /run run2",
    )?;
    let launch = grant("own", &["/**", "/sysroot/**", "/run/**"], "")?;
    // Those that could have written there have ended.
    process::eventually("earlier sessions have ended", 20, || {
        process::run(&[BAILIFF, "ps", "--json"])
            .is_ok_and(|listed| !listed.stdout.contains("second-all"))
    })?;
    std::thread::sleep(std::time::Duration::from_millis(1100));
    fs::create_dir_all(format!("/own{GRANTS}")).doing("make the directory of grants")?;
    fs::copy(&launch.grant, format!("/own{}", launch.grant)).doing("copy the grant")?;
    let jailed = Launch {
        before: vec!["chroot".into(), "/own".into()],
        ..launch.clone()
    };
    // Where a bind mount of the socket's directory has the shorter name.
    shell("mount --bind /run /own/x")?;
    let mut inside = Shell::start(&jailed)?;
    let mut plain = Shell::start(&launch)?;
    shell("mount --bind / /own/late")?;
    for (at, jailed) in [
        ("/sysroot", true),
        ("/late", true),
        ("", false),
        ("/own/sysroot", false),
        ("/own/late", false),
    ] {
        let shell = if jailed { &mut inside } else { &mut plain };
        shell.may_not(&format!("ls {at}/var/lib/bailiff"))?;
        shell.may_not(&format!("cat {at}/var/lib/bailiff/bailiff.db"))?;
        shell.may_not(&format!("mv {at}/var/lib/bailiff {at}/var/lib/moved"))?;
        shell.may_not(&format!("mkdir -p {at}/etc/bailiff/grants/x"))?;
        shell.may_not(&format!("chmod 755 {at}/usr/bin/bailiff"))?;
        shell
            .may(&format!("cat {at}/var/lib/twin/file"))
            .map_err(|error| format!("{error}{}", refusals(&shell.session)))?;
        shell.may(&format!("touch {at}/var/lib/twin/file"))?;
    }
    for (at, jailed) in [
        ("/run", true),
        ("/run2", true),
        ("/x", true),
        ("/run", false),
        ("/own/x", false),
    ] {
        let shell = if jailed { &mut inside } else { &mut plain };
        shell.may_not(&format!("rm {at}/bailiff/bailiff.sock"))?;
        shell.may_not(&format!("cat {at}/bailiff/bailiff.lock"))?;
        shell.may_not(&format!("touch {at}/bailiff/new"))?;
        shell.may(&format!("touch {at}/twin && rm {at}/twin"))?;
    }
    // The one thing that is asked there.
    plain.may(&format!("{BAILIFF} why >/dev/null"))?;
    process::must(&[BAILIFF, "status"])?;
    drop(undo);
    Ok(())
}

fn deleted_source(_: &mut Context) -> Check {
    let undo = Undo("clear /gone");
    shell(
        "mkdir -p /gone/{a,b,t,d,late,w}; touch /gone/ns
         mount --bind /gone/a /gone/b; rmdir /gone/a
         mount --bind /proc/self/ns/net /gone/ns
         mount -t tmpfs none /gone/t; mkdir /gone/t/x; echo x > /gone/t/x/file
         mount --bind /gone/t/x /gone/d; exec 9</gone/d/file
         rm -r /gone/t/x; umount /gone/t",
    )?;
    let launch = grant("gone", &["/gone/**"], "")?;
    let mut inside = Shell::start(&launch)?;
    inside.may("touch /gone/w/file && rm /gone/w/file")?;
    // What has no place is refused alone.
    inside.may_not("ls /gone/d")?;
    shell("ls /gone/d")?;
    // And what is mounted afterwards is seen.
    shell("mount -t tmpfs none /gone/late && echo x > /gone/late/file")?;
    process::eventually("the session sees what was mounted", 10, || {
        matches!(inside.run("cat /gone/late/file"), Ok((0, _)))
    })?;
    process::must(&[BAILIFF, "run", "--grant", "base", "--", "id"])?;
    drop(undo);
    Ok(())
}

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

fn later_mounts(context: &mut Context) -> Check {
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

fn comes_and_goes(_: &mut Context) -> Check {
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

fn random_mounts(context: &mut Context) -> Check {
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
fn own_random_mounts(_: &mut Context) -> Check {
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

fn burst(context: &mut Context) -> Check {
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

fn own_mounts(_: &mut Context) -> Check {
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

fn every_way(_: &mut Context) -> Check {
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
