//! `bailiff trust`: the word of a user that the grant of a checkout may be used.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{
    JsonArg,
    checkout::{self, NAME},
    failure::{note, tell},
    grant::words::in_short,
    grant_args::given_inputs,
    output::{block_on, print, print_json},
};
use crate::{
    api::{Distrust, Page, PathText, Trust, Trusted, routes},
    client::Client,
    grants,
    render::{Table, escape::escape_bytes},
};

#[derive(Debug, Args)]
pub(super) struct TrustArgs {
    /// The file, or the checkout's directory; else the one that `bailiff run` would take here.
    #[arg(value_name = "PATH", conflicts_with = "list")]
    path: Option<PathBuf>,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// List what you trust; for root, what everybody does.
    #[arg(long, conflicts_with_all = ["yes", "remove"])]
    list: bool,
    /// Trust it no longer.
    #[arg(long, conflicts_with = "yes")]
    remove: bool,
    #[command(flatten)]
    json: JsonArg,
}

pub(super) fn trust(args: &TrustArgs, client: &Client) -> anyhow::Result<ExitCode> {
    // First of all who asks: a session is told that it may not.
    let known: Page<Trusted> = block_on(client.get(&routes::TRUSTED.place()))??;
    if args.list {
        list(args, &known)?;
    } else if args.remove {
        remove(args, client)?;
    } else {
        let file = file(args)?;
        return take(&file, args.yes, client);
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &TrustArgs, known: &Page<Trusted>) -> anyhow::Result<()> {
    if args.json.json {
        return print_json(known);
    }
    if known.items.is_empty() {
        return print("no checkout's own grant is trusted");
    }
    let mut table = Table::new(&["UID", "SINCE", "FILE"]);
    for trusted in &known.items {
        table.row([
            trusted.uid.to_string().into(),
            trusted.since.strftime("%F %T").to_string().into(),
            escape_bytes(&trusted.file.bytes()).into(),
        ]);
    }
    print(&table.render())
}

fn remove(args: &TrustArgs, client: &Client) -> anyhow::Result<()> {
    // It may be gone already.
    let file = match &args.path {
        Some(path) if !path.is_dir() => std::path::absolute(path)?,
        _ => file(args).or_else(|error| {
            let directory = match &args.path {
                Some(path) => fs::canonicalize(path),
                None => std::env::current_dir(),
            };
            directory
                .map(|directory| directory.join(NAME))
                .map_err(|_| error)
        })?,
    };
    let request = Distrust { file: text(&file) };
    let gone: Trusted = block_on(client.post(&routes::DISTRUST.place(), &request))??;
    print(&format!(
        "{} is not used any more before you trust it again",
        escape_bytes(&gone.file.bytes())
    ))
}

/// The file that is meant, by its path without links.
fn file(args: &TrustArgs) -> anyhow::Result<PathBuf> {
    let Some(path) = &args.path else {
        let search = checkout::search().context("cannot look for a grant here")?;
        search.passed.iter().for_each(|passed| note(passed));
        return search.file.with_context(|| {
            format!(
                "there is no {NAME} from {} up to the top of its checkout: `bailiff init` writes one",
                escape_bytes(search.from.as_os_str().as_bytes())
            )
        });
    };
    let path = if path.is_dir() {
        path.join(NAME)
    } else {
        path.clone()
    };
    let shown = escape_bytes(path.as_os_str().as_bytes());
    let found = fs::symlink_metadata(&path).with_context(|| format!("cannot look at {shown}"))?;
    if !found.is_file() {
        bail!("{shown} is no regular file: give the one that is meant");
    }
    Ok(fs::canonicalize(&path)?)
}

/// By another name of it a session could change it, and so none begins under it.
fn must_have_one_name(file: &Path) -> anyhow::Result<()> {
    let names = fs::symlink_metadata(file)?.nlink();
    if names > 1 {
        bail!(
            "{} has {names} names (hard links), and no session begins under such a file: use a copy",
            escape_bytes(file.as_os_str().as_bytes())
        );
    }
    Ok(())
}

fn take(file: &Path, yes: bool, client: &Client) -> anyhow::Result<ExitCode> {
    let shown = escape_bytes(file.as_os_str().as_bytes());
    let name = file.to_str().context("the file's path is not UTF-8")?;
    must_have_one_name(file)?;
    let mut inputs = given_inputs();
    let directory = file.parent().and_then(Path::to_str);
    inputs.cwd = directory.map(Into::into);
    // What is asked about, shown and trusted is what is read here, once.
    let (grant, _) = grants::load(name, &inputs)?;
    if !yes {
        tell(&format!("{shown}:"));
        for line in in_short(&grant, &inputs)? {
            tell(&line);
        }
        if !io::stdin().is_terminal() {
            bail!("nobody is there to ask: read {shown}, and say `--yes`");
        }
        if !is_meant()? {
            tell("It is not trusted.");
            return Ok(ExitCode::FAILURE);
        }
    }
    let request = Trust {
        file: text(file),
        grant,
    };
    let trusted: Trusted = block_on(client.post(&routes::TRUST.place(), &request))??;
    print(&format!(
        "{} is used by `bailiff run` from now on, as it is now",
        escape_bytes(&trusted.file.bytes())
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn is_meant() -> io::Result<bool> {
    let mut out = io::stderr().lock();
    write!(out, "Use it from now on? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

fn text(path: &Path) -> PathText {
    PathText::new(path.as_os_str().as_bytes())
}
