use anyhow::{Context, Result};
use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};

use super::{Reach, Subject};
use crate::{
    ground::{TREE, other},
    operations::PORT,
};

pub(super) fn measure<F>(subject: &Subject<F>, rules: u32) -> Result<Vec<F>> {
    let mut worker = subject.worker()?;
    worker.args(["--landlock", &rules.to_string()]);
    (subject.measure)(worker)
}

/// Limits this process by so many rules: what it needs, and directories. As much as the kernel has;
/// network from 6.7 on.
pub(crate) fn restrict(rules: u32, reach: Reach) -> Result<()> {
    let everything = AccessFs::from_all(ABI::V5);
    let mut ruleset = Ruleset::default()
        .handle_access(everything)?
        .handle_access(AccessNet::ConnectTcp)?
        .create()
        .context("make a Landlock ruleset")?
        .add_rule(PathBeneath::new(PathFd::new(TREE)?, everything))?
        .add_rule(NetPort::new(PORT, AccessNet::ConnectTcp))?;
    let others = (0..rules - reach.patterns()).map(other);
    let readable = reach.readable().iter().map(ToString::to_string);
    for directory in readable.chain(others) {
        let rule = PathBeneath::new(PathFd::new(directory)?, AccessFs::from_read(ABI::V5));
        ruleset = ruleset.add_rule(rule)?;
    }
    for directory in reach.writable() {
        let rule = PathBeneath::new(PathFd::new(directory)?, everything);
        ruleset = ruleset.add_rule(rule)?;
    }
    let status = ruleset
        .restrict_self()
        .context("apply the Landlock ruleset")?;
    anyhow::ensure!(
        status.ruleset != landlock::RulesetStatus::NotEnforced,
        "this kernel has no Landlock: boot it with `lsm=landlock,…`"
    );
    Ok(())
}
