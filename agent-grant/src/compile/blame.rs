//! Which pattern made the automaton too large.

use super::plain_error;
use crate::{
    automaton::{Attribution, Entry, Nfa, heaviest},
    diagnostic::{Diagnostic, Errors},
    model::{FilePattern, Object, Rule},
};

pub(super) fn too_large(rules: &[Rule], nfa: &Nfa, entries: &[Entry<'_>]) -> Errors {
    let message = "the grant's patterns make too large an automaton";
    let help = "patterns with several `**` or `*` multiply with one another: split the grant, or \
                name directories instead";
    let entry = entries.get(heaviest(nfa, Attribution::WhereAllowed) as usize);
    let place = entry.and_then(|entry| {
        let pattern = pattern_of(rules.get(usize::from(entry.rule))?, entry)?;
        Some(pattern.text.location.clone())
    });
    match place {
        Some(location) => Diagnostic::error(location, message)
            .label("this pattern takes the largest part")
            .help(help)
            .into(),
        None => plain_error(message.to_owned(), Some(help.to_owned())),
    }
}

fn pattern_of<'r>(rule: &'r Rule, entry: &Entry<'_>) -> Option<&'r FilePattern> {
    let Object::File { paths, except, .. } = &rule.object else {
        return None;
    };
    let patterns = if entry.except { except } else { paths };
    patterns
        .iter()
        .find(|p| p.globs().any(|glob| std::ptr::eq(glob, entry.glob)))
}
