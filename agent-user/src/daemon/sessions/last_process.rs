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
use crate::{api::EndCause, cgroup::gone, daemon::state::Daemon};

/// How long a session waits for its first process.
const FIRST_PROCESS: Duration = Duration::from_secs(60);
/// Looks that are taken without being woken.
const GLANCE: Duration = Duration::from_secs(5);

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
        let mut population = Population::open(live);
        loop {
            if !live.cgroup.exists() {
                return EndCause::CgroupRemoved;
            }
            match population
                .as_mut()
                .map_or_else(|_| live.cgroup.populated(), Population::read)
            {
                // A tagged cgroup may be empty for a while, as between two runs of a service.
                Ok(false) if live.row.own_cgroup || live.stopping.load(Relaxed) => {
                    return EndCause::Finished;
                }
                Err(error) if gone(&error) => return EndCause::CgroupRemoved,
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
    fn open(live: &Live) -> io::Result<Self> {
        let file = live
            .cgroup
            .open_file("cgroup.events", File::options().read(true))?;
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
