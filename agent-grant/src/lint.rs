//! Remarks on a grant that is valid and may not mean what its author wants.

mod environment;
mod proc;

use std::collections::BTreeSet;

use agent_abi::{FileRights, Right, Surface, words};

use crate::{
    algebra::{
        unreachable_rules,
        walk::{Phase, Walk},
    },
    compile::Compiled,
    diagnostic::{Diagnostic, Severity},
    glob::Glob,
    model::{Effect, FilePattern, Object},
    opens::opens,
    syntax::rules::right_name,
};

words! {
    /// What kind of remark. Their words stay, for `--json` and for people.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum LintKind {
        /// A path is both writable and executable.
        WritableAndExecutable => "writable-and-executable",
        /// A rule never decides.
        NeverDecides => "never-decides",
        /// A denial below a directory that can be swapped for another one.
        DenialCanBeMovedAway => "denial-can-be-moved-away",
        /// An interpreter may run scripts that the session may write.
        InterpreterRunsWritable => "interpreter-runs-writable",
        /// A pattern that matches nothing now; [`matches_nothing`] makes these remarks.
        MatchesNothing => "matches-nothing",
        /// A directory is denied, and what is in it is not; [`denied_alone`] makes these remarks.
        DeniedAlone => "denied-alone",
        /// A switch or a capability that opens more than its name says.
        OpensMore => "opens-more",
        /// No relation for moves: directories move only between places with equal rights.
        CoarseMoves => "coarse-moves",
        /// A variable of the environment that is a secret by its name is kept.
        KeepsSecret => "keeps-a-secret",
        /// A variable is kept that makes programs load or run something more.
        KeepsLoader => "keeps-a-loader-variable",
        /// Mounting is opened, which is for a session's own namespaces.
        MountIsPrivate => "mount-is-private",
        /// A pattern goes through a link of /proc, or into it, and so matches nothing.
        NamesALink => "names-a-link",
        /// A pattern opens files of other processes for writing.
        WritesOfOthers => "writes-of-others",
        /// Nothing is granted through a link of this host; who resolves prefixes makes these remarks.
        LinkNotFollowed => "link-not-followed",
    }
}

/// A remark.
#[derive(Clone, Debug)]
pub struct Lint {
    pub kind: LintKind,
    /// Numbers of the rules that it is about.
    pub rules: Vec<u16>,
    /// A path that shows it.
    pub path: Option<Vec<u8>>,
    /// The remark, at the first rule's place.
    pub diagnostic: Diagnostic,
}

/// A pattern of a file rule.
#[derive(Clone, Debug)]
pub struct RulePattern<'g> {
    pub rule: u16,
    pattern: &'g FilePattern,
}

impl<'g> RulePattern<'g> {
    /// What the pattern stands for: it matches what one of these matches.
    pub fn globs(&self) -> impl Iterator<Item = &'g Glob> {
        self.pattern.globs()
    }
}

/// The patterns of file rules that stand in the source of this name: not those of included grants,
/// which are written for other hosts too.
pub fn patterns_in<'g>(grant: &'g Compiled, source: &str) -> Vec<RulePattern<'g>> {
    let mut found = Vec::new();
    for (rule, info) in grant.source.iter().zip(&grant.info) {
        let own = rule
            .location
            .as_ref()
            .is_some_and(|at| at.source.name == source);
        if let Object::File { paths, .. } = &rule.object
            && own
        {
            found.extend(paths.iter().map(|pattern| RulePattern {
                rule: info.number,
                pattern,
            }));
        }
    }
    found
}

/// Patterns that a remark names; the others are counted.
const NAMED: usize = 3;

/// Remarks on denials of a directory that let what is in it go: `is_directory` says of a path whether it is one now.
#[must_use]
pub fn denied_alone(
    grant: &Compiled,
    patterns: &[RulePattern<'_>],
    is_directory: &dyn Fn(&[u8]) -> bool,
) -> Vec<Lint> {
    let mut remarks = Vec::new();
    for pattern in patterns {
        let Some(rights) = denied_by(grant, pattern.rule).filter(|rights| !is_of_itself(*rights))
        else {
            continue;
        };
        for glob in pattern.globs().filter(|glob| glob.is_literal()) {
            let path = glob.literal_prefix().to_vec();
            let below = [path.as_slice(), b"/x"].concat();
            let open = rights.iter().filter(|right| grant.decide(&below, *right).0);
            let open = open.map(right_name).collect::<Vec<_>>();
            if open.is_empty() || !is_directory(&path) {
                continue;
            }
            let text = &pattern.pattern.text;
            let message = format!(
                "rule `{}` denies the directory `{}` and nothing in it",
                id(grant, pattern.rule),
                text.value
            );
            let help = format!(
                "`{}/**` is what is in it; {} there stays allowed",
                text.value.trim_end_matches('/'),
                open.join(", ")
            );
            let kind = LintKind::DeniedAlone;
            let rules = vec![pattern.rule];
            let mut lint = note(
                grant,
                kind,
                Severity::Warning,
                rules,
                Some(path),
                message,
                &help,
            );
            lint.diagnostic.location = Some(text.location.clone());
            remarks.push(lint);
        }
    }
    remarks
}

fn denied_by(grant: &Compiled, rule: u16) -> Option<FileRights> {
    let rule = grant.source.get(usize::from(rule))?;
    match &rule.object {
        Object::File { rights, .. } if rule.effect == Effect::Deny => Some(*rights),
        _ => None,
    }
}

/// Whether a directory may be meant by itself: it is to stay where and as it is.
fn is_of_itself(rights: FileRights) -> bool {
    FileRights::DELETE.union(FileRights::ATTR).contains(rights)
}

/// One remark for each rule of which these patterns match nothing now. `patterns` is in the order
/// of rules.
#[must_use]
pub fn matches_nothing(grant: &Compiled, patterns: &[RulePattern<'_>]) -> Vec<Lint> {
    let of_rules = patterns.chunk_by(|a, b| a.rule == b.rule);
    of_rules
        .filter_map(|patterns| {
            let first = patterns.first()?;
            let texts: Vec<_> = patterns
                .iter()
                .map(|p| p.pattern.text.value.as_str())
                .collect();
            let (named, more) = texts.split_at(texts.len().min(NAMED));
            let more = match more.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let message = format!(
                "rule `{}` has patterns that match nothing now: {}{more}",
                id(grant, first.rule),
                named.join(", ")
            );
            let help = "this may be as you want it; a mistyped path looks the same";
            let kind = LintKind::MatchesNothing;
            let rules = vec![first.rule];
            let mut lint = note(grant, kind, Severity::Note, rules, None, message, help);
            lint.diagnostic.location = Some(first.pattern.text.location.clone());
            Some(lint)
        })
        .collect()
}

/// Every remark that needs no file system, by kind.
#[must_use]
pub fn lint(grant: &Compiled) -> Vec<Lint> {
    let mut lints = writable_and_executable(grant);
    lints.extend(unreachable_rules(grant).into_iter().map(|rule| {
        let message = format!("rule `{}` never decides", rule.id);
        let help = "rules before it decide wherever it matches, or its `except` leaves nothing, \
                    or nothing is allowed that it could deny";
        note(
            grant,
            LintKind::NeverDecides,
            Severity::Warning,
            vec![rule.number],
            None,
            message,
            help,
        )
    }));
    lints.extend(denials_moved_away(grant));
    lints.extend(interpreters(grant));
    lints.extend(environment::lint(grant));
    lints.extend(proc::lint(grant));
    let opened = opens(grant.surface, grant.capabilities);
    lints.extend(opened.iter().filter(|opens| opens.more).map(|opens| {
        let message = format!("`{}` opens more than its name says", opens.setting);
        let kind = LintKind::OpensMore;
        let severity = Severity::Warning;
        note(grant, kind, severity, vec![], None, message, opens.sentence)
    }));
    if grant.refer.allowed.is_none() {
        let message = "too large for the relation of moves".to_owned();
        let help = "renames and links work only between places with equal rights";
        lints.push(note(
            grant,
            LintKind::CoarseMoves,
            Severity::Note,
            vec![],
            None,
            message,
            help,
        ));
    }
    lints.extend(private_mounts(grant));
    lints
}

/// What `mount = true` opens, and whether it can be used at all.
fn private_mounts(grant: &Compiled) -> Option<Lint> {
    const SYS_ADMIN: u64 = 1 << 21;
    // What mounts in namespaces of its own besides, `containers` says itself.
    let opened = grant.surface & (Surface::Mount.bit() | Surface::Containers.bit());
    if opened != Surface::Mount.bit() {
        return None;
    }
    let has_namespaces = grant.surface & Surface::Namespaces.bit() != 0;
    let usable = has_namespaces && grant.capabilities & SYS_ADMIN != 0;
    let (severity, message) = if usable {
        (
            Severity::Note,
            "`mount = true` is for mount namespaces of user namespaces that the session makes",
        )
    } else {
        (
            Severity::Warning,
            "`mount = true` opens nothing without `namespaces = true` and the capability `sys_admin`",
        )
    };
    let help = "where others see them, mounts are refused; in namespaces of its own a session binds \
                and moves, which changes nobody's rights, and mounts tmpfs, proc, sysfs, devpts, \
                mqueue and cgroup2; overlays, FUSE and disks are refused";
    let kind = LintKind::MountIsPrivate;
    Some(note(
        grant,
        kind,
        severity,
        vec![],
        None,
        message.to_owned(),
        help,
    ))
}

fn note(
    grant: &Compiled,
    kind: LintKind,
    severity: Severity,
    rules: Vec<u16>,
    path: Option<Vec<u8>>,
    message: String,
    help: &str,
) -> Lint {
    let rule = rules
        .first()
        .and_then(|number| grant.source.get(usize::from(*number)));
    let location = rule.and_then(|rule| rule.location.clone());
    let label = path
        .as_ref()
        .map(|path| format!("for example {}", path.escape_ascii()));
    let diagnostic = Diagnostic {
        severity,
        message,
        location,
        label: label.unwrap_or_default(),
        help: Some(help.to_owned()),
    };
    Lint {
        kind,
        rules,
        path,
        diagnostic,
    }
}

fn id(grant: &Compiled, rule: u16) -> &str {
    grant.rule(rule).map_or("?", |rule| rule.id.as_str())
}

/// One remark for each pair of rules.
fn writable_and_executable(grant: &Compiled) -> Vec<Lint> {
    let both = FileRights::WRITE.union(FileRights::EXEC);
    let mut pairs = BTreeSet::new();
    let mut lints = Vec::new();
    let start = [([grant.dfa.start], Phase::Root)];
    Walk::run([&grant.dfa], &start, |walk, node, [state], phase| {
        let label = grant.dfa.label(state);
        if phase.is_path() && label.allowed.contains(both) {
            let (write, exec) = (
                label.decide(Right::FileWrite).1,
                label.decide(Right::FileExec).1,
            );
            if pairs.insert((write, exec)) {
                let message = if write == exec {
                    format!(
                        "rule `{}` makes paths writable and executable",
                        id(grant, write)
                    )
                } else {
                    let (write, exec) = (id(grant, write), id(grant, exec));
                    format!("rules `{write}` and `{exec}` make paths writable and executable")
                };
                let help = "the session can run any program that it writes there; a build needs \
                            that, little else does";
                let mut rules = vec![write, exec];
                rules.dedup();
                let path = Some(walk.path(node).1);
                let kind = LintKind::WritableAndExecutable;
                lints.push(note(
                    grant,
                    kind,
                    Severity::Warning,
                    rules,
                    path,
                    message,
                    help,
                ));
            }
        }
        true
    });
    lints
}

/// A denial of making (write, create, attr) at a path whose parent directory can be deleted and
/// made anew under the grant: what is refused cannot be made there, but if the denied objects can
/// be deleted too, the directory that holds them can be emptied and replaced. The refer rule keeps
/// prepared content out; what is lost is what was there.
fn denials_moved_away(grant: &Compiled) -> Vec<Lint> {
    let mut reported = BTreeSet::new();
    let mut lints = Vec::new();
    let start = [([grant.dfa.start], Phase::Root)];
    Walk::run([&grant.dfa], &start, |walk, node, [state], phase| {
        let label = grant.dfa.label(state);
        let (writes, rule) = label.decide(Right::FileWrite);
        let denied = !writes && rule != agent_abi::ledger::NO_RULE;
        if phase.is_path() && denied && label.allowed.contains(FileRights::DELETE) {
            let path = walk.path(node).1;
            let parent = path
                .iter()
                .rposition(|byte| *byte == b'/')
                .map_or(&[][..], |at| &path[..at]);
            let above = grant
                .dfa
                .label(grant.dfa.run(grant.dfa.start, parent))
                .allowed;
            // Only where its surroundings could be written: else there is nothing to protect.
            if above.contains(FileRights::DELETE.union(FileRights::CREATE)) && reported.insert(rule)
            {
                let message = format!(
                    "rule `{}` denies to write what may be deleted",
                    id(grant, rule)
                );
                let help = "the object can be removed, with the directory around it; deny \
                            \"delete\" too if it must stay";
                let kind = LintKind::DenialCanBeMovedAway;
                let path = Some(path);
                lints.push(note(
                    grant,
                    kind,
                    Severity::Warning,
                    vec![rule],
                    path,
                    message,
                    help,
                ));
            }
        }
        true
    });
    lints
}

const INTERPRETERS: [&str; 14] = [
    "bash", "sh", "dash", "zsh", "python3", "python", "perl", "ruby", "node", "nodejs", "php",
    "lua", "awk", "tclsh",
];

fn interpreters(grant: &Compiled) -> Option<Lint> {
    let allowed = INTERPRETERS.iter().find_map(|name| {
        let path = format!("/usr/bin/{name}");
        let (allowed, rule) = grant.decide(path.as_bytes(), Right::FileExec);
        allowed.then_some((*name, rule))
    });
    let (name, exec) = allowed?;
    let script = FileRights::READ.union(FileRights::WRITE);
    let mut found = None;
    let start = [([grant.dfa.start], Phase::Root)];
    Walk::run([&grant.dfa], &start, |walk, node, [state], phase| {
        let label = grant.dfa.label(state);
        let path = walk.path(node).1;
        // Devices and the kernel's own files can be read and written; no script lies there.
        let is_special = [&b"/dev/"[..], b"/proc/"]
            .iter()
            .any(|at| path.starts_with(at));
        if phase.is_path() && label.allowed.contains(script) && !is_special {
            found = Some((path, label.decide(Right::FileWrite).1));
        }
        found.is_none()
    });
    let (path, write) = found?;
    let message = format!(
        "`{name}` may run scripts that rule `{}` lets it write",
        id(grant, write)
    );
    let help = "limits on \"exec\" do not hold for what an interpreter reads; that is as it is \
                for every grant with an interpreter and a writable place";
    let kind = LintKind::InterpreterRunsWritable;
    Some(note(
        grant,
        kind,
        Severity::Note,
        vec![exec, write],
        Some(path),
        message,
        help,
    ))
}
