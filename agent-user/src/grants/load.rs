//! From a name to a grant: where files are looked for.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use agent_grant::{Grant, IncludeError, Source, shipped, shipped_names};

use crate::{
    api::{GrantSource, Inputs, SourceFile},
    render::escape,
};

/// Where an operator keeps grants.
const DIRECTORY: &str = "/etc/bailiff/grants";

/// Why a grant cannot be used; the message is for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    #[error("cannot read the grant {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot read the tests in {}: {source}", path.display())]
    Tests { path: PathBuf, source: io::Error },
    #[error("there is no grant `{name}`: give a file (`./{name}.toml`), or one of {known}")]
    Unknown { name: String, known: String },
    /// Mistakes in the text, shown at their place.
    #[error("the grant cannot be used\n{0}")]
    Mistakes(String),
}

impl GrantError {
    /// With mistakes rendered for the terminal of this process.
    pub(super) fn mistakes(errors: &agent_grant::Errors) -> Self {
        Self::Mistakes(errors.render(true))
    }
}

/// Finds a grant and all that it includes: `name` is a path, or the name of a grant in
/// `/etc/bailiff/grants` or of those that ship. Mistakes in it are found here already.
pub fn load(name: &str, inputs: &Inputs) -> Result<(GrantSource, Grant), GrantError> {
    let (main, beside) = find_main(name)?;
    let includes = RefCell::new(Vec::new());
    let find = |name: &str| {
        let file = find_include(name, beside.as_deref())?;
        let source = Source::new(&file.origin, &file.text);
        includes.borrow_mut().push(file);
        Ok(source)
    };
    let source = Source::new(&main.origin, &main.text);
    let grant = agent_grant::load(source, &convert(inputs), &find)
        .map_err(|errors| GrantError::mistakes(&errors))?;
    let mut includes = includes.into_inner();
    includes.dedup();
    Ok((GrantSource { main, includes }, grant))
}

/// The same for a grant's own tests and those of another file; of variables, only what is set is
/// this user's.
pub fn load_for_tests(
    name: &str,
    tests: Option<&Path>,
    set: &BTreeMap<String, String>,
) -> Result<Grant, GrantError> {
    let tests = tests.map(|path| {
        let text = fs::read_to_string(path).map_err(|source| GrantError::Tests {
            path: path.into(),
            source,
        })?;
        Ok(Source::new(path.to_string_lossy(), text))
    });
    let tests = tests.transpose()?;
    let (main, beside) = find_main(name)?;
    let find = |name: &str| {
        let file = find_include(name, beside.as_deref())?;
        Ok(Source::new(file.origin, file.text))
    };
    let main = Source::new(main.origin, main.text);
    agent_grant::load_for_tests(main, tests, set.clone(), &find)
        .map_err(|errors| GrantError::mistakes(&errors))
}

/// Reads a grant from texts that were loaded elsewhere.
pub fn read(source: &GrantSource, inputs: &Inputs) -> Result<Grant, GrantError> {
    let main = Source::new(&source.main.origin, &source.main.text);
    agent_grant::load(main, &convert(inputs), &|name| include_of(source, name))
        .map_err(|errors| GrantError::mistakes(&errors))
}

/// The same for the grant's own tests.
pub fn read_for_tests(
    source: &GrantSource,
    set: &BTreeMap<String, String>,
) -> Result<Grant, GrantError> {
    let main = Source::new(&source.main.origin, &source.main.text);
    let find = |name: &str| include_of(source, name);
    agent_grant::load_for_tests(main, None, set.clone(), &find)
        .map_err(|errors| GrantError::mistakes(&errors))
}

/// One that travels with the grant, or one of this host.
fn include_of(source: &GrantSource, name: &str) -> Result<Source, IncludeError> {
    let given = source.includes.iter().find(|file| file.name == name);
    match given {
        Some(file) => Ok(Source::new(&file.origin, &file.text)),
        None => find_include(name, None).map(|file| Source::new(file.origin, file.text)),
    }
}

fn convert(inputs: &Inputs) -> agent_grant::Inputs {
    let Inputs {
        cwd,
        home,
        user,
        set,
    } = inputs.clone();
    agent_grant::Inputs {
        cwd,
        home,
        user,
        set,
    }
}

/// The main file, and the directory in which its includes are looked for first.
fn find_main(name: &str) -> Result<(SourceFile, Option<PathBuf>), GrantError> {
    let path = Path::new(name);
    if name.contains('/') || path.extension().is_some_and(|ext| ext == "toml") {
        let text = fs::read_to_string(path).map_err(|source| GrantError::Read {
            path: path.into(),
            source,
        })?;
        let beside = path.parent().map(Path::to_path_buf);
        return Ok((
            SourceFile {
                name: name.into(),
                origin: name.into(),
                text,
            },
            beside,
        ));
    }
    match find_named(name, &[DIRECTORY.into()]) {
        Ok(file) => Ok((file, Some(DIRECTORY.into()))),
        Err(error) => Err(match error.io {
            Some((path, source)) => GrantError::Read { path, source },
            None => GrantError::Unknown {
                name: escape(name).into_owned(),
                known: error.known.join(", "),
            },
        }),
    }
}

/// Beside the file that includes it, then where operators keep grants, then those that ship.
fn find_include(name: &str, beside: Option<&Path>) -> Result<SourceFile, IncludeError> {
    let directories = beside
        .map(Path::to_path_buf)
        .into_iter()
        .chain([DIRECTORY.into()])
        .collect::<Vec<_>>();
    find_named(name, &directories).map_err(|error| IncludeError {
        message: match error.io {
            Some((path, source)) => format!("cannot read {}: {source}", path.display()),
            None => "there is no such grant".into(),
        },
        known: error.known,
    })
}

struct NotFound {
    /// A file that is there and cannot be read.
    io: Option<(PathBuf, io::Error)>,
    known: Vec<String>,
}

fn find_named(name: &str, directories: &[PathBuf]) -> Result<SourceFile, NotFound> {
    let known = || known(directories);
    if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(NotFound {
            io: None,
            known: known(),
        });
    }
    for directory in directories {
        let path = directory.join(format!("{name}.toml"));
        match fs::read_to_string(&path) {
            Ok(text) => {
                let origin = path.to_string_lossy().into_owned();
                return Ok(SourceFile {
                    name: name.into(),
                    origin,
                    text,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(NotFound {
                    io: Some((path, error)),
                    known: known(),
                });
            }
        }
    }
    let source = shipped(name).ok_or_else(|| NotFound {
        io: None,
        known: known(),
    })?;
    Ok(SourceFile {
        name: name.into(),
        origin: source.name,
        text: source.text,
    })
}

fn known(directories: &[PathBuf]) -> Vec<String> {
    let mut names = shipped_names()
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    for entry in directories
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .flatten()
    {
        let path = entry.path();
        if path.extension().is_some_and(|ext| ext == "toml")
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(stem.into());
        }
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHILD: &str = "version = 1\nname = \"child\"\n\
        [[file]]\nid = \"c\"\nallow = [\"read\"]\npath = [\"/c/**\"]\n";

    fn main(include: &str) -> String {
        format!("version = 1\nname = \"main\"\ninclude = [\"{include}\"]\n")
    }

    #[test]
    fn includes_are_found_beside_the_file_and_travel_with_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("main.toml"), main("child")).unwrap();
        fs::write(dir.path().join("child.toml"), CHILD).unwrap();
        let path = dir.path().join("main.toml");
        let (source, grant) = load(path.to_str().unwrap(), &Inputs::default()).unwrap();
        assert_eq!(grant.name, "main");
        assert_eq!(source.includes.len(), 1);
        drop(dir);
        let again = read(&source, &Inputs::default()).unwrap();
        assert_eq!(again.rules.len(), grant.rules.len());
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let error = load("codr", &Inputs::default()).unwrap_err().to_string();
        assert!(
            error.contains("`codr`") && error.contains("coder"),
            "{error}"
        );
        let error = load("/nonexistent/g.toml", &Inputs::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nonexistent/g.toml"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.toml");
        fs::write(&path, main("chidl")).unwrap();
        let error = load(path.to_str().unwrap(), &Inputs::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("chidl") && error.contains("main.toml"),
            "{error}"
        );
    }

    #[test]
    fn a_name_never_leaves_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret.toml"), CHILD).unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        assert!(find_include("../secret", Some(&inner)).is_err());
        assert!(find_include("", Some(&inner)).is_err());
    }
}
