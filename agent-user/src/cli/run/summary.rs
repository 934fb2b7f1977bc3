//! What `bailiff run` says at the end: nothing where nothing was refused.

use crate::{
    api::{Event, Mode, Summary},
    render::{escape, escape::escape_bytes},
};

/// Refusals that are named.
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
    let mut named = summary
        .refusals
        .iter()
        .take(NAMED)
        .map(name)
        .collect::<Vec<_>>();
    if summary.recorded > named.len() as u64 {
        named.push("…".into());
    }
    let list = if named.is_empty() {
        String::new()
    } else {
        format!(": {}", named.join(", "))
    };
    format!("{session} {verb} {count} {things}{list}; `bailiff why --session {session}` explains")
}

fn name(event: &Event) -> String {
    let object = match &event.path {
        Some(path) => escape_bytes(&path.bytes()),
        None => escape(&event.object).into_owned(),
    };
    let rule = event
        .rule
        .as_ref()
        .map(|rule| format!(" ({})", escape(&rule.id)));
    format!(
        "{} {object}{}",
        escape(event.right.as_str()),
        rule.unwrap_or_default()
    )
}
