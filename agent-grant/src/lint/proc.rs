//! Remarks on patterns below /proc, where a name is not what it seems.

use agent_abi::Right;

use super::{Lint, LintKind, id, note};
use crate::{
    compile::Compiled,
    diagnostic::Severity,
    glob::{Component, Glob},
    model::{FilePattern, Object},
};

/// Links that lead to the process that follows them: no object has such a path.
const LINKS: [(&[&str], &str); 8] = [
    (&["proc", "self"], "/proc/*"),
    (&["proc", "thread-self"], "/proc/*/task/*"),
    (&["proc", "mounts"], "/proc/*/mounts"),
    (&["proc", "net"], "/proc/*/net"),
    (&["dev", "fd"], ""),
    (&["dev", "stdin"], ""),
    (&["dev", "stdout"], ""),
    (&["dev", "stderr"], ""),
];

/// What of another process can be changed by writing it: of most the kernel asks no more than its user.
/// (`comm` and `attr` the process writes itself alone, and `mem` no grant opens.)
const OTHERS: [&str; 12] = [
    "oom_score_adj",
    "oom_adj",
    "autogroup",
    "sched",
    "clear_refs",
    "coredump_filter",
    "timerslack_ns",
    "timens_offsets",
    "setgroups",
    "uid_map",
    "gid_map",
    "projid_map",
];

pub(super) fn lint(grant: &Compiled) -> Vec<Lint> {
    let mut lints = links(grant);
    lints.extend(others(grant));
    lints
}

/// One remark for each rule and link.
fn links(grant: &Compiled) -> Vec<Lint> {
    let mut lints = Vec::<Lint>::new();
    for (rule, info) in grant.source.iter().zip(&grant.info) {
        let Object::File { paths, except, .. } = &rule.object else {
            continue;
        };
        for pattern in paths.iter().chain(except) {
            let Some((link, instead)) = link_of(pattern) else {
                continue;
            };
            let path = format!("/{}", link.join("/")).into_bytes();
            let is_known =
                |lint: &Lint| lint.rules == [info.number] && lint.path.as_ref() == Some(&path);
            if lints.iter().any(is_known) {
                continue;
            }
            let message = format!(
                "`{}` of rule `{}` matches nothing: {} is a link, to what differs by who follows it",
                pattern.text.value.escape_debug(),
                id(grant, info.number),
                path.escape_ascii()
            );
            let help = if instead.is_empty() {
                "what a descriptor leads to is judged by its own path when it is opened again, and \
                 needs no rule when it is used: leave the pattern out"
                    .to_owned()
            } else {
                format!(
                    "objects have real paths: write `{instead}` for it, which is the same of every \
                     process; memory, environment and descriptors of others are decided by \
                     `process.ptrace` besides"
                )
            };
            let kind = LintKind::NamesALink;
            let severity = Severity::Warning;
            let rules = vec![info.number];
            let mut lint = note(grant, kind, severity, rules, Some(path), message, &help);
            lint.diagnostic.location = Some(pattern.text.location.clone());
            lint.diagnostic.label = String::new();
            lints.push(lint);
        }
    }
    lints
}

/// The link that a pattern goes through, and what to write for it.
fn link_of(pattern: &FilePattern) -> Option<(&'static [&'static str], &'static str)> {
    let written = pattern
        .alternatives
        .iter()
        .map(|alternative| alternative.written.as_ref().unwrap_or(&alternative.glob));
    written
        .flat_map(|glob| LINKS.iter().filter(move |(link, _)| begins(glob, link)))
        .map(|(link, instead)| (*link, *instead))
        .next()
}

fn begins(glob: &Glob, link: &[&str]) -> bool {
    let components = glob.components();
    let names = components.iter().map(Component::literal);
    let first = names.take(link.len()).collect::<Vec<_>>();
    first.len() == link.len()
        && first
            .iter()
            .zip(link)
            .all(|(name, link)| name.as_deref() == Some(link.as_bytes()))
}

/// One remark for each rule that opens files of other processes for writing.
fn others(grant: &Compiled) -> Vec<Lint> {
    let mut lints = Vec::<Lint>::new();
    for name in OTHERS {
        let path = format!("/proc/1/{name}").into_bytes();
        let (allowed, rule) = grant.decide(&path, Right::FileWrite);
        let is_known = |lint: &Lint| lint.rules == [rule];
        if !allowed || lints.iter().any(is_known) {
            continue;
        }
        let message = format!(
            "rule `{}` lets it write files of every process that its user may, not of the session's \
             alone",
            id(grant, rule)
        );
        let help = "no pattern tells the session's processes from others: leave it out, and set it \
                    before the session begins; what may be written of the session itself without \
                    others is `/proc/*/comm`";
        let kind = LintKind::WritesOfOthers;
        let severity = Severity::Warning;
        lints.push(note(
            grant,
            kind,
            severity,
            vec![rule],
            Some(path),
            message,
            help,
        ));
    }
    lints
}
