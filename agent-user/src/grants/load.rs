//! From a name to a grant: where files are looked for.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use agent_grant::{
    Diagnostic, Errors, Grant, IncludeError, Mode, Source, shipped, shipped_names, syntax::GIVEN,
};

use super::additions::{Additions, Base};
use crate::{
    api::{GrantSource, Inputs, PathText, SourceFile},
    render::{
        diagnostic::{self, Colours},
        escape,
    },
    working_directory::working_directory,
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
    #[error("Bailiff's own files cannot be found, so they could not be kept from the session: {0}")]
    OwnFiles(io::Error),
    /// Mistakes in the text: at least one.
    #[error("{}", mistaken(.0, Colours::Plain))]
    Mistakes(Vec<Diagnostic>),
}

impl GrantError {
    /// The message, with colours where it has some.
    #[must_use]
    pub fn shown(&self, colours: Colours) -> String {
        match self {
            Self::Mistakes(mistakes) => mistaken(mistakes, colours),
            other => other.to_string(),
        }
    }
}

fn mistaken(mistakes: &[Diagnostic], colours: Colours) -> String {
    let mistakes = diagnostic::render_all(mistakes, colours);
    format!("the grant cannot be used\n{mistakes}")
}

impl From<Errors> for GrantError {
    fn from(Errors(mistakes): Errors) -> Self {
        Self::Mistakes(mistakes)
    }
}

/// Finds a grant and all that it includes: `name` is a path, or the name of a grant in
/// `/etc/bailiff/grants` or of those that ship. Mistakes in it are found here already.
pub fn load(name: &str, inputs: &Inputs) -> Result<(GrantSource, Grant), GrantError> {
    let (source, grant) = finding(name, |main, find| {
        agent_grant::load(main, &convert(inputs), find)
    })?;
    Ok((source, grant?))
}

/// Finds a grant and all that it includes; whoever reads it finds its mistakes. Only one that cannot be had
/// whole is read here.
pub fn gather(name: &str, inputs: &Inputs) -> Result<GrantSource, GrantError> {
    let (source, is_whole) = finding(name, |main, find| agent_grant::gather(&main, find))?;
    if is_whole {
        return Ok(source);
    }
    load(name, inputs).map(|(source, _)| source)
}

/// A grant that is another one with rules of a command line: the texts, and what they say.
pub fn with_additions(
    name: &str,
    additions: &Additions,
    audit: bool,
    inputs: &Inputs,
) -> Result<(GrantSource, Grant), GrantError> {
    // Where it is wrong itself, its own mistakes are to be told.
    let (source, base) = load(name, inputs)?;
    let path = source.main.file.as_ref().filter(|_| is_path(name));
    let path = path.and_then(|path| String::from_utf8(path.bytes()).ok());
    let mode = if audit { Mode::Audit } else { base.mode };
    let mut ids = BTreeSet::new();
    ids.extend(base.rules.iter().map(|rule| rule.id.clone()));
    let mut variables = inputs.set.clone();
    // The given ones are told by whoever starts it.
    variables.retain(|name, _| !GIVEN.contains(&name.as_str()));
    let text = additions.text(Base {
        include: path.as_deref().unwrap_or(name),
        name: &base.name,
        purpose: base.purpose.as_deref(),
        mode: mode.name(),
        variables: &variables,
        ids: &ids,
    });
    let main = SourceFile {
        name: name.into(),
        origin: "the command line".into(),
        text: text.into(),
        file: None,
    };
    let (source, grant) = finding_from(main, |main, find| {
        agent_grant::load(main, &convert(inputs), find)
    });
    Ok((source, grant?))
}

/// Has the main file of a grant read, and with what comes out all the files that were looked for meanwhile.
fn finding<T>(
    name: &str,
    read: impl FnOnce(Source, &dyn Fn(&str) -> Result<Source, IncludeError>) -> T,
) -> Result<(GrantSource, T), GrantError> {
    Ok(finding_from(find_main(name)?, read))
}

fn finding_from<T>(
    main: SourceFile,
    read: impl FnOnce(Source, &dyn Fn(&str) -> Result<Source, IncludeError>) -> T,
) -> (GrantSource, T) {
    let includes = RefCell::new(Vec::new());
    let found = read(source_of(&main), &|name| {
        let file = find_include(name)?;
        let source = source_of(&file);
        includes.borrow_mut().push(file);
        Ok(source)
    });
    let mut includes = includes.into_inner();
    includes.dedup();
    (GrantSource { main, includes }, found)
}

/// What a grant says of itself, whoever asks.
#[derive(Clone, Debug)]
pub struct About {
    /// Where it was read.
    pub origin: String,
    pub purpose: Option<String>,
}

/// What the grant of this name says of itself.
pub fn about(name: &str) -> Result<About, GrantError> {
    let origin = find_main(name)?.origin;
    let grant = load_for_tests(name, None, &BTreeMap::new())?;
    Ok(About {
        origin,
        purpose: grant.purpose,
    })
}

/// Every mistake in a grant and its tests, and what can be made of it all the same.
pub fn examine(name: &str, inputs: &Inputs) -> Result<(Grant, Vec<Diagnostic>), GrantError> {
    let main = find_main(name)?;
    let find = |name: &str| find_include(name).map(|file| source_of(&file));
    let main = source_of(&main);
    Ok(agent_grant::examine(main, &convert(inputs), &find))
}

/// The same as [`load`] for a grant's own tests and those of another file; of variables, only what is set is
/// this user's.
pub fn load_for_tests(
    name: &str,
    tests: Option<&Path>,
    set: &BTreeMap<String, String>,
) -> Result<Grant, GrantError> {
    let tests = tests.map(|path| {
        let text = text_file(path).map_err(|source| GrantError::Tests {
            path: path.into(),
            source,
        })?;
        Ok::<_, GrantError>(Source::new(path.to_string_lossy(), text))
    });
    let tests = tests.transpose()?;
    let main = find_main(name)?;
    let find = |name: &str| find_include(name).map(|file| source_of(&file));
    let main = source_of(&main);
    agent_grant::load_for_tests(main, tests, set.clone(), &find).map_err(GrantError::from)
}

/// Reads a grant from texts that were loaded elsewhere.
pub fn read(source: &GrantSource, inputs: &Inputs) -> Result<Grant, GrantError> {
    read_telling(source, inputs).map(|(grant, _)| grant)
}

/// The same, and whether nothing of it was looked for on this host: then the same texts are it again.
pub(super) fn read_telling(
    source: &GrantSource,
    inputs: &Inputs,
) -> Result<(Grant, bool), GrantError> {
    let main = source_of(&source.main);
    let is_whole = Cell::new(true);
    let include = |name: &str| {
        if !source.includes.iter().any(|file| file.name == name) {
            is_whole.set(false);
        }
        include_of(source, name)
    };
    let grant = agent_grant::load(main, &convert(inputs), &include)?;
    Ok((grant, is_whole.get()))
}

/// The same for the grant's own tests.
pub fn read_for_tests(
    source: &GrantSource,
    set: &BTreeMap<String, String>,
) -> Result<Grant, GrantError> {
    let main = source_of(&source.main);
    let find = |name: &str| include_of(source, name);
    agent_grant::load_for_tests(main, None, set.clone(), &find).map_err(GrantError::from)
}

/// One that travels with the grant, or, by its name, one of this host.
fn include_of(source: &GrantSource, name: &str) -> Result<Source, IncludeError> {
    let given = source.includes.iter().find(|file| file.name == name);
    match given {
        Some(file) => Ok(source_of(file)),
        None if name.contains('/') => Err(IncludeError {
            message: "it did not come with the grant".into(),
            known: Vec::new(),
        }),
        None => find_include(name).map(|file| source_of(&file)),
    }
}

fn source_of(file: &SourceFile) -> Source {
    Source::new(&file.origin, Arc::clone(&file.text))
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

/// Whether a grant that is called so is a file, and not one by its name.
pub fn is_path(name: &str) -> bool {
    name.contains('/') || Path::new(name).extension().is_some_and(|ext| ext == "toml")
}

/// The main file.
fn find_main(name: &str) -> Result<SourceFile, GrantError> {
    if is_path(name) {
        return read_file(name).map_err(|source| GrantError::Read {
            path: name.into(),
            source,
        });
    }
    find_named(name).map_err(|error| match error.io {
        Some((path, source)) => GrantError::Read { path, source },
        None => GrantError::Unknown {
            name: escape(name).into_owned(),
            known: error.known.join(", "),
        },
    })
}

/// Bytes of what somebody wrote by hand, at most.
const MAX_TEXT: u64 = 1 << 20;

/// Reads a file that somebody wrote; not more than such files have.
fn text_file(path: &Path) -> io::Result<String> {
    text_of(File::open(path)?)
}

pub(super) fn text_of(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_TEXT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_TEXT {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// A file at a path that somebody wrote down.
fn read_file(path: &str) -> io::Result<SourceFile> {
    Ok(SourceFile {
        name: path.into(),
        origin: path.into(),
        text: text_file(Path::new(path))?.into(),
        file: absolute(Path::new(path)),
    })
}

/// Where a file was read.
fn absolute(path: &Path) -> Option<PathText> {
    let path = working_directory().ok()?.join(path);
    let real = std::path::absolute(path).ok()?;
    Some(PathText::new(real.as_os_str().as_bytes()))
}

/// What an `include` names: a file by its path; else what operators keep, then what ships. Nothing
/// else is found by a name: whoever may write beside a grant must not be able to replace what it
/// includes.
fn find_include(name: &str) -> Result<SourceFile, IncludeError> {
    if name.contains('/') {
        return read_file(name).map_err(|error| IncludeError {
            message: format!("cannot read it: {error}"),
            known: Vec::new(),
        });
    }
    find_named(name).map_err(|error| IncludeError {
        message: match error.io {
            Some((path, source)) => format!("cannot read {}: {source}", path.display()),
            None => format!(
                "there is no such grant in {DIRECTORY}, and none ships; a file is included by its \
                 path, such as `./{}.toml`",
                escape(name).trim_end_matches(".toml")
            ),
        },
        known: error.known,
    })
}

struct NotFound {
    /// A file that is there and cannot be read.
    io: Option<(PathBuf, io::Error)>,
    known: Vec<String>,
}

/// Whether there is a grant of this name.
pub fn is_known(name: &str) -> bool {
    !matches!(find_named(name), Err(NotFound { io: None, .. }))
}

/// The names of the grants that there are, in order.
pub fn names() -> Vec<String> {
    known(Path::new(DIRECTORY))
}

fn find_named(name: &str) -> Result<SourceFile, NotFound> {
    find_in(Path::new(DIRECTORY), name)
}

fn find_in(directory: &Path, name: &str) -> Result<SourceFile, NotFound> {
    let not_found = |io| NotFound {
        io,
        known: known(directory),
    };
    if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(not_found(None));
    }
    let path = directory.join(format!("{name}.toml"));
    match text_file(&path) {
        Ok(text) => {
            return Ok(SourceFile {
                name: name.into(),
                origin: path.to_string_lossy().into_owned(),
                text: text.into(),
                file: absolute(&path),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(not_found(Some((path, error)))),
    }
    let source = shipped(name).ok_or_else(|| not_found(None))?;
    Ok(SourceFile {
        name: name.into(),
        origin: source.name,
        text: source.text,
        file: None,
    })
}

fn known(directory: &Path) -> Vec<String> {
    let mut names = shipped_names()
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    for entry in fs::read_dir(directory).ok().into_iter().flatten().flatten() {
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
    fn files_are_included_by_their_paths_and_travel_with_the_grant() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("main.toml"), main("./sub/child.toml")).unwrap();
        let child = CHILD.replace("[[file]]", "include = [\"../other.toml\"]\n[[file]]");
        fs::write(at("sub/child.toml"), child).unwrap();
        fs::write(at("other.toml"), CHILD.replace("\"c\"", "\"o\"")).unwrap();
        let path = at("main.toml");
        let (source, grant) = load(path.to_str().unwrap(), &Inputs::default()).unwrap();
        assert_eq!(grant.name, "main");
        assert_eq!(source.includes.len(), 2);
        drop(dir);
        let again = read(&source, &Inputs::default()).unwrap();
        assert_eq!(again.rules.len(), grant.rules.len());
        let without = GrantSource {
            includes: Vec::new(),
            ..source
        };
        let error = read(&without, &Inputs::default()).unwrap_err().to_string();
        assert!(error.contains("did not come with the grant"), "{error}");
    }

    #[test]
    fn what_lies_beside_a_grant_is_not_included_by_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.toml");
        fs::write(dir.path().join("base.toml"), CHILD).unwrap();
        fs::write(dir.path().join("child.toml"), CHILD).unwrap();
        fs::write(&path, main("base")).unwrap();
        let (source, _) = load(path.to_str().unwrap(), &Inputs::default()).unwrap();
        assert_eq!(source.includes[0].origin, "base.toml (shipped)");
        fs::write(&path, main("child")).unwrap();
        let error = load(path.to_str().unwrap(), &Inputs::default()).unwrap_err();
        assert!(error.to_string().contains("`./child.toml`"), "{error}");
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
        assert!(find_in(&inner, "../secret").is_err());
        assert!(find_in(&inner, "").is_err());
        assert!(find_in(dir.path(), "secret").is_ok());
    }
}
