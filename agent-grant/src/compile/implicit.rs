//! Rules that every session has and no grant can lift: a session never changes its own limits.

use std::{collections::BTreeSet, sync::Arc};

use agent_abi::FileRights;

use crate::{
    diagnostic::{Location, Source},
    glob::{Component, Glob, literal_components},
    model::{Alternative, Effect, FilePattern, Object, Rule},
    syntax::Text,
};

/// Begins the ids of these rules; no rule of a grant may begin so.
pub const RESERVED: &str = "bailiff:";

/// Where Bailiff keeps what it stores, on a host like any other.
const STATE: &[u8] = b"/var/lib/bailiff";
/// Where its socket is.
const RUN: &[u8] = b"/run/bailiff";
/// The socket: all that a session may reach of that directory.
const SOCKET: &[u8] = b"/run/bailiff/bailiff.sock";
/// Where operators put grants.
const CONFIG: &[u8] = b"/etc/bailiff";

/// Of the kernel's filesystems: what has it run programs, change its own code, or shut BPF out, and the
/// rules of the other security modules. By these names wherever they are mounted.
const OF_KERNEL: [&str; 13] = [
    "/proc/sys/**",
    "/proc/sysrq-trigger",
    "/sys/kernel/debug/**",
    "/sys/kernel/livepatch/**",
    "/sys/kernel/security/**",
    "/sys/kernel/uevent_helper",
    "/sys/fs/selinux/booleans/**",
    "/sys/fs/selinux/checkreqprot",
    "/sys/fs/selinux/commit_pending_bools",
    "/sys/fs/selinux/disable",
    "/sys/fs/selinux/enforce",
    "/sys/fs/selinux/load",
    "/sys/fs/smackfs/**",
];

/// Names, in one session, of the files that enforcement stands on. The usual ones are always among
/// them; another is given where the same object has another name, or is kept elsewhere.
///
/// Absolute paths; of directories whole trees are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protected {
    /// Directories of the store: not even to be read.
    pub state: Vec<Vec<u8>>,
    /// Directories of the daemon's socket.
    pub run: Vec<Vec<u8>>,
    /// The sockets that sessions may connect to.
    pub socket: Vec<Vec<u8>>,
    /// Directories of grants: not to be changed.
    pub config: Vec<Vec<u8>>,
    /// Programs that sessions must not change.
    pub program: Vec<Vec<u8>>,
}

pub(super) fn rules(protected: &Protected) -> Result<Vec<Rule>, String> {
    let deny = |id: &str, rights: FileRights, paths: Vec<FilePattern>, reason: &str| Rule {
        id: format!("{RESERVED}{id}"),
        effect: Effect::Deny,
        reason: Some(reason.to_owned()),
        object: Object::File {
            rights,
            paths,
            except: Vec::new(),
        },
        location: None,
    };
    const OUT_OF_REACH: &str = "What enforces a session is out of its reach.";
    let mut state = trees(STATE, &protected.state)?;
    state.push(built_in("/sys/fs/bpf/**"));
    let run = trees(RUN, &protected.run)?;
    let mut socket = deny(
        "socket",
        FileRights::CONNECT,
        run.clone(),
        "The daemon is asked through its own socket only.",
    );
    if let Object::File { except, .. } = &mut socket.object {
        *except = files(std::iter::once(SOCKET).chain(bytes(&protected.socket)))?;
    }
    let mut limits = vec![built_in("/sys/fs/cgroup/**")];
    limits.extend(trees(CONFIG, &protected.config)?);
    limits.extend(OF_KERNEL.map(built_in));
    let memory = ["/proc/*/mem", "/proc/*/task/*/mem"].map(built_in);
    let mut rules = vec![
        deny("state", FileRights::ALL, state, OUT_OF_REACH),
        deny(
            "run",
            FileRights::ALL.without(FileRights::CONNECT),
            run,
            OUT_OF_REACH,
        ),
        socket,
        deny(
            "limits",
            FileRights::CHANGING,
            limits,
            "A session does not change its own limits or the host's.",
        ),
        deny(
            "memory",
            FileRights::WRITE,
            memory.into(),
            "Writing a process's memory is process.ptrace, not file.write.",
        ),
    ];
    if !protected.program.is_empty() {
        let programs = files(bytes(&protected.program))?;
        rules.push(deny(
            "program",
            FileRights::CHANGING,
            programs,
            OUT_OF_REACH,
        ));
    }
    Ok(rules)
}

fn bytes(paths: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    paths.iter().map(Vec::as_slice)
}

/// Patterns for directories with all below.
fn trees(usual: &'static [u8], others: &[Vec<u8>]) -> Result<Vec<FilePattern>, String> {
    let paths = std::iter::once(usual).chain(bytes(others));
    patterns(paths, Some(&Component::Any), "/**")
}

/// Patterns for single files.
fn files<'a>(paths: impl Iterator<Item = &'a [u8]>) -> Result<Vec<FilePattern>, String> {
    patterns(paths, None, "")
}

fn patterns<'a>(
    paths: impl Iterator<Item = &'a [u8]>,
    last: Option<&Component>,
    suffix: &str,
) -> Result<Vec<FilePattern>, String> {
    let paths = paths.collect::<BTreeSet<_>>();
    let pattern = |path: &[u8]| {
        let mut components = literal_components(path)?;
        components.extend(last.cloned());
        Ok(pattern(
            &[path, suffix.as_bytes()].concat(),
            Glob::new(&components),
        ))
    };
    paths.into_iter().map(pattern).collect()
}

fn built_in(text: &str) -> FilePattern {
    let globs = crate::glob::parse(text, &|_| Err(String::new())).unwrap_or_default();
    debug_assert_eq!(globs.len(), 1, "{text}");
    pattern(
        text.as_bytes(),
        globs.into_iter().next().unwrap_or(Glob::new(&[])),
    )
}

fn pattern(text: &[u8], glob: Glob) -> FilePattern {
    let value = String::from_utf8_lossy(text).into_owned();
    let source = Arc::new(Source::new("(every session)", value.as_str()));
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
