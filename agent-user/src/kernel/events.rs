//! The stream of events out of the ring buffer.

use std::os::fd::{AsFd, OwnedFd};

use agent_abi::{Event, share::record_bytes};
use aya::maps::{Map, MapData, RingBuf};
use futures_util::future::BoxFuture;
use tokio::io::unix::AsyncFd;

use super::{EventSource, error::KernelError, load::map_pin};

/// An event with its path bytes (relative to its superblock's root).
#[derive(Clone, Debug)]
pub struct OwnedEvent {
    pub event: Event,
    pub path: Vec<u8>,
}

impl OwnedEvent {
    /// What its record took up in the ring buffer.
    pub(super) fn bytes(&self) -> u64 {
        record_bytes((size_of::<Event>() + self.path.len()) as u64)
    }
}

/// Reads a ring buffer; events that waited while no daemon ran come first.
pub struct EventStream {
    map: &'static str,
    ring: RingBuf<MapData>,
    ready: Option<AsyncFd<OwnedFd>>,
    /// Read already, and handed over before anything else.
    backlog: Vec<OwnedEvent>,
}

/// Events handed over at once, so that one flood does not fill the memory.
const BATCH: usize = 1024;

impl EventStream {
    pub(super) fn open(map: &'static str) -> Result<Self, KernelError> {
        let path = map_pin(map);
        let pin = |error: String| KernelError::Pin {
            path: path.clone(),
            reason: error,
        };
        let data = MapData::from_pin(&path).map_err(|error| pin(error.to_string()))?;
        let ring = RingBuf::try_from(Map::RingBuf(data)).map_err(|error| pin(error.to_string()))?;
        Ok(Self {
            map,
            ring,
            ready: None,
            backlog: Vec::new(),
        })
    }

    /// Hands events over again, before all others.
    pub(super) fn put_back(&mut self, events: Vec<OwnedEvent>) {
        self.backlog = events;
    }

    async fn next(&mut self) -> Result<Vec<OwnedEvent>, KernelError> {
        loop {
            let events = self.poll();
            if !events.is_empty() {
                return Ok(events);
            }
            let map = self.map;
            let failed = |source| KernelError::Map {
                operation: "watch",
                map,
                source,
            };
            if self.ready.is_none() {
                let fd = self.ring.as_fd().try_clone_to_owned().map_err(failed)?;
                // SAFETY: the descriptor is owned by what watches it, and so open as long.
                let watched = unsafe { AsyncFd::register(fd) };
                self.ready = Some(watched.map_err(|error| failed(error.into()))?);
            }
            if let Some(ready) = &self.ready {
                ready.readable().await.map_err(failed)?.clear_ready();
            }
        }
    }
}

impl EventSource for EventStream {
    fn poll(&mut self) -> Vec<OwnedEvent> {
        let mut events = std::mem::take(&mut self.backlog);
        while events.len() < BATCH {
            let Some(item) = self.ring.next() else { break };
            events.extend(decode(&item));
        }
        events
    }

    fn wait(&mut self) -> BoxFuture<'_, Result<Vec<OwnedEvent>, KernelError>> {
        Box::pin(self.next())
    }
}

/// Takes a record apart; one that is too short comes from another version and is left out.
fn decode(record: &[u8]) -> Option<OwnedEvent> {
    let (head, path) = record.split_at_checked(size_of::<Event>())?;
    // SAFETY: as many bytes as the struct has, which holds integers only; read unaligned.
    let event: Event = unsafe { head.as_ptr().cast::<Event>().read_unaligned() };
    let path = path.get(..usize::from(event.path_len)).unwrap_or(path);
    Some(OwnedEvent {
        event,
        path: path.to_vec(),
    })
}
