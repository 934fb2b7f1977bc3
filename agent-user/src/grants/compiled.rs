//! A grant on its way into the kernel.

use std::sync::{Arc, OnceLock};

use agent_abi::{
    Image,
    net::{NetEntries, NetKey},
};
use agent_grant::{
    CompileOptions, Diagnostic, Errors, Grant, ImageParams, Protected, VisibleFilesystem,
    VisibleMount,
};

use super::{Cache, GrantError, Making, OwnFiles, OwnPlaces, Resolutions, Resolver};
use crate::{
    api::{GrantSource, Inputs, Mode, PathText, RuleRef},
    mounts::Names,
};

/// A grant that can be put in force, and what is to be remembered of it.
pub struct Prepared {
    pub name: String,
    /// The texts that it was read from.
    pub source: GrantSource,
    pub mode: Mode,
    pub compiled: Arc<Compiled>,
    /// It was compiled for this session.
    pub is_new: bool,
    pub rules: Vec<RuleRef>,
    pub resolutions: Resolutions,
    /// With real prefixes.
    pub grant: Grant,
}

impl Prepared {
    /// Reads, resolves and compiles, for a session that knows filesystems by these names. Takes a
    /// moment for a large grant that is not in the cache.
    pub fn new(
        source: &GrantSource,
        inputs: &Inputs,
        mut resolver: Resolver<'_>,
        own: &OwnPlaces,
        names: &Names,
        cache: &Cache,
    ) -> Result<Self, GrantError> {
        let (source, mut grant) = cache.read(source, inputs)?;
        let protected = resolve(&mut grant, &mut resolver, own, names)?;
        let (compiled, is_new) = cache.compile(&grant, protected)?;
        Ok(Self {
            mode: grant.mode,
            rules: compiled.rules(),
            resolutions: resolver.resolved(&grant),
            name: grant.name.clone(),
            source,
            compiled,
            is_new,
            grant,
        })
    }
}

/// What this version cannot grant, and what this host cannot resolve.
fn unusable(grant: &mut Grant, resolver: &mut Resolver<'_>) -> Vec<Diagnostic> {
    let mut mistakes = grant.unsupported();
    let resolved = grant.resolve_prefixes(&mut |prefix| resolver.resolve(prefix));
    mistakes.extend(
        resolved
            .err()
            .map(|Errors(mistakes)| mistakes)
            .into_iter()
            .flatten(),
    );
    mistakes
}

/// Resolves a grant's prefixes. Returns what the session is kept from.
fn resolve(
    grant: &mut Grant,
    resolver: &mut Resolver<'_>,
    own: &OwnPlaces,
    names: &Names,
) -> Result<Protected, GrantError> {
    let mistakes = unusable(grant, resolver);
    if mistakes.is_empty() {
        Ok(protected(resolver, own, names))
    } else {
        Err(Errors(mistakes).into())
    }
}

/// What the session is kept from.
fn protected(resolver: &Resolver<'_>, own: &OwnPlaces, names: &Names) -> Protected {
    let mut protected = own.known_by(names);
    let kept_from = resolver.kept_from.iter().map(PathText::bytes);
    protected.program.extend(kept_from);
    protected
}

/// A compiled grant.
pub struct Compiled {
    inner: agent_grant::Compiled,
    making: OnceLock<Making>,
}

impl Compiled {
    /// Resolves a grant's prefixes, and compiles it for who knows filesystems by these names.
    pub fn in_place(
        grant: &mut Grant,
        resolver: &mut Resolver<'_>,
        own: &OwnPlaces,
        names: &Names,
    ) -> Result<Self, GrantError> {
        let protected = resolve(grant, resolver, own, names)?;
        Self::protecting(grant, protected)
    }

    /// What keeps a grant from being compiled here, that much of it which could be read.
    pub fn mistakes_in_place(
        grant: &mut Grant,
        resolver: &mut Resolver<'_>,
        own: &OwnPlaces,
        names: &Names,
    ) -> Vec<Diagnostic> {
        let mut mistakes = unusable(grant, resolver);
        let protected = protected(resolver, own, names);
        let compiled = agent_grant::compile(grant, &CompileOptions { protected });
        mistakes.extend(
            compiled
                .err()
                .map(|Errors(mistakes)| mistakes)
                .into_iter()
                .flatten(),
        );
        mistakes
    }

    /// Compiles a grant whose prefixes are as they are to be.
    pub fn as_written(grant: &Grant) -> Result<Self, GrantError> {
        Self::protecting(grant, this_program())
    }

    /// Compiles a grant for its own tests, the same on every host.
    pub fn for_tests(grant: &Grant) -> Result<Self, GrantError> {
        Self::protecting(grant, program(INSTALLED.to_vec()))
    }

    fn protecting(grant: &Grant, protected: Protected) -> Result<Self, GrantError> {
        let compiled = agent_grant::compile(grant, &CompileOptions { protected });
        Ok(compiled.map(Self::of)?)
    }

    pub(super) fn of(inner: agent_grant::Compiled) -> Self {
        Self {
            inner,
            making: OnceLock::new(),
        }
    }

    /// What sessions under it can make; `grant` is what it was compiled from.
    pub fn making(&self, grant: &Grant) -> &Making {
        self.making.get_or_init(|| Making::of(grant))
    }

    #[must_use]
    pub fn inner(&self) -> &agent_grant::Compiled {
        &self.inner
    }

    #[must_use]
    pub fn rules(&self) -> Vec<RuleRef> {
        let rules = self.inner.rules().iter();
        rules
            .map(|rule| RuleRef {
                // Whoever is in the session is told the rule, and not where the grant is.
                place: None,
                ..rule.into()
            })
            .collect()
    }

    /// The image for a session that knows filesystems by these names; `number` gives the index of a
    /// superblock.
    pub fn image(
        &self,
        generation: u32,
        epoch: u32,
        names: &Names,
        number: impl Fn(u32) -> Option<u32>,
    ) -> Result<Box<Image>, String> {
        let superblocks = names
            .placed()
            .filter_map(|(dev, shown)| {
                let mounts = shown
                    .iter()
                    .map(|shown| VisibleMount {
                        root: shown.root.clone(),
                        at: shown.at.clone(),
                    })
                    .collect();
                Some(VisibleFilesystem {
                    number: number(dev)?,
                    mounts,
                })
            })
            .collect::<Vec<_>>();
        let params = ImageParams {
            generation,
            policy: generation,
            epoch,
            superblocks: &superblocks,
        };
        self.inner.image(&params).map_err(|error| error.to_string())
    }

    /// Network entries; a session's policy number is its generation.
    #[must_use]
    pub fn net_entries(&self, policy: u32) -> Vec<(u32, NetKey, NetEntries)> {
        self.inner.net_entries(policy)
    }
}

/// Where this program is on a host that it is installed on.
const INSTALLED: &[u8] = b"/usr/bin/bailiff";

fn program(path: Vec<u8>) -> Protected {
    Protected {
        program: vec![path],
        ..Protected::default()
    }
}

/// This program and what is usual.
fn this_program() -> Protected {
    use std::os::unix::ffi::OsStringExt;
    OwnFiles::program()
        .map(|path| program(path.into_os_string().into_vec()))
        .unwrap_or_default()
}
