//! What systemd knows of a unit.

use std::{collections::BTreeMap, io, path::PathBuf, process::Command};

use crate::accounts;

/// Of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitFacts {
    /// What it is called; another name where it was asked for by an alias.
    pub name: Option<String>,
    /// The file that defines it; `None`: systemd does not know the unit.
    pub fragment: Option<PathBuf>,
    /// `cwd`, `home` and `user`, as far as the unit says.
    pub variables: BTreeMap<String, String>,
}

/// Asks systemd.
///
/// # Errors
/// `systemctl` is not there, or systemd does not answer; in words.
pub fn facts(unit: &str) -> Result<UnitFacts, String> {
    // Of a template, what all instances have.
    let asked = unit.replace("@.", "@bailiff.");
    let output = Command::new("systemctl")
        .args([
            "show",
            "--no-pager",
            "--property=Id,FragmentPath,User,WorkingDirectory,DynamicUser",
            "--",
        ])
        .arg(&asked)
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(read(&String::from_utf8_lossy(&output.stdout))),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err("there is no `systemctl` on this host".into())
        }
        Err(error) => Err(format!("cannot run `systemctl`: {error}")),
    }
}

fn read(text: &str) -> UnitFacts {
    let value = |name: &str| {
        let mut lines = text.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.filter(|value| !value.is_empty())
    };
    let mut variables = BTreeMap::new();
    let mut home = None;
    // The name of a dynamic user is not in any file.
    if value("DynamicUser") != Some("yes") {
        let user = value("User").unwrap_or("root");
        home = accounts::by_name(user).map(|account| account.home);
        variables.insert("user".to_owned(), user.to_owned());
        if let Some(home) = &home {
            variables.insert("home".into(), home.clone());
        }
    }
    // `!`: it need not be there.
    let cwd = value("WorkingDirectory").map(|path| path.trim_start_matches(['!', '-']));
    let cwd = match cwd {
        Some("~") => home,
        other => other.map(str::to_owned),
    };
    if let Some(cwd) = cwd {
        variables.insert("cwd".into(), cwd);
    }
    UnitFacts {
        name: value("Id").map(str::to_owned),
        fragment: value("FragmentPath").map(PathBuf::from),
        variables,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_what_the_unit_says() {
        let facts = read(
            "Id=a.service\nUser=root\nWorkingDirectory=!/srv/agent\nFragmentPath=/etc/systemd/system/a.service\nDynamicUser=no\n",
        );
        let get = |name: &str| facts.variables.get(name).map(String::as_str);
        assert_eq!(get("cwd"), Some("/srv/agent"));
        assert_eq!((get("user"), get("home")), (Some("root"), Some("/root")));
        assert!(facts.fragment.is_some());
        assert_eq!(facts.name.as_deref(), Some("a.service"));
        let none = read("User=\nWorkingDirectory=\nFragmentPath=\nDynamicUser=no\n");
        assert_eq!(none.variables.get("user").map(String::as_str), Some("root"));
        assert_eq!((none.variables.get("cwd"), none.fragment), (None, None));
        let home = read("WorkingDirectory=~\n");
        assert_eq!(home.variables.get("cwd").map(String::as_str), Some("/root"));
        assert!(read("DynamicUser=yes\nUser=agent\n").variables.is_empty());
    }
}
