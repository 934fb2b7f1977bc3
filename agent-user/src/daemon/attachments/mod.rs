//! Attachments: sessions that wait for cgroups to come.
//!
//! Each attachment has one session that waits: compiled, in the kernel, with a slot. The kernel side gives its
//! label to a cgroup that appears under one of the attachment's paths ([`agent_abi::attachment`]), which needs no
//! daemon. A daemon that runs then lets another session wait, so that each start of a service is a session of
//! its own; without one all that come are in the same.

mod load;
mod place;
mod refusals;
mod renew;

use std::{path::PathBuf, sync::Arc};

use agent_abi::Label;

use super::sessions::Live;
use crate::{
    api::{Attached as Told, AttachedState},
    attachments::{Attachment, Subject},
};

/// The attachments of this daemon, in the order of their files.
#[derive(Default)]
pub(super) struct Attachments {
    held: Vec<Held>,
    faulty: Vec<Faulty>,
    /// What containers are told by, which their runtime's hook reads in the files itself. With what is wrong.
    at_hooks: Vec<(Attachment, Option<String>)>,
    /// The files say something else by now, which could not be put in force.
    is_behind: bool,
}

/// One that the kernel side knows.
#[derive(Clone)]
struct Held {
    attachment: Attachment,
    by: By,
    /// Why it is not as its file says.
    error: Option<String>,
    /// Those before it are for all that it is for.
    is_shadowed: bool,
    early: u32,
}

/// What a cgroup that appears comes into.
#[derive(Clone)]
enum By {
    Session(Arc<Live>),
    Refusal,
}

/// A file of which nothing is in force.
struct Faulty {
    path: PathBuf,
    /// `None`: it cannot be read, and who it is for is not known.
    attachment: Option<Attachment>,
    error: String,
}

impl By {
    /// The label that the kernel side gives.
    fn label(&self) -> Label {
        match self {
            Self::Session(live) => live.label().armed(),
            Self::Refusal => Label::REFUSING.armed(),
        }
    }
}

impl Held {
    fn tell(&self) -> Told {
        let (state, session) = match &self.by {
            By::Session(live) => (AttachedState::InForce, Some(live.row.name.clone())),
            By::Refusal => (AttachedState::Refusing, None),
        };
        Told {
            name: self.attachment.name.clone(),
            subject: self.attachment.subject.text().into(),
            grant: self.attachment.grant.clone(),
            variables: self.attachment.set.clone(),
            state: state.into(),
            error: self.error.clone().or_else(|| self.shadowed()),
            session,
            early: self.early,
        }
    }
}

impl Held {
    fn shadowed(&self) -> Option<String> {
        self.is_shadowed.then(|| {
            "nothing comes under it: files before it by their names are for all that it is for"
                .into()
        })
    }
}

impl Faulty {
    fn tell(&self) -> Told {
        let name = self.path.file_stem().unwrap_or_default();
        let state = match self.attachment {
            Some(_) => AttachedState::Rejected,
            None => AttachedState::Unreadable,
        };
        let attachment = self.attachment.as_ref();
        let told = |of: fn(&Attachment) -> &str| attachment.map(of).unwrap_or_default().to_owned();
        Told {
            name: name.to_string_lossy().into_owned(),
            subject: told(|attachment| attachment.subject.text()),
            grant: told(|attachment| &attachment.grant),
            variables: attachment.map(|one| one.set.clone()).unwrap_or_default(),
            state: state.into(),
            error: Some(self.error.clone()),
            session: None,
            early: 0,
        }
    }
}

impl Attachments {
    pub(super) fn tell(&self) -> Vec<Told> {
        let held = self.held.iter().map(Held::tell);
        let faulty = self.faulty.iter().map(Faulty::tell);
        let at_hooks = self.at_hooks.iter().map(|(attachment, error)| Told {
            name: attachment.name.clone(),
            subject: attachment.subject.text().into(),
            grant: attachment.grant.clone(),
            variables: attachment.set.clone(),
            state: match error {
                None => AttachedState::InForce,
                Some(_) => AttachedState::Refusing,
            }
            .into(),
            error: error.clone(),
            session: None,
            early: 0,
        });
        held.chain(at_hooks).chain(faulty).collect()
    }

    /// The sessions into which what appears comes.
    fn sessions(&self) -> impl Iterator<Item = &Arc<Live>> {
        self.held.iter().filter_map(|held| match &held.by {
            By::Session(live) => Some(live),
            By::Refusal => None,
        })
    }

    /// Whether what appears may come into this session.
    fn has(&self, live: &Arc<Live>) -> bool {
        self.sessions().any(|own| Arc::ptr_eq(own, live))
    }

    /// Whether anything is refused for want of a grant.
    fn refuses(&self) -> bool {
        self.held.iter().any(|held| matches!(held.by, By::Refusal))
    }

    /// Whether trying again may help.
    fn is_lacking(&self) -> bool {
        self.is_behind
            || self.held.iter().any(|held| held.error.is_some())
            || self.at_hooks.iter().any(|(_, error)| error.is_some())
    }

    /// The files that cannot be read: what was in force may be theirs.
    fn unreadable(&self) -> impl Iterator<Item = &Faulty> {
        self.faulty.iter().filter(|file| file.attachment.is_none())
    }
}

/// What a session's row says of where it is, before anything of it is anywhere.
fn place_of(subject: &Subject) -> PathBuf {
    PathBuf::from(subject.text())
}
