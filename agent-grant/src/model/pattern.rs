//! A path pattern of a rule, and the real paths put into it.

use agent_abi::FileRights;

use super::Effect;
use crate::{diagnostic::Diagnostic, glob::Glob, syntax::Text};

/// A path pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct FilePattern {
    /// As written.
    pub text: Text,
    /// What it stands for: one entry for each way through its braces, more where a prefix has
    /// several real paths.
    pub alternatives: Vec<Alternative>,
}

/// One pattern without braces.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    pub glob: Glob,
    /// The glob before its prefix was resolved, where that changed it.
    pub written: Option<Glob>,
}

/// What is asked of a resolver.
#[derive(Clone, Copy, Debug)]
pub struct LiteralPrefix<'g> {
    /// The literal prefix: empty for the root, else `/` and a name for each component.
    pub path: &'g [u8],
    /// Whether the prefix is the whole pattern; its last component may then be the object itself
    /// and not a directory.
    pub whole: bool,
    pub rule: &'g str,
    pub effect: Effect,
    pub rights: FileRights,
    /// Whether the pattern stands in `except`.
    pub except: bool,
    /// The pattern as written.
    pub pattern: &'g str,
}

/// What a literal prefix really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It stays as written.
    Same,
    /// Use these paths instead: several where one directory has several. Keep the written one by
    /// naming it too.
    To(Vec<Vec<u8>>),
}

/// The rule around a pattern.
pub(super) struct About<'g> {
    pub(super) rule: &'g str,
    pub(super) effect: Effect,
    pub(super) rights: FileRights,
    pub(super) except: bool,
}

impl FilePattern {
    /// The globs.
    pub fn globs(&self) -> impl Iterator<Item = &Glob> {
        self.alternatives
            .iter()
            .map(|alternative| &alternative.glob)
    }

    /// Whether one of the globs matches a path.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.globs().any(|glob| glob.matches(path))
    }

    pub(super) fn resolve(
        &mut self,
        about: &About<'_>,
        resolve: &mut dyn FnMut(&LiteralPrefix<'_>) -> Result<Resolution, String>,
    ) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        let mut resolved = Vec::with_capacity(self.alternatives.len());
        for alternative in std::mem::take(&mut self.alternatives) {
            let path = alternative.glob.literal_prefix().to_vec();
            let question = LiteralPrefix {
                path: &path,
                whole: alternative.glob.is_literal(),
                rule: about.rule,
                effect: about.effect,
                rights: about.rights,
                except: about.except,
                pattern: &self.text.value,
            };
            let real = match resolve(&question) {
                Ok(Resolution::Same) => Ok(vec![alternative]),
                Ok(Resolution::To(paths)) => paths
                    .iter()
                    .map(|path| {
                        let glob = alternative.glob.with_prefix(path)?;
                        let before = alternative.written.as_ref().unwrap_or(&alternative.glob);
                        let written = (*before != glob).then(|| before.clone());
                        Ok(Alternative { glob, written })
                    })
                    .collect(),
                Err(why) => Err(why),
            };
            match real {
                Ok(mut real) => resolved.append(&mut real),
                Err(why) => errors.push(
                    Diagnostic::error(
                        self.text.location.clone(),
                        format!("`{}` cannot be used: {why}", self.text.value.escape_debug()),
                    )
                    .label(format!("resolving `{}`", path.escape_ascii())),
                ),
            }
        }
        self.alternatives = resolved;
        errors
    }
}
