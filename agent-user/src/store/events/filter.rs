//! Which events are asked for, in SQL.

use rusqlite::ToSql;

use crate::api::{EventFilter, Verdict, Vocabulary as _};

/// The condition for events that pass `filter`, and the values of its parameters.
pub(super) fn condition(filter: &EventFilter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut parts = vec!["1".to_owned()];
    let mut values = Vec::<Box<dyn ToSql>>::new();
    let mut add = |part: &str, value: Box<dyn ToSql>| {
        values.push(value);
        parts.push(part.replace('?', &format!("?{}", values.len())));
    };
    // What is not there any more might have been any of what is asked for.
    let or_lost = |part: &str| {
        let (lost, removed) = (Verdict::Lost.word(), Verdict::Removed.word());
        format!("({part} OR verdict IN ('{lost}', '{removed}'))")
    };
    if let Some(since) = filter.since {
        add("time >= ?", Box::new(since.as_microsecond()));
    }
    if let Some(until) = filter.until {
        add("time < ?", Box::new(until.as_microsecond()));
    }
    if let Some(after) = filter.after {
        add("id > ?", Box::new(after));
    }
    if let Some(session) = &filter.session {
        // What a session lost is its own.
        add("session = ?", Box::new(session.clone()));
    }
    if let Some(verdict) = &filter.verdict {
        add(&or_lost("verdict = ?"), Box::new(verdict.clone()));
    }
    if let Some(right) = &filter.right {
        // `file` is every right on files.
        let glob = if right.contains('.') {
            right.clone()
        } else {
            format!("{right}.*")
        };
        add(&or_lost("right GLOB ?"), Box::new(glob));
    }
    if let Some(path) = &filter.path {
        add(&or_lost("object GLOB ?"), Box::new(path.clone()));
    }
    if let Some(rule) = &filter.rule {
        add(&or_lost("rule_id = ?"), Box::new(rule.clone()));
    }
    (parts.join(" AND "), values)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::events::tests::filled;

    #[test]
    fn filters_hold_together_and_never_hide_losses() {
        let (_directory, store) = filled();
        let ids = |filter: EventFilter| {
            store
                .events(&filter)
                .unwrap()
                .iter()
                .map(|event| event.id)
                .collect::<Vec<_>>()
        };
        let all = EventFilter::default();
        assert_eq!(ids(all.clone()), [1, 2, 3, 4, 5]);
        assert_eq!(
            ids(EventFilter {
                right: Some("file".into()),
                ..all.clone()
            }),
            [1, 2, 4, 5]
        );
        let read = EventFilter {
            right: Some("file.read".into()),
            ..all.clone()
        };
        assert_eq!(ids(read.clone()), [1, 4, 5]);
        assert_eq!(
            ids(EventFilter {
                limit: Some(2),
                ..read.clone()
            }),
            [4, 5]
        );
        assert_eq!(
            ids(EventFilter {
                after: Some(1),
                limit: Some(1),
                ..read
            }),
            [4]
        );
        assert_eq!(
            ids(EventFilter {
                path: Some("/w/*".into()),
                ..all.clone()
            }),
            [1, 4, 5]
        );
        assert_eq!(
            ids(EventFilter {
                session: Some("x".into()),
                ..all.clone()
            }),
            [0_i64; 0]
        );
        assert_eq!(
            ids(EventFilter {
                rule: Some("secrets".into()),
                ..all.clone()
            })
            .len(),
            5
        );
        let later = Some(Timestamp::from_second(1_700_000_001).unwrap());
        assert_eq!(
            ids(EventFilter {
                since: later,
                ..all
            }),
            [5]
        );
    }
}
