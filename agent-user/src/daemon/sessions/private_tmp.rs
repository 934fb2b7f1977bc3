//! The filesystem for temporary files that a session has of its own (`tmp = "private"`).
//!
//! Without it a session has less and works on, so what keeps it from having one is a remark. What is in force
//! finds it by its number, also what an earlier daemon made.

use std::io;

use super::Live;
use crate::{
    daemon::{error::RequestError, requests::peer::Peer, state::Daemon},
    mounts::{MountNamespace, PrivateTmps, private_tmp::Unseen},
};

impl Daemon {
    fn private_tmps(&self) -> PrivateTmps {
        PrivateTmps::beside(&self.own.socket)
    }

    /// Makes a session's, if its grant wants one for it.
    pub(super) async fn make_private_tmp(&self, live: &Live, peer: Option<&Peer>) {
        let wants =
            |compiled: &crate::grants::Compiled| compiled.inner().environment.has_private_tmp();
        let Some(peer) = peer.filter(|_| live.row.extent().is_launched()) else {
            return;
        };
        if !live.compiled().is_some_and(|compiled| wants(&compiled)) {
            return;
        }
        let made = match is_seen_from_here(live) {
            Ok(true) => self.show_private_tmp(live, peer).await,
            Ok(false) => Err(RequestError::Failed(
                "it is mounted where the daemon is, and the session sees other mounts".into(),
            )),
            Err(error) => Err(RequestError::failed(
                "cannot see the daemon's mounts",
                error,
            )),
        };
        let made = made.map_err(|error| {
            format!("TMPDIR is not the session's own, although its grant says so: {error}")
        });
        let _ = live.private_tmp.set(made);
    }

    async fn show_private_tmp(&self, live: &Live, peer: &Peer) -> Result<String, RequestError> {
        let failed = |error| RequestError::failed("cannot make it", error);
        let made = Unseen::make(peer.uid, peer.gid()).map_err(failed)?;
        // Whoever gives numbers to what is mounted finds it made, or does not find it.
        let _table = self.superblocks.lock().await;
        self.kernel().own_filesystem(made.dev(), live.label())?;
        let point = self
            .private_tmps()
            .show(live.row.number, &made)
            .map_err(failed)?;
        Ok(point.display().to_string())
    }

    /// Takes a session's away, if it has one.
    pub(super) fn end_private_tmp(&self, session: u32) {
        if let Err(error) = self.private_tmps().take_away(session) {
            tracing::warn!("temporary files of session {session} are left: {error}");
        }
    }

    /// Takes those away whose sessions ended while no daemon ran.
    pub(super) fn end_private_tmps_of_the_dead(&self) {
        let live = self.live_sessions();
        for session in self.private_tmps().sessions() {
            if !live.iter().any(|live| live.row.number == session) {
                self.end_private_tmp(session);
            }
        }
    }
}

/// Whether what the daemon mounts is at the same path for the session.
fn is_seen_from_here(live: &Live) -> io::Result<bool> {
    let here = MountNamespace::of_process(std::process::id())?;
    Ok(live.sight().vantage == Some(here.vantage()))
}
