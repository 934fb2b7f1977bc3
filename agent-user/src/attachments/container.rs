//! Containers: what an attachment says of them, and what a runtime's hook is told.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::render::escape;

/// Characters of a name that are shown.
const MAX_SHOWN: usize = 128;

/// Which containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Containers {
    /// By their name or id, `*` and `?` for what may be anything.
    Name(String),
    /// By their image's name, as the engine tells it.
    Image(String),
    /// By an annotation: its key, `=`, and a pattern of its value.
    Annotation(String),
}

/// What is known of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub names: Vec<String>,
    pub images: Vec<String>,
    pub annotations: BTreeMap<String, String>,
    /// Where its engine made its root directory.
    pub root: Option<String>,
    /// Where something is to be mounted in it.
    pub destinations: Vec<String>,
    /// What of the host is to be mounted in it, by where that is.
    pub binds: BTreeMap<String, String>,
    /// Directories of the host of which overlays in it are made.
    pub layers: Vec<String>,
    /// Why it may be called otherwise as well.
    pub nameless: Option<&'static str>,
    /// The same of its image.
    pub imageless: Option<&'static str>,
}

/// What a runtime tells its hooks: the state of the OCI's runtime specification.
#[derive(Debug, Deserialize)]
pub struct OciState {
    pub id: String,
    #[serde(default)]
    pub pid: u32,
    pub bundle: PathBuf,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Containers {
    /// Whether this container is meant.
    #[must_use]
    pub fn mean(&self, container: &Container) -> bool {
        let any = |pattern: &str, texts: &[String]| texts.iter().any(|text| fits(pattern, text));
        match self {
            Self::Name(pattern) => any(pattern, &container.names) || fits(pattern, &container.id),
            Self::Image(pattern) => any(pattern, &container.images),
            Self::Annotation(text) => text.split_once('=').is_some_and(|(key, value)| {
                let found = container.annotations.get(key);
                found.is_some_and(|found| fits(value, found))
            }),
        }
    }

    /// Why it may be meant though it seems not to be.
    #[must_use]
    pub fn doubt(&self, container: &Container) -> Option<&'static str> {
        match self {
            Self::Name(_) => container.nameless,
            Self::Image(_) => container.imageless,
            // The runtime says them all.
            Self::Annotation(_) => None,
        }
    }

    /// Those that an image's author has more say in come later: he can give his image annotations.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Name(_) => 0,
            Self::Image(_) => 1,
            Self::Annotation(_) => 2,
        }
    }

    /// Whether it is written as it should be.
    ///
    /// # Errors
    /// It is not, in words.
    pub fn check(&self) -> Result<(), String> {
        let is_well = match self {
            Self::Name(text) | Self::Image(text) => !text.is_empty(),
            Self::Annotation(text) => text.find('=').is_some_and(|place| place > 0),
        };
        let how = match self {
            Self::Annotation(_) => "write it as KEY=VALUE",
            Self::Name(_) | Self::Image(_) => "it names none",
        };
        is_well
            .then_some(())
            .ok_or_else(|| format!("`{}`: {how}", escape(self.text())))
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        let (Self::Name(text) | Self::Image(text) | Self::Annotation(text)) = self;
        text
    }
}

/// Whether a text is of a pattern, in which `*` is any text and `?` any character.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (
        pattern.chars().collect::<Vec<_>>(),
        text.chars().collect::<Vec<_>>(),
    );
    // Where the last star is, and what it stood for so far.
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, seen) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|left| *left == '*')
}

impl Container {
    /// The annotation, which an image can have, by which its runtime runs it without executing a program: crun's
    /// handlers, such as that for `WebAssembly`.
    #[must_use]
    pub fn handler(&self) -> Option<&str> {
        let mut keys = self.annotations.keys().map(String::as_str);
        keys.find(|key| *key == "run.oci.handler" || key.starts_with("module.wasm.image/"))
    }

    /// What it is called, as far as anybody reads it.
    #[must_use]
    pub fn shown(&self) -> String {
        let name = self.names.first().unwrap_or(&self.id);
        match name.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_spells() {
        for (pattern, text) in [
            ("web", "web"),
            ("web-*", "web-1"),
            ("*", ""),
            ("docker.io/library/nginx:*", "docker.io/library/nginx:1.27"),
            ("a*b*c", "a-b-b-c"),
            ("?", "é"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("web", "web1"),
            ("web-?", "web-"),
            ("a*b", "a-bc"),
            ("", "a"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn an_annotation_has_a_key_and_a_value() {
        let check = |text: &str| Containers::Annotation(text.into()).check();
        assert!(check("agent=yes").is_ok() && check("agent=").is_ok());
        assert!(check("agent").is_err() && check("=yes").is_err());
    }

    #[test]
    fn what_its_runtime_runs_itself_is_told_by_annotations() {
        let with = |key: &str| Container {
            annotations: [(key.into(), "x".into())].into(),
            ..Container::default()
        };
        for key in ["run.oci.handler", "module.wasm.image/variant"] {
            assert_eq!(with(key).handler(), Some(key));
        }
        assert_eq!(with("run.oci.hooks.stdout").handler(), None);
    }
}
