//! Who is calling: known from the socket, never from what the caller says.

use std::{
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    middleware::Next,
    response::{IntoResponse, Response},
    serve::IncomingStream,
};
use tokio::net::{UnixListener, UnixStream};

use super::{error::RequestError, sessions::Live, state::Daemon};
use crate::process::ProcessHandle;

/// The group whose members may operate.
pub(super) const GROUP: &str = "bailiff";

/// The process at the other end, as it was when it connected.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
    gids: Vec<u32>,
    /// `None`: it has ended, or cannot be told apart from another.
    pub(super) process: Option<Arc<ProcessHandle>>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::of(stream.io()).unwrap_or_else(|error| {
            tracing::warn!("a caller cannot be identified: {error}");
            Self {
                uid: u32::MAX,
                gids: Vec::new(),
                process: None,
            }
        })
    }
}

impl Peer {
    fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let pid = credentials
            .pid()
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid > 0);
        let process = pid.and_then(|pid| match pidfd(stream) {
            Some(fd) => Some(ProcessHandle::from_parts(pid, fd)),
            None => ProcessHandle::open(pid).ok(),
        });
        let mut gids = groups(stream);
        gids.push(credentials.gid());
        Ok(Self {
            uid: credentials.uid(),
            gids,
            process: process.map(Arc::new),
        })
    }

    fn operates(&self) -> bool {
        self.uid == 0 || group_id().is_some_and(|gid| self.gids.contains(&gid))
    }
}

/// The kernel's own handle of the peer (Linux 6.5 and later): its pid may have been used again.
fn pidfd(stream: &UnixStream) -> Option<OwnedFd> {
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
    // SAFETY: the kernel has just given this descriptor to us alone.
    (result == 0 && fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The peer's supplementary groups.
fn groups(stream: &UnixStream) -> Vec<u32> {
    let mut groups = vec![0u32; 1024];
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
    groups.truncate(if result == 0 {
        length as usize / size_of::<u32>()
    } else {
        0
    });
    groups
}

/// The number of the group `bailiff`. Read from the file: a static program has no name service.
pub(super) fn group_id() -> Option<u32> {
    let text = fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(GROUP)).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// What a caller may do.
#[derive(Clone)]
pub(super) enum Caller {
    Operator(Peer),
    /// A process of this session.
    Inside(Arc<Live>),
}

impl Caller {
    /// The caller, if it may do everything.
    pub(super) fn operator(&self) -> Result<&Peer, RequestError> {
        match self {
            Self::Operator(peer) => Ok(peer),
            Self::Inside(live) => Err(RequestError::Labelled(format!(
                "this process runs in the session {}: from inside, only `bailiff why` and \
                 `bailiff status` are answered",
                live.row.name
            ))),
        }
    }
}

/// Finds out who calls, before any request is looked at.
pub(super) async fn identify(
    State(daemon): State<Arc<Daemon>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    match classify(&daemon, peer) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn classify(daemon: &Daemon, peer: Peer) -> Result<Caller, RequestError> {
    let gone = || RequestError::Denied("the calling process has ended".into());
    let process = peer
        .process
        .as_ref()
        .filter(|process| process.alive())
        .ok_or_else(gone)?;
    if let Some(label) = daemon.kernel().label(process.fd())? {
        let live = daemon.sessions().by_number(label.generation);
        return live.map(Caller::Inside).ok_or_else(|| {
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
