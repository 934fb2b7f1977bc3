//! Rows that stand for no act: what was lost, what was removed, and how sessions ended.

use crate::{
    api::{EndCause, Event, Verdict, Vocabulary as _, Word},
    clock::record_now,
};

/// The row that stands for events that nobody could record.
#[must_use]
pub fn lost_row(session: &str, count: u64, why: &str) -> Event {
    Event {
        time: record_now(),
        session: session.into(),
        verdict: Verdict::Lost.into(),
        right: Word::Other("-".into()),
        reason: Word::Other(why.into()),
        object: "-".into(),
        count,
        ..Event::blank()
    }
}

/// The row that tells the end of a session that nobody asked for.
#[must_use]
pub fn ended_row(session: &str, cause: EndCause, cgroup: &str) -> Event {
    Event {
        session: session.into(),
        verdict: Verdict::Ended.into(),
        reason: Word::Other(cause.word().into()),
        object: cgroup.into(),
        count: 1,
        ..lost_row("-", 1, "")
    }
}

/// The row that stands for a session's events that were removed from the store.
#[must_use]
pub(in crate::store) fn removed_row(session: &str, count: u64) -> Event {
    Event {
        verdict: Verdict::Removed.into(),
        ..lost_row(
            session,
            count,
            "they were too old, or too many for the store",
        )
    }
}

/// The row that stands for sessions that were removed from the store.
#[must_use]
pub(in crate::store) fn removed_sessions_row(count: u64) -> Event {
    Event {
        object: Event::SESSIONS.into(),
        reason: Word::Other("they ended long ago, or were too many for the store".into()),
        ..removed_row("-", count)
    }
}
