//! Events, from the ring buffer to the store.

use std::{collections::HashMap, sync::Arc, time::Duration};

use agent_abi::{EventKind, Reason, Right};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    sessions::Live,
    state::Daemon,
    translate::{Context, fold, translate},
};
use crate::{
    api::{Event, RuleRef},
    clock::BootClock,
    kernel::{EventStream, OwnedEvent},
    store::lost_row,
};

/// How often the kernel is asked whether it had to drop events.
const DROPS: Duration = Duration::from_secs(2);
/// Under which name the store keeps how many drops were reported.
const REPORTED: &str = "reported-drops";

/// Reads events for as long as the daemon lives.
pub(super) struct Pump {
    daemon: Arc<Daemon>,
    stream: EventStream,
    drain: mpsc::Receiver<oneshot::Sender<()>>,
    reported: u64,
    /// Names and rules of sessions that ended before this daemon began.
    ended: HashMap<u32, (String, Vec<RuleRef>)>,
}

impl Pump {
    pub(super) fn new(
        daemon: Arc<Daemon>,
        stream: EventStream,
        drain: mpsc::Receiver<oneshot::Sender<()>>,
    ) -> Self {
        let reported = daemon.store.gauge(REPORTED).ok().flatten().unwrap_or(0);
        Self {
            daemon,
            stream,
            drain,
            reported,
            ended: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut ticks = interval(DROPS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = self.stream.wait() => match batch {
                    Ok(batch) => self.take(batch).await,
                    Err(error) => {
                        tracing::error!("events cannot be read: {error}");
                        sleep(DROPS).await;
                    }
                },
                Some(done) = self.drain.recv() => {
                    self.drain_all().await;
                    let _ = done.send(());
                }
                _ = ticks.tick() => {
                    self.report_drops();
                    self.daemon.blocking(Daemon::record_endings).await;
                    if let Err(error) = self.daemon.blocking(Daemon::settle_unseen).await {
                        tracing::error!("processes may lack labels: {error}");
                    }
                }
            }
        }
    }

    async fn drain_all(&mut self) {
        loop {
            let batch = self.stream.poll();
            if batch.is_empty() {
                return;
            }
            self.take(batch).await;
        }
    }

    async fn take(&mut self, batch: Vec<OwnedEvent>) {
        let clock = BootClock::now();
        let mut events = Vec::with_capacity(batch.len());
        for event in batch {
            let kind = event.event.kind;
            if kind == EventKind::Decision as u8 {
                events.push(self.decision(&event, clock));
            } else if kind == EventKind::SuperblockGone as u8 {
                let (dev, instance) = (event.event.dev, event.event.detail.words[0] as u32);
                if let Err(error) = self.daemon.forget_superblock(dev, instance).await {
                    tracing::warn!("a filesystem that is gone keeps its number: {error}");
                }
            } else if kind == EventKind::CgroupGone as u8 {
                let live = self.daemon.sessions().by_cgroup_id(event.event.cgroup);
                if let Some(live) = live {
                    live.stirred.notify_one();
                }
            } else if kind == EventKind::Unsettled as u8 {
                tracing::warn!("a process could not be labelled when it came: all are looked at");
                let settled = self.daemon.blocking(Daemon::settle_labels).await;
                if let Err(error) = settled {
                    tracing::error!("processes may lack labels: {error}");
                }
            } else if kind == EventKind::Enrolled as u8 {
                tracing::debug!("process {} enrolled", event.event.pid);
            }
        }
        if !events.is_empty() {
            self.daemon.writer.write(fold(events));
        }
    }

    fn decision(&mut self, event: &OwnedEvent, clock: BootClock) -> Event {
        let generation = event.event.generation;
        let live = self.daemon.sessions().by_number(generation);
        if let Some(live) = live {
            return of_live(event, &live, clock);
        }
        let store = &self.daemon.store;
        let (session, rules) = self.ended.entry(generation).or_insert_with(|| {
            let row = store.session(&generation.to_string()).ok().flatten();
            row.map_or_else(
                || (format!("session-{generation}"), Vec::new()),
                |row| (row.name, row.rules),
            )
        });
        translate(
            event,
            &Context {
                session,
                rules,
                names: None,
                clock,
            },
        )
    }

    /// Says what was lost, once.
    fn report_drops(&mut self) {
        let Ok(drops) = self.daemon.kernel().drops() else {
            return;
        };
        // After a restart of the host the kernel counts from zero.
        let new = if drops < self.reported {
            drops
        } else {
            drops - self.reported
        };
        if new > 0 {
            tracing::warn!("{new} events found the kernel's buffer full");
            self.daemon
                .writer
                .write(vec![lost_row(new, "the kernel's buffer was full")]);
        }
        if drops != self.reported {
            self.reported = drops;
            if let Err(error) = self.daemon.store.set_gauge(REPORTED, drops) {
                tracing::warn!("{error}");
            }
        }
    }
}

fn of_live(event: &OwnedEvent, live: &Live, clock: BootClock) -> Event {
    let sight = live.sight();
    let context = Context {
        session: &live.row.name,
        rules: &live.row.rules,
        names: Some(sight.names()),
        clock,
    };
    let mut translated = translate(event, &context);
    if let Some(denial) = denial(event, &translated, live) {
        translated.rule = Some(denial);
        translated.reason = Reason::Rule.name().into();
    }
    translated
}

/// The rule that denies what the kernel found no rule for: where nothing is allowed, the automaton
/// does not keep which denial matches.
fn denial(event: &OwnedEvent, translated: &Event, live: &Live) -> Option<RuleRef> {
    if event.event.reason != Reason::NoRule as u8 || translated.truncated {
        return None;
    }
    let right = Right::from_number(event.event.right)?;
    let path = translated.path.as_ref()?.bytes();
    let path = if path == b"/" { &[] } else { path.as_slice() };
    let compiled = live.compiled()?;
    let rule = agent_grant::denying_rule(compiled.inner(), path, right)?;
    live.row
        .rules
        .iter()
        .find(|known| known.number == rule.number)
        .cloned()
}
