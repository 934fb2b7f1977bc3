//! The working directory, by the way that led to it.

use std::{
    env, fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// As `pwd -L` says it: the links that led here stay in it, so that they are judged as any other's.
pub fn working_directory() -> io::Result<PathBuf> {
    let real = env::current_dir()?;
    Ok(as_went(env::var_os("PWD").map(PathBuf::from), real))
}

fn as_went(pwd: Option<PathBuf>, real: PathBuf) -> PathBuf {
    // The root is told as what it is: a grant is not to begin there by mistake.
    let pwd = pwd.filter(|pwd| real != Path::new("/") && is_plain(pwd) && is_same(pwd, &real));
    // Without slashes too many.
    pwd.map_or(real, |pwd| pwd.components().collect())
}

/// Absolute, and each part is a name.
fn is_plain(path: &Path) -> bool {
    let mut parts = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    path.is_absolute() && parts.all(|part| part != b"." && part != b"..")
}

fn is_same(path: &Path, other: &Path) -> bool {
    let inode = |path: &Path| fs::metadata(path).map(|stat| (stat.dev(), stat.ino()));
    matches!((inode(path), inode(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_that_led_here_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("real/below")).unwrap();
        fs::create_dir(at("other")).unwrap();
        symlink("real", at("link")).unwrap();
        let real = at("real/below");
        let went = |pwd: PathBuf| as_went(Some(pwd), real.clone());
        assert_eq!(went(at("link/below")), at("link/below"));
        let slashes = went(at("link//below/"));
        assert_eq!(slashes.as_os_str(), at("link/below").as_os_str());
        // What is no way to here, or none that a shell would say.
        for pwd in [
            at("other"),
            at("none"),
            at("link/./below"),
            at("link/below/."),
            at("other/../link/below"),
            "link/below".into(),
            ".".into(),
            PathBuf::new(),
        ] {
            assert_eq!(went(pwd.clone()), real, "{pwd:?}");
        }
        assert_eq!(as_went(None, real.clone()), real);
        symlink("/", at("root")).unwrap();
        let root = as_went(Some(at("root")), "/".into());
        assert_eq!(root, Path::new("/"));
    }
}
