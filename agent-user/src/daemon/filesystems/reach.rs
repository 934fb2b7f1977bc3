//! What one session leaves for the next: which links and grants a session could have made.

use std::{
    collections::BTreeSet,
    fmt,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, MutexGuard, PoisonError},
};

use agent_abi::FileRights;
use jiff::Timestamp;

use crate::{
    api::PathText,
    daemon::{
        error::RequestError,
        sessions::{
            Live,
            begin::{Wanted, reach_of},
        },
        state::Daemon,
    },
    grants::{
        Backing, Disk, GrantFile, Ground, Host, Making, Named, Reach, Spot, named_by_operators,
    },
    mounts::{MountNamespace, MountView},
    render::escape::escape_bytes,
    store::{KeptReach, SessionRow, Store, StoreError},
};

/// Every reach that a session of this host has or had.
#[derive(Clone, Default)]
pub(in crate::daemon) struct Reaches {
    kept: Arc<Vec<KeptReach>>,
    /// Disks that were there before the first session that could make something; `None` where nobody looked.
    disks: Option<Arc<BTreeSet<String>>>,
}

impl Reaches {
    pub(in crate::daemon) fn load(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            kept: Arc::new(store.reaches()?),
            disks: store.filesystems()?.map(Arc::new),
        })
    }

    /// The first session that could make or write anything.
    fn first(&self) -> Option<&KeptReach> {
        self.kept.iter().find(|kept| kept.reach.is_anywhere())
    }

    /// A session that could have done this to what is there: one that runs, or one that had not ended
    /// when it was made.
    fn doer(&self, rights: FileRights, spot: &Spot) -> Option<&KeptReach> {
        self.kept.iter().find(|kept| {
            let later = kept.ended.is_some_and(|ended| spot.born_after(ended));
            (!kept.open.is_empty() || !later) && kept.reach.could(rights, spot, kept.opened)
        })
    }
}

/// Why a thing may be a session's.
#[derive(Debug)]
enum Doubt {
    Made(String),
    /// On a filesystem that is a session's own.
    Own,
    /// On a filesystem that shows what lies elsewhere.
    Elsewhere {
        fstype: String,
        session: String,
    },
    /// On a disk that came later than sessions.
    Late {
        disk: Disk,
        session: String,
    },
    /// On a filesystem in a file.
    Image {
        file: String,
        why: String,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => write!(out, "lies on a filesystem of a session's own"),
            Self::Made(session) => write!(out, "could have been made by the session {session}"),
            Self::Elsewhere { fstype, session } => write!(
                out,
                "lies on a filesystem ({fstype}) that can show what lies elsewhere, and was made or \
                 changed after the session {session} began (where no session changes what it shows, \
                 write its mount point into {FILESYSTEMS})"
            ),
            Self::Late { disk, session } => {
                write!(
                    out,
                    "lies on a filesystem that was not mounted before the session {session} began and \
                     could have been made in it"
                )?;
                write!(out, " (where no session had that disk, write its ")?;
                match disk {
                    Disk::Uuid(uuid) => write!(out, "identifier {uuid}")?,
                    Disk::Dataset(_) | Disk::Number { .. } => write!(out, "mount point")?,
                }
                write!(out, " into {FILESYSTEMS})")
            }
            Self::Image { file, why } => write!(out, "lies in the image {file}, which {why}"),
        }
    }
}

/// Filesystems that operators answer for.
const FILESYSTEMS: &str = "/etc/bailiff/filesystems";

/// Overlays on overlays, of which the kernel allows two (`FILESYSTEM_MAX_STACK_DEPTH`), and images in images.
const DEEPEST: usize = 4;

/// What is known of the host and of the sessions that it had.
pub(in crate::daemon) struct Witness<'d> {
    daemon: &'d Daemon,
    host: Host,
    /// Devices of what is a session's own.
    of_sessions: BTreeSet<u32>,
}

impl Witness<'_> {
    /// What is mounted where the daemon is, as this witness saw it.
    pub(in crate::daemon) fn host(&self) -> &Host {
        &self.host
    }

    pub(in crate::daemon) fn into_host(self) -> Host {
        self.host
    }

    /// Why a link, or whatever is at its place, may be a session's.
    pub(in crate::daemon) fn against_link(&self, spot: &Spot) -> Option<String> {
        let doubt = self.doubt(FileRights::CREATE, spot);
        doubt.map(|doubt| doubt.to_string())
    }

    fn doubt(&self, rights: FileRights, spot: &Spot) -> Option<Doubt> {
        // What is looked up on the way may lie with a server that does not answer: nobody else waits for it.
        let reaches = self.daemon.reaches().clone();
        self.doubt_at(&reaches, rights, spot, &[])
    }

    fn doubt_at(
        &self,
        reaches: &Reaches,
        rights: FileRights,
        spot: &Spot,
        shown_by: &[u32],
    ) -> Option<Doubt> {
        if self.of_sessions.contains(&spot.dev()) {
            return Some(Doubt::Own);
        }
        let first = reaches.first()?;
        let made = |spot: &Spot| {
            let doer = reaches.doer(rights, spot);
            doer.map(|kept| Doubt::Made(kept.session.clone()))
        };
        let elsewhere = || {
            if self.host.stands_on(spot.dev()) || self.is_named(spot) {
                return None;
            }
            let later =
                |kept: &&KeptReach| kept.reach.is_anywhere() && !spot.unchanged_since(kept.opened);
            let kept = reaches.kept.iter().find(later)?;
            Some(Doubt::Elsewhere {
                fstype: spot.fstype().into(),
                session: kept.session.clone(),
            })
        };
        // What seems to lie on itself was found by a path that means another place here.
        if shown_by.len() > DEEPEST || shown_by.contains(&spot.dev()) {
            return elsewhere();
        }
        let here = [shown_by, &[spot.dev()]].concat();
        match Ground::of(spot.fstype()) {
            Ground::Memory => made(spot),
            Ground::Overlay => made(&spot.without_birth()).or_else(|| {
                let below = self.host.below(spot);
                let mut spots = below.spots.iter();
                let doubt = spots.find_map(|spot| self.doubt_at(reaches, rights, spot, &here));
                doubt.or_else(|| if below.is_told { None } else { elsewhere() })
            }),
            Ground::Elsewhere => made(&spot.without_birth()).or_else(elsewhere),
            Ground::ReadOnly if self.host.stands_on(spot.dev()) => None,
            Ground::ReadOnly => self.image(reaches, spot, &here),
            Ground::Disk if self.host.stands_on(spot.dev()) => made(spot),
            Ground::Disk => self
                .image(reaches, spot, &here)
                .or_else(|| made(spot))
                .or_else(|| {
                    let disk = self.host.disk_under(spot);
                    let known = self.is_known(reaches, &disk) || self.is_named(spot);
                    (!known).then(|| Doubt::Late {
                        disk,
                        session: first.session.clone(),
                    })
                }),
        }
    }

    /// Whether the filesystem is in a file that a session could have made or written.
    fn image(&self, reaches: &Reaches, spot: &Spot, here: &[u32]) -> Option<Doubt> {
        let making = FileRights::CREATE.union(FileRights::WRITE);
        self.host.backing(spot).into_iter().find_map(|backing| {
            let (file, why) = match backing {
                Backing::Untold(_) if self.is_mounted_where_named(spot) => return None,
                Backing::Untold(file) => (
                    file,
                    format!(
                        "cannot be seen there any more (where you know that no session wrote it, write its \
                         mount point into {FILESYSTEMS})"
                    ),
                ),
                Backing::At { path, file, links } => {
                    let mut links = links.iter();
                    let doubt = self.doubt_at(reaches, making, &file, here).or_else(|| {
                        let create = FileRights::CREATE;
                        links.find_map(|link| self.doubt_at(reaches, create, link, here))
                    })?;
                    (path, doubt.to_string())
                }
            };
            Some(Doubt::Image {
                file: escape_bytes(file.as_os_str().as_bytes()),
                why,
            })
        })
    }

    fn is_known(&self, reaches: &Reaches, disk: &Disk) -> bool {
        let key = disk.key(&self.daemon.boot_id);
        let mut disks = reaches.disks.iter();
        disks.any(|disks| disks.contains(&key))
    }

    /// Whether operators answer for the filesystem.
    fn is_named(&self, spot: &Spot) -> bool {
        self.host.is_named(spot, &named())
    }

    /// Whether they answer for whatever is mounted there: an identifier can be copied into an image.
    fn is_mounted_where_named(&self, spot: &Spot) -> bool {
        let mut named = named();
        named.retain(|named| matches!(named, Named::MountedAt(_)));
        self.host.is_named(spot, &named)
    }
}

/// What operators answer for.
fn named() -> Vec<Named> {
    named_by_operators(Path::new(FILESYSTEMS)).unwrap_or_else(|error| {
        tracing::warn!("{FILESYSTEMS} is not taken into account: {error}");
        Vec::new()
    })
}

impl Daemon {
    fn reaches(&self) -> MutexGuard<'_, Reaches> {
        self.reaches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is mounted where the daemon is.
    pub(in crate::daemon) fn host(&self) -> Result<Host, RequestError> {
        let failed = |error| RequestError::failed("cannot see what is mounted", error);
        Host::here(&self.own).map_err(failed)
    }

    /// Tells what sessions could have made, as it is now.
    pub(in crate::daemon) fn witness(&self) -> Result<Witness<'_>, RequestError> {
        Ok(Witness {
            daemon: self,
            host: self.host()?,
            of_sessions: self.kernel().session_filesystems()?.into_iter().collect(),
        })
    }

    /// Writes down the disks that are mounted here and in `other`, until a session can make something; of a
    /// store of an earlier version, those that are mounted when it is first used by this one.
    pub(in crate::daemon) fn note_disks(
        &self,
        other: Option<&MountView>,
    ) -> Result<(), RequestError> {
        let mut reaches = self.reaches();
        if reaches.disks.is_some() && reaches.first().is_some() {
            return Ok(());
        }
        let disks = self.host()?.disks(other);
        let keys: BTreeSet<_> = disks.iter().map(|disk| disk.key(&self.boot_id)).collect();
        self.store.add_filesystems(&keys)?;
        Arc::make_mut(reaches.disks.get_or_insert_default()).extend(keys);
        Ok(())
    }

    /// [`Self::note_disks`] at the start. What a full disk does not take then is written before the first
    /// session; where one could make something already, disks that come meanwhile would pass for older ones.
    pub(in crate::daemon) fn note_first_disks(&self) -> Result<(), RequestError> {
        match self.note_disks(None) {
            Err(RequestError::Store(error))
                if error.may_pass() && self.reaches().first().is_none() =>
            {
                tracing::warn!("which disks there are is not written down yet: {error}");
                Ok(())
            }
            noted => noted,
        }
    }

    /// Writes down what a session can make, before it can; it began at `opened`.
    pub(in crate::daemon) fn open_reach(
        &self,
        number: u32,
        session: &str,
        reach: &Reach,
        opened: Timestamp,
    ) -> Result<(), StoreError> {
        let mut reaches = self.reaches();
        let known = reaches.kept.iter().position(|kept| kept.reach == *reach);
        let known_id = known.map(|index| reaches.kept[index].id);
        let id = self
            .store
            .open_reach(known_id, reach, number, session, opened)?;
        match known {
            Some(index) => {
                let kept = &mut Arc::make_mut(&mut reaches.kept)[index];
                session.clone_into(&mut kept.session);
                kept.opened = kept.opened.map(|at| at.min(opened));
                if !kept.open.contains(&number) {
                    kept.open.push(number);
                }
            }
            None => Arc::make_mut(&mut reaches.kept).push(KeptReach {
                id,
                reach: reach.clone(),
                session: session.into(),
                opened: Some(opened),
                ended: None,
                open: vec![number],
            }),
        }
        Ok(())
    }

    /// A session of a version that did not write it down.
    pub(in crate::daemon) fn ensure_reach(
        &self,
        row: &SessionRow,
        making: &Making,
        view: &MountView,
    ) {
        let known = |kept: &KeptReach| kept.open.contains(&row.number);
        if self.reaches().kept.iter().any(known) {
            return;
        }
        if let Err(error) = self.open_reach(
            row.number,
            &row.name,
            &reach_of(row, making, view, self.host().ok().as_ref()),
            row.started,
        ) {
            tracing::error!("what {} can make is not written down: {error}", row.name);
        }
    }

    /// A session sees mounts that it did not see before: it may reach further.
    pub(super) fn grow_reach(&self, live: &Live, view: &MountView) -> Result<(), StoreError> {
        let number = live.row.number;
        let host = self.host().ok();
        let grown: Vec<_> = {
            let reaches = self.reaches();
            let own = reaches
                .kept
                .iter()
                .filter(|kept| kept.open.contains(&number));
            // Of several the one that sees most has all mounts of the others.
            let most = own.max_by_key(|kept| kept.id);
            most.and_then(|kept| kept.reach.seeing(view, host.as_ref()))
                .into_iter()
                .collect()
        };
        for reach in grown {
            self.open_reach(number, &live.row.name, &reach, live.row.started)?;
        }
        Ok(())
    }

    /// A session has ended, and what is left of it can do nothing.
    pub(in crate::daemon) fn close_reach(&self, number: u32) {
        let now = Timestamp::now();
        if let Err(error) = self.store.close_reach(number, now) {
            tracing::error!("the end of session {number} is not recorded: {error}");
            return;
        }
        for kept in Arc::make_mut(&mut self.reaches().kept) {
            if kept.open.contains(&number) {
                kept.open.retain(|open| *open != number);
                kept.ended = kept.ended.max(Some(now));
            }
        }
    }

    /// After a start: sessions that no daemon saw ending ended at the latest now.
    pub(in crate::daemon) fn close_reaches_of_the_dead(&self) {
        let live = self.sessions().live();
        let numbers: BTreeSet<_> = self
            .reaches()
            .kept
            .iter()
            .flat_map(|kept| kept.open.clone())
            .filter(|number| !live.iter().any(|live| live.row.number == *number))
            .collect();
        for number in numbers {
            self.close_reach(number);
        }
    }

    /// The files of a grant, as a session with this view knows them: it will be kept from them.
    /// `caller` is the process that read them.
    ///
    /// Refused are files that a session could have written, and those that the session could change
    /// by another name.
    pub(in crate::daemon) fn grant_files(
        &self,
        wanted: &Wanted<'_>,
        view: &MountView,
        witness: &Witness<'_>,
    ) -> Result<Vec<Vec<u8>>, RequestError> {
        let (grant, caller) = (wanted.grant, wanted.reader);
        let files: Vec<_> = [&grant.main]
            .into_iter()
            .chain(&grant.includes)
            .filter_map(|source| source.file.as_ref().map(PathText::bytes))
            .collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let failed =
            |error| RequestError::failed("cannot see where the files of the grant are", error);
        let place = MountNamespace::of_process(caller).map_err(failed)?;
        let seen = place.view().map_err(failed)?;
        let mut kept_from = Vec::new();
        for path in &files {
            let file = GrantFile::at(place.root(), &seen, path).map_err(failed)?;
            let shown = escape_bytes(path);
            if file.names > 1 {
                return Err(RequestError::BadGrant(format!(
                    "the grant's file {shown} has {} names (hard links), and a session could change \
                     it by another: use a copy",
                    file.names
                )));
            }
            let making = FileRights::CREATE.union(FileRights::WRITE);
            let of_links = file.links.iter().map(|spot| (FileRights::CREATE, spot));
            let own = file.spot.iter().map(|spot| (making, spot));
            let doubt = of_links
                .chain(own)
                .find_map(|(rights, spot)| witness.doubt(rights, spot));
            // What somebody trusts is the text that came with the request, whoever wrote it.
            match doubt.filter(|_| !wanted.trusted.contains(path)) {
                None => {}
                Some(Doubt::Made(session)) => {
                    return Err(RequestError::BadGrant(format!(
                        "the grant's file {shown} lies where the session {session} could have \
                         written it: read it, and use a copy, in a place where no session writes, \
                         such as /etc/bailiff/grants, or made here when that session has ended (`cp F \
                         F.new && mv F.new F`; written in place it stays the same file)"
                    )));
                }
                Some(doubt) => {
                    return Err(RequestError::BadGrant(format!(
                        "the grant's file {shown} {doubt}: read it, and use a copy in \
                         /etc/bailiff/grants"
                    )));
                }
            }
            kept_from.extend(file.known_in(view));
        }
        Ok(kept_from)
    }
}
