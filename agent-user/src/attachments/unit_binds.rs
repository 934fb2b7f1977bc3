//! What of the host systemd mounts for a service, and from where. It follows every link on the way.

use std::{io, path::Path, process::Command};

/// Directories and files of the host that a service sees in another place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitBinds {
    /// Where each is seen, and where it is taken from.
    pub binds: Vec<(String, String)>,
    /// What its root directory is.
    pub root: Option<String>,
}

/// The service of the system's manager to which a cgroup belongs; `None`: it belongs to none.
#[must_use]
pub fn service_of(cgroup: &Path) -> Option<&str> {
    let mut components = cgroup.iter().filter_map(|component| component.to_str());
    // What is below is the service's own, also what the manager of a user makes there.
    components.find(|component| component.ends_with(".service"))
}

/// Asks systemd.
///
/// # Errors
/// systemd does not answer, or names something that cannot be told; in words.
pub fn binds(unit: &str) -> Result<UnitBinds, String> {
    let output = Command::new("systemctl")
        .args([
            "show",
            "--no-pager",
            "--property=BindPaths,BindReadOnlyPaths,RootDirectory",
            "--",
            unit,
        ])
        .output();
    match output {
        Ok(output) if output.status.success() => read(&String::from_utf8_lossy(&output.stdout)),
        Ok(output) => Err(format!(
            "systemd does not say what it mounts for {unit}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        // Then it is another's cgroup, of this name.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(UnitBinds::default()),
        Err(error) => Err(format!("cannot run `systemctl`: {error}")),
    }
}

/// A line for each: `BindPaths=-/source:/destination:rbind`.
fn read(text: &str) -> Result<UnitBinds, String> {
    let mut found = UnitBinds::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=').filter(|(_, value)| !value.is_empty())
        else {
            continue;
        };
        if name == "RootDirectory" {
            found.root = Some(value.to_owned());
            continue;
        }
        for value in value.split_ascii_whitespace() {
            let may_be_missing = value.starts_with('-');
            let path = value.strip_prefix('-').unwrap_or(value);
            let path = path.strip_suffix(":rbind").unwrap_or(path);
            let path = path.strip_suffix(":norbind").unwrap_or(path);
            let (source, destination) = path
                .split_once(':')
                .filter(|(source, destination)| {
                    source.starts_with('/')
                        && destination.starts_with('/')
                        && !destination.contains(':')
                })
                .ok_or_else(|| {
                    format!("{name}= has {value}, of which it cannot be told what it means")
                })?;
            if !may_be_missing || Path::new(source).exists() {
                found.binds.push((destination.into(), source.into()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bind_has_a_source_and_a_destination() {
        let found = read(
            "BindPaths=/srv/a:/data:rbind\nBindPaths=-/nowhere:/x:norbind\nBindReadOnlyPaths=/usr:/usr\nRootDirectory=/srv/image\n",
        );
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        let binds = vec![pair("/data", "/srv/a"), pair("/usr", "/usr")];
        let root = Some("/srv/image".to_owned());
        assert_eq!(found, Ok(UnitBinds { binds, root }));
        assert_eq!(
            read("BindPaths=\nRootDirectory=\n"),
            Ok(UnitBinds::default())
        );
        assert!(read("BindPaths=/a:b:/c\n").is_err() && read("BindPaths=a\n").is_err());
    }

    #[test]
    fn a_service_has_what_is_below_it() {
        let of = |path: &'static str| service_of(Path::new(path));
        assert_eq!(of("/system.slice/a.service"), Some("a.service"));
        assert_eq!(of("/system.slice/a.service/inner"), Some("a.service"));
        let users = "/user.slice/user-1000.slice/user@1000.service/app.slice/b.service";
        assert_eq!(of(users), Some("user@1000.service"));
        assert_eq!(of("/machine.slice/libpod-x.scope"), None);
    }
}
