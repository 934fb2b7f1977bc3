//! Who is calling: known from the connection, never from what the caller says.
//!
//! Three things are taken when a connection is accepted, and all are the kernel's: the credentials
//! with which it was made (`SO_PEERCRED`, `SO_PEERGROUPS`), the label that the task had which made
//! it (kept by the hook `unix_stream_connect`), and a handle of that process (`SO_PEERPIDFD`). So
//! it does not matter who holds the connection now, nor who has the process's number. Where any of
//! them cannot be told, nothing is answered.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
};

use agent_abi::Label;
use nix::{
    errno::Errno,
    sys::socket::{getsockopt, sockopt::PeerCredentials},
};

use crate::{
    clock::ticks_since_boot,
    daemon::{error::RequestError, sessions::Live, state::Daemon},
    kernel::LabelSource,
    process::ProcessHandle,
};

/// The group whose members may operate.
pub(super) const GROUP: &str = "bailiff";

/// The process at the other end, as it was when it connected.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Peer {
    pub(in crate::daemon) uid: u32,
    gids: Vec<u32>,
    /// `None`: it has ended, or cannot be told apart from another.
    pub(in crate::daemon) process: Option<Arc<ProcessHandle>>,
    /// Of the task that made the connection.
    label: Option<Label>,
}

/// Whose share of the daemon a connection counts towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::daemon) enum Account {
    Root,
    /// Another user who may operate.
    Operator(u32),
    /// The session of this number.
    Session(u32),
    /// A user who may not.
    Stranger(u32),
}

impl Peer {
    /// # Errors
    /// The kernel does not tell who connected.
    pub(in crate::daemon) fn of(stream: &UnixStream, labels: &dyn LabelSource) -> io::Result<Self> {
        let credentials = getsockopt(stream, PeerCredentials)?;
        let mut gids = groups(stream)?;
        gids.push(credentials.gid());
        Ok(Self {
            uid: credentials.uid(),
            gids,
            process: process(stream, credentials.pid()).map(Arc::new),
            label: labels
                .of_connection(stream.as_fd())
                .map_err(io::Error::other)?,
        })
    }

    /// One that is said and not asked of the kernel.
    #[cfg(test)]
    pub(in crate::daemon) fn for_tests(uid: u32, process: ProcessHandle) -> Self {
        Self {
            uid,
            gids: Vec::new(),
            process: Some(Arc::new(process)),
            label: None,
        }
    }

    /// Its effective group.
    pub(in crate::daemon) fn gid(&self) -> u32 {
        // Pushed last.
        self.gids.last().copied().unwrap_or(self.uid)
    }

    fn operates(&self) -> bool {
        self.operates_by(group_id())
    }

    /// Whether it may operate where this is the group's number, if there is the group.
    fn operates_by(&self, group: Option<u32>) -> bool {
        self.uid == 0 || group.is_some_and(|gid| self.gids.contains(&gid))
    }

    /// Whose share this connection counts towards.
    pub(in crate::daemon) fn account(&self) -> Account {
        match self.label {
            Some(label) => Account::Session(label.generation),
            None if self.uid == 0 => Account::Root,
            None if self.operates() => Account::Operator(self.uid),
            None => Account::Stranger(self.uid),
        }
    }

    /// The label that counts: that of the connection or, where the process was tagged since, its
    /// own. `Err`: it has ended.
    fn label_now(&self, labels: &dyn LabelSource) -> Result<Option<Label>, RequestError> {
        let gone = || RequestError::Denied("the calling process has ended".into());
        let process = self.process.as_ref().ok_or_else(gone)?;
        let own = labels.of_process(process.fd())?;
        // Looked at afterwards: what is alive now was alive when its label was looked up.
        if !process.alive() {
            return Err(gone());
        }
        Ok(self.label.or(own))
    }

    /// Whether it may still do everything, some time after it was asked.
    pub(super) fn still_operates(&self, labels: &dyn LabelSource) -> bool {
        matches!(self.label_now(labels), Ok(None))
    }
}

/// A handle of the process that connected.
fn process(stream: &UnixStream, pid: libc::pid_t) -> Option<ProcessHandle> {
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    match pidfd(stream) {
        Ok(fd) => Some(ProcessHandle::from_parts(pid, fd)),
        // Before Linux 6.5 there is only its number. A process that has it and began later than
        // this is not the one that connected. One that began while the connection waited to be
        // accepted is not told apart: that is why neither credentials nor label are taken from the
        // process, and a caller is none who could not have asked itself.
        Err(Errno::ENOPROTOOPT) => {
            let accepted = ticks_since_boot();
            let process = ProcessHandle::open(pid).ok()?;
            let began = process.began().ok()?;
            (began <= accepted).then_some(process)
        }
        // It has ended, and its number may be another's.
        Err(_) => None,
    }
}

/// The kernel's own handle of the peer (Linux 6.5 and later).
fn pidfd(stream: &UnixStream) -> Result<OwnedFd, Errno> {
    const SO_PEERPIDFD: i32 = 77;
    let mut fd: i32 = -1;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `fd` has room for what the option returns, and `length` says how much.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    if fd < 0 {
        return Err(Errno::ESRCH);
    }
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The supplementary groups with which the connection was made.
fn groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    /// `NGROUPS_MAX`
    const MOST: usize = 65536;
    let mut groups = vec![0u32; 64];
    loop {
        let mut length = (groups.len() * size_of::<u32>()) as libc::socklen_t;
        // SAFETY: `groups` has `length` bytes of room.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        match Errno::result(result) {
            Ok(_) => {
                groups.truncate(length as usize / size_of::<u32>());
                return Ok(groups);
            }
            Err(Errno::ERANGE) if groups.len() < MOST => groups.resize(MOST, 0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The number of the group `bailiff`. Read from the file: a static program has no name service.
pub(super) fn group_id() -> Option<u32> {
    number_of_group(&fs::read_to_string("/etc/group").ok()?)
}

/// The number in the group's line of `/etc/group`.
fn number_of_group(text: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(GROUP)).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// What a caller may do.
#[derive(Clone)]
pub(super) enum Caller {
    Operator(Peer),
    /// A process of this session, with the number of its parent.
    Inside(Arc<Live>, Option<u32>),
}

impl Caller {
    /// The caller, if it may do everything.
    pub(in crate::daemon) fn operator(&self) -> Result<&Peer, RequestError> {
        match self {
            Self::Operator(peer) => Ok(peer),
            Self::Inside(live, _) => Err(RequestError::Labelled(format!(
                "this process runs in the session {}: from inside, only `bailiff why` and \
                 `bailiff status` are answered",
                live.row.name
            ))),
        }
    }
}

/// Finds out what a caller may do, before its request is looked at.
pub(super) fn classify(daemon: &Daemon, peer: Peer) -> Result<Caller, RequestError> {
    if let Some(label) = peer.label_now(daemon.labels.as_ref())? {
        let live = daemon.sessions().in_force_by_number(label.generation);
        let parent = peer
            .process
            .as_ref()
            .and_then(|process| process.parent().ok());
        return live
            .map(|live| Caller::Inside(live, parent))
            .ok_or_else(|| {
                RequestError::Denied(
                    "the session of this process has ended; nothing is answered".into(),
                )
            });
    }
    if peer.operates() {
        return Ok(Caller::Operator(peer));
    }
    Err(RequestError::Denied(format!(
        "uid {} may not use bailiff: run this as root, or ask to be put into the group `{GROUP}`",
        peer.uid
    )))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn peer(uid: u32, label: Option<Label>) -> Peer {
        Peer {
            uid,
            gids: Vec::new(),
            process: None,
            label,
        }
    }

    #[test]
    fn a_label_outweighs_credentials() {
        let label = Label {
            slot: 3,
            generation: 7,
        };
        assert_eq!(peer(0, Some(label)).account(), Account::Session(7));
        assert_eq!(peer(0, None).account(), Account::Root);
        assert_eq!(
            peer(4_000_000, None).account(),
            Account::Stranger(4_000_000)
        );
    }

    #[test]
    fn root_and_members_of_the_group_operate_and_nobody_else() {
        let member = |gids: &[u32]| Peer {
            gids: gids.to_vec(),
            ..peer(1000, None)
        };
        assert!(member(&[1000, 77]).operates_by(Some(77)));
        assert!(member(&[77]).operates_by(Some(77)));
        assert!(!member(&[1000, 78]).operates_by(Some(77)));
        assert!(!member(&[]).operates_by(Some(77)));
        // Where there is no such group nobody is in it, whatever number others have.
        assert!(!member(&[0, 77]).operates_by(None));
        assert!(peer(0, None).operates_by(None));
        assert_eq!(member(&[77]).operates(), group_id() == Some(77));
    }

    #[test]
    fn the_group_is_the_one_of_that_name() {
        let text =
            "root:x:0:\nbailiff2:x:5:\nxbailiff:x:6:me\nbailiff:x:77:me,you\nbailiff:x:78:\n";
        assert_eq!(number_of_group(text), Some(77));
        assert_eq!(number_of_group("root:x:0:bailiff\n"), None);
        assert_eq!(number_of_group("bailiff:x:many:\n"), None);
        assert_eq!(number_of_group("bailiff:77\n"), None);
    }

    fn connected(connect: impl FnOnce(&std::path::Path)) -> UnixStream {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        connect(&path);
        listener.accept().unwrap().0
    }

    #[test]
    fn the_kernel_tells_who_connected() {
        let mut other = None;
        let accepted = connected(|path| other = UnixStream::connect(path).ok());
        let found = process(&accepted, std::process::id() as i32).unwrap();
        assert!(found.alive() && found.pid() == std::process::id());
        assert!(process(&accepted, 0).is_none() && process(&accepted, -1).is_none());
        let own = nix::unistd::getgroups().unwrap();
        let own = own.iter().map(|gid| gid.as_raw()).collect::<Vec<_>>();
        assert_eq!(groups(&accepted).unwrap(), own);
    }

    /// More than there is room for at first.
    #[test]
    fn all_groups_of_who_connected_are_told() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        for many in [3_u32, 64, 65, 500] {
            let wanted = (2000..2000 + many).collect::<Vec<u32>>();
            let accepted = connected(|path| {
                let connect = || {
                    // The call itself is for one thread; the library's is for all.
                    // SAFETY: a live list of that many numbers.
                    let set = unsafe {
                        libc::syscall(libc::SYS_setgroups, wanted.len(), wanted.as_ptr())
                    };
                    (set == 0).then(|| UnixStream::connect(path))
                };
                let made = std::thread::scope(|scope| scope.spawn(connect).join().unwrap());
                made.unwrap().unwrap();
            });
            assert_eq!(groups(&accepted).unwrap(), wanted);
        }
    }
}
