//! `bailiff grant`: work on grants that needs neither daemon nor root.

pub(super) mod check;
pub(super) mod explain;
pub(super) mod show;

use agent_grant::Grant;

use crate::{
    api::Inputs,
    grants::{self, Compiled, Resolver},
    mounts::MountNamespace,
};

/// A grant as it would be in a session started here and now.
struct Here {
    /// Prefixes resolved.
    grant: Grant,
    /// With prefixes as written: what the grant's own tests speak of.
    written: Compiled,
    compiled: Compiled,
}

fn here(name: &str, inputs: &Inputs) -> anyhow::Result<Here> {
    let (_, mut grant) = grants::load(name, inputs)?;
    let written = Compiled::as_written(&grant)?;
    let namespace = MountNamespace::of_process(std::process::id())?;
    let view = namespace.view()?;
    let compiled = Compiled::in_place(&mut grant, &mut Resolver::new(namespace.root(), &view))?;
    Ok(Here {
        grant,
        written,
        compiled,
    })
}
