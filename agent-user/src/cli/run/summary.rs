//! What `bailiff run` says at the end: nothing where nothing was refused.

use crate::{
    api::{Mode, RefusalKind, Summary},
    render::{escape, escape::escape_bytes},
    why,
};

/// Kinds of refusals that are named.
const NAMED: usize = 3;

/// Lines for standard error.
pub(super) fn lines(summary: &Summary) -> Vec<String> {
    let session = escape(&summary.session.name);
    let mut lines = Vec::new();
    if summary.session.refused > 0 {
        lines.push(refusals(summary, &session));
    }
    if !summary.survivors.is_empty() {
        let who = summary
            .survivors
            .iter()
            .map(|name| escape(name))
            .collect::<Vec<_>>()
            .join(", ");
        lines.push(format!(
            "the session goes on, {} of its processes still run ({who}): `bailiff stop {session}` ends them",
            summary.survivors.len()
        ));
    }
    lines
}

fn refusals(summary: &Summary, session: &str) -> String {
    let count = summary.session.refused;
    let verb = if summary.session.mode == Mode::Audit {
        "would have refused"
    } else {
        "refused"
    };
    let things = if count == 1 { "action" } else { "actions" };
    let (probes, mut kinds): (Vec<_>, Vec<_>) = summary
        .kinds
        .iter()
        .partition(|kind| why::is_probe(&kind.first));
    // What leads somewhere else comes first, then what a rule denies: others follow from these.
    kinds.sort_by_key(|kind| {
        (
            !is_of_network(kind),
            kind.first.rule.is_none(),
            kind.first.id,
        )
    });
    let mut named = kinds
        .iter()
        .take(NAMED)
        .map(|kind| name(kind))
        .collect::<Vec<_>>();
    match kinds.len().saturating_sub(NAMED) {
        0 => {}
        1 => named.push("and one kind more".into()),
        more => named.push(format!("and {more} kinds more")),
    }
    let probes: u64 = probes.iter().map(|kind| kind.times).sum();
    if probes > 0 {
        named.push(format!(
            "{probes} of what every program asks and does without"
        ));
    }
    let list = if named.is_empty() {
        String::new()
    } else {
        format!(": {}", named.join(", "))
    };
    format!("{session} {verb} {count} {things}{list}; `bailiff why --session {session}` explains")
}

fn is_of_network(kind: &RefusalKind) -> bool {
    kind.first.right.as_str().starts_with("net.")
}

/// A kind by its first refusal: `file.read /w/.env (secrets) and 2 others`.
fn name(kind: &RefusalKind) -> String {
    let event = &kind.first;
    let object = match &event.path {
        Some(path) => escape_bytes(&path.bytes()),
        None => escape(&event.object).into_owned(),
    };
    let rule = event.rule.as_ref();
    let rule = rule.map(|rule| format!(" ({})", escape(&rule.id)));
    let others = match kind.different.saturating_sub(1) {
        0 => String::new(),
        1 => " and another".into(),
        others => format!(" and {others} others"),
    };
    format!(
        "{} {object}{}{others}",
        escape(event.right.as_str()),
        rule.unwrap_or_default()
    )
}
