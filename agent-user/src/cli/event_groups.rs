//! `bailiff events --group`: refusals of one kind in one row.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::Style;

use crate::{
    api::{Event, PathText, Verdict},
    render::{
        Table, escape,
        escape::escape_bytes,
        style::{self, NAME},
        table::Cell,
    },
};

/// What is alike: session, verdict, right, rule, and the directory or whatever else it was done to.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'e> {
    session: &'e str,
    verdict: &'e str,
    right: &'e str,
    rule: &'e str,
    place: String,
}

#[derive(Default)]
struct Group {
    times: u64,
    names: BTreeSet<Vec<u8>>,
    shown: Option<(String, Style)>,
}

/// Rows with the most frequent first.
pub(super) fn table(events: &[Event]) -> Table {
    let mut groups: BTreeMap<Kind<'_>, Group> = BTreeMap::new();
    for event in events.iter().filter(|event| is_act(event)) {
        let path = event.path.as_ref().map(PathText::bytes);
        let name = path.unwrap_or_else(|| event.object.clone().into_bytes());
        let rule = event.rule.as_ref().map_or("-", |rule| &rule.id);
        let kind = Kind {
            session: &event.session,
            verdict: event.verdict.as_str(),
            right: event.right.as_str(),
            rule,
            place: place(event, &name),
        };
        let group = groups.entry(kind).or_default();
        group.times += event.count.max(1);
        group.names.insert(name);
        let (verdict, style) = style::verdict(event);
        group.shown = Some((verdict.into_owned(), style));
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.times));
    let mut table = Table::new(&["TIMES", "SESSION", "", "RIGHT", "RULE", "WHERE"]);
    for (kind, group) in groups {
        let (verdict, style) = group.shown.unwrap_or_default();
        let names = match group.names.len() {
            0 | 1 => String::new(),
            many => format!(" ({many} different)"),
        };
        table.row([
            group.times.to_string().into(),
            Cell::styled(escape(kind.session), NAME),
            Cell::styled(verdict, style),
            escape(kind.right).into(),
            escape(kind.rule).into(),
            format!("{}{names}", kind.place).into(),
        ]);
    }
    table
}

fn is_act(event: &Event) -> bool {
    let verdict = event.verdict.known();
    verdict.is_none_or(|verdict| {
        matches!(verdict, Verdict::Allow | Verdict::Deny | Verdict::WouldDeny)
    })
}

/// The directory of a path; a destination and what else there is as a whole.
fn place(event: &Event, name: &[u8]) -> String {
    let directory = event.path.as_ref().and_then(|_| {
        let slash = name.iter().rposition(|byte| *byte == b'/')?;
        Some(&name[..=slash])
    });
    escape_bytes(directory.unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::events_for_tests as event;

    #[test]
    fn what_is_alike_is_counted_together() {
        let at = |path: &str| event("file.read", path.as_bytes(), "deny");
        let events = [
            at("/w/a/one"),
            at("/w/b/one"),
            at("/w/a/two"),
            at("/w/a/one"),
        ];
        let text = table(&events).render();
        let text = anstream::adapter::strip_str(&text).to_string();
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].starts_with('3') && lines[0].ends_with("/w/a/ (2 different)"),
            "{text}"
        );
        assert!(
            lines[1].starts_with('1') && lines[1].ends_with("/w/b/"),
            "{text}"
        );
    }
}
