//! A daemon out of its parts, and what it goes on doing until it ends.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot};

use super::{
    events::{notices, pump::Pump},
    filesystems::{epochs::Epochs, reach::Reaches, superblocks::Superblocks},
    requests::shares::Shares,
    sessions::Sessions,
    state::Daemon,
};
use crate::{
    cgroup::Hierarchy,
    grants::{Cache, OwnFiles},
    kernel::{EventSource, LabelSource, Port},
    store::{Counter, Retention, Store},
};

/// What a daemon is made of: all that it knows of the host but its processes and mounts.
pub(super) struct Parts {
    pub(super) kernel: Box<dyn Port>,
    pub(super) labels: Box<dyn LabelSource>,
    pub(super) hierarchy: Hierarchy,
    pub(super) store: Store,
    pub(super) retention: Retention,
    pub(super) own: OwnFiles,
    pub(super) boot_id: String,
    /// Where operators write down what they attach.
    pub(super) attach_directory: PathBuf,
}

/// What tells a daemon something by itself.
pub(super) struct Streams {
    pub(super) events: Box<dyn EventSource>,
    pub(super) notices: Box<dyn EventSource>,
}

/// Who waits for all events that are there.
pub(super) type Drains = mpsc::Receiver<oneshot::Sender<()>>;

impl Daemon {
    /// A daemon that does nothing yet.
    ///
    /// # Errors
    /// The kernel side or the store cannot be used.
    pub(super) fn assemble(parts: Parts) -> anyhow::Result<(Arc<Self>, Drains)> {
        let Parts {
            mut kernel,
            labels,
            hierarchy,
            store,
            retention,
            own,
            boot_id,
            attach_directory,
        } = parts;
        let superblocks = Superblocks::from_kernel(&kernel.superblocks()?);
        let installed = kernel.installed()?;
        let floor = installed
            .iter()
            .map(|(_, header)| header.epoch)
            .max()
            .unwrap_or(0)
            .max(kernel.last_number(Counter::Epoch.into())?);
        // Of sessions that the store does not know, if it was lost, as of all others: no new one has their
        // number.
        let generations = installed.iter().map(|(_, header)| header.generation);
        if let Some(last) = generations.max() {
            kernel.note_number(Counter::Session.into(), last)?;
        }
        let epochs = Epochs::reserve(&store, floor)?;
        kernel.note_number(Counter::Epoch.into(), epochs.last_reserved())?;
        let (drain, drains) = mpsc::channel(16);
        let daemon = Self {
            kernel: Mutex::new(kernel),
            labels,
            shares: Arc::new(Shares::default()),
            writer: store.event_writer(retention, &boot_id)?,
            reaches: Mutex::new(Reaches::load(&store)?),
            store,
            hierarchy,
            sessions: Sessions::default(),
            compiled: Cache::default(),
            attachments: AsyncMutex::default(),
            attach_directory,
            tagging: Mutex::default(),
            superblocks: AsyncMutex::new(superblocks),
            namespaces: Mutex::default(),
            epochs,
            unrecorded: Mutex::default(),
            drain,
            own,
            launchers: Mutex::default(),
            arrived: Notify::new(),
            leaving: AtomicBool::new(false),
            boot_id,
            started: Timestamp::now(),
        };
        Ok((Arc::new(daemon), drains))
    }

    /// Goes on with what an earlier daemon left in force, and from here on sees to what the kernel side and
    /// the time bring.
    ///
    /// # Errors
    /// What sessions were there cannot be read, nor written down.
    pub(super) async fn take_over(
        self: &Arc<Self>,
        streams: Streams,
        drains: Drains,
    ) -> anyhow::Result<()> {
        self.blocking(Self::note_first_disks)
            .await
            .context("cannot write down which disks there are")?;
        self.blocking(Self::mark_launchers).await;
        let owed = self.adopt().await?;
        self.record_interruption();
        let Streams { events, notices } = streams;
        tokio::spawn(Arc::clone(self).watch_enforcement());
        tokio::spawn(Pump::new(Arc::clone(self), events, drains, owed).run());
        tokio::spawn(notices::follow(Arc::clone(self), notices));
        tokio::spawn(Arc::clone(self).renew_epochs());
        tokio::spawn(Arc::clone(self).attend());
        tokio::spawn(Arc::clone(self).look_after_arrivals());
        tokio::spawn(Arc::clone(self).retry_attachments());
        Ok(())
    }
}
