//! The paths of attachments as the one automaton that the kernel runs when a cgroup appears.

use agent_abi::{
    FileRights, Label, Right,
    attachment::{ATTACHMENT_WORDS, Attachments, MAX_ATTACHMENT_STATES, MAX_ATTACHMENTS},
    image::SINK,
    ledger::NO_RULE,
};

use crate::{
    automaton::{Attribution, Dfa, Entry, Nfa, RuleRights, determinize, minimize},
    effect::Effect,
    glob::{Glob, GlobError, parse},
};

/// Slices that can stand one in the other above a unit.
const MAX_SLICES: usize = 8;

/// Why attachments cannot be put in force together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentsError {
    /// As many as the kernel side has room for.
    #[error("there are more than {MAX_ATTACHMENTS} attachments")]
    TooMany,
    /// Their automaton does not fit.
    #[error("their patterns are too many or too intricate together: write them with fewer `*`")]
    TooLarge,
}

/// Which cgroups an attachment is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places(Vec<Glob>);

impl Places {
    /// Cgroups whose path in the hierarchy matches: `/agents.slice/*`.
    ///
    /// # Errors
    /// It is no pattern of an absolute path.
    pub fn cgroups(pattern: &str) -> Result<Self, GlobError> {
        plain(pattern).map(Self)
    }

    /// The cgroup of a unit of the system's service manager, in whatever slice it is; in the name, `*` and `?`
    /// are as in a pattern, and a template (`agent@.service`) is all its instances.
    ///
    /// systemd puts units into slices and nowhere else, and names every slice's cgroup `NAME.slice`, so that
    /// units of users (below `user@1000.service`) are never meant. A name that another file of cgroup v2 could
    /// have is written with `_` before it (`cg_needs_escape()`).
    ///
    /// # Errors
    /// It is no name of a unit.
    pub fn unit(name: &str) -> Result<Self, GlobError> {
        let name = name.replace("@.", "@*.");
        let mut globs = Vec::new();
        for slices in 0..=MAX_SLICES {
            let above = "/*.slice".repeat(slices);
            globs.extend(plain(&format!("{above}/{{,_}}{}", escaped(&name)))?);
        }
        Ok(Self(globs))
    }

    /// Whether a path is of the attachment.
    #[must_use]
    pub fn contain(&self, path: &[u8]) -> bool {
        self.0.iter().any(|glob| glob.matches(path))
    }
}

/// A pattern in which no variable stands.
fn plain(pattern: &str) -> Result<Vec<Glob>, GlobError> {
    parse(pattern, &|name| {
        Err(format!("`${{{name}}}` stands for nothing here"))
    })
}

/// A name of systemd's, where `\` is a character like any other, as a pattern.
fn escaped(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '\\' | '[' | ']' | '{' | '}' | '$') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// What the kernel side looks new cgroups up in: each label for the cgroups beside it. Of two that are for the
/// same cgroup the first holds.
///
/// # Errors
/// They do not fit.
pub fn attachments(places: &[(&Places, Label)]) -> Result<Box<Attachments>, AttachmentsError> {
    if places.len() > MAX_ATTACHMENTS {
        return Err(AttachmentsError::TooMany);
    }
    let mut found = none();
    if places.is_empty() {
        return Ok(found);
    }
    let dfa = automaton(places)?;
    let (states, columns) = (dfa.states(), dfa.columns);
    if states > MAX_ATTACHMENT_STATES || states * columns > ATTACHMENT_WORDS {
        return Err(AttachmentsError::TooLarge);
    }
    found.columns = columns as u32;
    found.start = dfa.start;
    found.classes = dfa.classes;
    for (state, row) in (0..).zip(dfa.rows.iter()) {
        for class in 0..columns {
            found.rows[state * columns + class] = row.at(class as u8) as u16;
        }
        let (_, number) = dfa.label(state as u32).decide(Right::FileRead);
        found.found[state] = if number == NO_RULE {
            0
        } else {
            number as u8 + 1
        };
    }
    for (label, (_, given)) in found.labels.iter_mut().zip(places) {
        *label = *given;
    }
    debug_assert_eq!(found.found[usize::from(SINK)], 0);
    Ok(found)
}

fn automaton(places: &[(&Places, Label)]) -> Result<Dfa, AttachmentsError> {
    let rule = RuleRights {
        effect: Effect::Allow,
        rights: FileRights::READ,
    };
    let entries = (0..).zip(places).flat_map(|(number, (places, _))| {
        places.0.iter().map(move |glob| Entry {
            rule: number,
            except: false,
            glob,
        })
    });
    let nfa = Nfa::new(vec![rule; places.len()], &entries.collect::<Vec<_>>());
    let dfa = determinize(&nfa, Attribution::WhereAllowed);
    Ok(minimize(&dfa.map_err(|_| AttachmentsError::TooLarge)?))
}

/// On the heap from the beginning: it is larger than a thread may like.
fn none() -> Box<Attachments> {
    // SAFETY: integers only, so that zeroes are a value: every byte leads to state 0, which is none's.
    let mut none = unsafe { Box::<Attachments>::new_zeroed().assume_init() };
    none.columns = 1;
    none
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label(number: u32) -> Label {
        Label {
            slot: number,
            generation: number + 100,
        }
    }

    /// As the kernel side does it.
    fn look_up(table: &Attachments, path: &str) -> Label {
        let state = path
            .bytes()
            .fold(table.start, |state, byte| table.step(state, byte));
        table.label(state)
    }

    fn table(places: &[Places]) -> Box<Attachments> {
        let numbered = places.iter().zip(1..);
        let labelled = numbered.map(|(places, number)| (places, label(number)));
        attachments(&labelled.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_unit_is_found_in_every_slice_and_nowhere_else() {
        let places = [
            Places::unit("agent.service").unwrap(),
            Places::unit("job@.service").unwrap(),
            Places::unit("memory.service").unwrap(),
            Places::unit(r"a\x2db.service").unwrap(),
            Places::cgroups("/agents.slice/*").unwrap(),
        ];
        let table = table(&places);
        for (path, number) in [
            ("/system.slice/agent.service", 1),
            ("/agent.service", 1),
            ("/a.slice/a-b.slice/agent.service", 1),
            ("/agents.slice/agent.service", 1),
            ("/agents.slice/other.service", 5),
            ("/agents.slice/other.service/below", 0),
            ("/system.slice/system-job.slice/job@1.service", 2),
            ("/system.slice/_memory.service", 3),
            (r"/system.slice/a\x2db.service", 4),
            ("/system.slice/agent.services", 0),
            (
                "/user.slice/user-1000.slice/user@1000.service/agent.service",
                0,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service",
                0,
            ),
            ("/system.slice/docker.service/agent.service", 0),
            ("/system.slice", 0),
            ("", 0),
            ("/", 0),
        ] {
            let wanted = if number == 0 {
                Label::NONE
            } else {
                label(number)
            };
            assert_eq!(look_up(&table, path), wanted, "{path}");
        }
    }

    #[test]
    fn no_attachments_find_nothing() {
        let table = attachments(&[]).unwrap();
        assert_eq!(look_up(&table, "/system.slice/agent.service"), Label::NONE);
    }

    #[test]
    fn as_many_fit_as_the_kernel_has_room_for() {
        let units = (0..MAX_ATTACHMENTS).map(|n| Places::unit(&format!("agent-{n}.service")));
        let units = units.collect::<Result<Vec<_>, _>>().unwrap();
        let table = table(&units);
        let path = format!("/system.slice/agent-{}.service", MAX_ATTACHMENTS - 1);
        assert_eq!(look_up(&table, &path), label(MAX_ATTACHMENTS as u32));
        let more = [&units[..], &units[..1]].concat();
        let more = more.iter().map(|places| (places, label(1)));
        let error = attachments(&more.collect::<Vec<_>>()).unwrap_err();
        assert_eq!(error, AttachmentsError::TooMany);
    }

    proptest! {
        #[test]
        fn the_table_finds_what_the_patterns_match(
            patterns in proptest::collection::vec("(/[ab?]?\\*?[ab?]|/\\*\\*){1,3}", 1..4),
            path in "(/[abc]{1,3}){0,4}",
        ) {
            let places = patterns.iter().map(|pattern| Places::cgroups(pattern));
            let places = places.collect::<Result<Vec<_>, _>>().unwrap();
            let table = table(&places);
            let first = places.iter().position(|places| places.contain(path.as_bytes()));
            let wanted = first.map_or(Label::NONE, |first| label(first as u32 + 1));
            prop_assert_eq!(look_up(&table, &path), wanted);
        }
    }
}
