//! What a grant's variables are filled in with for processes that run already: what is so for them, and not
//! for who asks.

use std::fs;

use crate::{
    accounts, api::Inputs, cgroup::Cgroup, daemon::error::RequestError, mounts::MountNamespace,
    process::ProcessHandle,
};

/// Processes that may end while they are looked at, one after the other.
const TRIES: usize = 20;

/// The process of a cgroup that began first, and the mounts that it sees. Without one, those of the host, where
/// an empty cgroup gets its processes from.
pub(super) fn first_process(
    cgroup: &Cgroup,
) -> Result<(Option<u32>, MountNamespace), RequestError> {
    for _ in 0..TRIES {
        let Some(first) = oldest(&cgroup.processes().unwrap_or_default()) else {
            break;
        };
        if let Ok(mounts) = MountNamespace::of_process(first) {
            return Ok((Some(first), mounts));
        }
    }
    Ok((None, mounts_of(1)?))
}

/// One that has ended, or is in a pid namespace of which nothing is seen here, is none.
fn oldest(pids: &[u32]) -> Option<u32> {
    let began = |pid: u32| ProcessHandle::open(pid)?.began();
    let known = pids
        .iter()
        .filter_map(|pid| Some((began(*pid).ok()?, *pid)));
    known.min().map(|(_, pid)| pid)
}

/// The mounts of the host. The daemon shares its namespaces, also where it may not look at process 1.
pub(super) fn mounts_of_host() -> Result<MountNamespace, RequestError> {
    mounts_of(1).or_else(|_| mounts_of(std::process::id()))
}

/// The mounts that a process sees.
pub(super) fn mounts_of(process: u32) -> Result<MountNamespace, RequestError> {
    MountNamespace::of_process(process).map_err(|error| {
        RequestError::failed(format!("cannot see the mounts of process {process}"), error)
    })
}

/// Working directory, user and home of a process, where the request leaves them open.
pub(super) fn fill_in(asked: Inputs, process: u32) -> Inputs {
    let account = uid_of(process).and_then(accounts::by_uid);
    let (user, home) = account.map(|account| (account.name, account.home)).unzip();
    Inputs {
        cwd: asked.cwd.or_else(|| directory_of(process)),
        home: asked.home.or(home),
        user: asked.user.or(user),
        set: asked.set,
    }
}

fn directory_of(process: u32) -> Option<String> {
    let directory = fs::read_link(format!("/proc/{process}/cwd")).ok()?;
    // One that was removed is none: the kernel adds words to its path.
    let exists = fs::metadata(format!("/proc/{process}/root/{}", directory.display())).is_ok();
    let directory = directory.into_os_string().into_string().ok()?;
    (exists && directory.starts_with('/')).then_some(directory)
}

fn uid_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_ended_is_not_the_first() {
        let own = std::process::id();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(oldest(&[child.id(), 0, own]), Some(own));
        assert_eq!(oldest(&[child.id()]), None);
    }

    #[test]
    fn what_is_asked_for_comes_before_what_is_found() {
        let asked = Inputs {
            cwd: Some("/w".into()),
            ..Inputs::default()
        };
        let filled = fill_in(asked, std::process::id());
        assert_eq!(filled.cwd.as_deref(), Some("/w"));
        let own = fill_in(Inputs::default(), std::process::id());
        let here = std::env::current_dir().unwrap();
        assert_eq!(own.cwd.as_deref(), here.to_str());
    }
}
