//! Grants that come with a checkout: whoever made it wrote them, so none is used before the user who starts
//! the session has seen it and said so.
//!
//! What is trusted is a text at a path, for one user: the text that the session is compiled from, as it came
//! with the request, is compared with the one that was shown. So it does not matter who can write the file.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{error::RequestError, state::Daemon};
use crate::{
    api::{Distrust, PathText, Sought, StartSession, Target, Trust, Trusted},
    render::escape::escape_bytes,
    store::KeptTrust,
};

/// Files that one user trusts, at most.
const MOST: usize = 1000;

impl Daemon {
    /// Trusts a file of a grant, as its text is now.
    pub(in crate::daemon) fn trust(
        &self,
        uid: u32,
        request: &Trust,
    ) -> Result<Trusted, RequestError> {
        let file = path_of(&request.file)?;
        let texts = request.grant.texts_by_path();
        let bytes = file.as_os_str().as_bytes();
        if !texts.iter().any(|(path, _)| path == bytes) {
            return Err(RequestError::BadRequest(format!(
                "{} is not among what is to be trusted",
                shown(&file)
            )));
        }
        let known = self.store.trusted(Some(uid))?;
        if known.len() >= MOST && !known.iter().any(|known| known.file == file) {
            return Err(RequestError::Conflict(format!(
                "uid {uid} trusts {MOST} grants of checkouts: remove one with `bailiff trust --remove FILE`"
            )));
        }
        let kept = KeptTrust {
            uid,
            file,
            texts,
            since: Timestamp::now(),
        };
        self.store.trust(&kept)?;
        tracing::info!("uid {uid} trusts the grant {}", shown(&kept.file));
        Ok(told(&kept))
    }

    /// Trusts it no longer. Sessions under it go on.
    pub(in crate::daemon) fn distrust(
        &self,
        uid: u32,
        request: &Distrust,
    ) -> Result<Trusted, RequestError> {
        let file = path_of(&request.file)?;
        let known = self.store.trust_of(uid, &file)?;
        let known = known.ok_or_else(|| {
            RequestError::NotFound(format!(
                "{} is not trusted: `bailiff trust --list` lists what is",
                shown(&file)
            ))
        })?;
        self.store.distrust(uid, &file)?;
        Ok(told(&known))
    }

    /// What this user trusts; root is told of everybody.
    pub(in crate::daemon) fn trusted(&self, uid: u32) -> Result<Vec<Trusted>, RequestError> {
        let of = (uid != 0).then_some(uid);
        let known = self.store.trusted(of)?;
        Ok(known.iter().map(told).collect())
    }

    /// The files of a request's grant that its user trusts to be what came with it.
    ///
    /// # Errors
    /// Nobody named the grant, and what a checkout has in its place is not trusted; or there is one that is,
    /// and it is not what would be used.
    pub(in crate::daemon) fn trust_in(
        &self,
        request: &StartSession,
        asker: Option<u32>,
    ) -> Result<BTreeSet<Vec<u8>>, RequestError> {
        let Some(uid) = asker else {
            return Ok(BTreeSet::new());
        };
        let texts = request.grant.texts_by_path();
        if let Some(sought) = &request.sought {
            return self.found(sought, &texts, uid);
        }
        // Others are prepared again later, when nobody is there who could be asked.
        if !matches!(request.target, Target::New | Target::Caller) {
            return Ok(BTreeSet::new());
        }
        let mut trusted = BTreeSet::new();
        for (path, _) in &texts {
            let known = self.store.trust_of(uid, as_path(path))?;
            if let Some(known) = known.filter(|known| known.texts.is_subset(&texts)) {
                trusted.extend(known.texts.into_iter().map(|(path, _)| path));
            }
        }
        Ok(trusted)
    }

    fn found(
        &self,
        sought: &Sought,
        texts: &BTreeSet<(Vec<u8>, std::sync::Arc<str>)>,
        uid: u32,
    ) -> Result<BTreeSet<Vec<u8>>, RequestError> {
        let file = sought.file.as_ref().map(path_of).transpose()?;
        self.must_not_be_missed(&path_of(&sought.from)?, file.as_deref(), uid)?;
        let Some(file) = file else {
            return Ok(BTreeSet::new());
        };
        let known = self.store.trust_of(uid, &file)?;
        let bad = |what: String| Err(RequestError::BadGrant(what));
        let remedy =
            "look at it, and take it with `bailiff trust`; or name a grant (`--grant coder`)";
        match known {
            None => bad(format!(
                "the checkout's own grant {} is not trusted yet: {remedy}",
                shown(&file)
            )),
            Some(known) if known.texts != *texts => bad(format!(
                "the checkout's own grant {}, or what it includes, is not what you trusted on {}: {remedy}",
                shown(&file),
                known.since.strftime("%F %T UTC")
            )),
            Some(known) => Ok(known.texts.into_iter().map(|(path, _)| path).collect()),
        }
    }

    /// A grant that is trusted here is used, or a word is said: who removes it, hides it behind another repository
    /// or gives it to another user would else choose a wider one.
    fn must_not_be_missed(
        &self,
        from: &Path,
        file: Option<&Path>,
        uid: u32,
    ) -> Result<(), RequestError> {
        let reaches = |directory: Option<&Path>| {
            directory.is_some_and(|directory| from.starts_with(directory))
        };
        let found = file.and_then(Path::parent);
        if file.is_some() && !reaches(found) {
            return Err(RequestError::BadRequest(format!(
                "{} is not above {}",
                file.map(shown).unwrap_or_default(),
                shown(from)
            )));
        }
        let mut known = self.store.trusted(Some(uid))?.into_iter();
        let missed = known.find(|known| {
            let theirs = known.file.parent();
            // One that is nearer has the word.
            let is_nearer = found
                .zip(theirs)
                .is_none_or(|(found, theirs)| theirs != found && theirs.starts_with(found));
            reaches(theirs) && is_nearer
        });
        let Some(missed) = missed else {
            return Ok(());
        };
        Err(RequestError::BadGrant(format!(
            "you trust the grant {file} for this directory, and it is not found from here: it is gone, or is not yours, or a \
             repository of its own lies between. Put it back, name a grant (`--grant {file}`, `--grant coder`), or forget it \
             (`bailiff trust --remove {file}`)",
            file = shown(&missed.file)
        )))
    }
}

fn told(kept: &KeptTrust) -> Trusted {
    Trusted {
        file: PathText::new(kept.file.as_os_str().as_bytes()),
        uid: kept.uid,
        since: kept.since,
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn path_of(text: &PathText) -> Result<PathBuf, RequestError> {
    let bytes = text.bytes();
    let path = as_path(&bytes);
    if !path.is_absolute() {
        return Err(RequestError::BadRequest(format!(
            "{} is no absolute path",
            shown(path)
        )));
    }
    Ok(path.into())
}

fn shown(path: &Path) -> String {
    escape_bytes(path.as_os_str().as_bytes())
}
