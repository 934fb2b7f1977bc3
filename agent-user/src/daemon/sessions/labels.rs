//! Labels of running processes, given and taken until nothing is left to do.

use std::{sync::PoisonError, thread, time::Duration};

use agent_abi::{Label, census::Settling};

use crate::{
    daemon::{error::RequestError, state::Daemon},
    kernel::{KernelError, Outcome, Port},
};

/// Passes after which something must be wrong. What is born or moved after a tag is in force is
/// labelled by the kernel side, so the first pass finds all that was there before, but for a thread
/// that changes places with its leader in an `execve` while it is looked for.
const MAX_PASSES: usize = 100;

/// Passes in a row that must find nothing.
const QUIET: usize = 2;

/// After what a copy that failed is freed: a grace period of RCU on a host that is not idle.
const GRACE: Duration = Duration::from_millis(100);

/// How often who may have lost a label is looked for at once: others wait to tag meanwhile.
const MAX_LOOKS: usize = 10;

/// How many births had gone unseen when everybody was last looked at.
#[derive(Default)]
pub(in crate::daemon) struct UnseenBirths(u64);

impl Daemon {
    /// Puts `label` on a cgroup: on every process in it and below, and on all that are born there or
    /// come there from now on. Counts those that were there.
    pub(in crate::daemon) fn tag(&self, cgroup: u64, label: Label) -> Result<u64, RequestError> {
        let mut unseen = self.tagging.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kernel = self.kernel();
            let failed = kernel.settling()?.failed;
            kernel.set_settling(Settling {
                tagging: label.generation,
                failed,
            })?;
            kernel.tag_cgroup(cgroup, label)?;
        }
        let mut settled = self.settle_all(&mut unseen)?;
        // Who was there and failing to fork just then may have lost it since. The rest is found later.
        let mut given = if self.kernel().loses_labels() {
            settled
        } else {
            0
        };
        for _ in 0..MAX_LOOKS {
            if given == 0 {
                break;
            }
            thread::sleep(GRACE);
            given = self.settle_all(&mut unseen)?;
            settled += given;
        }
        Ok(settled)
    }

    /// Labels every process that is in a tagged cgroup and has no label, if there may be any.
    pub(in crate::daemon) fn settle_labels(&self) -> Result<u64, RequestError> {
        let mut unseen = self.tagging.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle_all(&mut unseen)
    }

    /// The same where births went unseen since everybody was last looked at, or labels may be lost.
    pub(in crate::daemon) fn settle_unseen(&self) -> Result<(), RequestError> {
        let mut unseen = self.tagging.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = {
            let kernel = self.kernel();
            kernel.loses_labels() || kernel.unseen_births()? != unseen.0
        };
        if is_due {
            self.settle_all(&mut unseen)?;
        }
        Ok(())
    }

    fn settle_all(&self, unseen: &mut UnseenBirths) -> Result<u64, RequestError> {
        let (before, births) = {
            let kernel = self.kernel();
            (kernel.settling()?, kernel.unseen_births()?)
        };
        let settled = self.until_quiet(|kernel| kernel.settle_labels())?;
        let mut kernel = self.kernel();
        if kernel.settling()? == before {
            kernel.set_settling(Settling::default())?;
        }
        unseen.0 = births;
        Ok(settled)
    }

    /// Takes a label that is released from every process of this host that has it.
    pub(in crate::daemon) fn clear(&self, label: Label) -> Result<u64, RequestError> {
        self.until_quiet(|kernel| kernel.clear_labels(label))
    }

    fn until_quiet(
        &self,
        pass: impl Fn(&mut dyn Port) -> Result<Outcome, KernelError>,
    ) -> Result<u64, RequestError> {
        let mut changed = 0;
        let mut quiet = 0;
        for _ in 0..MAX_PASSES {
            let outcome = pass(self.kernel().as_mut())?;
            changed += outcome.changed;
            if outcome.changed + outcome.failed > 0 {
                quiet = 0;
                continue;
            }
            quiet += 1;
            if quiet == QUIET {
                return Ok(changed);
            }
        }
        Err(RequestError::Failed(
            "the kernel has no memory for labels: free some and try again".into(),
        ))
    }
}
