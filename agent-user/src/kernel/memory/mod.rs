//! A kernel side in memory, for tests of the daemon on any machine, by anybody.
//!
//! It decides what it is told of by what the hooks decide by ([`agent_decide`], on the image that is
//! installed), and keeps labels, tags, counts and events as the kernel side does. It stops nobody. That it
//! refuses something is no evidence of enforcement, ever: that is what the scenarios in VMs are for. Its
//! purpose is the daemon's logic.
//!
//! Not here: the kernel's own filesystems, moves, sockets, births, terminals, and what goes wrong between
//! two hooks.

mod act;
mod port;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use agent_abi::{
    Event, EventKind, Image, Label,
    arrival::{self, Viewed},
    attachment::Attachments,
    census::Settling,
    ledger::Count,
    share::{EVENTS_BYTES, Share},
};
use futures_util::future::BoxFuture;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use tokio::sync::Notify;

use super::{EventSource, KernelError, LabelSource, NetRow, OwnedEvent, SuperblockEntry};
use crate::{api::doctor::HookCoverage, process::ProcessHandle};

pub(crate) use act::Act;

/// The kernel side; every copy is the same one, and outlives the daemons that use it.
#[derive(Clone)]
pub(crate) struct MemoryKernel {
    state: Arc<Mutex<State>>,
    events: Arc<Notify>,
    notices: Arc<Notify>,
    coverage: Vec<HookCoverage>,
}

struct State {
    images: BTreeMap<u32, Box<Image>>,
    net: Vec<NetRow>,
    released: BTreeSet<u32>,
    /// By number.
    superblocks: BTreeMap<u32, SuperblockEntry>,
    tags: BTreeMap<u64, Label>,
    attachments: Option<Box<Attachments>>,
    processes: BTreeMap<u32, Process>,
    settling: Settling,
    attended: u64,
    viewed: BTreeSet<Viewed>,
    /// By process.
    waiting: BTreeMap<u32, arrival::Waiting>,
    numbers: BTreeMap<u32, u32>,
    /// Sessions by the device of what is theirs.
    own: BTreeMap<u32, u32>,
    ledger: BTreeMap<u32, Count>,
    shares: BTreeMap<u32, Share>,
    taken: BTreeMap<u32, u64>,
    /// Bytes of the ring buffer.
    room: u64,
    events: VecDeque<OwnedEvent>,
    notices: VecDeque<OwnedEvent>,
    /// Why nothing is enforced, if so.
    off: Option<String>,
    faults: Faults,
}

/// A process that the kernel side has seen.
#[derive(Default)]
struct Process {
    label: Label,
    cgroup: u64,
    handle: Option<ProcessHandle>,
}

/// What was asked, and what of it fails.
#[derive(Default)]
struct Faults {
    asked: Vec<&'static str>,
    /// The call that fails, counted from 0 since the last look.
    failing: Option<usize>,
    /// How long each call takes.
    pause: Duration,
}

impl MemoryKernel {
    pub(crate) fn new() -> Self {
        let state = State {
            images: BTreeMap::new(),
            net: Vec::new(),
            released: BTreeSet::new(),
            superblocks: BTreeMap::new(),
            tags: BTreeMap::new(),
            attachments: None,
            processes: BTreeMap::new(),
            settling: Settling::default(),
            attended: 0,
            viewed: BTreeSet::new(),
            waiting: BTreeMap::new(),
            numbers: BTreeMap::new(),
            own: BTreeMap::new(),
            ledger: BTreeMap::new(),
            shares: BTreeMap::new(),
            taken: BTreeMap::new(),
            room: EVENTS_BYTES as u64,
            events: VecDeque::new(),
            notices: VecDeque::new(),
            off: None,
            faults: Faults::default(),
        };
        let hook = HookCoverage {
            hook: "lsm/file_open".into(),
            family: "files".into(),
            attached: true,
            needed: true,
            note: None,
            verified_instructions: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            events: Arc::default(),
            notices: Arc::default(),
            coverage: vec![hook],
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for one call of the daemon's.
    fn asked(&self, what: &'static str) -> Result<MutexGuard<'_, State>, KernelError> {
        let pause = self.state().faults.pause;
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        let mut state = self.state();
        let faults = &mut state.faults;
        let is_failing = faults.failing == Some(faults.asked.len());
        faults.asked.push(what);
        if is_failing {
            return Err(KernelError::Map {
                operation: what,
                map: "memory",
                source: io::Error::other("told to fail"),
            });
        }
        Ok(state)
    }

    /// What was asked since the last look, in order; from now on the call of this number fails.
    pub(crate) fn fail_next(&self, number: Option<usize>) -> Vec<&'static str> {
        let faults = &mut self.state().faults;
        faults.failing = number;
        std::mem::take(&mut faults.asked)
    }

    /// Has each call take so long from now on.
    pub(crate) fn slow_down(&self, pause: Duration) {
        self.state().faults.pause = pause;
    }

    /// Has nothing enforced from now on, or all again.
    pub(crate) fn switch_off(&self, why: Option<&str>) {
        self.state().off = why.map(str::to_owned);
    }

    /// Makes the ring buffer so small, in bytes.
    pub(crate) fn leave_room(&self, bytes: u64) {
        self.state().room = bytes;
    }

    /// Has the daemon see to something.
    fn tell(&self, mut state: MutexGuard<'_, State>, event: Event) {
        state.notices.push_back(OwnedEvent {
            event,
            path: Vec::new(),
        });
        drop(state);
        self.notices.notify_one();
    }

    /// A cgroup appears, as `cgroup_mkdir` sees it: it has its tag from now on, and the daemon is told.
    pub(crate) fn appear(&self, path: &str, cgroup: u64) {
        let mut state = self.state();
        let label = state.attachments.as_ref().map_or(Label::NONE, |table| {
            let step = |at, byte| table.step(at, byte);
            table.label(path.bytes().fold(table.start, step))
        });
        if label.is_some() {
            state.tags.insert(cgroup, label);
            let event = Event {
                kind: EventKind::CgroupCame as u8,
                generation: label.generation,
                cgroup,
                ..Event::default()
            };
            self.tell(state, event);
        }
    }

    /// A cgroup is removed, as `cgroup_rmdir` sees it.
    pub(crate) fn vanish(&self, cgroup: u64) {
        let mut state = self.state();
        if state.tags.remove(&cgroup).is_some() {
            let event = Event {
                kind: EventKind::CgroupGone as u8,
                cgroup,
                ..Event::default()
            };
            self.tell(state, event);
        }
    }

    /// A process came into a cgroup, as `cgroup_attach_task` sees it: it has its label from now on.
    pub(crate) fn enter(&self, pid: u32, cgroup: u64) {
        let mut state = self.state();
        let tag = state.tags.get(&cgroup).copied();
        let process = state.process(pid);
        process.cgroup = cgroup;
        if !process.label.is_some() {
            process.label = tag.unwrap_or_default();
        }
    }

    /// A process executes another program: its label has force from here on.
    pub(crate) fn exec(&self, pid: u32) {
        let mut state = self.state();
        let process = state.process(pid);
        process.label = process.label.in_force();
    }

    /// A process stopped in `execve`, in the mount namespace of this sequence and inode.
    pub(crate) fn wait_for_names(&self, pid: u32, label: Label, sequence: u64, number: u64) {
        let waiting = arrival::Waiting {
            label,
            sequence,
            number: u32::try_from(number).unwrap_or(0),
            stopped: arrival::STOPPED,
        };
        self.state().waiting.insert(pid, waiting);
    }

    /// Who waits so.
    pub(crate) fn waiting(&self) -> Vec<u32> {
        self.state().waiting.keys().copied().collect()
    }

    /// Whether nobody of the session waits there any more.
    pub(crate) fn has_viewed(&self, namespace: &Viewed) -> bool {
        self.state().viewed.contains(namespace)
    }

    /// Whether a daemon said that it is there.
    pub(crate) fn is_attended(&self) -> bool {
        self.state().attended != 0
    }

    /// The label of a process, as it will be.
    pub(crate) fn label_of(&self, pidfd: &OwnedFd) -> Option<Label> {
        self.state().label(pid_of(pidfd))
    }

    /// A process has ended.
    pub(crate) fn exit(&self, pid: u32) {
        self.state().processes.remove(&pid);
    }

    /// The filesystem of this device is unmounted for good: the kernel side forgets it and says so.
    pub(crate) fn unmount(&self, dev: u32) {
        let mut state = self.state();
        let found = state.superblocks.values().find(|entry| entry.dev == dev);
        let Some(entry) = found.copied() else {
            return;
        };
        state.superblocks.remove(&entry.number);
        let mut event = Event {
            kind: EventKind::SuperblockGone as u8,
            dev,
            ..Event::default()
        };
        event.detail.words[0] = entry.instance.into();
        self.tell(state, event);
    }

    /// The same of all that hooks can place.
    pub(crate) fn unmount_all(&self) {
        let state = self.state();
        let devices = state.superblocks.values().map(|entry| entry.dev);
        let devices = devices.collect::<Vec<_>>();
        drop(state);
        for dev in devices {
            self.unmount(dev);
        }
    }

    /// What is there of sessions: slots with an image, tags, network entries and labels, in words.
    pub(crate) fn traces(&self) -> Vec<String> {
        let state = self.state();
        let images = state.images.keys().map(|slot| format!("image {slot}"));
        let tags = state.tags.keys().map(|cgroup| format!("tag {cgroup}"));
        let net = state.net.iter().map(|(_, key, _)| {
            let policy = u32::from_be_bytes(key.policy);
            format!("network entry of {policy}")
        });
        let processes = state.processes.iter();
        let labels = processes
            .filter(|(_, process)| process.label.is_some())
            .map(|(pid, _)| format!("label of {pid}"));
        images.chain(tags).chain(net).chain(labels).collect()
    }

    /// What the daemon reads events from.
    pub(crate) fn stream_of_events(&self) -> Box<dyn EventSource> {
        Box::new(Waiting {
            kernel: self.clone(),
            told: Arc::clone(&self.events),
            queue: |state| &mut state.events,
        })
    }

    /// What the daemon reads notices from.
    pub(crate) fn stream_of_notices(&self) -> Box<dyn EventSource> {
        Box::new(Waiting {
            kernel: self.clone(),
            told: Arc::clone(&self.notices),
            queue: |state| &mut state.notices,
        })
    }
}

impl State {
    fn process(&mut self, pid: u32) -> &mut Process {
        let open = || Process {
            handle: ProcessHandle::open(pid).ok(),
            ..Process::default()
        };
        self.processes.entry(pid).or_insert_with(open)
    }

    fn label(&self, pid: Option<u32>) -> Option<Label> {
        let process = self.processes.get(&pid?)?;
        Some(process.label.in_force()).filter(|label| label.is_some())
    }
}

impl LabelSource for MemoryKernel {
    fn of_process(&self, pidfd: &OwnedFd) -> Result<Option<Label>, KernelError> {
        Ok(self.state().label(pid_of(pidfd)))
    }

    fn of_connection(&self, accepted: BorrowedFd<'_>) -> Result<Option<Label>, KernelError> {
        let peer = getsockopt(&accepted.as_fd(), PeerCredentials).ok();
        let pid = peer.and_then(|peer| u32::try_from(peer.pid()).ok());
        Ok(self.state().label(pid))
    }
}

/// The process that a pidfd is of; `None`: it was waited for.
fn pid_of(pidfd: &OwnedFd) -> Option<u32> {
    let fd = pidfd.as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    pid.trim().parse().ok()
}

/// A ring buffer's reader.
struct Waiting {
    kernel: MemoryKernel,
    told: Arc<Notify>,
    queue: fn(&mut State) -> &mut VecDeque<OwnedEvent>,
}

/// Events that are handed over at once.
const BATCH: usize = 1024;

impl EventSource for Waiting {
    fn poll(&mut self) -> Vec<OwnedEvent> {
        let mut state = self.kernel.state();
        let queue = (self.queue)(&mut state);
        let count = queue.len().min(BATCH);
        queue.drain(..count).collect()
    }

    fn wait(&mut self) -> BoxFuture<'_, Result<Vec<OwnedEvent>, KernelError>> {
        Box::pin(async {
            loop {
                let events = self.poll();
                if !events.is_empty() {
                    return Ok(events);
                }
                self.told.notified().await;
            }
        })
    }
}
