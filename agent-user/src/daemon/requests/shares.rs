//! How much of the daemon each of its callers may have: nobody can take what others need.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_abi::limits::MAX_SESSIONS;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Semaphore;

use super::peer::Account;

/// Connections that one account may have at a time, and all of its kind together.
struct Share {
    each: usize,
    all: usize,
}

const ROOT: Share = Share {
    each: 512,
    all: 512,
};
const OPERATOR: Share = Share { each: 64, all: 512 };
/// So many that each session has its own.
const SESSION: Share = Share {
    each: 4,
    all: 4 * MAX_SESSIONS,
};
/// Enough to be told that one may not.
const STRANGER: Share = Share { each: 4, all: 64 };

/// Descriptors that a connection takes: its socket and a handle of its process.
const PER_CONNECTION: usize = 2;
/// Descriptors that the daemon needs: a few for each session, the kernel side, the store.
const OWN: usize = 8 * MAX_SESSIONS;
/// Descriptors that all shares and the daemon's own need together.
const DESCRIPTORS: usize =
    OWN + PER_CONNECTION * (ROOT.all + OPERATOR.all + SESSION.all + STRANGER.all);

impl Account {
    fn share(self) -> Share {
        match self {
            Self::Root => ROOT,
            Self::Operator(_) => OPERATOR,
            Self::Session(_) => SESSION,
            Self::Stranger(_) => STRANGER,
        }
    }

    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Requests of sessions that are worked on at a time, all together.
const SESSION_REQUESTS: usize = 4;

/// Who has how much.
pub(in crate::daemon) struct Shares {
    connections: Mutex<BTreeMap<Account, usize>>,
    /// For the requests of sessions: they wait for one another, and nobody for them.
    pub(super) session_requests: Semaphore,
    /// For the grants that are being compiled: each takes a processor and some memory.
    pub(in crate::daemon) compiling: Semaphore,
}

impl Default for Shares {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            connections: Mutex::default(),
            session_requests: Semaphore::new(SESSION_REQUESTS),
            compiling: Semaphore::new(processors.clamp(2, 8)),
        }
    }
}

/// A connection's part; given back with this value.
pub(in crate::daemon) struct Part {
    shares: Arc<Shares>,
    account: Account,
}

impl Shares {
    fn connections(&self) -> MutexGuard<'_, BTreeMap<Account, usize>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A part for one more connection; `None`: this account, or its kind, has all that it may.
    pub(in crate::daemon) fn take(self: &Arc<Self>, account: Account) -> Option<Part> {
        let Share { each, all } = account.share();
        let mut connections = self.connections();
        let alike = connections
            .iter()
            .filter(|(other, _)| account.is_like(**other));
        let taken = alike.map(|(_, count)| count).sum::<usize>();
        let own = connections.entry(account).or_default();
        if *own >= each || taken >= all {
            if *own == 0 {
                connections.remove(&account);
            }
            return None;
        }
        *own += 1;
        Some(Part {
            shares: Arc::clone(self),
            account,
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut connections = self.shares.connections();
        if let Some(count) = connections.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.account);
            }
        }
    }
}

/// Sees to it that there are descriptors for every share at once, whatever started this daemon.
pub(in crate::daemon) fn provide_descriptors() {
    let wanted = DESCRIPTORS as u64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    if soft >= wanted {
        return;
    }
    let raised = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted))
        .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    if raised.is_err() || soft < wanted {
        tracing::warn!(
            "{soft} descriptors may be open, {wanted} are needed for {MAX_SESSIONS} sessions and their \
             callers: raise LimitNOFILE of the unit"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_share_of_another() {
        let shares = Arc::new(Shares::default());
        let take = |account| shares.take(account);
        let first = (0..10)
            .map_while(|_| take(Account::Session(1)))
            .collect::<Vec<_>>();
        assert_eq!(first.len(), SESSION.each);
        assert!(take(Account::Session(2)).is_some());
        let uids = (1000..2000).flat_map(|uid| (0..STRANGER.each).map(move |_| uid));
        let strangers = uids
            .map_while(|uid| take(Account::Stranger(uid)))
            .collect::<Vec<_>>();
        assert_eq!(strangers.len(), STRANGER.all);
        let users = (0..600)
            .map_while(|uid| take(Account::Operator(uid)))
            .collect::<Vec<_>>();
        assert_eq!(users.len(), OPERATOR.all);
        let root = (0..600)
            .map_while(|_| take(Account::Root))
            .collect::<Vec<_>>();
        assert_eq!(root.len(), ROOT.all);
        drop((first, strangers, users, root));
        assert!(shares.connections().is_empty());
    }

    #[test]
    fn every_session_has_a_share_at_the_same_time() {
        let shares = Arc::new(Shares::default());
        let all = (1..MAX_SESSIONS as u32)
            .flat_map(|session| (0..SESSION.each).map(move |_| session))
            .map_while(|session| shares.take(Account::Session(session)))
            .collect::<Vec<_>>();
        assert_eq!(all.len(), (MAX_SESSIONS - 1) * SESSION.each);
    }
}
