//! `bailiff doctor --self-test`: refusals fire, and are recorded.

use std::path::PathBuf;

use agent_abi::Right;
use anyhow::Context as _;
use serde::Serialize;

use crate::{
    api::{EventFilter, Word, routes},
    client::Client,
    render::{
        Table, escape,
        style::{BAD, GOOD, STRONG, WARN, paint},
        table::Cell,
    },
    self_test::{Outcome, Place, Verdict},
};

/// What came of it.
#[derive(Serialize)]
pub(super) struct SelfTest {
    pub(super) ok: bool,
    acts: Vec<Outcome>,
    /// Why nothing could be tried.
    error: Option<String>,
}

impl SelfTest {
    /// Tries it in a session of its own.
    pub(super) async fn run(client: &Client) -> Self {
        match attempt(client).await {
            Ok(acts) => Self {
                ok: is_sound(&acts),
                acts,
                error: None,
            },
            Err(error) => Self {
                ok: false,
                acts: Vec::new(),
                error: Some(format!("{error:#}")),
            },
        }
    }

    pub(super) fn lines(&self) -> String {
        if let Some(error) = &self.error {
            return format!(
                "\n{} {} it was not done: {}\n",
                paint("self-test", STRONG),
                paint("BAD", BAD),
                escape(error)
            );
        }
        let mut table = Table::new(&["", "FAMILY", "TRIED", "FOUND"]);
        for outcome in &self.acts {
            table.row([
                match outcome.result {
                    Verdict::Good => Cell::styled("ok", GOOD),
                    Verdict::Untried => Cell::styled("-", WARN),
                    Verdict::Bad => Cell::styled("BAD", BAD),
                },
                outcome.family.into(),
                outcome.what.into(),
                found(outcome).into(),
            ]);
        }
        let count = |result| {
            let acts = self.acts.iter();
            acts.filter(|outcome| outcome.result == result).count()
        };
        format!(
            "\n{} {} of {} acts beyond a grant were refused and recorded, and their twins within it \
             worked; {} not tried\n{}",
            paint("self-test", STRONG),
            count(Verdict::Good),
            self.acts.len() - count(Verdict::Untried),
            count(Verdict::Untried),
            table.render()
        )
    }
}

/// Nothing is bad, and something was tried.
fn is_sound(acts: &[Outcome]) -> bool {
    acts.iter().all(|outcome| outcome.result != Verdict::Bad)
        && acts.iter().any(|outcome| outcome.result == Verdict::Good)
}

fn found(outcome: &Outcome) -> String {
    match (&outcome.note, &outcome.right) {
        (Some(note), _) => escape(note).into_owned(),
        (None, Some(right)) => format!("refused as {right}"),
        (None, None) => "refused by the filter of system calls, which records nothing".into(),
    }
}

async fn attempt(client: &Client) -> anyhow::Result<Vec<Outcome>> {
    let place = if nix::unistd::geteuid().is_root() {
        Place::private().context("cannot make a place that only the self-test sees")?
    } else {
        Place::make(&own_directory())?
    };
    let mut scratch = place.start_session(client.socket())?;
    let mut outcomes = scratch.go()?;
    let filter = EventFilter {
        session: scratch.session.clone(),
        ..EventFilter::default()
    };
    let events = client.get(&routes::EVENTS.with(&filter)?).await?;
    for outcome in &mut outcomes {
        let recorded = |right: &Word<Right>| {
            let mut events = events.items.iter();
            events.any(|event| event.right == *right && event.refused())
        };
        if outcome.result == Verdict::Good && !outcome.right.as_ref().is_none_or(recorded) {
            outcome.result = Verdict::Bad;
            outcome.note = Some("it was refused, and the refusal was not recorded".into());
        }
    }
    Ok(outcomes)
}

/// Where other sessions hardly write, since a grant is read there.
fn own_directory() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}
