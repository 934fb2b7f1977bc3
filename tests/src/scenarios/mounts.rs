//! Names of objects: what is mounted elsewhere, again or later changes what nobody may do.

mod later;
mod own;
mod random;

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
        new("what is mounted later lifts no denial", later::later_mounts),
        new(
            "a filesystem that comes to a granted directory, and goes, is seen",
            later::comes_and_goes,
        ),
        new(
            "no sequence of mounts gives a right, whoever restarts the daemon meanwhile",
            random::random_mounts,
        ),
        new(
            "no sequence of mounts of a session's own gives it a right",
            random::own_random_mounts,
        ),
        new(
            "a burst of mounts holds up no session that starts",
            later::burst,
        )
        .once(),
        new(
            "a session that may mount does so for itself alone",
            own::own_mounts,
        ),
        new(
            "every way to mount is refused, whatever capability is held",
            own::every_way,
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
pub(super) struct Undo(pub(super) &'static str);

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
pub(super) fn grant(name: &str, paths: &[&str], rest: &str) -> Check<Launch> {
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
