//! What every part of the daemon shares, and in which order its locks are taken.
//!
//! Whoever holds a lock waits for none but those of later lines:
//!
//! 0. `attachments`, over starts of sessions.
//! 1. `tagging` and `superblocks`, each over a whole piece of work, and never both. `superblocks` alone is
//!    held where something is awaited.
//! 2. `reaches`, `epochs` and `unrecorded`, over calls of the store; one of them at a time.
//! 3. `kernel`, over one call or the few that belong together, and over no line of the log, whose reader may
//!    be slow.
//! 4. What is held for one look and over no call of anything else: the tables in `sessions`, what a session
//!    has ([`Live`](super::sessions::Live)), `namespaces`, `shares`, `launchers`, and the store's own.
//!
//! The tables of sessions held over a loop that asks the kernel, while somebody else asks them with the
//! kernel's lock held, is how the daemon stood still once; `tests/stress.rs` finds that again.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot};

use super::{
    attachments::Attachments,
    filesystems::{epochs::Epochs, reach::Reaches, superblocks::Superblocks},
    launchers::Launchers,
    requests::shares::Shares,
    sessions::{Sessions, ending::Ending, labels::UnseenBirths},
};
use crate::{
    cgroup::Hierarchy,
    grants::{Cache, OwnFiles},
    kernel::{LabelSource, Port},
    mounts::MountNamespace,
    store::{EventWriter, Store},
};

/// The daemon.
pub(super) struct Daemon {
    pub(super) kernel: Mutex<Box<dyn Port>>,
    pub(super) labels: Box<dyn LabelSource>,
    /// How much of the daemon each caller has.
    pub(super) shares: Arc<Shares>,
    pub(super) store: Store,
    pub(super) writer: EventWriter,
    pub(super) hierarchy: Hierarchy,
    pub(super) sessions: Sessions,
    /// Grants that were compiled.
    pub(super) compiled: Cache,
    /// What operators attached. Held over whole starts of sessions, before every other lock.
    pub(super) attachments: AsyncMutex<Attachments>,
    /// Where they write it.
    pub(super) attach_directory: PathBuf,
    /// What sessions can make, and could.
    pub(super) reaches: Mutex<Reaches>,
    /// Held while labels are given: one at a time.
    pub(super) tagging: Mutex<UnseenBirths>,
    /// Held while an image is built and put in force: one at a time.
    pub(super) superblocks: AsyncMutex<Superblocks>,
    /// Mount namespaces that sessions are in.
    pub(super) namespaces: Mutex<Vec<Weak<MountNamespace>>>,
    pub(super) epochs: Epochs,
    /// Ends of sessions that the store could not take yet.
    pub(super) unrecorded: Mutex<Vec<Ending>>,
    /// Asks the event pump to read all that waits.
    pub(super) drain: mpsc::Sender<oneshot::Sender<()>>,
    /// Files that no session may touch.
    pub(super) own: OwnFiles,
    /// Programs that leave an armed label armed.
    pub(super) launchers: Mutex<Launchers>,
    /// Somebody waits in front of a program.
    pub(super) arrived: Notify,
    /// The daemon ends.
    pub(super) leaving: AtomicBool,
    pub(super) boot_id: String,
    pub(super) started: Timestamp,
}

/// How long an answer waits for events to reach the store.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

impl Daemon {
    pub(super) fn kernel(&self) -> MutexGuard<'_, Box<dyn Port>> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    pub(super) fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Reads what waits in the ring buffer, and waits until it can be queried.
    pub(super) async fn flush_events(&self) {
        let (done, wait) = oneshot::channel();
        if self.drain.send(done).await.is_ok() {
            let _ = tokio::time::timeout(FLUSH_PATIENCE, wait).await;
        }
        self.writer.flush(FLUSH_PATIENCE).await;
    }

    /// Store calls wait for the disk: they are made off the threads that serve.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let daemon = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&daemon)).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
