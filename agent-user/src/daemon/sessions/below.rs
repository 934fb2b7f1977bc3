//! Where the cgroup is made of a session that `bailiff run` starts.

use crate::{
    cgroup::{Cgroup, is_delegated},
    daemon::{error::RequestError, requests::peer::Peer, state::Daemon},
};

impl Daemon {
    /// Makes it below the caller's where that is delegated, so that what limits and ends the caller does the
    /// same to the session; else below the daemon's own.
    pub(super) fn make_cgroup(&self, session: &str, peer: &Peer) -> Result<Cgroup, RequestError> {
        if let Some(above) = self.delegated_to(peer) {
            match self.hierarchy.create_below(&above, session) {
                Ok(made) => return Ok(made),
                Err(error) => tracing::warn!(
                    "{session} has none of the limits of {}: its cgroup is not made there: {error}",
                    above.path().display()
                ),
            }
        }
        self.hierarchy
            .create_for(session)
            .map_err(|error| RequestError::failed("cannot make the session's cgroup", error))
    }

    /// The cgroup of a caller, if sessions may be below it.
    fn delegated_to(&self, peer: &Peer) -> Option<Cgroup> {
        let own = self.hierarchy.holding(peer.process.as_ref()?).ok()?;
        let way = self.hierarchy.way_up(&own).ok()?;
        // Who comes there gets that session's label.
        let is_in_session = |id| self.sessions().by_cgroup_id(id).is_some();
        let is_free = !way.iter().any(|step| is_in_session(step.id));
        (is_free && is_delegated(&way, peer.uid)).then_some(own)
    }
}
