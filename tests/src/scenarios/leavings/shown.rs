//! What a session left, shown by another filesystem: overlays, images, disks, servers.

use std::fs;

use super::{all, all_ended, end, ground, launch, run, text, written};
use crate::{
    harness::{
        Check, Doing,
        daemon::{BAILIFF, Daemon},
        ensure, fuse,
        process::{self, Ended, shell},
        session::Shell,
    },
    scenarios::{Context, Single},
};

pub(super) fn scenarios() -> Vec<Single> {
    let new = |name, run| Single::new("leavings", name, run);
    vec![
        new(
            "an overlay shows no session's link as somebody else's",
            overlays,
        ),
        new(
            "a copy that an overlay made is as old as what it copied",
            copied_up,
        )
        .once(),
        new(
            "an image that a session made or a disk under another name is nobody's",
            images,
        ),
        new(
            "a session gives no disk the identifier of another",
            identifier,
        ),
        new(
            "what a server shows is taken from before sessions only",
            served,
        )
        .once(),
        new(
            "grants are read where the root itself is an overlay",
            live_system,
        )
        .once(),
    ]
}

/// A place with a secret, a grant that reads it, and a daemon that knows of no session yet.
struct Place {
    top: String,
    name: &'static str,
}

impl Place {
    fn new(context: &mut Context, name: &'static str) -> Check<Self> {
        let top = ground(name)?;
        context.daemon = None;
        let state = format!("{top}/state");
        shell(&format!(
            "modprobe -q -a overlay loop fuse || :; mkdir {top}/secret; echo secret >{top}/secret/s"
        ))?;
        context.daemon = Some(Daemon::start_with(&["--state", &state])?);
        Ok(Self { top, name })
    }

    /// Reads the secret by way of a link, under a grant that allows nothing else and to make nothing.
    fn through(&self, link: &str) -> Check<Ended> {
        let rules =
            format!("[[file]]\nid = \"read\"\nallow = [\"read\"]\npath = [\"{link}/**\"]\n");
        let grant = launch(&format!("{}-read", self.name), &rules)?.grant;
        run(&grant, &format!("cat {link}/s"))
    }

    fn leads(&self, link: &str) -> Check {
        let ended = self.through(link)?;
        let read = ended.code == 0 && ended.stdout.contains("secret");
        ensure(read, || format!("{link}: {}", ended.tail()))
    }

    /// Neither the link `proj` nor the grant `evil.toml` at this place is taken for somebody's.
    fn is_doubted(&self, at: &str, why: &str) -> Check {
        // Both lead there for who is not confined.
        shell(&format!("cat {at}/proj/s {at}/evil.toml"))?;
        for (ended, code) in [
            (self.through(&format!("{at}/proj"))?, 1),
            (run(&format!("{at}/evil.toml"), "true")?, 125),
        ] {
            let told = ended.code == code && ended.stderr.contains(why);
            ensure(told, || format!("{at}, not `{why}`: {}", ended.tail()))?;
        }
        Ok(())
    }

    /// What a session leaves that wants the next to read the secret.
    fn bait(&self, at: &str) -> String {
        let wide = text("evil", &all(&format!("{}/secret", self.top)));
        format!(
            "ln -s {}/secret {at}/proj && {}",
            self.top,
            written(&wide, &format!("{at}/evil.toml"))
        )
    }

    /// A session that may do anything in one directory does this there, and ends.
    fn session(&self, directory: &str, script: &str) -> Check {
        let mut session = Shell::start(&launch(self.name, &all(directory))?)?;
        session.may(script)?;
        end(session)
    }

    fn overlay(&self, name: &str, lower: &str) -> Check<String> {
        let at = format!("{}/{name}", self.top);
        shell(&format!(
            "mkdir -p {at} {at}.up {at}.work
             mount -t overlay none -o lowerdir={lower},upperdir={at}.up,workdir={at}.work {at}"
        ))?;
        Ok(at)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let clear = format!(
            "rm -f /etc/bailiff/filesystems
             while read -r _ _ _ _ at _; do
               case $at in {}/*) umount -l \"$at\";; esac
             done </proc/self/mountinfo",
            self.top
        );
        let _ = process::run(&["bash", "-c", &clear]);
    }
}

/// Prints the identifier of the filesystem in the file that follows.
const UUID: &str = "uuid() { tune2fs -l \"$1\" | sed -n 's/^Filesystem UUID: *//p'; }; uuid";

/// Ends the daemon of a place, whose store is not the usual one.
fn done(context: &mut Context, place: Place) -> Check {
    all_ended(place.name)?;
    context.daemon = None;
    drop(place);
    Ok(())
}

fn overlays(context: &mut Context) -> Check {
    let place = Place::new(context, "overlays")?;
    let top = place.top.clone();
    let agent = format!("{top}/agent");
    shell(&format!(
        "mkdir {top}/base; ln -s {top}/secret {top}/base/old"
    ))?;
    let before = place.overlay("before", &format!("{top}/base"))?;
    place.leads(&format!("{before}/old"))?;
    place.session(&agent, &place.bait(&agent))?;
    place.is_doubted(&agent, "the session overlays-")?;
    // What the session made is in a lower layer; in a copy; in the second of two layers.
    let shown = place.overlay("shown", &agent)?;
    place.is_doubted(&shown, "the session overlays-")?;
    let second = place.overlay("second", &format!("{top}/base:{agent}"))?;
    place.is_doubted(&second, "the session overlays-")?;
    // A bind of it, and an overlay on the overlay.
    let bound = format!("{top}/bound");
    shell(&format!("mkdir {bound}; mount --bind {shown} {bound}"))?;
    place.is_doubted(&bound, "the session overlays-")?;
    let twice = place.overlay("twice", &shown)?;
    place.is_doubted(&twice, "the session overlays-")?;
    // Where the layers cannot be told, what is there could be anything that a session changed.
    let hidden = format!("{top}/hidden");
    shell(&format!(
        "mkdir {hidden}; cd {agent}; mount -t overlay none -o lowerdir=.:../base {hidden}"
    ))?;
    place.is_doubted(&hidden, "can show what lies elsewhere")?;
    place.leads(&format!("{hidden}/old"))?;
    // The twins: what was mounted before, what is mounted later of directories that no session had, and
    // a link that is made anew in its own place.
    place.leads(&format!("{before}/old"))?;
    let later = place.overlay("later", &format!("{top}/base"))?;
    place.leads(&format!("{later}/old"))?;
    shell(&format!(
        "chown -h 0:0 {later}/old; ln -s {top}/secret {later}/new"
    ))?;
    place.leads(&format!("{later}/old"))?;
    place.leads(&format!("{later}/new"))?;
    done(context, place)
}

fn copied_up(context: &mut Context) -> Check {
    let place = Place::new(context, "copied")?;
    let top = place.top.clone();
    let agent = format!("{top}/agent");
    shell(&format!(
        "mkdir -p {top}/base/inside; ln -s {top}/secret {top}/base/old"
    ))?;
    place.session(&agent, &place.bait(&agent))?;
    let shown = place.overlay("shown", &agent)?;
    // The operator's acts make copies with a birth of their own.
    let touch = |at: &str| {
        shell(&format!(
            "chown -h 0:0 {at}/proj; chmod 600 {at}/evil.toml; touch -h {at}/proj; ls -la {at}.up"
        ))
    };
    let up = touch(&shown)?;
    ensure(
        up.stdout.contains("proj") && up.stdout.contains("evil.toml"),
        || format!("nothing was copied: {}", up.stdout),
    )?;
    place.is_doubted(&shown, "the session copied-")?;
    // A session on an overlay writes the upper directory: under that name, and as a lower layer of others.
    let container = place.overlay("container", &format!("{top}/base"))?;
    let inside = format!("{container}/inside");
    place.session(&inside, &place.bait(&inside))?;
    place.is_doubted(&inside, "the session copied-")?;
    let upper = format!("{container}.up");
    place.is_doubted(&format!("{upper}/inside"), "the session copied-")?;
    shell(&format!("umount {container}"))?;
    let next = place.overlay("next", &format!("{upper}:{top}/base"))?;
    let inside = format!("{next}/inside");
    place.is_doubted(&inside, "the session copied-")?;
    shell(&format!(
        "chown -h 0:0 {inside}/proj; chmod 600 {inside}/evil.toml"
    ))?;
    place.is_doubted(&inside, "the session copied-")?;
    // The image's own link beside it, and its copy.
    place.leads(&format!("{next}/old"))?;
    shell(&format!("touch -h {next}/old"))?;
    place.leads(&format!("{next}/old"))?;
    // Where the session had its overlay, what is made anew after its end is the operator's.
    shell(&format!("umount {next}"))?;
    let again = place.overlay("container", &format!("{top}/base"))?;
    all_ended("copied-")?;
    shell(&format!("ln -sfn {top}/secret {again}/inside/proj"))?;
    place.leads(&format!("{again}/inside/proj"))?;
    done(context, place)
}

fn images(context: &mut Context) -> Check {
    let place = Place::new(context, "images")?;
    let top = place.top.clone();
    let agent = format!("{top}/agent");
    let (disk, image) = (format!("{top}/disk"), format!("{top}/disk.img"));
    shell(&format!(
        "mkdir {disk} {top}/i; truncate -s 16M {image}; mkfs.ext4 -q -O ^has_journal,^metadata_csum {image}
         mount -o loop {image} {disk}; mkdir {disk}/inside; ln -s {top}/secret {disk}/old"
    ))?;
    place.leads(&format!("{disk}/old"))?;
    let inside = format!("{disk}/inside");
    place.session(&inside, &place.bait(&inside))?;
    place.session(
        &agent,
        &format!(
            "mkdir {agent}/r && {} && PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -O ^metadata_csum -d {agent}/r \
             {agent}/img 8M",
            place.bait(&format!("{agent}/r"))
        ),
    )?;
    let mount = |file: &str| shell(&format!("mount -o loop {file} {top}/i"));
    let unmount = || shell(&format!("umount {top}/i"));
    let at = format!("{top}/i");
    mount(&format!("{agent}/img"))?;
    place.is_doubted(&at, "lies in the image")?;
    unmount()?;
    // On a loop device on a loop device.
    shell(&format!(
        "lower=$(losetup -f --show {agent}/img); upper=$(losetup -f --show $lower); mount $upper {at}
         losetup -d $upper; losetup -d $lower"
    ))?;
    place.is_doubted(&at, "lies in the image")?;
    unmount()?;
    // A copy of it, until somebody answers for it.
    shell(&format!("cp {agent}/img {top}/copy.img"))?;
    mount(&format!("{top}/copy.img"))?;
    place.is_doubted(&at, "was not mounted before the session")?;
    let uuid = shell(&format!("{UUID} {top}/copy.img"))?;
    fs::write("/etc/bailiff/filesystems", &uuid.stdout).doing("name a disk")?;
    place.leads(&format!("{at}/proj"))?;
    fs::remove_file("/etc/bailiff/filesystems").doing("name no disk")?;
    unmount()?;
    // What bears a name that is answered for is the session's all the same.
    shell(&format!("tune2fs -U $({UUID} {image}) {agent}/img"))?;
    mount(&format!("{agent}/img"))?;
    place.is_doubted(&at, "lies in the image")?;
    unmount()?;
    // The disk that was there before is known again, with what the session left on it.
    place.leads(&format!("{disk}/old"))?;
    place.is_doubted(&inside, "the session images-")?;
    shell(&format!("umount {disk}; mount -o loop {image} {disk}"))?;
    place.leads(&format!("{disk}/old"))?;
    place.is_doubted(&inside, "the session images-")?;
    context.daemon()?.kill()?;
    context.daemon = Some(Daemon::start_with(&["--state", &format!("{top}/state")])?);
    place.leads(&format!("{disk}/old"))?;
    place.is_doubted(&inside, "the session images-")?;
    // Under another name it is not.
    shell(&format!(
        "umount {disk}; e2fsck -fy {image} || [ $? -lt 4 ]; tune2fs -U random {image}
         mount -o loop {image} {disk}"
    ))?;
    place.is_doubted(&inside, "was not mounted before the session")?;
    done(context, place)
}

/// `EXT4_IOC_SETFSUUID` (6.0+), which would make an unknown disk a known one.
const SET_UUID: &str = "import fcntl, os, struct, sys
at = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(at, 0x4008662c, struct.pack('II16s', 16, 0, bytes.fromhex(sys.argv[2].replace('-', ''))))
";

fn identifier(context: &mut Context) -> Check {
    let place = Place::new(context, "identifier")?;
    let top = place.top.clone();
    let (agent, disk, image) = (
        format!("{top}/agent"),
        format!("{top}/disk"),
        format!("{top}/disk.img"),
    );
    fs::write(format!("{agent}/set.py"), SET_UUID).doing("write a program")?;
    // The daemon knows no disk like it.
    place.session(&agent, "true")?;
    shell(&format!(
        "mkdir {disk}; truncate -s 16M {image}; mkfs.ext4 -q {image}; mount -o loop {image} {disk}"
    ))?;
    let known = shell("findmnt -no UUID /")?.stdout.trim().to_owned();
    let set = |uuid: &str| format!("python3 {agent}/set.py {disk} {uuid}");
    let told = || shell(&format!("sync; {UUID} {image}")).map(|told| told.stdout.trim().to_owned());
    let before = told()?;
    let everything = [&agent, &disk].map(|path| all(path)).join("");
    let rules = everything.replacen("id = \"agent\"", "id = \"set\"", 1)
        + "[process]\ncapabilities = [\"sys_admin\", \"dac_override\"]\n";
    let mut session = Shell::start(&launch(place.name, &rules)?)?;
    session.may(&format!("echo x >{disk}/x; rm {disk}/x"))?;
    session.may_not(&set(&known))?;
    ensure(told()? == before, || "the identifier was changed".into())?;
    let why = process::must(&[BAILIFF, "why", "--session", &session.session])?;
    let says = why.stdout.contains("changes the whole filesystem");
    ensure(says, || why.tail())?;
    end(session)?;
    // Who is not confined may.
    let random = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    shell(&set(random))?;
    ensure(told()? == random, || {
        format!("expected {random}, saw {:?}", told())
    })?;
    done(context, place)
}

fn served(context: &mut Context) -> Check {
    let place = Place::new(context, "served")?;
    let top = place.top.clone();
    let agent = format!("{top}/agent");
    shell(&format!(
        "ln -s {top}/secret {top}/agent/old; mkdir {top}/served"
    ))?;
    let served = format!("{top}/served");
    let server = fuse::Links::serve(&agent, &served)?;
    place.leads(&format!("{served}/old"))?;
    place.session(&agent, &format!("ln -s {top}/secret {agent}/proj"))?;
    place.leads(&format!("{served}/old"))?;
    let ended = place.through(&format!("{served}/proj"))?;
    let told = ended.stderr.contains("can show what lies elsewhere");
    ensure(ended.code == 1 && told, || ended.tail())?;
    // Until an operator answers for what is mounted there.
    fs::write("/etc/bailiff/filesystems", &served).doing("name a server")?;
    place.leads(&format!("{served}/proj"))?;
    fs::remove_file("/etc/bailiff/filesystems").doing("name no server")?;
    // Unconfined it leads there; and its real name says the same.
    shell(&format!("cat {served}/proj/s"))?;
    place.leads(&format!("{top}/secret"))?;
    drop(server);
    done(context, place)
}

/// The root is an overlay whose lower directory has no path any more, as on a live system or in a container.
fn live_system(context: &mut Context) -> Check {
    let place = Place::new(context, "live")?;
    let top = place.top.clone();
    context.daemon = None;
    let inside = format!("{top}/inside");
    let grant = |name: &str, rules: &str| {
        let file = format!("/etc/bailiff/grants/leavings-{name}.toml");
        written(&text(name, rules), &file)
    };
    let reading = |name: &str, link: &str| {
        let rules = "[[file]]\nid = \"read\"\nallow = [\"read\"]\npath = [\"LINK/**\"]\n";
        let grant = grant(name, &rules.replace("LINK", link));
        format!("{grant}; {BAILIFF} run --grant leavings-{name} -- cat {link}/s")
    };
    // Of a session; of somebody outside, later; of the system.
    let (planted, later) = (format!("{top}/agent/proj"), format!("{top}/later"));
    let agent = grant("agent", &all(&format!("{top}/agent")));
    let script = format!(
        "set -e; cd /
         {BAILIFF} daemon --state /var/lib/live >{inside}.log 2>&1 & daemon=$!
         trap 'kill $daemon; wait $daemon; tail -3 {inside}.log' EXIT
         for i in $(seq 600); do {BAILIFF} status >/dev/null 2>&1 && break; sleep 0.1; done
         {agent}
         {BAILIFF} run --grant leavings-agent -- ln -s {top}/secret {planted}
         sleep 0.1; ln -s {top}/secret {later}; cat {planted}/s
         ! ({}) || exit 3
         {}
         {BAILIFF} run --grant base -- /bin/true",
        reading("planted", &planted),
        reading("later", &later),
    );
    fs::write(&inside, script).doing("write a script")?;
    let overlay = format!(
        "mkdir {top}/ov; mount -t tmpfs none {top}/ov; cd {top}/ov; mkdir up work root
         mount -t overlay none -o lowerdir=/,upperdir={top}/ov/up,workdir={top}/ov/work root
         for part in dev proc sys run tmp; do mount --rbind /$part root/$part; done
         cd root; mkdir old; pivot_root . old; umount -l /old; exec bash {inside}"
    );
    let ended = process::run(&["unshare", "-m", "bash", "-c", &overlay])?;
    let told = ended.code == 0 && ended.stdout.matches("secret").count() == 2;
    ensure(told, || format!("{}: {}", ended.code, ended.tail()))?;
    ensure(
        ended
            .stderr
            .contains("could have been made by the session agent-"),
        || ended.tail(),
    )?;
    drop(place);
    Ok(())
}
