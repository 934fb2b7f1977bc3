//! The scenarios, one family in each file.

pub(crate) mod armed;
pub(crate) mod asked_moves;
pub(crate) mod attached;
pub(crate) mod attributes;
pub(crate) mod below;
pub(crate) mod bounds;
pub(crate) mod boxes;
pub(crate) mod callers;
pub(crate) mod checkout;
pub(crate) mod command_line;
pub(crate) mod coverage;
pub(crate) mod crash;
pub(crate) mod crowd;
pub(crate) mod daemon_kept;
pub(crate) mod descriptors;
pub(crate) mod device_memory;
pub(crate) mod disks;
pub(crate) mod enforcement;
pub(crate) mod environment;
pub(crate) mod evidence;
pub(crate) mod exec;
pub(crate) mod failures;
pub(crate) mod files;
pub(crate) mod filtered;
pub(crate) mod folding;
pub(crate) mod in_place;
pub(crate) mod interference;
pub(crate) mod ipc;
pub(crate) mod jobs;
pub(crate) mod leavings;
pub(crate) mod lifecycle;
pub(crate) mod locks;
pub(crate) mod mounts;
pub(crate) mod moves;
pub(crate) mod nested;
pub(crate) mod network;
pub(crate) mod notified;
pub(crate) mod patterns;
pub(crate) mod podman;
pub(crate) mod private_tmp;
pub(crate) mod proc;
pub(crate) mod processes;
pub(crate) mod quiet;
pub(crate) mod replaced;
pub(crate) mod rings;
pub(crate) mod set_id;
pub(crate) mod silent_server;
pub(crate) mod sockets;
pub(crate) mod storm;
pub(crate) mod stress;
pub(crate) mod supervised;
pub(crate) mod surface;
pub(crate) mod switches;
pub(crate) mod symlinks;
pub(crate) mod systemd;
pub(crate) mod takeover;
pub(crate) mod terminals;
pub(crate) mod turmoil;
pub(crate) mod turned_clock;
pub(crate) mod unwritable;
pub(crate) mod who;

use crate::harness::{Check, daemon::Daemon};

/// What the scenarios of a run share.
pub(crate) struct Context {
    pub(crate) daemon: Option<Daemon>,
}

impl Context {
    /// The running daemon; started again if a scenario left none.
    pub(crate) fn daemon(&mut self) -> Check<&mut Daemon> {
        if self.daemon.is_none() {
            self.daemon = Some(Daemon::start()?);
        }
        self.daemon
            .as_mut()
            .ok_or_else(|| "there is no daemon".into())
    }
}

/// A scenario that is no case of the matrix.
pub(crate) struct Single {
    pub(crate) family: &'static str,
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Context) -> Check,
    /// It wants no daemon to run.
    pub(crate) alone: bool,
    /// It takes minutes, and runs only when it is asked for by its family's name.
    pub(crate) long: bool,
    /// It tries what the daemon or the command line does, the same on every kernel, and runs on one.
    pub(crate) once: bool,
}

impl Single {
    pub(crate) fn new(
        family: &'static str,
        name: &'static str,
        run: fn(&mut Context) -> Check,
    ) -> Self {
        Self {
            family,
            name,
            run,
            alone: false,
            long: false,
            once: false,
        }
    }

    /// Only when it is asked for.
    pub(crate) fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// On one kernel, unless it is asked for.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Without a daemon.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
}

pub(crate) fn singles() -> Vec<Single> {
    let mut singles = patterns::scenarios();
    singles.extend(asked_moves::scenarios());
    singles.extend(bounds::scenarios());
    singles.extend(coverage::scenarios());
    // Before sessions that see the host's root directory mounted in their workspace: they could have made
    // everything, as far as is known.
    singles.extend(leavings::scenarios());
    singles.extend(filtered::scenarios());
    singles.extend(evidence::scenarios());
    singles.extend(folding::scenarios());
    singles.extend(lifecycle::scenarios());
    singles.extend(crash::scenarios());
    singles.extend(nested::scenarios());
    singles.extend(ipc::scenarios());
    singles.extend(jobs::scenarios());
    singles.extend(locks::scenarios());
    singles.extend(quiet::scenarios());
    singles.extend(who::scenarios());
    singles.extend(armed::scenarios());
    singles.extend(boxes::scenarios());
    singles.extend(attached::scenarios());
    singles.extend(in_place::scenarios());
    singles.extend(below::scenarios());
    singles.extend(takeover::scenarios());
    singles.extend(turmoil::scenarios());
    singles.extend(descriptors::scenarios());
    singles.extend(supervised::scenarios());
    singles.extend(replaced::scenarios());
    singles.extend(notified::scenarios());
    singles.extend(rings::scenarios());
    singles.extend(callers::scenarios());
    singles.extend(environment::scenarios());
    singles.extend(private_tmp::scenarios());
    singles.extend(proc::scenarios());
    singles.extend(device_memory::scenarios());
    singles.extend(disks::scenarios());
    singles.extend(set_id::scenarios());
    singles.extend(silent_server::scenarios());
    singles.extend(turned_clock::scenarios());
    singles.extend(sockets::scenarios());
    singles.extend(switches::scenarios());
    singles.extend(symlinks::scenarios());
    singles.extend(terminals::scenarios());
    singles.extend(enforcement::scenarios());
    singles.extend(crowd::scenarios());
    singles.extend(failures::scenarios());
    singles.extend(unwritable::scenarios());
    singles.extend(storm::scenarios());
    singles.extend(stress::scenarios());
    // These have sessions that could write everything, which leaves others less to trust.
    singles.extend(checkout::scenarios());
    singles.extend(command_line::scenarios());
    singles.extend(interference::scenarios());
    singles.extend(daemon_kept::scenarios());
    singles.extend(mounts::scenarios());
    singles
}
