//! Rules that every session has and no grant can lift: a session never changes its own limits.

use std::sync::Arc;

use agent_abi::FileRights;

use crate::{
    diagnostic::{Location, Source},
    glob::{Glob, literal_components},
    model::{Alternative, Effect, FilePattern, Object, Rule},
    syntax::Text,
};

/// Begins the ids of these rules; no rule of a grant may begin so.
pub const RESERVED: &str = "bailiff:";

const CHANGE: FileRights = FileRights(
    FileRights::WRITE.0 | FileRights::CREATE.0 | FileRights::DELETE.0 | FileRights::ATTR.0,
);

/// The only path below the daemon's directory that a session may reach.
pub const SOCKET: &str = "/run/bailiff/bailiff.sock";

/// `protected`: paths of binaries and files that sessions must not change.
pub(super) fn rules(protected: &[Vec<u8>]) -> Result<Vec<Rule>, String> {
    let rule = |id: &str, rights: FileRights, paths: &[&str], except: &[&str], reason: &str| Rule {
        id: format!("{RESERVED}{id}"),
        effect: Effect::Deny,
        reason: Some(reason.to_owned()),
        object: Object::File {
            rights,
            paths: paths.iter().map(|p| built_in(p)).collect(),
            except: except.iter().map(|p| built_in(p)).collect(),
        },
        location: None,
    };
    let not_connect = FileRights::ALL.without(FileRights::CONNECT);
    let mut rules = vec![
        rule(
            "state",
            FileRights::ALL,
            &["/var/lib/bailiff/**", "/sys/fs/bpf/**"],
            &[],
            "What enforces a session is out of its reach.",
        ),
        rule(
            "run",
            not_connect,
            &["/run/bailiff/**"],
            &[],
            "What enforces a session is out of its reach.",
        ),
        rule(
            "socket",
            FileRights::CONNECT,
            &["/run/bailiff/**"],
            &[SOCKET],
            "The daemon is asked through its own socket only.",
        ),
        rule(
            "limits",
            CHANGE,
            &[
                "/sys/fs/cgroup/**",
                "/etc/bailiff/**",
                "/proc/sys/**",
                "/proc/sysrq-trigger",
            ],
            &[],
            "A session does not change its own limits or the host's.",
        ),
        rule(
            "memory",
            FileRights::WRITE,
            &["/proc/*/mem", "/proc/*/task/*/mem"],
            &[],
            "Writing a process's memory is process.ptrace, not file.write.",
        ),
    ];
    if !protected.is_empty() {
        let paths = protected
            .iter()
            .map(|path| {
                Ok(pattern(
                    path,
                    Glob {
                        components: literal_components(path)?,
                    },
                ))
            })
            .collect::<Result<Vec<_>, String>>()?;
        rules.push(Rule {
            id: format!("{RESERVED}program"),
            effect: Effect::Deny,
            reason: Some("What enforces a session is out of its reach.".to_owned()),
            object: Object::File {
                rights: CHANGE,
                paths,
                except: Vec::new(),
            },
            location: None,
        });
    }
    Ok(rules)
}

fn built_in(text: &str) -> FilePattern {
    let globs = crate::glob::parse(text, &|_| Err(String::new())).unwrap_or_default();
    debug_assert_eq!(globs.len(), 1, "{text}");
    pattern(
        text.as_bytes(),
        globs.into_iter().next().unwrap_or(Glob {
            components: Vec::new(),
        }),
    )
}

fn pattern(text: &[u8], glob: Glob) -> FilePattern {
    let value = String::from_utf8_lossy(text).into_owned();
    let source = Arc::new(Source::new("(every session)", value.clone()));
    let location = Location {
        source,
        span: 0..value.len(),
    };
    FilePattern {
        text: Text { value, location },
        alternatives: vec![Alternative {
            glob,
            written: None,
        }],
    }
}
