//! The end of a refusal: its attachment has a grant, or is gone.

use std::sync::Arc;

use agent_abi::Label;

use super::Attachments;
use crate::{
    daemon::{error::RequestError, state::Daemon},
    process::ProcessHandle,
};

/// Looks for who is born meanwhile.
const PASSES: usize = 100;

impl Daemon {
    /// Gives who was refused the label that his cgroup has now; where nothing is refused any more, sets free who
    /// is in none. Nobody is without a label in between who is to have one.
    pub(super) async fn end_refusals(
        self: &Arc<Self>,
        state: &Attachments,
    ) -> Result<(), RequestError> {
        let goes_on = state.refuses();
        self.blocking(move |daemon| {
            for _ in 0..PASSES {
                if daemon.exchange_refusals()? == 0 {
                    break;
                }
            }
            if goes_on {
                return Ok(());
            }
            let tagged = daemon.kernel().tagged_cgroups()?;
            let mut had_any = false;
            for (cgroup, label) in tagged {
                if label.in_force() == Label::REFUSING {
                    daemon.kernel().untag_cgroup(cgroup)?;
                    had_any = true;
                }
            }
            if had_any || daemon.processes_of(Label::REFUSING)?.first().is_some() {
                daemon.clear(Label::REFUSING)?;
            }
            Ok(())
        })
        .await
    }

    /// How many got the label of their place.
    fn exchange_refusals(&self) -> Result<usize, RequestError> {
        let members = self.kernel().members()?;
        let mut exchanged = 0;
        for member in members {
            let (own, place) = (member.process, member.place);
            let is_meant = member.pid == member.tid
                && own.in_force() == Label::REFUSING
                && place.is_some()
                && place.in_force() != Label::REFUSING;
            let Some(process) = is_meant
                .then(|| ProcessHandle::open(member.pid).ok())
                .flatten()
            else {
                continue;
            };
            let mut kernel = self.kernel();
            // The pid may be another's by now.
            if kernel.label(process.fd())? == Some(Label::REFUSING) {
                let label = if own.is_armed() {
                    place
                } else {
                    place.in_force()
                };
                kernel.set_label(process.fd(), label)?;
                exchanged += 1;
            }
        }
        Ok(exchanged)
    }
}
