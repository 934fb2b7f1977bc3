//! What systemd mounts for a service from directories in which a session writes.

use std::fs;

use super::services::{install, journal, says, start_daemon};
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure,
        process::{self, eventually, must},
    },
    scenarios::Context,
};

/// A root directory with the host's programs, in which the service sees a directory and one in that.
const SERVICE: &str = "Type=oneshot\nRootDirectory=/srv/binds/root\nMountAPIVFS=yes\n\
    BindReadOnlyPaths=/usr -/srv/nowhere:/nowhere\nBindPaths=/srv/binds/data:/data /srv/binds/data/below:/below\n\
    ExecStart=/usr/bin/bash -c 'head -c 8 /below/note; exec 2>&1; ";

const GRANT: &str = "version = 1\nname = \"binds\"\ninclude = [\"base\"]\n\
    [[file]]\nallow = [\"read\", \"write\", \"create\", \"delete\", \"list\"]\npath = [\"/{data,below}/**\"]\n";

pub(super) fn linked(_: &mut Context) -> Check {
    start_daemon()?;
    must(&[
        "sh",
        "-c",
        "rm -rf /srv/binds; mkdir -p /srv/binds/root/{usr,data,below,proc,sys,dev,run,etc,tmp,nowhere} \
         /srv/binds/data/below /srv/binds/hosts; cd /srv/binds/root; ln -s usr/bin usr/lib usr/lib64 usr/sbin .; \
         echo a note > /srv/binds/data/below/note; echo hosts > /srv/binds/hosts/note",
    ])?;
    fs::write("/etc/bailiff/grants/binds.toml", GRANT).doing("write a grant")?;
    install(
        "binds.service",
        &format!(
            "{SERVICE} mv /data/below /data/old && ln -s /srv/binds/hosts /data/below && echo replaced'"
        ),
    )?;
    must(&[BAILIFF, "attach", "binds.service", "--grant", "binds"])?;
    must(&["systemctl", "start", "binds"])?;
    says("binds", "a note", 1)?;
    says("binds", "replaced", 1)?;
    // systemd follows it, and so did the session's names.
    let refused = process::run(&["systemctl", "start", "binds"])?;
    ensure(refused.code != 0, || refused.tail())?;
    eventually("the daemon says why", 10, || {
        journal("bailiff")
            .contains("/srv/binds/data/below, which could have been made by the session")
    })?;
    ensure(!journal("binds").contains("hosts"), || {
        "it read what is the host's".into()
    })?;
    // An operator puts the directory back.
    must(&[
        "sh",
        "-c",
        "cd /srv/binds/data; rm below; mv old below; systemctl reset-failed binds",
    ])?;
    must(&["systemctl", "start", "binds"])?;
    says("binds", "a note", 2)?;
    must(&[BAILIFF, "detach", "binds.service"])?;
    // Free, it is led there: twice by now.
    must(&["systemctl", "start", "binds"])?;
    says("binds", "hosts", 1)
}
