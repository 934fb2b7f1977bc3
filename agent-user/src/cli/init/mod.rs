//! `bailiff init`: a grant for the checkout in which somebody stands.

mod languages;
mod text;

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write as _},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{
    checkout::{self, NAME},
    failure::{is_from_inside, note},
    grant_args::given_inputs,
    output::{block_on, print},
};
use crate::{
    api::{GrantSource, PathText, SourceFile, Trust, Trusted, routes},
    client::Client,
    grants::{self, Compiled},
    render::escape::{escape, escape_bytes},
};
use languages::Language;
use text::{Checkout, TESTS};

const DEFAULT: &str = "coder";

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The grant to begin with, by its name; else that of an agent that is found and for which one ships, or `coder`.
    #[arg(short, long, value_name = "NAME")]
    grant: Option<String>,
    /// Write it anew where there is one.
    #[arg(long)]
    force: bool,
    /// Print it, and write nothing.
    #[arg(long)]
    print: bool,
}

/// What was found, and the grant for it.
struct Made {
    file: PathBuf,
    text: String,
    languages: Vec<&'static Language>,
    agents: Vec<&'static str>,
    include: String,
}

pub(super) fn init(args: &InitArgs, client: &Client) -> anyhow::Result<ExitCode> {
    must_be_outside(client)?;
    let made = make(args)?;
    if args.print {
        print(&made.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    write(&made.file, made.text.as_bytes(), args.force)?;
    let trusted = trust(&made, client);
    made.tell(trusted.is_ok())?;
    if let Err(error) = trusted {
        note(&format!("it is not trusted yet: {error:#}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a session writes, its user is not to take for his own.
fn must_be_outside(client: &Client) -> anyhow::Result<()> {
    match block_on(client.get(&routes::STATUS.place())) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if is_from_inside(&error) => Err(error.into()),
        // Nobody says that it does not.
        _ if env::var_os(agent_grant::environment::GIVEN).is_some() => {
            bail!("this runs in a session: write grants outside")
        }
        _ => Ok(()),
    }
}

fn make(args: &InitArgs) -> anyhow::Result<Made> {
    let from = env::current_dir().context("cannot tell the current directory")?;
    let home = checkout::home();
    let top = checkout::top_of(&from, home.as_deref()).unwrap_or(from);
    if checkout::is_above_home(&top, home.as_deref()) {
        bail!(
            "{} is no checkout: your home directory, or above it. Change to the directory in which the agent is to work",
            escape_bytes(top.as_os_str().as_bytes())
        );
    }
    let languages = languages::found(&top);
    let agents = languages::agents(&env::var_os("PATH").unwrap_or_default());
    let include = include(args, &agents)?;
    let name = top.file_name().unwrap_or_default().to_string_lossy();
    let checkout = Checkout {
        name: &name,
        languages: &languages,
        agents: &agents,
        include: &include,
        is_coder: has_coder(&include)?,
        home: home.as_deref(),
    };
    let text = tested(&checkout.text())?;
    Ok(Made {
        file: top.join(NAME),
        text,
        languages,
        agents,
        include,
    })
}

/// The grant that the checkout's includes.
fn include(args: &InitArgs, agents: &[&str]) -> anyhow::Result<String> {
    let Some(named) = &args.grant else {
        let shipped = agent_grant::shipped_names();
        let of_agent = agents.iter().find(|agent| shipped.contains(agent));
        return Ok((*of_agent.unwrap_or(&DEFAULT)).to_owned());
    };
    if grants::is_path(named) || !grants::is_known(named) {
        bail!(
            "`{}` is no grant by its name: `bailiff grant list` lists them",
            escape(named)
        );
    }
    Ok(named.clone())
}

/// Whether it is `coder`, or includes it.
fn has_coder(name: &str) -> anyhow::Result<bool> {
    let source = grants::gather(name, &given_inputs())?;
    Ok(name == DEFAULT || source.includes.iter().any(|file| file.name == DEFAULT))
}

/// The text with the tests that it passes.
fn tested(text: &str) -> anyhow::Result<String> {
    let with = |tests: &[&str]| {
        let mut text = text.to_owned();
        if !tests.is_empty() {
            text += "\n# What it is to keep to, whatever is changed (`bailiff grant test`).\n";
        }
        let tests: Vec<_> = tests
            .iter()
            .map(|test| format!("[[test]]\n{test}"))
            .collect();
        text + &tests.join("\n")
    };
    let grant = grants::read_for_tests(&source_of(&with(TESTS)), &BTreeMap::new())?;
    let outcomes = agent_grant::run_tests(Compiled::for_tests(&grant)?.inner());
    let passed = TESTS
        .iter()
        .zip(outcomes)
        .filter(|(_, outcome)| outcome.passed);
    let passed: Vec<_> = passed.map(|(test, _)| *test).collect();
    Ok(with(&passed))
}

fn source_of(text: &str) -> GrantSource {
    GrantSource {
        main: SourceFile {
            name: NAME.into(),
            origin: NAME.into(),
            text: text.into(),
            file: None,
        },
        includes: Vec::new(),
    }
}

/// Writes a new file, or another in place of the old one. Follows no link.
fn write(file: &Path, text: &[u8], force: bool) -> anyhow::Result<()> {
    let shown = escape_bytes(file.as_os_str().as_bytes());
    let create = |path: &Path| -> io::Result<()> {
        let mut options = fs::File::options();
        let mut new = options
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)?;
        new.write_all(text)
    };
    let existing = fs::symlink_metadata(file);
    if !force {
        return match create(file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
                "{shown} is there already: `bailiff trust` takes it as it is, `bailiff init --force` writes it anew"
            ),
            other => other.with_context(|| format!("cannot write {shown}")),
        };
    }
    if existing.is_ok_and(|found| found.is_dir()) {
        bail!("{shown} is a directory");
    }
    let beside = file.with_file_name(format!(".{NAME}.{}", std::process::id()));
    let written = create(&beside).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write {shown}"))
}

/// Has the daemon take it, as it was written here.
fn trust(made: &Made, client: &Client) -> anyhow::Result<()> {
    let name = made.file.to_str().context("its path is not UTF-8")?;
    let grant = grants::gather(name, &given_inputs())?;
    if *grant.main.text != *made.text {
        bail!("somebody has changed it meanwhile: `bailiff trust` shows it");
    }
    let request = Trust {
        file: PathText::new(name.as_bytes()),
        grant,
    };
    let _: Trusted = block_on(client.post(&routes::TRUST.place(), &request))??;
    Ok(())
}

impl Made {
    fn tell(&self, trusted: bool) -> anyhow::Result<()> {
        let languages: Vec<_> = self.languages.iter().map(|found| found.name).collect();
        let languages = match &languages[..] {
            [] => "no language that it knows".to_owned(),
            found => found.join(", "),
        };
        print(&format!(
            "wrote {} for {languages}, on top of the grant `{}`",
            escape_bytes(self.file.as_os_str().as_bytes()),
            self.include
        ))?;
        let first = if trusted {
            ""
        } else {
            "`bailiff trust`, then "
        };
        let program = self.agents.first().unwrap_or(&"make");
        print(&format!(
            "next: {first}`bailiff run -- {program}`, and `bailiff why` where something is refused"
        ))?;
        print("to open more: edit it, `bailiff grant check bailiff.toml`, `bailiff trust`")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_is_written_over_nor_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let text = |name: &str| fs::read_to_string(at(name)).unwrap();
        write(&at("new"), b"one", false).unwrap();
        assert!(write(&at("new"), b"two", false).is_err());
        assert_eq!(text("new"), "one");
        write(&at("new"), b"two", true).unwrap();
        assert_eq!(text("new"), "two");
        symlink("new", at("link")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        for link in ["link", "dangling"] {
            assert!(write(&at(link), b"three", false).is_err());
            write(&at(link), b"three", true).unwrap();
            assert!(at(link).symlink_metadata().unwrap().is_file());
        }
        assert_eq!(text("new"), "two");
        assert!(!at("nothing").exists());
        fs::create_dir(at("directory")).unwrap();
        assert!(write(&at("directory"), b"x", true).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    }

    #[test]
    fn every_test_that_it_writes_is_one_of_coders_too() {
        let head = "version = 1\nname = \"x\"\ninclude = [\"coder\"]\n";
        let text = tested(head).unwrap();
        assert_eq!(text.matches("[[test]]").count(), TESTS.len());
        // Another grant keeps to what it keeps to.
        let text = tested(&head.replace("coder", "reviewer")).unwrap();
        assert_eq!(text.matches("[[test]]").count(), TESTS.len() - 1);
    }
}
