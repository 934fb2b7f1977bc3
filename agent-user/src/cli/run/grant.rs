//! Which grant a command runs under: what the command line says of it, or what there is for its program.

use std::{collections::BTreeMap, ffi::OsStr, iter, os::unix::ffi::OsStrExt, path::Path};

use agent_grant::{Effect, Grant, syntax::GIVEN};
use anyhow::{Context as _, bail};
use clap::Args;

use crate::{
    api::{GrantSource, Inputs, PathText, Sought, SourceFile},
    cli::{
        checkout::{self, Search},
        grant_args::SetArgs,
    },
    grants::{self, Addition, Additions, Standing},
    render::{escape, escape::escape_bytes, shell},
};

/// For programs that no grant is called by.
const DEFAULT: &str = "coder";
const WORKSPACE: &str = "workspace";

#[derive(Debug, Args)]
pub(super) struct RunGrantArgs {
    /// The grant: a file, or the name of one in /etc/bailiff/grants or of those that ship (`bailiff grant
    /// list`). Without it, the checkout's own, `bailiff.toml`, if you trust it (`bailiff trust`); where there is
    /// none, the one that is called as the program, else `coder`.
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
    pub(super) told: Vec<String>,
    /// What was looked for, where he named none.
    search: Option<Search>,
}

impl Chosen {
    /// The same for the daemon, which knows what is trusted.
    pub(super) fn sought(&self) -> Option<Sought> {
        let text = |path: &Path| PathText::new(path.as_os_str().as_bytes());
        let search = self.search.as_ref()?;
        Some(Sought {
            from: text(&search.from),
            file: search.file.as_deref().map(text),
        })
    }

    /// The directory that the checkout's own grant is about.
    fn checkout(&self) -> Option<&str> {
        let file = self.search.as_ref()?.file.as_ref()?;
        file.parent()?.to_str()
    }
}

impl RunGrantArgs {
    /// The grant that is meant for `program`.
    pub(super) fn choose(&self, program: &OsStr) -> anyhow::Result<Chosen> {
        if let Some(named) = &self.grant {
            return Ok(Chosen {
                name: named.clone(),
                told: Vec::new(),
                search: None,
            });
        }
        // From a directory that is gone nothing is found; what the grant says of it, its reader tells.
        let search = checkout::search().ok();
        let file = search.as_ref().and_then(|search| search.file.as_deref());
        let (name, told) = match file {
            Some(file) => found(file)?,
            None => choose(program, &grants::is_known),
        };
        let passed = search.iter().flat_map(|search| search.passed.clone());
        Ok(Chosen {
            name,
            told: passed.chain([told]).collect(),
            search,
        })
    }

    /// What fills in the grant's variables. A checkout's own is about the checkout, from wherever in it.
    pub(super) fn inputs(&self, chosen: &Chosen) -> anyhow::Result<Inputs> {
        let mut inputs = self.set.inputs();
        if let Some(checkout) = chosen.checkout() {
            inputs.cwd = Some(checkout.into());
        }
        if let Some(workspace) = &self.workspace {
            let path = std::path::absolute(workspace)?;
            must_be_no_system_directory(&path)?;
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
        let inputs = self.inputs(chosen)?;
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

    /// What stands before a grant that is printed: values that no grant can hold, since whoever starts it gives them.
    pub(super) fn heading(&self, chosen: &Chosen) -> anyhow::Result<String> {
        let inputs = self.inputs(chosen)?;
        let mut given: BTreeMap<&str, &str> = inputs
            .set
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        given.retain(|name, _| GIVEN.contains(name));
        if let Some(checkout) = chosen.checkout() {
            given.entry("cwd").or_insert(checkout);
        }
        let options: Vec<_> = given
            .into_iter()
            .map(|(name, value)| format!(" --set {}", shell::word(&format!("{name}={value}"))))
            .collect();
        Ok(match options.is_empty() {
            true => String::new(),
            false => format!(
                "# It was made for{}, which is to be given with it.\n",
                options.concat()
            ),
        })
    }

    /// The same, and what they say.
    pub(super) fn load(&self, chosen: &Chosen) -> anyhow::Result<(GrantSource, Grant)> {
        let inputs = self.inputs(chosen)?;
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
        let below = chosen.search.as_ref().zip(chosen.checkout());
        let below = below.and_then(|(search, top)| search.from.strip_prefix(top).ok());
        let below = below.map(|below| below.to_str().unwrap_or("*"));
        if below.is_some_and(|below| below.contains(['*', '?', '[', ']', '{', '}', '\\'])) {
            bail!(
                "the name of this directory is no plain text: run this at the top of the checkout"
            );
        }
        let standing = Standing {
            cwd: inputs.cwd.as_deref(),
            below,
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
        for to in &self.net {
            let to = Addition::destination(to)
                .map_err(|error| anyhow::anyhow!("--net {}: {error}", escape(to)))?;
            additions.allow.push(to);
        }
        Ok(grants::with_additions(
            &chosen.name,
            &additions,
            self.audit,
            inputs,
        )?)
    }
}

/// Directories of the system's, which all of its programs stand on.
const SYSTEM: &[&str] = &[
    "/", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/boot", "/dev", "/proc",
    "/sys", "/run", "/var", "/opt",
];

/// In a workspace anything may be written and executed: nobody means the system's own.
fn must_be_no_system_directory(path: &Path) -> anyhow::Result<()> {
    let real = path.canonicalize();
    let real = real.as_deref().unwrap_or(path);
    if !SYSTEM.iter().any(|system| real == Path::new(system)) {
        return Ok(());
    }
    let shown = escape_bytes(real.as_os_str().as_bytes());
    bail!(
        "{shown} is no directory to work in: the system stands on it, and all of it would be granted. Say \
         --set workspace={shown} if you mean it"
    )
}

/// Whether a grant's text speaks of the current directory.
fn is_about_here(file: &SourceFile) -> bool {
    file.text.contains("${cwd}")
}

/// The path of the checkout's own grant, and what the user is told of it.
fn found(file: &Path) -> anyhow::Result<(String, String)> {
    let name = file
        .to_str()
        .with_context(|| format!("the path of {} is not UTF-8: name a grant", file.display()))?;
    let told = format!(
        "under the checkout's own grant, {} (--grant names another)",
        escape(name)
    );
    Ok((name.into(), told))
}

/// The name of the grant for a program, and what the user is told of it.
fn choose(program: &OsStr, is_known: &dyn Fn(&str) -> bool) -> (String, String) {
    let called = Path::new(program).file_name().and_then(OsStr::to_str);
    if let Some(called) = called.filter(|called| !grants::is_path(called) && is_known(called)) {
        let told = format!(
            "under the grant `{called}`, which is for this program (--grant names another)"
        );
        return (called.into(), told);
    }
    let shown = escape(called.unwrap_or("this program"));
    let told =
        format!("under the grant `{DEFAULT}`; there is none for {shown} (--grant names another)");
    (DEFAULT.into(), told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grant_is_the_programs_or_the_coders() {
        let known = |name: &str| ["claude", "coder"].contains(&name);
        let of = |program: &str| choose(OsStr::new(program), &known).0;
        assert_eq!(of("claude"), "claude");
        assert_eq!(of("/opt/bin/claude"), "claude");
        assert_eq!(of("make"), "coder");
        assert_eq!(of(".."), "coder");
        assert_eq!(of("/x/claude.toml"), "coder");
    }
}
