use anyhow::{Context, Result};
use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};

use super::{Measured, read, worker};
use crate::{
    ground::{TREE, other},
    operations::PORT,
};

pub(super) fn measure(rules: u32) -> Result<Vec<Measured>> {
    read(&mut worker(&["cells", "--landlock", &rules.to_string()]))
}

/// Limits this process by so many rules: the tree, and directories. As much as the kernel has;
/// network from 6.7 on.
pub(crate) fn restrict(rules: u32) -> Result<()> {
    let everything = AccessFs::from_all(ABI::V5);
    let mut ruleset = Ruleset::default()
        .handle_access(everything)?
        .handle_access(AccessNet::ConnectTcp)?
        .create()
        .context("make a Landlock ruleset")?
        .add_rule(PathBeneath::new(PathFd::new(TREE)?, everything))?
        .add_rule(NetPort::new(PORT, AccessNet::ConnectTcp))?;
    for number in 0..rules - 1 {
        let rule = PathBeneath::new(PathFd::new(other(number))?, AccessFs::from_read(ABI::V5));
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
