//! `bailiff doctor --self-test`: refusals fire, and are recorded.

use std::path::PathBuf;

use agent_abi::Right;
use anyhow::Context as _;

use crate::{
    api::{
        EventFilter, Word,
        doctor::{ActResult, SelfTest, TriedAct},
        routes,
    },
    client::Client,
    render::{
        Table, escape,
        style::{BAD, GOOD, STRONG, WARN, paint},
        table::Cell,
    },
    self_test::Place,
};

/// Tries it in a session of its own.
pub(super) async fn run(client: &Client) -> SelfTest {
    match attempt(client).await {
        Ok(acts) => SelfTest {
            ok: is_sound(&acts),
            acts,
            error: None,
        },
        Err(error) => SelfTest {
            ok: false,
            acts: Vec::new(),
            error: Some(format!("{error:#}")),
        },
    }
}

pub(super) fn lines(found: &SelfTest) -> String {
    if let Some(error) = &found.error {
        return format!(
            "\n{} {} it was not done: {}\n",
            paint("self-test", STRONG),
            paint("BAD", BAD),
            escape(error)
        );
    }
    let mut table = Table::new(&["", "FAMILY", "TRIED", "FOUND"]);
    for act in &found.acts {
        table.row([
            match act.result.known() {
                Some(ActResult::Good) => Cell::styled("ok", GOOD),
                Some(ActResult::Bad) => Cell::styled("BAD", BAD),
                Some(ActResult::Untried) | None => Cell::styled("-", WARN),
            },
            act.family.as_str().into(),
            act.what.as_str().into(),
            said(act).into(),
        ]);
    }
    let count = |result| {
        let acts = found.acts.iter();
        acts.filter(|act| act.result == result).count()
    };
    format!(
        "\n{} {} of {} acts beyond a grant were refused and recorded, and their twins within it \
         worked; {} not tried\n{}",
        paint("self-test", STRONG),
        count(ActResult::Good),
        found.acts.len() - count(ActResult::Untried),
        count(ActResult::Untried),
        table.render()
    )
}

/// Nothing is bad, and something was tried.
fn is_sound(acts: &[TriedAct]) -> bool {
    acts.iter().all(|act| act.result != ActResult::Bad)
        && acts.iter().any(|act| act.result == ActResult::Good)
}

fn said(act: &TriedAct) -> String {
    match (&act.note, &act.right) {
        (Some(note), _) => escape(note).into_owned(),
        (None, Some(right)) => format!("refused as {right}"),
        (None, None) => "refused by the filter of system calls, which records nothing".into(),
    }
}

async fn attempt(client: &Client) -> anyhow::Result<Vec<TriedAct>> {
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
        if outcome.result == ActResult::Good && !outcome.right.as_ref().is_none_or(recorded) {
            outcome.result = ActResult::Bad.into();
            outcome.note = Some("it was refused, and the refusal was not recorded".into());
        }
    }
    Ok(outcomes)
}

/// Where other sessions hardly write, since a grant is read there.
fn own_directory() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}
