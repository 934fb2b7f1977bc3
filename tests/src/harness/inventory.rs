//! What a host holds outside a session, to be compared before and after: files, processes, IPC,
//! mounts, kernel settings, network, control groups, the clock.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{Check, Doing, process};

/// Kinds of things, then their names, then how they are.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    kinds: BTreeMap<&'static str, BTreeMap<String, String>>,
}

/// What is not the session's to change, less what changes by itself.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Folders that the session, or an outside worker, may change.
    pub(crate) changing: Vec<PathBuf>,
}

/// Filesystems whose files are the kernel's own, and counted elsewhere.
const KERNEL_TREES: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Where message queues are. Its own times and size tell only that somebody made or removed one.
const QUEUES: &str = "/dev/mqueue";

/// Kernel settings that count or measure, or are drawn anew.
const VOLATILE: [&str; 18] = [
    "aio-nr",
    "dentry-state",
    "file-nr",
    "inode-nr",
    "inode-state",
    "ns_last_pid",
    "perf_cpu_time_max_percent",
    "perf_event_max_sample_rate",
    "nf_conntrack_count",
    "pty/nr",
    "fs/quota",
    "kernel/random",
    "route/flush",
    "lowmem_reserve_ratio",
    "nr_hugepages",
    "overflowuid",
    "stat_refresh",
    "compact_memory",
];

/// Limits of the clock's drift between two looks, in milliseconds.
const DRIFT: i128 = 2_000;

impl Inventory {
    /// Looks at everything. Takes some seconds on an emulated processor.
    pub(crate) fn take(scope: &Scope) -> Check<Self> {
        let mut taken = Self::default();
        let mut files = BTreeMap::new();
        walk(Path::new("/"), scope, &mut files)?;
        walk(Path::new("/dev"), scope, &mut files)?;
        taken.kinds.insert("file", files);
        taken.kinds.insert("process", processes()?);
        taken.kinds.insert("setting", settings());
        taken.kinds.insert("table", tables()?);
        taken.kinds.insert("ipc", system_v());
        taken.kinds.insert("cgroup", cgroups());
        taken.kinds.insert("clock", clock());
        Ok(taken)
    }

    /// What is not as it was: gone, changed, or new. Processes, System V objects and message queues may
    /// be new: processes come and go, and a session may make objects of its own.
    pub(crate) fn differences(&self, later: &Self) -> Vec<String> {
        let none = BTreeMap::new();
        let mut found = Vec::new();
        for (kind, before) in &self.kinds {
            let after = later.kinds.get(kind).unwrap_or(&none);
            for (name, state) in before {
                match after.get(name) {
                    None => found.push(format!("{kind} {name} is gone (it was {state})")),
                    Some(now) if *kind == "clock" => found.extend(drifted(state, now)),
                    Some(now) if now != state => {
                        found.push(format!("{kind} {name} was {state}, is {now}"));
                    }
                    Some(_) => {}
                }
            }
            let is_queue = |name: &str| name.starts_with(QUEUES) && name.len() > QUEUES.len();
            let new = after.keys().filter(|name| !before.contains_key(*name));
            let new = new.filter(|name| !is_queue(name));
            if !["process", "ipc"].contains(kind) {
                found.extend(new.map(|name| format!("{kind} {name} is new")));
            }
        }
        found
    }

    /// How many things it holds.
    pub(crate) fn len(&self) -> usize {
        self.kinds.values().map(BTreeMap::len).sum()
    }
}

fn drifted(before: &str, after: &str) -> Option<String> {
    let number = |text: &str| text.parse::<i128>().unwrap_or(0);
    let drift = number(after) - number(before);
    (drift.abs() > DRIFT).then(|| format!("the clock was set by {drift} ms"))
}

/// Every file below `dir`, by what any change of content or attributes moves: `ctime` is the
/// kernel's to set.
fn walk(dir: &Path, scope: &Scope, files: &mut BTreeMap<String, String>) -> Check {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry.doing("read a directory")?.path();
        let skipped = scope.changing.contains(&path)
            || KERNEL_TREES.iter().any(|tree| path == Path::new(tree));
        if skipped {
            continue;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        // Terminals and the like are written by whoever uses them.
        let is_terminal = metadata.mode() & libc::S_IFMT == libc::S_IFCHR;
        let is_queues = path == Path::new(QUEUES);
        let times = if is_terminal || is_queues {
            String::new()
        } else {
            format!(" {}.{:09}", metadata.ctime(), metadata.ctime_nsec())
        };
        let state = format!(
            "{:o} {}:{} {} bytes, {} links, inode {}{times}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            if is_queues { 0 } else { metadata.size() },
            metadata.nlink(),
            metadata.ino(),
        );
        files.insert(path.to_string_lossy().into_owned(), state);
        if metadata.is_dir() {
            walk(&path, scope, files)?;
        }
    }
    Ok(())
}

/// Processes that were there, by pid and start: priority, processors, limits, groups, state.
fn processes() -> Check<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").doing("read /proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let dir = entry.path();
        let (Ok(stat), Ok(status)) = (
            fs::read_to_string(dir.join("stat")),
            fs::read_to_string(dir.join("status")),
        ) else {
            continue;
        };
        let fields = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect::<Vec<_>>();
        let field = |index: usize| fields.get(index).copied().unwrap_or("?");
        // Workers of the kernel come and go (parent 2 is kthreadd).
        if pid == 2 || field(1) == "2" || inside(&dir) {
            continue;
        }
        let line = |key: &str| {
            let of = |line: &&str| line.starts_with(key);
            status.lines().find(of).unwrap_or("").replace('\t', " ")
        };
        let stopped = matches!(field(0), "T" | "t" | "Z");
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        let state = [
            line("Name:"),
            line("Uid:"),
            line("Cpus_allowed:"),
            line("Seccomp:"),
            line("TracerPid:"),
            format!(
                "stopped {stopped}, group {}, session {}",
                field(2),
                field(3)
            ),
            format!(
                "priority {}, nice {}, policy {}",
                field(15),
                field(16),
                field(38)
            ),
            format!("oom {}", read("oom_score_adj").trim()),
            format!("cgroup {}", read("cgroup").trim()),
            format!(
                "limits {}",
                read("limits").split_whitespace().collect::<String>()
            ),
        ]
        .join("; ");
        found.insert(format!("{pid} since {}", field(19)), state);
    }
    Ok(found)
}

/// Whether a process is in a session of `bailiff run`, or is this program's own child that ends.
fn inside(dir: &Path) -> bool {
    let cgroup = fs::read_to_string(dir.join("cgroup")).unwrap_or_default();
    cgroup.contains("/bailiff/") || cgroup.contains("/bailiff-")
}

fn settings() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::from("/proc/sys")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.to_string_lossy().into_owned();
            if VOLATILE.iter().any(|volatile| name.contains(volatile)) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                found.insert(name, String::from_utf8_lossy(&bytes).trim().to_owned());
            }
        }
    }
    found
}

/// Mounts, modules, swap, names, addresses and routes.
fn tables() -> Check<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut add = |name: &str, text: String| {
        found.insert(name.to_owned(), text);
    };
    add(
        "mounts",
        fs::read_to_string("/proc/self/mountinfo").doing("read mounts")?,
    );
    add(
        "swaps",
        fs::read_to_string("/proc/swaps").unwrap_or_default(),
    );
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    let mut names = modules
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect::<Vec<_>>();
    names.sort_unstable();
    add("modules", names.join(" "));
    for words in [
        "ip -o address",
        "ip -o link",
        "ip route show table all",
        "ip -6 route show table all",
        "ip rule",
        "uname -n",
    ] {
        let words = words.split(' ').collect::<Vec<_>>();
        add(&words.join(" "), process::must(&words)?.stdout);
    }
    Ok(found)
}

/// System V objects by kind, key and number; the session may make its own. Of semaphores the values
/// and who set them last, not the time of the last operation: the kernel moves it when a process ends
/// whose operation with `SEM_UNDO` was refused (`exit_sem()`), for lack of a mode too.
fn system_v() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for kind in ["shm", "sem", "msg"] {
        let text = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words = line.split_whitespace().collect::<Vec<_>>();
            let (name, state) = words.split_at(words.len().min(2));
            let mut state = state.join(" ");
            if let (["sem", _, id], [mode, count, owners @ .., _operated, changed]) =
                ([&[kind], name].concat().as_slice(), &words[name.len()..])
            {
                let values = semaphores(id, count);
                state = format!("{mode} {count} {} {changed}: {values}", owners.join(" "));
            }
            found.insert(format!("{kind} {}", name.join(" ")), state);
        }
    }
    found
}

/// The values of a set, and which process changed each last.
fn semaphores(id: &str, count: &str) -> String {
    let id = id.parse().unwrap_or(-1);
    let ask = |index: i32, what| {
        // SAFETY: these two take no fourth argument.
        unsafe { libc::semctl(id, index, what) }
    };
    let of = |index| {
        format!(
            "{} by {}",
            ask(index, libc::GETVAL),
            ask(index, libc::GETPID)
        )
    };
    let all = (0..count.parse().unwrap_or(0)).map(of);
    all.collect::<Vec<_>>().join(", ")
}

/// Every group outside `/bailiff`, with what its files that only a writer changes say.
fn cgroups() -> BTreeMap<String, String> {
    const WRITTEN: [&str; 8] = [
        "cgroup.subtree_control",
        "cgroup.freeze",
        "cgroup.type",
        "cgroup.max.descendants",
        "memory.max",
        "memory.high",
        "pids.max",
        "cpu.weight",
    ];
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = open.pop() {
        let state = WRITTEN.map(|name| fs::read_to_string(dir.join(name)).unwrap_or_default());
        found.insert(
            dir.to_string_lossy().into_owned(),
            state.join(" ").replace('\n', " "),
        );
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("bailiff") {
                open.push(path);
            }
        }
    }
    found
}

/// The wall clock less the time since boot, in milliseconds.
fn clock() -> BTreeMap<String, String> {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let since_boot = uptime
        .split(' ')
        .next()
        .and_then(|text| text.parse::<f64>().ok());
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds since 1970")]
    let offset = wall.as_millis().cast_signed() - (since_boot.unwrap_or(0.0) * 1000.0) as i128;
    BTreeMap::from([("wall".to_owned(), offset.to_string())])
}
