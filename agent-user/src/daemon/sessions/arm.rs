//! Sessions of `bailiff exec`: the caller itself, where it is, from its next program on.

use super::Live;
use crate::daemon::{error::RequestError, requests::peer::Peer, state::Daemon};

impl Daemon {
    /// Arms the calling process: it is limited from the next `execve` on.
    pub(super) fn arm_caller(&self, live: &Live, peer: &Peer) -> Result<(), RequestError> {
        let process = peer.process.as_ref().ok_or_else(|| {
            RequestError::Denied("the calling process cannot be identified".into())
        })?;
        self.own_standard_terminals(process, live.label());
        {
            let mut kernel = self.kernel();
            if let Some(other) = kernel.label(process.fd())? {
                return Err(RequestError::Conflict(format!(
                    "process {} belongs to session {} already",
                    process.pid(),
                    other.generation
                )));
            }
            kernel.set_label(process.fd(), live.label().armed())?;
            if kernel.label(process.fd())? != Some(live.label()) {
                return Err(RequestError::Failed(format!(
                    "process {} could not be labelled; it must not run the command",
                    process.pid()
                )));
            }
        }
        live.started();
        Ok(())
    }
}
