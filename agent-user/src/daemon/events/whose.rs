//! Whose an event is: the name and the rules that it is told with.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    api::RuleRef,
    daemon::{
        sessions::{Live, members::unknown},
        state::Daemon,
    },
};

/// Sessions whose names are kept at hand. Events of more of those that ended before this daemon began are
/// seldom; the store knows them all.
const REMEMBERED: usize = 256;

/// The session that an event is of.
pub(in crate::daemon) enum Whose {
    /// One that this daemon knows.
    Live(Arc<Live>),
    /// One that ended before this daemon began.
    Past(Arc<Past>),
}

impl Whose {
    /// One that the store does not know: somebody replaced the store, or the session was removed from it.
    /// Its events are told all the same, under its number.
    pub(in crate::daemon) fn stranger(number: u32) -> Self {
        Self::Past(Arc::new(Past {
            name: unknown(number),
            rules: Vec::new(),
        }))
    }
}

/// What is left of a session that has ended.
pub(in crate::daemon) struct Past {
    pub(in crate::daemon) name: String,
    pub(in crate::daemon) rules: Vec<RuleRef>,
}

/// Those that were looked up lately.
#[derive(Default)]
pub(super) struct PastSessions {
    known: BTreeMap<u32, Arc<Past>>,
}

impl PastSessions {
    /// Whose these numbers are.
    pub(in crate::daemon) async fn whose(
        &mut self,
        daemon: &Arc<Daemon>,
        numbers: BTreeSet<u32>,
    ) -> HashMap<u32, Whose> {
        let mut found = HashMap::new();
        let mut unknown = Vec::new();
        for number in numbers {
            let live = daemon.sessions().by_number(number).map(Whose::Live);
            match live.or_else(|| self.known.get(&number).cloned().map(Whose::Past)) {
                Some(whose) => drop(found.insert(number, whose)),
                None => unknown.push(number),
            }
        }
        if unknown.is_empty() {
            return found;
        }
        let looked_up = daemon.blocking(move |daemon| {
            let rows = unknown
                .into_iter()
                .map(|number| (number, daemon.store.name_and_rules(number)));
            rows.collect::<Vec<_>>()
        });
        for (number, row) in looked_up.await {
            let row = row.unwrap_or_else(|error| {
                tracing::warn!("what session {number} was called cannot be read: {error}");
                None
            });
            found.insert(number, self.learn(number, row));
        }
        found
    }

    /// Notes what the store said of a session.
    fn learn(&mut self, number: u32, row: Option<(String, Vec<RuleRef>)>) -> Whose {
        let Some((name, rules)) = row else {
            return Whose::stranger(number);
        };
        // The oldest session is the least likely to send more.
        while self.known.len() >= REMEMBERED {
            self.known.pop_first();
        }
        let past = Arc::new(Past { name, rules });
        self.known.insert(number, Arc::clone(&past));
        Whose::Past(past)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(whose: &Whose) -> &str {
        match whose {
            Whose::Live(live) => &live.row.name,
            Whose::Past(past) => &past.name,
        }
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let mut past = PastSessions::default();
        for number in 1..=1000 {
            let row = (format!("coder-{number}"), Vec::new());
            let whose = past.learn(number, Some(row));
            assert_eq!(name(&whose), format!("coder-{number}"));
        }
        assert_eq!(past.known.len(), REMEMBERED);
        assert!(past.known.contains_key(&1000));
    }

    #[test]
    fn events_of_a_session_that_the_store_does_not_know_have_a_name() {
        let mut past = PastSessions::default();
        assert_eq!(name(&past.learn(7, None)), "session-7");
        // The store may know it later.
        assert!(past.known.is_empty());
        let row = ("coder-7".to_owned(), Vec::new());
        assert_eq!(name(&past.learn(7, Some(row))), "coder-7");
    }
}
