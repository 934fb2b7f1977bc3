//! Which grant a command runs under: what the command line says of it, or what there is for its program.

use std::{ffi::OsStr, iter, path::Path};

use agent_grant::{Effect, Grant};
use anyhow::bail;
use clap::Args;

use crate::{
    api::{GrantSource, Inputs, SourceFile},
    cli::grant_args::SetArgs,
    grants::{self, Addition, Additions, Standing},
    render::{escape, shell},
};

/// For programs that no grant is called by.
const DEFAULT: &str = "coder";
const WORKSPACE: &str = "workspace";

#[derive(Debug, Args)]
pub(super) struct RunGrantArgs {
    /// The grant: a file, or the name of one in /etc/bailiff/grants or of those that ship (`bailiff grant
    /// list`). Without it, the one that is called as the program, else `coder`.
    #[arg(short, long)]
    grant: Option<String>,
    #[command(flatten)]
    set: SetArgs,
    /// The directory to work in, for grants with a variable `workspace`; else the current one.
    #[arg(short, long, value_name = "DIR")]
    workspace: Option<String>,
    /// Allow this besides: `file.read,file.list:/data`, `file.read,file.write:~/notes/**`.
    ///
    /// A path is a pattern as in a grant; a relative one begins in the current directory, and a directory
    /// stands for all that is in it. To look into a directory takes `list`. What a rule of the grant denies
    /// stays denied.
    #[arg(long, value_name = "RIGHT:OBJECT")]
    allow: Vec<String>,
    /// Deny this, whatever the grant allows; written as for `--allow`.
    #[arg(long, value_name = "RIGHT:OBJECT")]
    deny: Vec<String>,
    /// Allow connections there: `10.0.0.1:443`, `[2001:db8::]/32:443/tcp`, `127.0.0.1:*`.
    #[arg(long, value_name = "ADDRESS:PORT")]
    net: Vec<String>,
    /// Decide and record, refuse nothing.
    #[arg(long)]
    audit: bool,
    /// Print the grant that these options make, and run nothing.
    #[arg(long)]
    pub(super) print_grant: bool,
}

/// A grant, and what led to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    name: String,
    /// For the user, where he named none.
    pub(super) told: Option<String>,
}

impl RunGrantArgs {
    /// The grant that is meant for `program`.
    pub(super) fn choose(&self, program: &OsStr) -> Chosen {
        choose(self.grant.as_deref(), program, &grants::is_known)
    }

    pub(super) fn inputs(&self) -> anyhow::Result<Inputs> {
        let mut inputs = self.set.inputs();
        if let Some(workspace) = &self.workspace {
            let path = std::path::absolute(workspace)?;
            let path = path.into_os_string().into_string();
            let path = path.map_err(|_| anyhow::anyhow!("the workspace's path is not UTF-8"))?;
            inputs.set.insert(WORKSPACE.into(), path);
        }
        Ok(inputs)
    }

    /// The texts of the grant; whoever reads them finds their mistakes.
    ///
    /// # Errors
    /// There is no such grant, an option is wrong, or the grant is about the current directory and that is a home
    /// directory.
    pub(super) fn gather(&self, chosen: &Chosen) -> anyhow::Result<GrantSource> {
        let inputs = self.inputs()?;
        let source = if self.is_adjusted() {
            self.adjusted(chosen, &inputs)?.0
        } else {
            grants::gather(&chosen.name, &inputs)?
        };
        self.must_be_a_place_to_work(&source, &inputs)?;
        Ok(source)
    }

    /// Whoever stands in his home directory does not mean all of it. Who does says so.
    fn must_be_a_place_to_work(&self, source: &GrantSource, inputs: &Inputs) -> anyhow::Result<()> {
        let files = iter::once(&source.main).chain(&source.includes);
        if inputs.set.contains_key("cwd") || !files.into_iter().any(is_about_here) {
            return Ok(());
        }
        // Of one that is gone, and of the root, the grant's reader tells.
        let Some(cwd) = inputs.cwd.as_ref().filter(|cwd| *cwd != "/") else {
            return Ok(());
        };
        let is_above = |home: &String| Path::new(home).starts_with(cwd);
        if !inputs.home.as_ref().is_some_and(is_above) {
            return Ok(());
        }
        // With variables that say otherwise nothing of it is meant.
        let elsewhere = Inputs {
            cwd: None,
            ..inputs.clone()
        };
        if grants::read(source, &elsewhere).is_ok() {
            return Ok(());
        }
        let has_workspace = iter::once(&source.main)
            .chain(&source.includes)
            .any(|file| file.text.contains("\nworkspace = "));
        let option = if has_workspace {
            "--workspace "
        } else {
            "--set cwd="
        };
        bail!(
            "{} is no directory to work in: your home directory, or above it, and all of it would be granted. \
             Change to a checkout, or say {option}{} if you mean it",
            escape(cwd),
            shell::word(cwd)
        );
    }

    /// The same, and what they say.
    pub(super) fn load(&self, chosen: &Chosen) -> anyhow::Result<(GrantSource, Grant)> {
        let inputs = self.inputs()?;
        if self.is_adjusted() {
            return self.adjusted(chosen, &inputs);
        }
        Ok(grants::load(&chosen.name, &inputs)?)
    }

    fn is_adjusted(&self) -> bool {
        let lists = [&self.allow, &self.deny, &self.net];
        self.print_grant || self.audit || lists.iter().any(|list| !list.is_empty())
    }

    fn adjusted(&self, chosen: &Chosen, inputs: &Inputs) -> anyhow::Result<(GrantSource, Grant)> {
        let standing = Standing {
            cwd: inputs.cwd.as_deref(),
            home: inputs.home.as_deref(),
        };
        let read = |option: &'static str, effect, texts: &[String]| -> anyhow::Result<Vec<_>> {
            let read = |text: &String| {
                Addition::read(text, effect, standing)
                    .map_err(|error| anyhow::anyhow!("{option} {}: {error}", escape(text)))
            };
            texts.iter().map(read).collect()
        };
        let mut additions = Additions {
            allow: read("--allow", Effect::Allow, &self.allow)?,
            deny: read("--deny", Effect::Deny, &self.deny)?,
        };
        let destinations = self.net.iter().map(|to| Addition::destination(to));
        additions.allow.extend(destinations);
        Ok(grants::with_additions(
            &chosen.name,
            &additions,
            self.audit,
            inputs,
        )?)
    }
}

/// Whether a grant's text speaks of the current directory.
fn is_about_here(file: &SourceFile) -> bool {
    file.text.contains("${cwd}")
}

fn choose(named: Option<&str>, program: &OsStr, is_known: &dyn Fn(&str) -> bool) -> Chosen {
    if let Some(named) = named {
        return Chosen {
            name: named.into(),
            told: None,
        };
    }
    let called = Path::new(program).file_name().and_then(OsStr::to_str);
    if let Some(called) = called.filter(|called| !grants::is_path(called) && is_known(called)) {
        return Chosen {
            name: called.into(),
            told: Some(format!(
                "under the grant `{called}`, which is for this program (--grant names another)"
            )),
        };
    }
    let shown = escape(called.unwrap_or("this program")).into_owned();
    Chosen {
        name: DEFAULT.into(),
        told: Some(format!(
            "under the grant `{DEFAULT}`; there is none for {shown} (--grant names another)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grant_is_the_one_named_or_the_programs_or_the_coders() {
        let known = |name: &str| ["claude", "coder"].contains(&name);
        let of = |named, program: &str| choose(named, OsStr::new(program), &known).name;
        assert_eq!(of(Some("mine"), "claude"), "mine");
        assert_eq!(of(None, "claude"), "claude");
        assert_eq!(of(None, "/opt/bin/claude"), "claude");
        assert_eq!(of(None, "make"), "coder");
        assert_eq!(of(None, ".."), "coder");
        assert_eq!(of(None, "/x/claude.toml"), "coder");
        assert!(
            choose(Some("mine"), OsStr::new("make"), &known)
                .told
                .is_none()
        );
    }
}
