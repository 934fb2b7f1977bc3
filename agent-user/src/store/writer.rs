//! The thread that writes events. Nobody waits for it: what does not fit in its queue is counted
//! and reported.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::{Retention, StoreError, database::Database, events, lost_row};
use crate::api::Event;

/// Batches that may wait. One holds what the ring buffer had at one moment.
const QUEUE: usize = 1024;
/// Events that may wait.
const QUEUED_EVENTS: u64 = 200_000;
/// Events that may wait before no more are read from the kernel.
const ENOUGH: u64 = 4096;
const RETRY: Duration = Duration::from_secs(1);
const TIDY: Duration = Duration::from_secs(300);
/// How often it is seen whether what was written is kept.
const LOOK: Duration = Duration::from_secs(2);

enum Job {
    Write(Vec<Event>),
    Flush(oneshot::Sender<()>),
}

/// How the writer gets on.
#[derive(Clone, Debug, Default)]
pub struct WriterStatus {
    pub queued: u64,
    pub dropped: u64,
    pub error: Option<String>,
}

#[derive(Default)]
struct Shared {
    queued: AtomicU64,
    dropped: AtomicU64,
    error: Mutex<Option<String>>,
}

/// Hands events to the writing thread.
#[derive(Clone)]
pub struct EventWriter {
    queue: SyncSender<Job>,
    shared: Arc<Shared>,
    written: watch::Receiver<u64>,
}

impl EventWriter {
    /// Where the store cannot be written, it is tried again until it can be; nothing is to be read from
    /// the kernel before.
    ///
    /// # Errors
    /// The store will not be written ever, or the system cannot start a thread.
    pub(super) fn start(
        database: Arc<Database>,
        retention: Retention,
        boot_id: &str,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let (tell, written) = watch::channel(0);
        let shared = Arc::new(Shared::default());
        let boot_id = boot_id.into();
        let first = match database.writable() {
            Err(error) if error.may_pass() => {
                shared.failed(error.to_string());
                None
            }
            connection => Some(connection?),
        };
        let thread_shared = Arc::clone(&shared);
        let work = move || {
            let connection = first.unwrap_or_else(|| wait_for(&database, &thread_shared));
            let thread = Thread {
                database,
                connection,
                retention,
                boot_id,
                shared: thread_shared,
                tell,
                wrote: false,
            };
            thread.run(&jobs);
        };
        let named = thread::Builder::new().name("event-writer".into());
        named.spawn(work).map_err(StoreError::Thread)?;
        Ok(Self {
            queue,
            shared,
            written,
        })
    }

    /// Queues a batch. Never waits: a batch for which there is no room is dropped and counted.
    pub fn write(&self, batch: Vec<Event>) {
        let count = batch.len() as u64;
        let room = self.shared.queued.load(Relaxed) + count <= QUEUED_EVENTS;
        self.shared.queued.fetch_add(count, Relaxed);
        let sent = if room {
            self.queue.try_send(Job::Write(batch))
        } else {
            Err(TrySendError::Full(Job::Write(batch)))
        };
        if sent.is_err() {
            self.shared.queued.fetch_sub(count, Relaxed);
            self.shared.dropped.fetch_add(count, Relaxed);
        }
    }

    /// It was seen that nothing can be recorded. The thread finds out when it can be again.
    pub fn note_failure(&self, error: &StoreError) {
        self.shared.failed(error.to_string());
    }

    /// Whether events should be read from the kernel. If not, they are better kept there: its buffer
    /// outlives the daemon, and what finds no room in it is counted for the session that sent it.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.shared.queued.load(Relaxed) < ENOUGH && self.shared.error().is_none()
    }

    /// Waits until everything queued so far is written, or `patience` is over.
    pub async fn flush(&self, patience: Duration) {
        let (done, wait) = oneshot::channel();
        if self.queue.try_send(Job::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(patience, wait).await;
        }
    }

    /// Changes whenever a batch is in the store.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.clone()
    }

    #[must_use]
    pub fn status(&self) -> WriterStatus {
        WriterStatus {
            queued: self.shared.queued.load(Relaxed),
            dropped: self.shared.dropped.load(Relaxed),
            error: self.shared.error().clone(),
        }
    }
}

impl Shared {
    fn error(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing can be written.
    fn failed(&self, message: String) {
        let mut error = self.error();
        if error.is_none() {
            tracing::error!("events cannot be recorded, trying again: {message}");
        }
        *error = Some(message);
    }

    /// What there was can be written.
    fn succeeded(&self) {
        if self.error().take().is_some() {
            tracing::info!("events are being recorded again");
        }
    }
}

/// A connection, when there is room for what it writes.
fn wait_for(database: &Database, shared: &Shared) -> Connection {
    loop {
        thread::sleep(RETRY);
        match database.writable() {
            Ok(connection) => {
                shared.succeeded();
                return connection;
            }
            Err(error) => shared.failed(error.to_string()),
        }
    }
}

struct Thread {
    database: Arc<Database>,
    connection: Connection,
    retention: Retention,
    boot_id: String,
    shared: Arc<Shared>,
    tell: watch::Sender<u64>,
    /// Something was written since it was last seen that all is kept.
    wrote: bool,
}

impl Thread {
    fn run(mut self, jobs: &Receiver<Job>) {
        let mut tidied = Instant::now();
        let mut looked = Instant::now();
        let mut reported = 0;
        loop {
            match jobs.recv_timeout(LOOK) {
                Ok(Job::Write(batch)) => {
                    self.write(&batch);
                    self.shared.queued.fetch_sub(batch.len() as u64, Relaxed);
                }
                Ok(Job::Flush(done)) => drop(done.send(())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if looked.elapsed() >= LOOK {
                self.look();
                looked = Instant::now();
            }
            let dropped = self.shared.dropped.load(Relaxed);
            if dropped > reported {
                self.write(&[lost_row(
                    "-",
                    dropped - reported,
                    "the store could not keep up",
                )]);
                reported = dropped;
            }
            if tidied.elapsed() >= TIDY {
                tidied = Instant::now();
                let removed = self.retention.apply(&mut self.connection, &self.boot_id);
                if let Err(error) = removed {
                    tracing::warn!("old events and sessions were not removed: {error}");
                }
            }
        }
    }

    /// Sees whether what was written is kept, and says so. Where nothing was written, and nothing was wrong,
    /// the disk is left alone.
    fn look(&mut self) -> bool {
        let is_wrong = self.shared.error().is_some();
        let found = if self.wrote || is_wrong {
            self.database.examine()
        } else {
            self.database.in_place()
        };
        match found {
            Ok(()) => {
                self.wrote = false;
                self.shared.succeeded();
                true
            }
            Err(error) => {
                self.shared.failed(error.to_string());
                false
            }
        }
    }

    /// Writes a batch, and tries again until it is written.
    fn write(&mut self, batch: &[Event]) {
        loop {
            if self.shared.error().is_some() && !self.look() {
                thread::sleep(RETRY);
                continue;
            }
            match events::insert(&mut self.connection, batch) {
                Ok(()) => {
                    self.wrote = true;
                    self.tell.send_modify(|count| *count += batch.len() as u64);
                    return;
                }
                Err(failure) => self.shared.failed(super::describe(&failure)),
            }
            thread::sleep(RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::EventFilter,
        store::{events::tests::event, temporary},
    };

    #[tokio::test]
    async fn what_was_queued_can_be_read_after_a_flush() {
        let (_directory, store) = temporary();
        let writer = store.event_writer(Retention::default(), "boot-1").unwrap();
        let mut written = writer.written();
        writer.write(vec![
            event("file.read", b"/a", "deny"),
            event("file.read", b"/b", "deny"),
        ]);
        writer.flush(Duration::from_secs(10)).await;
        assert_eq!(store.events(&EventFilter::default()).unwrap().len(), 2);
        assert_eq!(*written.borrow_and_update(), 2);
        assert_eq!(writer.status().queued, 0);
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_written_drops_counts_and_recovers() {
        let (_directory, store) = temporary();
        store
            .lock()
            .execute_batch("ALTER TABLE events RENAME TO away")
            .unwrap();
        let writer = store.event_writer(Retention::default(), "boot-1").unwrap();
        for _ in 0..QUEUE + 50 {
            writer.write(vec![event("file.read", b"/a", "deny")]);
        }
        let status = writer.status();
        assert!((1..=50).contains(&status.dropped), "{status:?}");
        assert_eq!(status.queued + status.dropped, QUEUE as u64 + 50);
        store
            .lock()
            .execute_batch("ALTER TABLE away RENAME TO events")
            .unwrap();
        for _ in 0..100 {
            writer.flush(Duration::from_secs(10)).await;
            if writer.status().queued == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let stats = store.stats(jiff::Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(stats.lost, status.dropped);
        assert!(writer.status().error.is_none());
    }
}
