//! Grants that were read and compiled, by what they were made of: sessions of one grant at one place share
//! one.
//!
//! Compiling is most of a new grant's start and reading most of a known one's, and a compiled grant is most of
//! a session's memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use agent_grant::{CompileOptions, Grant, Protected};

use super::{Compiled, GrantError, load::read_telling};
use crate::api::{GrantSource, Inputs};

/// Grants that are looked through; what is no session's any more is among them for as long as it is one of
/// the last.
const KNOWN: usize = 64;

/// Compiled grants that are kept without a session: megabytes each.
const KEPT: usize = 2;

/// Grants that are kept as they were read, before this host's links are followed.
const READ: usize = 4;

/// What sessions were started with lately, and what became of it.
#[derive(Default)]
pub struct Cache {
    known: Mutex<Known>,
    read: Mutex<VecDeque<Arc<Read>>>,
}

/// A grant, and all that it was read from.
struct Read {
    source: GrantSource,
    inputs: Inputs,
    grant: Grant,
}

#[derive(Default)]
struct Known {
    entries: VecDeque<Entry>,
    /// The last ones.
    kept: VecDeque<Arc<Compiled>>,
}

/// All that a compiled grant depends on, so that the same of it is the same compiled grant.
struct Entry {
    /// Without its rules, which the compiled grant has.
    rest: Grant,
    rules: usize,
    protected: Protected,
    compiled: Weak<Compiled>,
}

impl Cache {
    /// The grant that these texts are, and the texts: those that are kept already.
    pub(super) fn read(
        &self,
        source: &GrantSource,
        inputs: &Inputs,
    ) -> Result<(GrantSource, Grant), GrantError> {
        let same = self.of_source(source);
        if let Some(read) = same.iter().find(|read| read.inputs == *inputs) {
            return Ok((read.source.clone(), read.grant.clone()));
        }
        let source = same.first().map_or(source, |read| &read.source);
        let (grant, is_whole) = read_telling(source, inputs)?;
        if is_whole {
            let read = Read {
                source: source.clone(),
                inputs: inputs.clone(),
                grant: grant.clone(),
            };
            let mut kept = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_front(Arc::new(read));
            kept.truncate(READ);
        }
        Ok((source.clone(), grant))
    }

    fn of_source(&self, source: &GrantSource) -> Vec<Arc<Read>> {
        let kept = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let same = kept.iter().filter(|read| read.source == *source);
        same.cloned().collect()
    }

    /// The compiled grant: one that is there already, or a new one; and whether it is new.
    pub(super) fn compile(
        &self,
        grant: &Grant,
        protected: Protected,
    ) -> Result<(Arc<Compiled>, bool), GrantError> {
        let found = self.with(|known| known.find(grant, &protected));
        if let Some(compiled) = found {
            return Ok((compiled, false));
        }
        // Nobody waits for it: two who start the same at once make two.
        let options = CompileOptions {
            protected: protected.clone(),
        };
        let compiled = Arc::new(Compiled::of(agent_grant::compile(grant, &options)?));
        self.with(|known| known.add(grant, protected, &compiled));
        Ok((compiled, true))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    /// What it is about, where that is this grant compiled.
    fn of(&self, grant: &Grant, protected: &Protected) -> Option<Arc<Compiled>> {
        let Grant {
            name,
            purpose,
            mode,
            rules,
            surface,
            capabilities,
            environment,
            limits,
            tests,
        } = grant;
        let rest = &self.rest;
        let is_it = self.rules == rules.len()
            && rest.name == *name
            && rest.purpose == *purpose
            && rest.mode == *mode
            && rest.surface == *surface
            && rest.capabilities == *capabilities
            && rest.environment == *environment
            && rest.limits == *limits
            && rest.tests == *tests
            && self.protected == *protected;
        let compiled = if is_it { self.compiled.upgrade() } else { None };
        compiled.filter(|compiled| compiled.inner().begins_with(rules))
    }
}

impl Known {
    fn find(&mut self, grant: &Grant, protected: &Protected) -> Option<Arc<Compiled>> {
        self.entries
            .retain(|entry| entry.compiled.strong_count() > 0);
        let mut entries = self.entries.iter();
        let compiled = entries.find_map(|entry| entry.of(grant, protected))?;
        self.keep(&compiled);
        Some(compiled)
    }

    fn add(&mut self, grant: &Grant, protected: Protected, compiled: &Arc<Compiled>) {
        self.entries.push_front(Entry {
            rest: Grant {
                rules: Vec::new(),
                ..grant.clone()
            },
            rules: grant.rules.len(),
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
    use agent_grant::{Source, load, model::Object, shipped_includes};

    use super::*;
    use crate::api::SourceFile;

    fn grant(cwd: &str) -> Grant {
        let text = "version = 1\nname = \"g\"\n[[file]]\nid = \"w\"\nallow = [\"read\"]\n\
                    path = [\"${cwd}/**\"]\n";
        let inputs = agent_grant::Inputs {
            cwd: Some(cwd.to_owned()),
            ..agent_grant::Inputs::default()
        };
        load(Source::new("g.toml", text), &inputs, &shipped_includes).unwrap()
    }

    fn source(text: &str, includes: &[(&str, &str)]) -> GrantSource {
        let file = |name: &str, text: &str| SourceFile {
            name: name.into(),
            origin: format!("{name}.toml"),
            text: text.into(),
            file: None,
        };
        let includes = includes.iter().map(|(name, text)| file(name, text));
        GrantSource {
            main: file("g", text),
            includes: includes.collect(),
        }
    }

    #[test]
    fn what_is_read_again_is_what_is_written_now() {
        const HEAD: &str = "version = 1\nname = \"g\"\n";
        let including = format!("{HEAD}include = [\"more\"]\n");
        let rule = |id: &str| {
            format!("{HEAD}[[file]]\nid = \"{id}\"\nallow = [\"read\"]\npath = [\"${{cwd}}\"]\n")
        };
        let cache = Cache::default();
        let read = |id: &str, cwd: &str| {
            let inputs = Inputs {
                cwd: Some(cwd.into()),
                ..Inputs::default()
            };
            let grant = cache.read(&source(&including, &[("more", &rule(id))]), &inputs);
            let globs = |rule: &agent_grant::Rule| match &rule.object {
                Object::File { paths, .. } => paths[0].globs().map(ToString::to_string).collect(),
                _ => String::new(),
            };
            let (_, grant) = grant.unwrap();
            (grant.rules[0].id.clone(), globs(&grant.rules[0]))
        };
        for _ in 0..2 {
            assert_eq!(read("one", "/a"), ("one".into(), "/a".into()));
            assert_eq!(read("two", "/a"), ("two".into(), "/a".into()));
            assert_eq!(read("one", "/b"), ("one".into(), "/b".into()));
        }
        // What did not come with it is looked for anew each time.
        let before = cache.read.lock().unwrap().len();
        let base = format!("{HEAD}include = [\"base\"]\n");
        let inputs = Inputs {
            cwd: Some("/a".into()),
            home: Some("/h".into()),
            user: Some("u".into()),
            ..Inputs::default()
        };
        cache.read(&source(&base, &[]), &inputs).unwrap();
        assert_eq!(cache.read.lock().unwrap().len(), before);
    }

    fn compiled(cache: &Cache, cwd: &str) -> Arc<Compiled> {
        let compiled = cache.compile(&grant(cwd), Protected::default());
        compiled.unwrap().0
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
        let (other, is_new) = cache.compile(&grant("/w"), protected).unwrap();
        assert!(is_new);
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
