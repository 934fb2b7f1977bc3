//! Attachments as operators keep them: a file for each, which says what comes under which grant.

pub mod container;
mod drop_in;
mod engines;
pub mod hook_file;
pub mod runtimes;
mod unit;
mod unit_binds;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use agent_grant::attachments::Places;
use serde::{Deserialize, Serialize};

use crate::{api::Inputs, render::escape};

pub use container::{Container, Containers, OciState};
pub use drop_in::{DropIn, DropInError};
pub use unit::{UnitFacts, facts};
pub use unit_binds::{UnitBinds, binds, service_of};

/// Where they are kept.
pub const DIRECTORY: &str = "/etc/bailiff/attach.d";

/// Bytes of one file, at most.
const MAX_TEXT: u64 = 1 << 16;

/// What comes under a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A unit of the system's service manager, by its name.
    Unit(String),
    /// Cgroups, by a pattern of their paths in the hierarchy.
    Cgroups(String),
    /// Containers, which a hook of their runtime tells about.
    Containers(Containers),
}

/// One attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its file's name without `.toml`.
    pub name: String,
    pub subject: Subject,
    /// The grant: a name, or an absolute path.
    pub grant: String,
    /// What fills in the grant's variables.
    pub set: BTreeMap<String, String>,
}

/// As it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotation: Option<String>,
    grant: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    set: BTreeMap<String, String>,
}

/// Why a file is no attachment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {message}", path.display())]
    Mistake { path: PathBuf, message: String },
}

impl Subject {
    /// What somebody typed: a path with slashes is a pattern of cgroups, all else the name of a unit, which is a
    /// service where it does not say what it is.
    #[must_use]
    pub fn of(text: &str) -> Self {
        const KINDS: [&str; 3] = [".service", ".slice", ".scope"];
        if text.contains('/') {
            let below = text.strip_prefix("/sys/fs/cgroup").unwrap_or(text);
            Self::Cgroups(below.into())
        } else if KINDS.iter().any(|kind| text.ends_with(kind)) {
            Self::Unit(text.into())
        } else {
            Self::Unit(format!("{text}.service"))
        }
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Unit(text) | Self::Cgroups(text) => text,
            Self::Containers(containers) => containers.text(),
        }
    }

    /// What it is for, where that are containers.
    #[must_use]
    pub fn containers(&self) -> Option<&Containers> {
        match self {
            Self::Containers(containers) => Some(containers),
            Self::Unit(_) | Self::Cgroups(_) => None,
        }
    }

    /// Whether it can be put in force as it is written.
    ///
    /// # Errors
    /// It cannot, in words.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Containers(containers) => containers.check(),
            Self::Unit(_) | Self::Cgroups(_) => self.places().map(drop),
        }
    }

    /// Which cgroups these are.
    ///
    /// # Errors
    /// It names none, in words.
    pub fn places(&self) -> Result<Places, String> {
        let places = match self {
            Self::Unit(name) => {
                if name.contains('/') || !name.contains('.') {
                    return Err(format!(
                        "`{}` is no name of a unit: write it as systemd does, `agent.service`",
                        escape(name)
                    ));
                }
                Places::unit(name)
            }
            Self::Cgroups(pattern) => {
                if matches!(pattern.as_str(), "/" | "/**" | "/**/*") {
                    return Err(format!(
                        "`{pattern}` is the whole host: name the cgroups that hold agents alone"
                    ));
                }
                Places::cgroups(pattern)
            }
            Self::Containers(_) => {
                return Err(format!(
                    "`{}` is for containers, whose cgroups only their runtime knows",
                    escape(self.text())
                ));
            }
        };
        places.map_err(|error| format!("`{}`: {}", escape(self.text()), error.message))
    }
}

impl Attachment {
    /// Reads one from its file's text.
    ///
    /// # Errors
    /// The text is no attachment, or names no cgroups.
    pub fn parse(path: &Path, text: &str) -> Result<Self, AttachmentError> {
        let mistake = |message: String| AttachmentError::Mistake {
            path: path.into(),
            message,
        };
        let written: Written =
            toml::from_str(text).map_err(|error| mistake(error.to_string().trim().into()))?;
        let containers = [
            written.container.map(Containers::Name),
            written.image.map(Containers::Image),
            written.annotation.map(Containers::Annotation),
        ];
        let containers = containers.into_iter().flatten().map(Subject::Containers);
        let unit = written.unit.map(Subject::Unit);
        let cgroup = written.cgroup.map(Subject::Cgroups);
        let mut subjects = unit.into_iter().chain(cgroup).chain(containers);
        let (Some(subject), None) = (subjects.next(), subjects.next()) else {
            return Err(mistake(
                "give one of `unit = \"agent.service\"`, `cgroup = \"/agents.slice/*\"`, \
                 `container = \"NAME\"`, `image = \"NAME\"` and `annotation = \"KEY=VALUE\"`"
                    .into(),
            ));
        };
        subject.check().map_err(mistake)?;
        if written.grant.contains('/') && !written.grant.starts_with('/') {
            return Err(mistake(format!(
                "`grant = \"{}\"`: give an absolute path, or a name in /etc/bailiff/grants",
                escape(&written.grant)
            )));
        }
        Ok(Self {
            name: path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            subject,
            grant: written.grant,
            set: written.set,
        })
    }

    /// The text of its file.
    #[must_use]
    pub fn text(&self) -> String {
        let text = Some(self.subject.text().to_owned());
        let mut written = Written {
            grant: self.grant.clone(),
            set: self.set.clone(),
            ..Written::default()
        };
        let place = match &self.subject {
            Subject::Unit(_) => &mut written.unit,
            Subject::Cgroups(_) => &mut written.cgroup,
            Subject::Containers(Containers::Name(_)) => &mut written.container,
            Subject::Containers(Containers::Image(_)) => &mut written.image,
            Subject::Containers(Containers::Annotation(_)) => &mut written.annotation,
        };
        *place = text;
        // Strings in tables are always text.
        toml::to_string(&written).unwrap_or_default()
    }

    /// The name of its file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        Path::new(DIRECTORY).join(format!("{}.toml", self.name))
    }

    #[must_use]
    pub fn inputs(&self) -> Inputs {
        Inputs {
            set: self.set.clone(),
            ..Inputs::default()
        }
    }
}

/// The name that the file of an attachment has where nobody chose one.
#[must_use]
pub fn file_stem(subject: &Subject) -> String {
    let keep = |c: char| match c {
        '/' | ':' | '=' => '-',
        '*' | '?' | '[' | ']' | '{' | '}' | '\\' | ',' => '_',
        other => other,
    };
    let stem: String = subject.text().trim_matches('/').chars().map(keep).collect();
    let stem = stem.trim_start_matches('.');
    match subject {
        // No unit of this name is meant.
        Subject::Containers(Containers::Name(_)) => format!("container-{stem}"),
        Subject::Containers(Containers::Image(_)) => format!("image-{stem}"),
        Subject::Containers(Containers::Annotation(_)) => format!("annotation-{stem}"),
        Subject::Unit(_) | Subject::Cgroups(_) => stem.to_owned(),
    }
}

/// Every attachment in a directory by its file, in the order of their names; a directory that is not there has
/// none.
///
/// # Errors
/// The directory cannot be read.
pub fn read_all(
    directory: &Path,
) -> io::Result<Vec<(PathBuf, Result<Attachment, AttachmentError>)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.extension().is_some_and(|ext| ext == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths
        .into_iter()
        .map(|path| {
            let read = read(&path);
            (path, read)
        })
        .collect())
}

/// One attachment by its file.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(path: &Path) -> Result<Attachment, AttachmentError> {
    let text = text_of(path).map_err(|source| AttachmentError::Read {
        path: path.into(),
        source,
    })?;
    Attachment::parse(path, &text)
}

/// Whether a file that is no attachment may have been meant for containers: a word of it says so, or it cannot be
/// read at all.
#[must_use]
pub fn may_be_for_containers(path: &Path) -> bool {
    let Ok(text) = text_of(path) else {
        return true;
    };
    let is_theirs = |line: &str| {
        let line = line.trim_start().trim_start_matches(['"', '\'']);
        ["container", "image", "annotation"]
            .iter()
            .any(|word| line.starts_with(word))
    };
    let is_others = |line: &str| {
        let line = line.trim_start();
        line.starts_with("unit") || line.starts_with("cgroup")
    };
    text.lines().any(is_theirs) || !text.lines().any(is_others)
}

fn text_of(path: &Path) -> io::Result<String> {
    // The daemon would wait for the other end of a pipe.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_TEXT).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Attachment, String> {
        Attachment::parse(Path::new("/etc/bailiff/attach.d/a.toml"), text)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let units = ["agent", "agent@.service", "agents.slice", "/agents.slice/*"];
        let containers = [
            Containers::Name("web-*".into()),
            Containers::Image("docker.io/library/nginx:*".into()),
            Containers::Annotation("agent=yes".into()),
        ];
        let subjects = units.map(Subject::of).into_iter();
        for subject in subjects.chain(containers.map(Subject::Containers)) {
            let attachment = Attachment {
                name: file_stem(&subject),
                subject,
                grant: "coder".into(),
                set: [("cwd".into(), "/srv/a \"b\"".into())].into(),
            };
            let again = Attachment::parse(&attachment.file(), &attachment.text()).unwrap();
            assert_eq!(again, attachment);
        }
        let of = |text| file_stem(&Subject::of(text));
        assert_eq!(of("agent"), "agent.service");
        assert_eq!(of("/agents.slice/*"), "agents.slice-_");
    }

    #[test]
    fn a_mistake_says_where_it_is_and_what_to_write() {
        for (text, said) in [
            ("", "grant"),
            ("grant = \"g\"", "unit = "),
            (
                "grant = \"g\"\nunit = \"a.service\"\ncgroup = \"/a\"",
                "give one of",
            ),
            ("grant = \"g\"\nunits = \"a.service\"", "units"),
            ("grant = \"./g.toml\"\nunit = \"a.service\"", "absolute"),
            ("grant = \"g\"\nunit = \"a\"", "no name of a unit"),
            ("grant = \"g\"\ncgroup = \"a/b\"", "a/b"),
            ("grant = \"g\"\ncgroup = \"/**\"", "whole host"),
            ("grant = \"g\"\ncontainer = \"\"", "names none"),
            ("grant = \"g\"\nannotation = \"=x\"", "KEY=VALUE"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.contains("attach.d/a.toml") && error.contains(said),
                "{error}"
            );
        }
    }

    #[test]
    fn files_are_read_in_order_and_a_bad_one_hides_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("b.toml", "unit = \"b.service\"\ngrant = \"g\"\n");
        write("a.toml", "unit = ");
        write(".b.toml.swp", "");
        write(".hidden.toml", "");
        let pipe = directory.path().join("c.toml");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        write("README", "");
        let found = read_all(directory.path()).unwrap();
        let good = found
            .iter()
            .map(|(_, read)| read.is_ok())
            .collect::<Vec<_>>();
        assert_eq!(good, [false, true, false]);
        assert!(read_all(&directory.path().join("none")).unwrap().is_empty());
    }
}
