//! Compiled grants, by what they were made of: sessions of one grant at one place share one.
//!
//! Compiling is most of a session's start, and its tables are most of a session's memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use agent_grant::{CompileOptions, Grant, Protected};

use super::{Compiled, GrantError};

/// Grants that are looked through; what is no session's any more is among them for as long as it is one of
/// the last.
const KNOWN: usize = 64;

/// Compiled grants that are kept without a session: megabytes each.
const KEPT: usize = 2;

/// What sessions were started with lately, and what became of it.
#[derive(Default)]
pub struct Cache {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    entries: VecDeque<Entry>,
    /// The last ones.
    kept: VecDeque<Arc<Compiled>>,
}

/// All that a compiled grant depends on, so that the same of it is the same compiled grant.
struct Entry {
    grant: Grant,
    protected: Protected,
    compiled: Weak<Compiled>,
}

impl Cache {
    /// The compiled grant: one that is there already, or a new one.
    pub(super) fn compile(
        &self,
        grant: &Grant,
        protected: Protected,
    ) -> Result<Arc<Compiled>, GrantError> {
        let found = self.with(|known| known.find(grant, &protected));
        if let Some(compiled) = found {
            return Ok(compiled);
        }
        // Nobody waits for it: two who start the same at once make two.
        let options = CompileOptions {
            protected: protected.clone(),
        };
        let compiled = Arc::new(Compiled(agent_grant::compile(grant, &options)?));
        self.with(|known| known.add(grant, protected, &compiled));
        Ok(compiled)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn find(&mut self, grant: &Grant, protected: &Protected) -> Option<Arc<Compiled>> {
        self.entries
            .retain(|entry| entry.compiled.strong_count() > 0);
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.protected == *protected && entry.grant == *grant)?;
        let compiled = entry.compiled.upgrade()?;
        self.keep(&compiled);
        Some(compiled)
    }

    fn add(&mut self, grant: &Grant, protected: Protected, compiled: &Arc<Compiled>) {
        self.entries.push_front(Entry {
            grant: grant.clone(),
            protected,
            compiled: Arc::downgrade(compiled),
        });
        self.entries.truncate(KNOWN);
        self.keep(compiled);
    }

    fn keep(&mut self, compiled: &Arc<Compiled>) {
        self.kept.retain(|kept| !Arc::ptr_eq(kept, compiled));
        self.kept.push_front(Arc::clone(compiled));
        self.kept.truncate(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use agent_grant::{Inputs, Source, load, shipped_includes};

    use super::*;

    fn grant(cwd: &str) -> Grant {
        let text = "version = 1\nname = \"g\"\n[[file]]\nid = \"w\"\nallow = [\"read\"]\n\
                    path = [\"${cwd}/**\"]\n";
        let inputs = Inputs {
            cwd: Some(cwd.to_owned()),
            ..Inputs::default()
        };
        load(Source::new("g.toml", text), &inputs, &shipped_includes).unwrap()
    }

    fn compiled(cache: &Cache, cwd: &str) -> Arc<Compiled> {
        cache.compile(&grant(cwd), Protected::default()).unwrap()
    }

    #[test]
    fn the_same_grant_at_the_same_place_is_compiled_once() {
        let cache = Cache::default();
        let first = compiled(&cache, "/w");
        assert!(Arc::ptr_eq(&first, &compiled(&cache, "/w")));
    }

    #[test]
    fn another_place_or_another_thing_to_protect_is_another_compiled_grant() {
        let cache = Cache::default();
        let first = compiled(&cache, "/w");
        assert!(!Arc::ptr_eq(&first, &compiled(&cache, "/v")));
        let protected = Protected {
            state: vec![b"/var/lib/other".to_vec()],
            ..Protected::default()
        };
        let other = cache.compile(&grant("/w"), protected).unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn what_no_session_has_is_given_back_but_for_the_last() {
        let cache = Cache::default();
        let all = ["/a", "/b", "/c", "/d"].map(|place| Arc::downgrade(&compiled(&cache, place)));
        let alive = all.iter().filter(|compiled| compiled.strong_count() > 0);
        assert_eq!(alive.count(), KEPT);
        // And one that a session has is found however many came since.
        let held = compiled(&cache, "/held");
        for place in ["/a", "/b", "/c"] {
            compiled(&cache, place);
        }
        assert!(Arc::ptr_eq(&held, &compiled(&cache, "/held")));
    }
}
