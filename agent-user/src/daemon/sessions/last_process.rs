//! One task for each session: it sees the last process end.

use std::{
    fs::File,
    io::{self, Read, Seek},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep, sleep_until},
};

use super::Live;
use crate::{
    api::{EndCause, Extent},
    cgroup::{Cgroup, gone},
    daemon::state::Daemon,
    process::ProcessHandle,
};

/// How long a session waits for its first process.
const FIRST_PROCESS: Duration = Duration::from_secs(60);
/// Looks that are taken without being woken.
const GLANCE: Duration = Duration::from_secs(5);
/// How many times as long as a look took none is taken.
const PAUSE: u32 = 20;
/// Looks in a row that must find nobody: a process that is born while one is taken may be missed.
const QUIET: u32 = 2;

impl Daemon {
    /// Watches a session until it ends.
    pub(in crate::daemon) fn watch(self: &Arc<Self>, live: Arc<Live>) {
        let daemon = Arc::clone(self);
        tokio::spawn(async move {
            let cause = tokio::select! {
                cause = daemon.until_end(&live) => cause,
                _ = ended(&live) => return,
            };
            daemon.end(&live, cause).await;
        });
    }

    /// Waits for what ends the session by itself.
    async fn until_end(&self, live: &Live) -> EndCause {
        if live.row.extent() == Extent::Attached {
            return self.until_detached(live).await;
        }
        let deadline = Instant::now() + FIRST_PROCESS;
        loop {
            let started = live.started.notified();
            if live.running.load(Relaxed) {
                break;
            }
            tokio::select! {
                () = started => {}
                () = sleep_until(deadline) => return EndCause::NeverStarted,
            }
        }
        match live.cgroup() {
            Some(cgroup) => until_empty(live, cgroup).await,
            None => self.until_none(live).await,
        }
    }

    /// Waits until nothing comes into a session of an attachment any more, its cgroups are gone, and nobody has
    /// its label, wherever he was moved.
    async fn until_detached(&self, live: &Live) -> EndCause {
        let label = live.label();
        loop {
            let is_over = !live.attached.load(Relaxed)
                && self.places_of(label).is_ok_and(|places| places.is_empty())
                && self.processes_of(label).is_ok_and(|pids| pids.is_empty());
            if is_over {
                return EndCause::Finished;
            }
            let _ = tokio::time::timeout(GLANCE, live.stirred.notified()).await;
        }
    }

    /// Waits until nobody has the label of a session without a cgroup. A session has a process until the
    /// last of those that it has now has ended, so one is waited for at a time.
    async fn until_none(&self, live: &Live) -> EndCause {
        let label = live.label();
        let mut quiet = 0;
        let mut pause = GLANCE / 100;
        while quiet < QUIET {
            tokio::select! {
                () = live.stirred.notified() => {}
                () = sleep(pause) => {}
            }
            let began = Instant::now();
            // On a thread of the runtime: it is one look at the tasks of the host.
            let found = self.processes_of(label);
            // Processes that end as soon as they are waited for must not have the daemon look all the time.
            pause = (began.elapsed() * PAUSE).max(GLANCE / 100);
            match found {
                Ok(pids) if pids.is_empty() => quiet += 1,
                Ok(pids) => {
                    quiet = 0;
                    for pid in pids {
                        if until_exit(pid).await.is_ok() {
                            break;
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!("{} may have ended: {error}", live.row.name);
                    pause = GLANCE;
                }
            }
        }
        EndCause::Finished
    }
}

/// Waits until a process has ended; fails where there is none.
async fn until_exit(pid: u32) -> io::Result<()> {
    let process = ProcessHandle::open(pid)?;
    // SAFETY: the handle owns its descriptor, and nothing replaces it.
    let exit =
        unsafe { AsyncFd::register_with_interest(process.fd().try_clone()?, Interest::READABLE) };
    let exit = exit.map_err(io::Error::from)?;
    // The pid may be another's by now: it is looked at again later.
    let _ = tokio::time::timeout(GLANCE, exit.readable()).await;
    Ok(())
}

/// Waits until a session's cgroup is empty, where that is its end, or gone.
async fn until_empty(live: &Live, cgroup: &Cgroup) -> EndCause {
    let mut population = Population::open(cgroup);
    loop {
        if !cgroup.exists() {
            return removed(live);
        }
        match population
            .as_mut()
            .map_or_else(|_| cgroup.populated(), Population::read)
        {
            // A tagged cgroup may be empty for a while, as between two runs of a service.
            Ok(false) if live.tagged_cgroup().is_none() || live.stopping.load(Relaxed) => {
                return EndCause::Finished;
            }
            Err(error) if gone(&error) => return removed(live),
            Ok(_) | Err(_) => {}
        }
        match &population {
            Ok(population) => tokio::select! {
                () = live.stirred.notified() => {}
                _ = tokio::time::timeout(GLANCE, population.changed()) => {}
            },
            Err(_) => sleep(GLANCE / 10).await,
        }
    }
}

/// What the removal of its cgroup is for a session. One of its own was empty then: who stops a service
/// removes what is below as soon as its last process has ended.
fn removed(live: &Live) -> EndCause {
    live.tagged_cgroup()
        .map_or(EndCause::Finished, |_| EndCause::CgroupRemoved)
}

async fn ended(live: &Live) {
    let mut ended = live.ended.subscribe();
    let _ = ended.wait_for(|ended| *ended).await;
}

/// The file `cgroup.events`, which wakes its readers.
struct Population {
    file: AsyncFd<File>,
}

impl Population {
    fn open(cgroup: &Cgroup) -> io::Result<Self> {
        let file = cgroup.open_file("cgroup.events", File::options().read(true))?;
        // SAFETY: the file owns its descriptor, and nothing replaces it.
        let file = unsafe { AsyncFd::register_with_interest(file, Interest::PRIORITY) };
        Ok(Self {
            file: file.map_err(io::Error::from)?,
        })
    }

    /// Reading the same open file is what makes it wake again.
    fn read(&mut self) -> io::Result<bool> {
        let file = self.file.get_mut();
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        Ok(text.lines().any(|line| line == "populated 1"))
    }

    async fn changed(&self) -> io::Result<()> {
        self.file.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}
