//! `bailiff attach` and `bailiff detach`

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{
    JsonArg,
    attachments::summary,
    failure::note,
    grant_args::GrantArgs,
    output::{block_on, print, print_json},
};
use crate::{
    api::{Attached, AttachedState, Page, routes},
    attachments::{
        Attachment, Containers, DIRECTORY, DropIn, Subject, UnitFacts, facts, file_stem, hook_file,
        may_be_for_containers, read, read_all,
    },
    client::Client,
    grants::OwnFiles,
    render::escape,
};

#[derive(Debug, Args)]
pub(super) struct AttachArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    grant: GrantArgs,
    /// What to call it; by default after what it is for.
    #[arg(long, value_name = "NAME", value_parser = file_name)]
    name: Option<String>,
    /// Write no drop-in for the unit: it starts unlimited where Bailiff does not run.
    #[arg(long)]
    no_drop_in: bool,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SubjectArgs {
    /// A unit of systemd (`agent`, `agent@.service`, `agents.slice`), or a pattern of cgroups
    /// (`/agents.slice/*`).
    #[arg(value_name = "UNIT|CGROUPS")]
    place: Option<String>,
    /// Containers by their name or id; `*` is any text.
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Containers by their image, as the engine names it (`docker.io/library/nginx:*`).
    #[arg(long, value_name = "PATTERN")]
    image: Option<String>,
    /// Containers by an annotation. An image can have annotations, too: name and image count before them.
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Option<String>,
}

impl SubjectArgs {
    fn subject(&self) -> Subject {
        let containers = [
            self.container.clone().map(Containers::Name),
            self.image.clone().map(Containers::Image),
            self.annotation.clone().map(Containers::Annotation),
        ];
        let containers = containers.into_iter().flatten().next();
        match containers {
            Some(containers) => Subject::Containers(containers),
            None => Subject::of(self.place.as_deref().unwrap_or_default()),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct DetachArgs {
    /// Its name, or the unit, pattern, container, image or annotation, as `bailiff attachments` shows them.
    attachment: String,
    #[command(flatten)]
    json: JsonArg,
}

fn file_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('.') || text.contains('/') {
        return Err("it becomes the name of a file: no `/`, and no `.` in front".into());
    }
    Ok(text.into())
}

pub(super) fn attach(args: &AttachArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let subject = args.subject.subject();
    subject.check().map_err(anyhow::Error::msg)?;
    if !args.dry_run {
        // Before anything is written: whether there is somebody who reads it.
        let _: Page<Attached> = block_on(client.get(&routes::ATTACHMENTS.place()))??;
    }
    let facts = facts_of(&subject)?;
    let subject = by_its_own_name(subject, &facts);
    let mut set = facts.variables.clone();
    set.extend(args.grant.set());
    let attachment = Attachment {
        name: args.name.clone().unwrap_or_else(|| file_stem(&subject)),
        grant: args.grant.lasting()?,
        subject,
        set,
    };
    if let Ok(other) = read(&attachment.file())
        && other.subject != attachment.subject
    {
        bail!(
            "{} is for {} already: give this one another name by `--name`",
            attachment.file().display(),
            escape(other.subject.text())
        );
    }
    let drop_in = if args.no_drop_in {
        None
    } else {
        DropIn::of(&attachment.subject, &OwnFiles::program()?)
    };
    if let Some(drop_in) = &drop_in {
        drop_in.verify(&facts)?;
    }
    let hook = match attachment.subject.containers() {
        Some(_) => Some(OwnFiles::program()?),
        None => None,
    };
    if args.dry_run {
        show(&attachment.file(), &attachment.text())?;
        show_drop_in(drop_in.as_ref())?;
        show_hook(hook.as_deref())?;
        return Ok(ExitCode::SUCCESS);
    }
    let attached = put_in_force(&attachment, client)?;
    if let Some(program) = &hook {
        hook_file::write(program)
            .with_context(|| format!("cannot write {} (as root?)", hook_file::path().display()))?;
    }
    if let Some(drop_in) = &drop_in {
        drop_in.write()?;
        reload_units();
    }
    if args.json.json {
        print_json(&Page::new(vec![attached]))?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&attachment.file(), &attachment.text())?;
    show_drop_in(drop_in.as_ref())?;
    show_hook(hook.as_deref())?;
    print(&summary(&attached))?;
    if attached.early > 0 {
        note(&format!(
            "{} of its processes ran before, and are limited from the next program on that they execute: start it \
             anew",
            attached.early
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What systemd says of a unit; of cgroups there is nothing to ask.
fn facts_of(subject: &Subject) -> anyhow::Result<UnitFacts> {
    let Subject::Unit(unit) = subject else {
        return Ok(UnitFacts::default());
    };
    if unit.contains(['*', '?']) {
        return Ok(UnitFacts::default());
    }
    let facts = facts(unit).map_err(anyhow::Error::msg).with_context(|| {
        format!(
            "cannot ask systemd about {}; attach its cgroup instead",
            escape(unit)
        )
    })?;
    if facts.fragment.is_none() && !unit.contains("@.") {
        note(&format!(
            "systemd knows no unit {} yet: it comes under the grant when there is one",
            escape(unit)
        ));
    }
    Ok(facts)
}

fn show_drop_in(drop_in: Option<&DropIn>) -> anyhow::Result<()> {
    let Some(drop_in) = drop_in else {
        return Ok(());
    };
    show(&drop_in.path(), drop_in.text())?;
    let (path, text) = drop_in.asking();
    show(&path, text)
}

fn show_hook(program: Option<&Path>) -> anyhow::Result<()> {
    for (path, text) in program.map(hook_file::files).into_iter().flatten() {
        show(&path, &text)?;
    }
    Ok(())
}

/// A unit by the name that its cgroup has, where it was given an alias.
fn by_its_own_name(subject: Subject, facts: &UnitFacts) -> Subject {
    match (&subject, &facts.name) {
        (Subject::Unit(given), Some(name))
            if name != given && !given.contains("@.") && facts.fragment.is_some() =>
        {
            note(&format!("{} is {}", escape(given), escape(name)));
            Subject::Unit(name.clone())
        }
        _ => subject,
    }
}

fn show(path: &Path, text: &str) -> anyhow::Result<()> {
    print(&format!("{}:", path.display()))?;
    for line in text.lines() {
        print(&format!("  {}", escape(line)))?;
    }
    Ok(())
}

/// Writes the file and has the daemon read it. Where that cannot be, all is as it was.
fn put_in_force(attachment: &Attachment, client: &Client) -> anyhow::Result<Attached> {
    let path = attachment.file();
    let before = match fs::read(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    fs::create_dir_all(DIRECTORY)
        .and_then(|()| write_whole(&path, attachment.text().as_bytes()))
        .with_context(|| format!("cannot write {} (as root?)", path.display()))?;
    let attached = load(client).and_then(|all| {
        let own = all.into_iter().find(|one| one.name == attachment.name);
        let own = own.context("the daemon has not taken it")?;
        match (own.state.known(), &own.error) {
            (Some(AttachedState::InForce), None) => Ok(own),
            (_, error) => bail!("{}", error.clone().unwrap_or_default()),
        }
    });
    attached.or_else(|error| {
        let undone = match before {
            Some(text) => write_whole(&path, &text),
            None => fs::remove_file(&path),
        };
        undone.with_context(|| format!("cannot undo {}", path.display()))?;
        // Where no daemon answers, none has read the file.
        let _ = load(client);
        Err(error)
    })
}

/// Writes a file so that nobody ever reads half of it.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut beside = path.file_name().unwrap_or_default().to_owned();
    beside.push(".new");
    let beside = path.with_file_name(beside);
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

fn load(client: &Client) -> anyhow::Result<Vec<Attached>> {
    let page: Page<Attached> = block_on(client.post(&routes::LOAD_ATTACHMENTS.place(), &()))??;
    Ok(page.items)
}

fn reload_units() {
    match Command::new("systemctl").arg("daemon-reload").status() {
        Ok(status) if status.success() => {}
        Ok(_) | Err(_) => note("systemd has not read its units again: `systemctl daemon-reload`"),
    }
}

pub(super) fn detach(args: &DetachArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let (path, subject) = match find(&args.attachment)? {
        Some((path, subject)) => (Some(path), subject),
        // Its file may have been removed by hand.
        None => (None, Some(Subject::of(&args.attachment))),
    };
    if let Some(path) = &path {
        fs::remove_file(path)
            .with_context(|| format!("cannot remove {} (as root?)", path.display()))?;
    }
    remove_unused_hook()?;
    let drop_in = match &subject {
        Some(subject) => DropIn::of(subject, &OwnFiles::program()?),
        None => None,
    };
    let had_drop_in = match drop_in {
        Some(drop_in) => drop_in.remove()?,
        None => false,
    };
    if had_drop_in {
        reload_units();
    }
    if path.is_none() && !had_drop_in {
        bail!(
            "nothing is attached as `{}`: `bailiff attachments` lists what is",
            escape(&args.attachment)
        );
    }
    let left = load(client).context(
        "its file is removed, but no daemon has taken that in: what appears comes under the grant until one \
         starts",
    )?;
    if args.json.json {
        print_json(&Page::new(left))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!(
        "{} is detached; what runs stays under its grant until it is started anew",
        escape(&args.attachment)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Removes the hook where no file is for containers any more; one that cannot be read may be.
fn remove_unused_hook() -> anyhow::Result<()> {
    let all = read_all(Path::new(DIRECTORY))
        .with_context(|| format!("cannot read {DIRECTORY} (as root?)"))?;
    let needs_hook = |(path, read): &(PathBuf, Result<Attachment, _>)| match read {
        Ok(attachment) => attachment.subject.containers().is_some(),
        Err(_) => may_be_for_containers(path),
    };
    if !all.iter().any(needs_hook) {
        hook_file::remove()
            .with_context(|| format!("cannot remove {}", hook_file::path().display()))?;
    }
    Ok(())
}

/// The file that is meant, and what it is for where it can be read.
fn find(text: &str) -> anyhow::Result<Option<(PathBuf, Option<Subject>)>> {
    let subject = Subject::of(text);
    let all = read_all(Path::new(DIRECTORY))
        .with_context(|| format!("cannot read {DIRECTORY} (as root?)"))?;
    for (path, read) in all {
        let is_named = path.file_stem().is_some_and(|stem| stem == text);
        let own = read.ok().map(|attachment| attachment.subject);
        let is_theirs = own
            .as_ref()
            .and_then(Subject::containers)
            .is_some_and(|containers| containers.text() == text);
        if is_named || is_theirs || own.as_ref() == Some(&subject) {
            return Ok(Some((path, own)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_directory() {
        assert!(file_name("agent").is_ok());
        for bad in ["", "../x", ".hidden", "a/b"] {
            assert!(file_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.toml");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
