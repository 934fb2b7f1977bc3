//! Labels of running processes, set and cleared until nothing is left to do.

use agent_abi::Label;

use super::{error::RequestError, state::Daemon};
use crate::{
    cgroup::Cgroup,
    kernel::Kernel,
    process::{self, ProcessHandle},
};

/// Passes after which something must be wrong: every pass but the first sees only what was
/// forked by a process that had no label yet.
const MAX_PASSES: usize = 1000;

impl Daemon {
    /// Labels every process in `cgroup` and below. Those that fork meanwhile are found by the
    /// next pass; those that a labelled process forks have the label from birth.
    pub(super) fn label_all(&self, cgroup: &Cgroup, label: Label) -> Result<usize, RequestError> {
        let failed = |error| RequestError::failed("cannot list the cgroup's processes", error);
        self.until_none_new(
            label,
            || cgroup.processes().map_err(failed),
            |kernel, process| {
                if kernel.label(process.fd())? == Some(label) {
                    return Ok(false);
                }
                kernel.set_label(process.fd(), label)?;
                Ok(true)
            },
        )
    }

    /// Takes the label from every process of this host that has it, wherever it went.
    pub(super) fn clear_all(&self, label: Label) -> Result<usize, RequestError> {
        let failed = |error| RequestError::failed("cannot list processes", error);
        self.until_none_new(
            label,
            || process::all().map_err(failed),
            |kernel, process| {
                if kernel.label(process.fd())? != Some(label) {
                    return Ok(false);
                }
                kernel.clear_label(process.fd())?;
                Ok(true)
            },
        )
    }

    fn until_none_new(
        &self,
        label: Label,
        list: impl Fn() -> Result<Vec<u32>, RequestError>,
        change: impl Fn(&mut Kernel, &ProcessHandle) -> Result<bool, crate::kernel::KernelError>,
    ) -> Result<usize, RequestError> {
        let mut changed = 0;
        for _ in 0..MAX_PASSES {
            let mut new = 0;
            for pid in list()? {
                // Not there any more: nothing to do.
                let Ok(process) = ProcessHandle::open(pid) else {
                    continue;
                };
                match change(&mut self.kernel(), &process) {
                    Ok(true) => new += 1,
                    Ok(false) => {}
                    Err(_) if !process.alive() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if new == 0 {
                return Ok(changed);
            }
            changed += new;
        }
        Err(RequestError::Failed(format!(
            "processes of session {} fork faster than they can be labelled: freeze the cgroup \
             (`echo 1 > cgroup.freeze`) and try again",
            label.generation
        )))
    }
}
