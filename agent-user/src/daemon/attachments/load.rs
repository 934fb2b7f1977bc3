//! From the operator's files to what the kernel side holds.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use agent_abi::Label;
use agent_grant::attachments::attachments as table_of;
use tokio::time::sleep;

use super::{Attachments, By, Faulty, Held, place_of};
use crate::{
    api::{Attached as Told, EndCause, GrantSource, StartSession, Target},
    attachments::{self, Attachment, AttachmentError},
    daemon::{error::RequestError, sessions::Live, state::Daemon},
    grants,
};

/// How often what is lacking is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// A file, and what it says.
type File = (PathBuf, Result<Attachment, AttachmentError>);

impl Daemon {
    /// Reads the operator's files, and has the kernel side hold what they say. What cannot be put in force holds
    /// as it did before, or lets nothing of it start.
    ///
    /// # Errors
    /// The directory cannot be read, or the kernel side takes nothing: all is as it was.
    pub(in crate::daemon) async fn load_attachments(
        self: &Arc<Self>,
    ) -> Result<Vec<Told>, RequestError> {
        let files = self
            .blocking(|daemon| attachments::read_all(&daemon.attach_directory))
            .await
            .map_err(|error| RequestError::failed("cannot read the attachments", error))?;
        let mut state = self.attachments.lock().await;
        let before = self.attached();
        let mut waiting = before.clone();
        let mut next = Attachments::default();
        for (path, read) in files {
            self.take(&mut next, &mut waiting, &state, (path, read))
                .await;
        }
        if next.unreadable().next().is_some() {
            // Who they were for is not known; what was in force may be theirs.
            self.keep(&mut next, &mut waiting, &state);
        }
        let held = match self.must_not_forget(&next) {
            Ok(()) => self.hold(&next).await,
            Err(error) => Err(error),
        };
        match held {
            Ok(reached) => {
                for (held, is_reached) in next.held.iter_mut().zip(reached) {
                    held.is_shadowed = !is_reached;
                }
            }
            Err(error) => {
                for live in next.sessions() {
                    if !before.iter().any(|known| Arc::ptr_eq(known, live)) {
                        self.end(live, EndCause::NeverStarted).await;
                    }
                }
                state.is_behind = true;
                return Err(error);
            }
        }
        *state = next;
        for live in self.attached() {
            if !state.has(&live) {
                self.detach(&live).await;
            }
        }
        let come = self.tag_those_there(&mut state).await?;
        self.end_refusals(&state).await?;
        drop(state);
        for number in come {
            if let Err(error) = self.renew(number).await {
                tracing::warn!("what comes next will be in the session of what is there: {error}");
            }
        }
        Ok(self.tell_attachments().await)
    }

    /// The attachments as they are.
    pub(in crate::daemon) async fn tell_attachments(&self) -> Vec<Told> {
        self.attachments.lock().await.tell()
    }

    /// Tries again what could not be put in force, for as long as the daemon lives: a disk that was full has
    /// room again.
    pub(in crate::daemon) async fn retry_attachments(self: Arc<Self>) {
        loop {
            sleep(RETRY).await;
            if self.attachments.lock().await.is_lacking()
                && let Err(error) = self.load_attachments().await
            {
                tracing::error!("attachments stay as they are: {error}");
            }
        }
    }

    /// Sessions into which the kernel side puts cgroups that appear.
    fn attached(&self) -> Vec<Arc<Live>> {
        let live = self.live_sessions().into_iter();
        live.filter(|live| live.attached.load(Relaxed)).collect()
    }

    /// One file: what is in force for it already, or a new session.
    async fn take(
        self: &Arc<Self>,
        next: &mut Attachments,
        waiting: &mut Vec<Arc<Live>>,
        before: &Attachments,
        (path, read): File,
    ) {
        let attachment = match read {
            Ok(attachment) => attachment,
            Err(error) => {
                let error = error.to_string();
                tracing::error!("{error}");
                // What it said before goes on, if this daemon read it.
                match taken_from(before, waiting, |held| {
                    path.file_stem()
                        .is_some_and(|stem| stem == held.attachment.name.as_str())
                }) {
                    Some(held) => next.held.push(Held {
                        error: Some(format!("what it said before holds on: {error}")),
                        ..held
                    }),
                    None => next.faulty.push(Faulty {
                        path,
                        attachment: None,
                        error,
                    }),
                }
                return;
            }
        };
        if attachment.subject.containers().is_some() {
            let error = self.fault_of(&attachment).await;
            next.at_hooks.push((attachment, error));
            return;
        }
        if let Some(who) = self.must_stay_free(&attachment) {
            let error = format!(
                "{who} itself is in {}: attach what holds the agent alone",
                attachment.subject.text()
            );
            tracing::error!("{}: {error}", path.display());
            next.faulty.push(Faulty {
                path,
                attachment: Some(attachment),
                error,
            });
            return;
        }
        let source = self.gather(&attachment).await;
        let same = waiting
            .iter()
            .position(|live| is_of(live, &attachment, source.as_ref().ok()));
        let result = match (same, source) {
            (Some(place), _) => Ok(waiting.swap_remove(place)),
            (None, Ok(source)) => self.start_waiting(&attachment, source).await,
            (None, Err(error)) => Err(error),
        };
        let held = match result {
            Ok(live) => Held {
                attachment,
                by: By::Session(live),
                error: None,
                is_shadowed: false,
                early: 0,
            },
            Err(error) => self.without(attachment, waiting, &error),
        };
        next.held.push(held);
    }

    /// Why no container of an attachment can start.
    async fn fault_of(self: &Arc<Self>, attachment: &Attachment) -> Option<String> {
        let (grant, inputs) = (attachment.grant.clone(), attachment.inputs());
        let loaded = self.blocking(move |_| grants::load(&grant, &inputs).map(drop));
        let error = loaded.await.err()?.to_string();
        tracing::error!("{}: {error}", attachment.file().display());
        Some(format!("nothing of it may start: {error}"))
    }

    /// Who is where the attachment is for, and must never be limited.
    fn must_stay_free(&self, attachment: &Attachment) -> Option<&'static str> {
        let places = attachment.subject.places().ok()?;
        let is_in = |pid: u32| {
            let path = self.hierarchy.of_process(pid).unwrap_or_default();
            let path = self.hierarchy.path_of(&self.hierarchy.known(path, 0));
            let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let mut ends = above.map(|(at, _)| at).chain([path.len()]);
            ends.any(|end| end > 0 && places.contain(&path[..end]))
        };
        [(std::process::id(), "the daemon"), (1, "init")]
            .into_iter()
            .find_map(|(pid, who)| is_in(pid).then_some(who))
    }

    /// What holds for an attachment whose grant cannot be put in force.
    fn without(
        &self,
        attachment: Attachment,
        waiting: &mut Vec<Arc<Live>>,
        error: &RequestError,
    ) -> Held {
        let file = attachment.file();
        let place = place_of(&attachment.subject);
        let before = waiting.iter().position(|live| live.row.cgroup == place);
        let (by, error) = match before {
            Some(place) => (
                By::Session(waiting.swap_remove(place)),
                format!("the grant of before holds on: {error}"),
            ),
            None => (By::Refusal, format!("nothing of it may start: {error}")),
        };
        tracing::error!("{}: {error}", file.display());
        Held {
            attachment,
            by,
            error: Some(error),
            is_shadowed: false,
            early: 0,
        }
    }

    /// Has all that waited before hold on, as it was.
    fn keep(&self, next: &mut Attachments, waiting: &mut Vec<Arc<Live>>, before: &Attachments) {
        for live in std::mem::take(waiting) {
            let of_live =
                |held: &Held| matches!(&held.by, By::Session(own) if Arc::ptr_eq(own, &live));
            let known = before.held.iter().find(|held| of_live(held));
            let attachment = match known {
                Some(held) => held.attachment.clone(),
                None => Attachment {
                    name: live.row.name.clone(),
                    subject: attachments::Subject::of(&live.row.cgroup.to_string_lossy()),
                    grant: live.row.grant.clone(),
                    set: live.row.inputs.set.clone(),
                },
            };
            next.held.push(Held {
                attachment,
                by: By::Session(live),
                error: Some("it holds on until every file can be read".into()),
                is_shadowed: false,
                early: 0,
            });
        }
    }

    async fn gather(
        self: &Arc<Self>,
        attachment: &Attachment,
    ) -> Result<GrantSource, RequestError> {
        let (grant, inputs) = (attachment.grant.clone(), attachment.inputs());
        if let Ok(found) = fs::metadata(&grant)
            && grant.contains('/')
            && !found.is_file()
        {
            // A pipe would be waited for, and all attachments with it.
            return Err(RequestError::BadGrant(format!("{grant} is no file")));
        }
        let gathered = self
            .blocking(move |_| grants::gather(&grant, &inputs))
            .await;
        gathered.map_err(|error| RequestError::BadGrant(error.to_string()))
    }

    /// A session that waits for what the attachment is for.
    pub(super) async fn start_waiting(
        self: &Arc<Self>,
        attachment: &Attachment,
        grant: GrantSource,
    ) -> Result<Arc<Live>, RequestError> {
        let request = StartSession {
            target: Target::New,
            grant,
            inputs: attachment.inputs(),
            command: Vec::new(),
            sought: None,
        };
        self.start_attached(request, place_of(&attachment.subject))
            .await
    }

    /// Refuses what would let go of a refusal that an earlier daemon put in force: for whom it is only the table
    /// in the kernel knows, and of the files one cannot be read.
    fn must_not_forget(&self, next: &Attachments) -> Result<(), RequestError> {
        let refuses = |labels: Vec<Label>| labels.contains(&Label::REFUSING.armed());
        if next.unreadable().next().is_none()
            || next.refuses()
            || !refuses(self.kernel().attached_labels()?)
        {
            return Ok(());
        }
        let wrong = next.unreadable().map(|file| file.error.as_str());
        Err(RequestError::BadRequest(format!(
            "all holds on as it was, because something is refused that a file may be for which cannot be read: {}",
            wrong.collect::<Vec<_>>().join("; ")
        )))
    }

    /// Has the kernel side look new cgroups up in these. Answers, for each, whether any cgroup is of it.
    pub(super) async fn hold(
        self: &Arc<Self>,
        wanted: &Attachments,
    ) -> Result<Vec<bool>, RequestError> {
        let places = wanted.held.iter().map(|held| {
            let places = held.attachment.subject.places();
            Ok((places.map_err(RequestError::BadRequest)?, held.by.label()))
        });
        let places = places.collect::<Result<Vec<_>, RequestError>>()?;
        let count = places.len();
        self.blocking(move |daemon| {
            let places = places.iter().map(|(places, label)| (places, *label));
            let table = table_of(&places.collect::<Vec<_>>())
                .map_err(|error| RequestError::BadRequest(error.to_string()))?;
            daemon.kernel().set_attachments(&table)?;
            Ok::<_, RequestError>((0..count).map(|number| table.is_reached(number)).collect())
        })
        .await
    }

    /// Nothing comes into this session any more.
    async fn detach(self: &Arc<Self>, live: &Arc<Live>) {
        live.attached.store(false, Relaxed);
        live.stirred.notify_one();
        let label = live.label();
        let is_empty = self.places_of(label).is_ok_and(|places| places.is_empty())
            && self.processes_of(label).is_ok_and(|pids| pids.is_empty());
        if is_empty && !live.running.load(Relaxed) {
            self.end(live, EndCause::NeverStarted).await;
        }
    }
}

/// One of those before, out of what else waits.
fn taken_from(
    before: &Attachments,
    waiting: &mut Vec<Arc<Live>>,
    is_meant: impl Fn(&Held) -> bool,
) -> Option<Held> {
    let held = before.held.iter().find(|held| is_meant(held))?.clone();
    if let By::Session(live) = &held.by {
        waiting.retain(|other| !Arc::ptr_eq(other, live));
    }
    Some(held)
}

/// Whether a session waits, and is just what the attachment asks for.
fn is_of(live: &Live, attachment: &Attachment, source: Option<&GrantSource>) -> bool {
    !live.running.load(Relaxed)
        && live.row.cgroup == place_of(&attachment.subject)
        && live.row.inputs == attachment.inputs()
        && source.is_some_and(|source| live.row.source == *source)
}
