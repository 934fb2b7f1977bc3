//! `--grant` and `--set`: which grant, filled in with what.

use std::{collections::BTreeMap, env};

use agent_grant::Grant;
use clap::Args;
use nix::unistd::getuid;

use crate::{
    accounts,
    api::{GrantSource, Inputs},
    grants,
    working_directory::working_directory,
};

#[derive(Debug, Args)]
pub(super) struct GrantArgs {
    /// The grant: a file, or the name of one in /etc/bailiff/grants or of those that ship.
    #[arg(short, long)]
    grant: String,
    #[command(flatten)]
    set: SetArgs,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Fill in a variable of the grant, or `cwd`, `home` or `user`, which every grant is given.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.trim().into(), value.into()))
}

impl GrantArgs {
    /// The text of the grant and of all that it includes, and what it says.
    pub(super) fn load(&self) -> anyhow::Result<(GrantSource, Grant)> {
        Ok(grants::load(&self.grant, &self.inputs())?)
    }

    /// The texts alone; whoever is given them says what is wrong with them.
    pub(super) fn gather(&self) -> anyhow::Result<GrantSource> {
        Ok(grants::gather(&self.grant, &self.inputs())?)
    }

    /// Its name, or the path by which its file is found from everywhere.
    pub(super) fn lasting(&self) -> anyhow::Result<String> {
        if grants::is_path(&self.grant) {
            let path = std::path::absolute(&self.grant)?;
            let path = path.into_os_string().into_string();
            return path
                .map_err(|_| anyhow::anyhow!("the grant's path is not UTF-8: give it another"));
        }
        Ok(self.grant.clone())
    }

    pub(super) fn inputs(&self) -> Inputs {
        self.set.inputs()
    }

    /// What the user fills in, and nothing else.
    pub(super) fn set(&self) -> BTreeMap<String, String> {
        self.set.set()
    }
}

impl SetArgs {
    /// With what every grant is given by where and by whom the command is run.
    pub(super) fn inputs(&self) -> Inputs {
        let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Inputs {
            cwd: working_directory()
                .ok()
                .and_then(|dir| dir.into_os_string().into_string().ok()),
            home: text("HOME")
                .or_else(|| accounts::by_uid(getuid().as_raw()).map(|account| account.home)),
            user: text("USER").or_else(|| Some(getuid().to_string())),
            set: self.set(),
        }
    }

    /// What the user fills in, and nothing else.
    pub(super) fn set(&self) -> BTreeMap<String, String> {
        self.set.iter().cloned().collect()
    }
}

/// What every grant is given, and nothing that somebody fills in.
pub(super) fn given_inputs() -> Inputs {
    SetArgs { set: Vec::new() }.inputs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_an_equals_sign() {
        assert_eq!(assignment("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(assignment("novalue").unwrap_err().contains("NAME=VALUE"));
    }
}
