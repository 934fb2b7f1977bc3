//! The sessions that are in force, and those that ended lately.

mod adopt;
mod arm;
pub(super) mod begin;
mod below;
pub(super) mod container;
pub(super) mod ending;
pub(super) mod labels;
mod last_process;
pub(super) mod members;
mod private_tmp;
mod surroundings;
mod terminals;

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use agent_abi::{Label, limits::MAX_SESSIONS};
use agent_grant::environment::TMPDIR;
use tokio::sync::{Notify, watch};

use crate::{
    api::{EndCause, Extent, HandsOver},
    cgroup::Cgroup,
    grants::{Compiled, Resolutions},
    mounts::{MountNamespace, Sight},
    store::SessionRow,
};

/// A session in force.
pub(super) struct Live {
    pub(super) row: SessionRow,
    cgroup: Cgroup,
    /// `None` where an earlier version's grant could not be compiled again: then the image that
    /// is in force stays. Given back at its end: it is megabytes.
    compiled: RwLock<Option<Arc<Compiled>>>,
    /// What its grant's prefixes were found to name since it began, where that is not what is in its row.
    resolutions: RwLock<Option<Resolutions>>,
    /// Where its mounts are seen; `None` once it has ended, and where nothing new is seen any more.
    mounts: RwLock<Option<Arc<MountNamespace>>>,
    sight: RwLock<Arc<Sight>>,
    /// `None` where an earlier daemon was told.
    pub(super) container: Option<container::Made>,
    /// A process has enrolled, or the cgroup was tagged.
    pub(super) running: AtomicBool,
    /// The kernel side puts cgroups into it that appear.
    pub(super) attached: AtomicBool,
    /// What its end will be put down to, once somebody asked for it.
    pub(super) stopping: AtomicBool,
    /// Its processes were set free.
    pub(super) released: AtomicBool,
    /// Ending has begun.
    pub(super) ending: AtomicBool,
    pub(super) started: Notify,
    /// Its own directory for temporary files, or why it has none; unset where none is wanted, and after a restart
    /// of the daemon.
    pub(super) private_tmp: OnceLock<Result<String, String>>,
    /// Something happened to its cgroup.
    pub(super) stirred: Notify,
    /// Becomes true when it has ended, and is in the store as such.
    pub(super) ended: watch::Sender<bool>,
    /// The ledger's last word.
    pub(super) allowed: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Events that were told to have found no room in the kernel.
    pub(super) told_lost: AtomicU64,
}

impl Live {
    pub(super) fn new(
        row: SessionRow,
        cgroup: Cgroup,
        compiled: Option<Arc<Compiled>>,
        mounts: Option<Arc<MountNamespace>>,
        sight: Sight,
        running: bool,
    ) -> Self {
        Self {
            row,
            cgroup,
            compiled: RwLock::new(compiled),
            resolutions: RwLock::new(None),
            mounts: RwLock::new(mounts),
            sight: RwLock::new(Arc::new(sight)),
            container: None,
            running: AtomicBool::new(running),
            attached: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            released: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            private_tmp: OnceLock::new(),
            started: Notify::new(),
            stirred: Notify::new(),
            ended: watch::channel(false).0,
            allowed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            told_lost: AtomicU64::new(0),
        }
    }

    /// Its grant. `None`: it has ended, or an earlier version's could not be compiled again and the image
    /// that is in force stays.
    pub(super) fn compiled(&self) -> Option<Arc<Compiled>> {
        self.compiled
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// It begins here, and its grant means what it does here.
    pub(super) fn begin_at(
        &self,
        mounts: Arc<MountNamespace>,
        compiled: Arc<Compiled>,
        resolutions: Resolutions,
    ) {
        fn set<T>(place: &RwLock<Option<T>>, value: T) {
            *place.write().unwrap_or_else(PoisonError::into_inner) = Some(value);
        }
        set(&self.mounts, mounts);
        set(&self.compiled, compiled);
        set(&self.resolutions, resolutions);
    }

    /// What its grant does not grant because of where it is.
    pub(super) fn remarks(&self) -> Vec<String> {
        let since = self
            .resolutions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut remarks = since.as_ref().unwrap_or(&self.row.resolutions).remarks();
        if let Some(Err(why)) = self.private_tmp.get() {
            remarks.push(why.clone());
        }
        remarks
    }

    /// What its processes are handed over of their caller's environment; `None` where that was not asked for.
    pub(in crate::daemon) fn hands_over(&self) -> Option<HandsOver> {
        let compiled = self
            .compiled()
            .filter(|_| self.row.extent().is_launched())?;
        let mut hands_over = HandsOver::from(&compiled.inner().environment);
        if let Some(Ok(tmp)) = self.private_tmp.get() {
            hands_over.set.insert(TMPDIR.into(), tmp.clone());
        }
        Some(hands_over)
    }

    /// Whether it has `sys_time`, as far as can be told.
    pub(super) fn may_set_clock(&self) -> bool {
        const SYS_TIME: u64 = 1 << 25;
        let compiled = self.compiled();
        compiled.is_none_or(|compiled| compiled.inner().capabilities & SYS_TIME != 0)
    }

    /// It has ended, and its events are told: its grant is not asked any more. Whether the grant went with that:
    /// nobody else has it.
    pub(super) fn leave_grant(&self) -> bool {
        let mut compiled = self
            .compiled
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        compiled.take().and_then(Arc::into_inner).is_some()
    }

    /// The cgroup that is the session's. `None`: it is a process and what that starts, wherever they are, or
    /// whatever cgroups come into it.
    pub(super) fn cgroup(&self) -> Option<&Cgroup> {
        let has_one = !matches!(self.row.extent(), Extent::Process | Extent::Attached);
        has_one.then_some(&self.cgroup)
    }

    /// The same if it was there before the session.
    pub(super) fn tagged_cgroup(&self) -> Option<&Cgroup> {
        self.row.extent().is_tagged().then_some(&self.cgroup)
    }

    /// The label that its cgroup gives.
    pub(super) fn tag(&self) -> Label {
        match self.row.extent() {
            Extent::CgroupAtExec | Extent::Container | Extent::Attached => self.label().armed(),
            Extent::OwnCgroup | Extent::Cgroup | Extent::Process => self.label(),
        }
    }

    /// Whether its cgroup is gone.
    pub(super) fn is_place_gone(&self) -> bool {
        self.cgroup().is_some_and(|cgroup| !cgroup.exists())
    }

    pub(super) fn label(&self) -> Label {
        Label {
            slot: self.row.slot,
            generation: self.row.number,
        }
    }

    /// By which names it knows filesystems.
    pub(super) fn sight(&self) -> Arc<Sight> {
        Arc::clone(&self.sight.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_sight(&self, sight: Sight) {
        *self.sight.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sight);
    }

    /// Whether this is where its mounts are seen.
    pub(super) fn is_in(&self, mounts: &Arc<MountNamespace>) -> bool {
        let own = self.mounts.read().unwrap_or_else(PoisonError::into_inner);
        own.as_ref().is_some_and(|own| Arc::ptr_eq(own, mounts))
    }

    /// Nothing is mounted for it any more; its namespace may go.
    pub(super) fn leave_mounts(&self) {
        *self.mounts.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn started(&self) {
        self.running.store(true, Relaxed);
        self.started.notify_waiters();
    }

    /// What an end that comes now is put down to.
    pub(super) fn cause(&self, otherwise: EndCause) -> EndCause {
        if self.stopping.load(Relaxed) {
            EndCause::Stopped
        } else {
            otherwise
        }
    }
}

/// How many ended sessions are kept at hand, for events that come late.
const REMEMBERED: usize = 64;

/// The sessions of this daemon.
///
/// Its lock is taken in here alone and never for longer than a look at the tables, so that no
/// other lock is ever waited for while it is held: whoever holds the kernel's may ask here.
#[derive(Default)]
pub(super) struct Sessions {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    live: BTreeMap<u32, Arc<Live>>,
    past: VecDeque<Arc<Live>>,
    /// Slots that a starting session has taken.
    taken: Vec<u32>,
}

impl Sessions {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions in force, oldest first.
    pub(super) fn live(&self) -> Vec<Arc<Live>> {
        self.tables().live.values().cloned().collect()
    }

    /// In force or ended lately.
    pub(super) fn by_number(&self, number: u32) -> Option<Arc<Live>> {
        self.tables().by_number(number)
    }

    /// By name or number, in force or ended lately.
    pub(super) fn find(&self, key: &str) -> Option<Arc<Live>> {
        self.tables().find(key)
    }

    pub(super) fn in_force(&self, key: &str) -> Option<Arc<Live>> {
        let tables = self.tables();
        tables
            .find(key)
            .filter(|live| tables.live.contains_key(&live.row.number))
    }

    pub(super) fn in_force_by_number(&self, number: u32) -> Option<Arc<Live>> {
        self.tables().live.get(&number).cloned()
    }

    pub(super) fn by_cgroup(&self, path: &Path) -> Option<Arc<Live>> {
        let tables = self.tables();
        let mut live = tables.live.values();
        live.find(|live| live.cgroup().is_some_and(|own| own.path() == path))
            .cloned()
    }

    pub(super) fn by_cgroup_id(&self, id: u64) -> Option<Arc<Live>> {
        let tables = self.tables();
        let mut live = tables.live.values();
        live.find(|live| live.cgroup().is_some_and(|own| own.id() == id))
            .cloned()
    }

    /// A slot that no session holds; it is the caller's until `release_slot` or `insert`.
    pub(super) fn take_slot(&self) -> Option<u32> {
        let mut tables = self.tables();
        // Slot 0 is the kernel side's, for its self-check.
        let slot = (1..MAX_SESSIONS as u32).find(|slot| !tables.uses(*slot))?;
        tables.taken.push(slot);
        Some(slot)
    }

    pub(super) fn release_slot(&self, slot: u32) {
        self.tables().taken.retain(|taken| *taken != slot);
    }

    pub(super) fn insert(&self, live: Arc<Live>) {
        let mut tables = self.tables();
        tables.taken.retain(|taken| *taken != live.row.slot);
        tables.live.insert(live.row.number, live);
    }

    /// It has ended: its slot is free.
    pub(super) fn retire(&self, number: u32) {
        let mut tables = self.tables();
        if let Some(live) = tables.live.remove(&number) {
            tables.past.push_back(live);
            if tables.past.len() > REMEMBERED {
                tables.past.pop_front();
            }
        }
    }
}

impl Tables {
    fn by_number(&self, number: u32) -> Option<Arc<Live>> {
        let mut past = self.past.iter();
        let past = || past.find(|live| live.row.number == number).cloned();
        self.live.get(&number).cloned().or_else(past)
    }

    fn find(&self, key: &str) -> Option<Arc<Live>> {
        let mut all = self.live.values().chain(&self.past);
        let number = || self.by_number(key.parse().ok()?);
        all.find(|live| live.row.name == key)
            .cloned()
            .or_else(number)
    }

    fn uses(&self, slot: u32) -> bool {
        self.live.values().any(|live| live.row.slot == slot) || self.taken.contains(&slot)
    }
}
