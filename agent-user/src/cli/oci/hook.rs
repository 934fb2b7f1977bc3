//! `bailiff oci-hook`: a runtime has made a container and has not started it. Where an attachment is for it, it
//! comes under its grant, or does not start.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use crate::{
    api::{Session, StartSession, Target, routes},
    attachments::{
        Attachment, AttachmentError, Container, DIRECTORY, OciState, may_be_for_containers,
        read_all,
    },
    cli::{
        failure::{self, FAILED},
        journal,
        output::block_on,
    },
    client::Client,
    grants,
    render::escape,
};

/// Bytes of a state, at most.
const MAX_STATE: u64 = 1 << 24;

pub(in crate::cli) fn hook(client: &Client) -> ExitCode {
    let mut text = Vec::new();
    let state = io::stdin()
        .take(MAX_STATE)
        .read_to_end(&mut text)
        .context("cannot read the container's state")
        .and_then(|_| Ok(serde_json::from_slice::<OciState>(&text)?));
    let state = match state {
        Ok(state) => state,
        Err(error) => {
            failure::say(&format!(
                "the runtime does not say which container it starts: {error:#}"
            ));
            return ExitCode::from(FAILED);
        }
    };
    let container = Container::of(&state);
    match limit(&container, state.pid, client) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!(
                "the container {} does not start: {error:#}",
                escape(&container.shown())
            );
            failure::say(&text);
            // crun drops what hooks say.
            journal::tell(&format!("libpod-{}.scope", container.id), &text);
            ExitCode::from(FAILED)
        }
    }
}

fn limit(container: &Container, pid: u32, client: &Client) -> anyhow::Result<()> {
    let Some(attachment) = wanted(container)? else {
        return Ok(());
    };
    let within = || {
        format!(
            "it is to be under the grant {} ({})",
            escape(&attachment.grant),
            escape(&attachment.file().display().to_string())
        )
    };
    if pid == 0 {
        return Err(anyhow::anyhow!(
            "its runtime does not say which process it is"
        ))
        .with_context(within);
    }
    if let Some(handler) = container.handler() {
        return Err(anyhow::anyhow!(
            "its annotation {} has its runtime run it and execute nothing, so no grant takes force",
            escape(handler)
        ))
        .with_context(within);
    }
    if is_of_user() {
        return Err(anyhow::anyhow!(
            "a user's own container cannot be told by name, image or annotation: attach a pattern of its cgroups, \
             and detach this"
        ))
        .with_context(within);
    }
    let inputs = attachment.inputs();
    let start = grants::gather(&attachment.grant, &inputs).map(|grant| StartSession {
        target: Target::Container {
            process: pid,
            id: container.id.clone(),
            root: container.root.clone(),
            destinations: container.destinations.clone(),
            binds: container.binds.clone(),
            layers: container.layers.clone(),
        },
        grant,
        inputs,
        command: vec!["container".into(), container.shown()],
        sought: None,
    });
    let start = start.with_context(within)?;
    let _: Session = block_on(client.post(&routes::START.place(), &start))?.with_context(within)?;
    Ok(())
}

/// The attachment that is for a container: of several the first by what tells more surely, then by its file.
fn wanted(container: &Container) -> anyhow::Result<Option<Attachment>> {
    let files = match read_all(Path::new(DIRECTORY)) {
        Ok(files) => files,
        // What users may not read keeps nothing of theirs from starting.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_of_user() => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {DIRECTORY}")),
    };
    choose(container, files.into_iter().map(|(_, read)| read))
}

/// Whether the runtime is a user's, in a user namespace of his.
fn is_of_user() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_hosts = map.split_whitespace().eq(["0", "0", "4294967295"]);
    !is_hosts || !nix::unistd::geteuid().is_root()
}

fn choose(
    container: &Container,
    files: impl Iterator<Item = Result<Attachment, AttachmentError>>,
) -> anyhow::Result<Option<Attachment>> {
    // What counts before another has a lower rank, or the same and is read first.
    let mut found: Option<(u8, Attachment)> = None;
    let mut doubt: Option<(u8, anyhow::Error)> = None;
    for read in files {
        let attachment = match read {
            Ok(attachment) => attachment,
            // Whom it is for is not known; a unit's file is for no container.
            Err(AttachmentError::Mistake { path, message }) => {
                if may_be_for_containers(&path) {
                    bail!("{}, which may be for it: {message}", path.display());
                }
                continue;
            }
            Err(AttachmentError::Read { .. }) if is_of_user() => continue,
            Err(error) => return Err(error.into()),
        };
        let Some(containers) = attachment.subject.containers() else {
            continue;
        };
        let rank = containers.rank();
        let counts = found.as_ref().is_none_or(|(other, _)| rank < *other)
            && doubt.as_ref().is_none_or(|(other, _)| rank < *other);
        if !counts {
            continue;
        }
        if containers.mean(container) {
            (found, doubt) = (Some((rank, attachment)), None);
        } else if let Some(why) = containers.doubt(container) {
            let file = attachment.file();
            let error = anyhow::anyhow!("{why}, and {} may be for it", file.display());
            doubt = Some((rank, error));
        }
    }
    match doubt {
        Some((_, error)) => Err(error),
        None => Ok(found.map(|(_, attachment)| attachment)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachments::read;

    #[test]
    fn a_name_counts_before_what_an_image_may_say_of_itself() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            read(&path)
        };
        let container = Container {
            id: "ab".into(),
            names: vec!["web".into()],
            images: vec!["localhost/box:latest".into()],
            annotations: [("agent".into(), "yes".into())].into(),
            ..Container::default()
        };
        let annotation = "annotation = \"agent=yes\"\ngrant = \"loose\"\n";
        let chosen = |files: Vec<Result<Attachment, AttachmentError>>| {
            choose(&container, files.into_iter()).map(|found| found.map(|one| one.grant))
        };
        let loose = || file("a.toml", annotation);
        let named = || file("b.toml", "container = \"web\"\ngrant = \"strict\"\n");
        assert_eq!(
            chosen(vec![loose(), named()]).unwrap().as_deref(),
            Some("strict")
        );
        assert_eq!(chosen(vec![loose()]).unwrap().as_deref(), Some("loose"));
        let other = || file("c.toml", "container = \"db\"\ngrant = \"g\"\n");
        assert_eq!(chosen(vec![other()]).unwrap(), None);
        let nameless = Container {
            nameless: Some("not said"),
            ..container.clone()
        };
        assert!(choose(&nameless, [other()].into_iter()).is_err());
        // A mistake may be in what is for it.
        let broken = || file("d.toml", "container = \"web\ngrant = \"g\"\n");
        assert!(chosen(vec![broken(), named()]).is_err());
        let of_unit = || file("e.toml", "unit = \"web.service\"\ngrant = g\n");
        assert_eq!(chosen(vec![of_unit()]).unwrap(), None);
    }

    #[test]
    fn what_may_be_for_it_counts_where_nothing_counts_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let imageless = Container {
            id: "ab".into(),
            names: vec!["web".into()],
            annotations: [("agent".into(), "yes".into())].into(),
            imageless: Some("not said"),
            ..Container::default()
        };
        let chosen = |texts: &[&str]| {
            let files = texts.iter().map(|text| {
                let path = directory.path().join("a.toml");
                fs::write(&path, format!("{text}\ngrant = \"g\"\n")).unwrap();
                read(&path)
            });
            let found = choose(&imageless, files).map_err(|error| error.to_string());
            found.map(|found| found.is_some())
        };
        let (name, image) = ("container = \"web\"", "image = \"box\"");
        let annotation = "annotation = \"agent=yes\"";
        assert!(chosen(&[image]).unwrap_err().starts_with("not said, and"));
        assert!(chosen(&[annotation, image]).is_err() && chosen(&[image, annotation]).is_err());
        assert_eq!(chosen(&[image, name]), Ok(true));
        assert_eq!(chosen(&[name, image]), Ok(true));
        assert_eq!(chosen(&["container = \"db\"", annotation]), Ok(true));
    }
}
