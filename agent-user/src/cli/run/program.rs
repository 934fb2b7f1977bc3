//! Which file a command's name stands for, found before the session begins.

use std::{
    env,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use crate::{
    cli::failure::{NOT_EXECUTABLE, NOT_FOUND},
    render::escape::escape_bytes,
};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(in crate::cli) enum ProgramError {
    #[error("`{0}` is not found; give its path, or see whether it is in PATH")]
    NotFound(String),
    #[error("`{0}` is a directory")]
    Directory(String),
    #[error("`{0}` is not executable; `chmod +x` it, or run its interpreter")]
    NotExecutable(String),
}

impl ProgramError {
    /// As a shell says it.
    pub(in crate::cli) fn code(&self) -> u8 {
        match self {
            Self::NotFound(_) => NOT_FOUND,
            Self::Directory(_) | Self::NotExecutable(_) => NOT_EXECUTABLE,
        }
    }
}

/// The path to execute for `name`, as a shell would find it.
pub(in crate::cli) fn find(name: &OsStr) -> Result<PathBuf, ProgramError> {
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    find_in(name, &path)
}

fn find_in(name: &OsStr, path: &OsStr) -> Result<PathBuf, ProgramError> {
    let shown = escape_bytes(name.as_bytes());
    if name.as_bytes().contains(&b'/') {
        return match examine(Path::new(name)) {
            Found::Program => Ok(name.into()),
            Found::Nothing => Err(ProgramError::NotFound(shown)),
            Found::Directory => Err(ProgramError::Directory(shown)),
            Found::Plain => Err(ProgramError::NotExecutable(shown)),
        };
    }
    let mut plain = None;
    for dir in path
        .as_bytes()
        .split(|byte| *byte == b':')
        .filter(|_| !name.is_empty())
    {
        let dir = if dir.is_empty() {
            OsStr::new(".")
        } else {
            OsStr::from_bytes(dir)
        };
        let candidate = Path::new(dir).join(name);
        match examine(&candidate) {
            Found::Program => return Ok(candidate),
            Found::Plain => plain = Some(escape_bytes(candidate.as_os_str().as_bytes())),
            Found::Nothing | Found::Directory => {}
        }
    }
    Err(plain.map_or(ProgramError::NotFound(shown), ProgramError::NotExecutable))
}

enum Found {
    Program,
    Plain,
    Directory,
    Nothing,
}

fn examine(path: &Path) -> Found {
    match path.metadata() {
        Err(_) => Found::Nothing,
        Ok(meta) if meta.is_dir() => Found::Directory,
        Ok(_) if access(path, AccessFlags::X_OK).is_ok() => Found::Program,
        Ok(_) => Found::Plain,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn finds_what_a_shell_would() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, mode) in [("run", 0o755), ("plain", 0o644)] {
            fs::write(at(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(at("dir")).unwrap();
        let path = format!("/nonexistent:{}", dir.path().display());
        let find = |name: &str| find_in(OsStr::new(name), OsStr::new(&path));
        assert_eq!(find("run").unwrap(), at("run"));
        assert!(matches!(find("plain"), Err(ProgramError::NotExecutable(_))));
        assert!(matches!(find("dir"), Err(ProgramError::NotFound(_))));
        assert!(matches!(find(""), Err(ProgramError::NotFound(_))));
        assert!(matches!(
            find(at("dir").to_str().unwrap()),
            Err(ProgramError::Directory(_))
        ));
        assert!(matches!(find("./nothing"), Err(ProgramError::NotFound(_))));
    }
}
