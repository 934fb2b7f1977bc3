//! `bailiff grant`: work on grants that needs neither daemon nor root.

pub(super) mod check;
pub(super) mod diff;
pub(super) mod explain;
pub(super) mod graph;
pub(super) mod list;
mod move_words;
mod place;
pub(super) mod show;
pub(super) mod test;
pub(super) mod words;

use agent_grant::{Diagnostic, Grant};

use crate::{
    api::{GrantSource, Inputs, RuleRef},
    grants::{self, Compiled, GrantError, OwnFiles, OwnPlaces, Resolver},
    mounts::{MountNamespace, MountView},
    render::{
        escape,
        style::{BAD, GOOD, paint},
    },
};

/// A grant as it would be in a session started here and now.
struct Here {
    source: GrantSource,
    /// Prefixes resolved.
    grant: Grant,
    compiled: Compiled,
    /// What path look-up reaches.
    view: MountView,
    /// What is not granted because of the links of this host.
    remarks: Vec<String>,
}

fn here(name: &str, inputs: &Inputs) -> anyhow::Result<Here> {
    let (source, grant) = grants::load(name, inputs)?;
    in_place(source, grant)
}

/// The same of texts that were read before.
fn here_of(source: &GrantSource, inputs: &Inputs) -> anyhow::Result<Here> {
    in_place(source.clone(), grants::read(source, inputs)?)
}

fn in_place(source: GrantSource, mut grant: Grant) -> anyhow::Result<Here> {
    let namespace = MountNamespace::of_process(std::process::id())?;
    let view = namespace.view()?;
    let mut resolver = resolver(&namespace, &view);
    let own = own_places()?;
    let compiled = Compiled::in_place(&mut grant, &mut resolver, &own, view.names())?;
    let remarks = resolver.resolved(&grant).remarks();
    Ok(Here {
        source,
        grant,
        compiled,
        view,
        remarks,
    })
}

/// What keeps a grant from being used here besides its text.
fn mistakes_here(grant: &mut Grant) -> anyhow::Result<Vec<Diagnostic>> {
    let namespace = MountNamespace::of_process(std::process::id())?;
    let view = namespace.view()?;
    let mut resolver = resolver(&namespace, &view);
    let own = own_places()?;
    Ok(Compiled::mistakes_in_place(
        grant,
        &mut resolver,
        &own,
        view.names(),
    ))
}

fn own_places() -> Result<OwnPlaces, GrantError> {
    let places = OwnFiles::default().places();
    places.map_err(GrantError::OwnFiles)
}

fn resolver<'a>(namespace: &'a MountNamespace, view: &'a MountView) -> Resolver<'a> {
    Resolver::new(namespace.root(), view).of_owner(nix::unistd::getuid().as_raw())
}

/// A rule with its place: `secrets (mine.toml:12:1)`.
fn rule_and_place(rule: &RuleRef) -> String {
    match &rule.place {
        Some(place) => format!("{} ({})", escape(&rule.id), escape(place)),
        None => escape(&rule.id).into_owned(),
    }
}

/// The last word on a grant.
fn verdict(ok: bool) -> String {
    if ok {
        paint("ok", GOOD)
    } else {
        paint("not ok", BAD)
    }
}
