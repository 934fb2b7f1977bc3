//! Events, from the ring buffer to the store.

use std::{collections::BTreeSet, mem, sync::Arc, time::Duration};

use agent_abi::{Reason, Right};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::{
    owed::Owed,
    translate::{Context, fold, translate},
    whose::{PastSessions, Whose},
};
use crate::{
    api::{Event, RuleRef},
    clock::{BootClock, record_clock},
    daemon::{assembly::Drains, sessions::Live, state::Daemon},
    kernel::{EventSource, OwnedEvent, SELF_CHECK},
};

/// How often the kernel is asked whether it had to drop events.
const DROPS: Duration = Duration::from_secs(2);
/// How soon a writer that has enough is asked again.
const LATER: Duration = Duration::from_millis(20);

/// Reads events for as long as the daemon lives.
pub(in crate::daemon) struct Pump {
    daemon: Arc<Daemon>,
    stream: Box<dyn EventSource>,
    drain: Drains,
    /// What was told that nobody's acts lost.
    reported: u64,
    /// How many processes were told to be killed at a fork.
    killed: u64,
    owed: Vec<Owed>,
    past: PastSessions,
}

impl Pump {
    pub(in crate::daemon) fn new(
        daemon: Arc<Daemon>,
        stream: Box<dyn EventSource>,
        drain: Drains,
        owed: Vec<Owed>,
    ) -> Self {
        let reported = daemon.nobodys_told();
        Self {
            daemon,
            stream,
            drain,
            reported,
            killed: 0,
            owed,
            past: PastSessions::default(),
        }
    }

    pub(in crate::daemon) async fn run(mut self) {
        // An act under way is counted before its event is sent: the first look comes late enough.
        let mut ticks = interval_at(Instant::now() + DROPS, DROPS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = self.stream.wait(), if self.daemon.writer.wants_more() => match batch {
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
                () = sleep(LATER), if !self.daemon.writer.wants_more() => {}
                _ = ticks.tick() => {
                    self.tick().await;
                    self.daemon.blocking(Daemon::record_endings).await;
                    self.tell_killed();
                    if let Err(error) = self.daemon.blocking(Daemon::settle_unseen).await {
                        tracing::error!("processes may lack labels: {error}");
                    }
                }
            }
        }
    }

    async fn drain_all(&mut self) {
        while self.daemon.writer.wants_more() {
            let batch = self.stream.poll();
            if batch.is_empty() {
                return;
            }
            self.take(batch).await;
        }
    }

    /// What has to be looked at now and then.
    async fn tick(&mut self) {
        let reported = self.reported;
        let told = self.daemon.blocking(move |daemon| {
            daemon.tell_all_losses();
            daemon.tell_nobodys(reported)
        });
        self.reported = told.await;
        if !self.daemon.writer.wants_more() {
            return;
        }
        let put_in = self.daemon.kernel().put_in();
        let batch = self.stream.poll();
        if !batch.is_empty() {
            self.take(batch).await;
            return;
        }
        if let Err(error) = put_in.and_then(|put_in| self.daemon.kernel().took_all(&put_in)) {
            tracing::warn!("shares of the kernel's buffer may be too small: {error}");
        }
        if self.daemon.writer.status().queued == 0 {
            self.tell_vanished().await;
        }
    }

    /// Tells of processes that ended where nothing was decided, so that there is no event.
    fn tell_killed(&mut self) {
        let counted = self.daemon.kernel().killed_at_fork();
        match counted {
            Ok(killed) => {
                if killed > self.killed {
                    tracing::warn!(
                        "{killed} processes were killed since Bailiff was loaded: this kernel could have taken their \
                         label from them when they forked. Update it (docs/design.md)"
                    );
                }
                self.killed = killed;
            }
            Err(error) => tracing::error!("processes killed at a fork cannot be counted: {error}"),
        }
    }

    /// Tells what is owed: everything that was there is stored. What cannot be noted is owed still.
    async fn tell_vanished(&mut self) {
        if self.owed.is_empty() {
            return;
        }
        let mut owed = mem::take(&mut self.owed);
        let left = self.daemon.blocking(move |daemon| {
            owed.retain_mut(|owed| {
                let told = owed.tell(daemon);
                if let Err(error) = &told {
                    tracing::warn!("what {} lost cannot be noted: {error}", owed.name);
                }
                !told.is_ok_and(|all| all)
            });
            owed
        });
        self.owed = left.await;
    }

    async fn take(&mut self, batch: Vec<OwnedEvent>) {
        let took = self.daemon.kernel().took(&batch);
        if let Err(error) = took {
            tracing::warn!("shares of the kernel's buffer may be too small: {error}");
        }
        let clock = record_clock();
        let sessions = batch.iter().filter(|event| !is_the_checks(event));
        let numbers = sessions.clone().map(|event| event.event.generation);
        let numbers = numbers.collect::<BTreeSet<_>>();
        let whose = self.past.whose(&self.daemon, numbers).await;
        let events = sessions.map(|event| {
            let number = event.event.generation;
            match whose.get(&number) {
                Some(whose) => decision(event, whose, clock),
                None => decision(event, &Whose::stranger(number), clock),
            }
        });
        let events = events.collect::<Vec<_>>();
        if !events.is_empty() {
            self.daemon.writer.write(fold(events));
        }
    }
}

fn is_the_checks(event: &OwnedEvent) -> bool {
    event.event.generation == SELF_CHECK.generation
}

fn decision(event: &OwnedEvent, whose: &Whose, clock: BootClock) -> Event {
    let past = match whose {
        Whose::Live(live) => return of_live(event, live, clock),
        Whose::Past(past) => past,
    };
    let context = Context {
        session: &past.name,
        rules: &past.rules,
        names: None,
        clock,
    };
    translate(event, &context)
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
        translated.reason = Reason::Rule.into();
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
