//! What the daemon says of sessions and of itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use crate::{
    api::{
        Alignment, EnvironmentState, Extent, Mode, RuleCount, SCHEMA, Session, SessionReport,
        SessionState, Status, StoreStatus, Summary, Word,
    },
    cgroup::Cgroup,
    daemon::{error::RequestError, sessions::Live, state::Daemon},
    kernel::Enforcement,
    process,
    store::{SessionRow, StoreError},
};

/// Refusals that a summary holds.
const FIRST_REFUSALS: u32 = 10;

impl Daemon {
    /// A session in force, as it is now.
    pub(super) fn describe(&self, live: &Live) -> Session {
        self.describe_among(live, &self.populations())
    }

    /// [`Self::describe`] with the number of processes of each session.
    pub(super) fn describe_among(&self, live: &Live, populations: &BTreeMap<u32, u32>) -> Session {
        let ended = *live.ended.borrow();
        if !ended {
            self.counts(live);
        }
        let state = match () {
            () if ended || live.is_place_gone() => SessionState::Ended,
            () if !live.running.load(Relaxed) && live.row.extent() == Extent::Attached => {
                SessionState::Waiting
            }
            () if !live.running.load(Relaxed) => SessionState::Starting,
            () if live.cgroup().is_some_and(Cgroup::frozen) => SessionState::Frozen,
            () => SessionState::Running,
        };
        let processes = populations.get(&live.row.number).copied().unwrap_or(0);
        Session {
            state: state.into(),
            processes,
            allowed: live.allowed.load(Relaxed),
            refused: live.refused.load(Relaxed),
            remarks: live.remarks(),
            ..of_row(&live.row)
        }
    }

    /// A session by name or number: in force, or from history.
    pub(in crate::daemon) async fn session(
        self: &Arc<Self>,
        key: &str,
    ) -> Result<Session, RequestError> {
        let live = self.sessions().in_force(key);
        match live {
            Some(live) => Ok(self.describe(&live)),
            None => Ok(of_row(&self.row(key).await?)),
        }
    }

    pub(in crate::daemon) async fn row(
        self: &Arc<Self>,
        key: &str,
    ) -> Result<SessionRow, RequestError> {
        let wanted = key.to_owned();
        let row = self
            .blocking(move |daemon| daemon.store.session(&wanted))
            .await?;
        row.ok_or_else(|| no_session(key))
    }

    /// The session's full name, for filters on events.
    pub(super) async fn session_name(self: &Arc<Self>, key: &str) -> Result<String, RequestError> {
        let live = self.sessions().find(key);
        match live {
            Some(live) => Ok(live.row.name.clone()),
            None => Ok(self.row(key).await?.name),
        }
    }

    /// What `bailiff run` says at the end. Waits for what is still on its way.
    pub(super) async fn summary(self: &Arc<Self>, key: &str) -> Result<Summary, RequestError> {
        let live = self.sessions().find(key);
        let survivors = match &live {
            Some(live) => {
                self.settle(live).await;
                self.survivors(live)
            }
            None => Vec::new(),
        };
        self.flush_events().await;
        let session = self.session(key).await?;
        let name = session.name.clone();
        let ((refusals, recorded), kinds) = self
            .blocking(move |daemon| {
                let first = daemon.store.refusals(&name, FIRST_REFUSALS)?;
                Ok::<_, StoreError>((first, daemon.store.refusal_kinds(&name)?))
            })
            .await?;
        Ok(Summary {
            schema: SCHEMA,
            session,
            refusals,
            recorded,
            kinds,
            survivors,
        })
    }

    /// Its processes, as they are called.
    fn survivors(&self, live: &Live) -> Vec<String> {
        let pids = match live.cgroup() {
            Some(cgroup) => cgroup.processes().unwrap_or_default(),
            None => Vec::from_iter(self.processes_of(live.label()).unwrap_or_default()),
        };
        names_of(&pids)
    }

    /// A session whose last process has just ended is on its way out: waits for that.
    async fn settle(&self, live: &Live) {
        if !self.is_populated(live) && live.running.load(Relaxed) {
            let mut ended = live.ended.subscribe();
            let wait = ended.wait_for(|ended| *ended);
            let _ = tokio::time::timeout(std::time::Duration::from_secs(6), wait).await;
        }
    }

    pub(in crate::daemon) async fn report(
        self: &Arc<Self>,
        key: &str,
    ) -> Result<SessionReport, RequestError> {
        let live = self.sessions().in_force(key);
        // Counted before what waits is stored, so that all of it should be stored afterwards.
        let due = live.as_ref().map(|live| refused(&self.counts(live)));
        self.flush_events().await;
        let (session, rules) = match &live {
            Some(live) => {
                self.tell_losses(live);
                (self.describe(live), self.counts(live))
            }
            None => {
                let row = self.row(key).await?;
                (of_row(&row), row.counts.unwrap_or_default())
            }
        };
        let due = due.unwrap_or_else(|| refused(&rules));
        let number = session.number;
        let name = session.name.clone();
        let (tally, why_lost) = self
            .blocking(move |daemon| {
                Ok::<_, StoreError>((daemon.store.tally(number)?, daemon.store.why_lost(&name)?))
            })
            .await?;
        let tally = tally.unwrap_or_default();
        let lost = live.map_or(tally.lost, |live| live.told_lost.load(Relaxed)) + tally.vanished;
        let missing_hooks = self.missing_hooks();
        let evidence = Evidence {
            lost,
            why_lost,
            unrecorded: due.saturating_sub(tally.recorded + lost),
            removed: tally.removed,
            error: self.writer.status().error,
            missing: &missing_hooks,
        };
        let (alignment, because) = match self.enforcement() {
            Enforcement::Off(why) if session.ended.is_none() => {
                (Alignment::Unknown, format!("not enforced: {why}"))
            }
            _ => align(&session, &rules, &evidence),
        };
        let alignment = alignment.into();
        let Evidence {
            unrecorded,
            removed,
            ..
        } = evidence;
        Ok(SessionReport {
            schema: SCHEMA,
            session,
            rules,
            lost,
            unrecorded,
            removed,
            missing_hooks,
            alignment,
            because,
        })
    }

    pub(in crate::daemon) async fn status(self: &Arc<Self>) -> Result<Status, RequestError> {
        let (hooks_attached, hooks_known) = {
            let kernel = self.kernel();
            let attached = kernel
                .coverage()
                .iter()
                .filter(|hook| hook.attached)
                .count();
            (attached as u32, kernel.coverage().len() as u32)
        };
        let enforcement = self.enforcement();
        let waiting_in_kernel = self.kernel().waiting()?;
        let stats = self
            .blocking(|daemon| daemon.store.stats(jiff::Timestamp::UNIX_EPOCH))
            .await
            .unwrap_or_default();
        let room = self.blocking(|daemon| daemon.store.room()).await;
        if self.writer.status().error.is_none()
            && let Err(error) = self.blocking(|daemon| daemon.store.look()).await
        {
            self.writer.note_failure(&error);
        }
        let writer = self.writer.status();
        Ok(Status {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            kernel: nix::sys::utsname::uname().map_or_else(
                |_| String::new(),
                |name| name.release().to_string_lossy().into(),
            ),
            started: self.started,
            sessions: self.live_sessions().len() as u32,
            hooks_attached,
            hooks_known,
            missing_hooks: self.missing_hooks(),
            enforcement: enforcement.into(),
            waiting_in_kernel,
            store: StoreStatus {
                path: self.store.path().display().to_string(),
                recorded: stats.recorded,
                lost: stats.lost,
                queued: writer.queued,
                dropped: writer.dropped,
                error: writer.error,
                room,
            },
        })
    }

    fn missing_hooks(&self) -> Vec<String> {
        let kernel = self.kernel();
        let missing = kernel
            .coverage()
            .iter()
            .filter(|hook| hook.needed && !hook.attached);
        missing.map(|hook| hook.hook.clone()).collect()
    }
}

/// What there is to go by beside the ledger.
#[derive(Default)]
struct Evidence<'a> {
    lost: u64,
    /// Of the latest loss.
    why_lost: Option<String>,
    unrecorded: u64,
    removed: u64,
    /// Why nothing can be stored.
    error: Option<String>,
    missing: &'a [String],
}

fn refused(rules: &[RuleCount]) -> u64 {
    rules.iter().map(|rule| rule.refused).sum()
}

/// Whether the session stayed within its grant, and why that is said.
fn align(session: &Session, rules: &[RuleCount], evidence: &Evidence<'_>) -> (Alignment, String) {
    let refused = refused(rules);
    if session.mode == Mode::Audit && refused > 0 {
        return (
            Alignment::NotAligned,
            format!(
                "{} beyond the grant {} let through (audit)",
                actions(refused),
                were(refused)
            ),
        );
    }
    let Evidence {
        lost,
        why_lost,
        unrecorded,
        removed,
        error,
        missing,
    } = evidence;
    let unknown = |because: String| (Alignment::Unknown, because);
    if rules.is_empty() {
        return unknown("its ledger was not kept".into());
    }
    if *lost > 0 {
        let why = why_lost
            .as_ref()
            .map_or_else(String::new, |why| format!(": {why}"));
        return unknown(format!("{lost} of its events {} lost{why}", were(*lost)));
    }
    if *unrecorded > 0 {
        let why = error
            .as_ref()
            .map_or_else(String::new, |error| format!(": {error}"));
        return unknown(format!(
            "{unrecorded} of its events {} not stored yet{why}",
            if *unrecorded == 1 { "is" } else { "are" }
        ));
    }
    if *removed > 0 {
        return unknown(format!(
            "{removed} of its events {} removed from the store, which keeps so many and so long",
            were(*removed)
        ));
    }
    if !missing.is_empty() {
        return unknown(format!(
            "not attached on this kernel: {}",
            missing.join(", ")
        ));
    }
    match refused {
        0 => (
            Alignment::Aligned,
            "it tried nothing beyond its grant".into(),
        ),
        1 => (
            Alignment::Aligned,
            "the one action beyond its grant was refused".into(),
        ),
        n => (
            Alignment::Aligned,
            format!("all {n} actions beyond its grant were refused"),
        ),
    }
}

fn actions(count: u64) -> String {
    format!("{count} action{}", if count == 1 { "" } else { "s" })
}

fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

pub(super) fn no_session(key: &str) -> RequestError {
    RequestError::NotFound(format!(
        "there is no session `{key}`; `bailiff ps --all` lists them"
    ))
}

fn names_of(pids: &[u32]) -> Vec<String> {
    pids.iter()
        .map(|pid| {
            format!(
                "{}[{pid}]",
                process::comm(*pid).unwrap_or_else(|| "?".into())
            )
        })
        .collect()
}

/// What the store knows of a session.
pub(super) fn of_row(row: &SessionRow) -> Session {
    let sum = |of: fn(&RuleCount) -> u64| row.counts.iter().flatten().map(of).sum();
    Session {
        schema: SCHEMA,
        name: row.name.clone(),
        number: row.number,
        state: SessionState::Ended.into(),
        grant: row.grant.clone(),
        mode: row.mode.clone(),
        cgroup: row.cgroup.display().to_string(),
        cgroup_id: row.cgroup_id,
        extent: row.extent.clone(),
        environment: Word::from(if row.extent().is_launched() {
            EnvironmentState::Granted
        } else {
            EnvironmentState::AsItWas
        }),
        command: row.command.clone(),
        variables: row.inputs.all(),
        remarks: row.resolutions.remarks(),
        hands_over: None,
        uid: row.uid,
        started: row.started,
        ended: row.ended,
        end_cause: row.end_cause.clone(),
        processes: 0,
        allowed: sum(|count| count.allowed),
        refused: sum(|count| count.refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::session_row_for_tests as row;

    fn rules(refused: u64) -> Vec<RuleCount> {
        vec![RuleCount {
            rule: None,
            allowed: 5,
            refused,
        }]
    }

    #[test]
    fn aligned_is_never_said_on_missing_evidence() {
        let session = of_row(&row(1));
        let said = |refused, evidence: Evidence<'_>| align(&session, &rules(refused), &evidence).0;
        let good = Evidence::default;
        assert_eq!(said(0, good()), Alignment::Aligned);
        assert_eq!(said(3, good()), Alignment::Aligned);
        let lost = Evidence { lost: 1, ..good() };
        assert_eq!(said(0, lost), Alignment::Unknown);
        let unrecorded = Evidence {
            unrecorded: 1,
            ..good()
        };
        assert_eq!(said(1, unrecorded), Alignment::Unknown);
        let removed = Evidence {
            removed: 1,
            ..good()
        };
        assert_eq!(said(1, removed), Alignment::Unknown);
        let missing = Evidence {
            missing: &["lsm/file_open".into()],
            ..good()
        };
        assert_eq!(said(0, missing), Alignment::Unknown);
        assert_eq!(align(&session, &[], &good()).0, Alignment::Unknown);
        let audit = Session {
            mode: "audit".into(),
            ..session
        };
        assert_eq!(align(&audit, &rules(1), &good()).0, Alignment::NotAligned);
        assert_eq!(align(&audit, &rules(0), &good()).0, Alignment::Aligned);
    }
}
