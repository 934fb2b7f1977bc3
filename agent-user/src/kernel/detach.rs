//! Taking programs off their hooks, one after the other.
//!
//! A link that loses its last reference detaches its program: the kernel changes the hook's trampoline
//! in the running text. Each such step is waited for before the next begins
//! (`docs/design.md`, "Programs are detached one at a time").

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::programs::links::{FdLink, PinnedLink};

use super::{error::KernelError, load::PROGRAM, sys};

/// How long one program may take to go. The kernel frees it from a work queue.
const PATIENCE: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(2);

/// Removes a directory of pinned programs and links; a program detaches with its link, unless
/// another holds that. No such directory: nothing to do.
///
/// # Errors
///
/// A pin that cannot be removed. What was removed before stays removed.
pub(super) fn detach_all(directory: &Path) -> Result<(), KernelError> {
    take_all_off(directory).map_err(|error| KernelError::Pin {
        path: directory.into(),
        reason: error.to_string(),
    })
}

fn take_all_off(directory: &Path) -> io::Result<()> {
    let pins = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        pins => pins?.collect::<io::Result<Vec<_>>>()?,
    };
    let mut patience = PATIENCE;
    for pin in pins {
        let path = pin.path();
        let name = pin.file_name();
        // A program's pin goes with its link's, or with the directory.
        if name.to_string_lossy().ends_with(PROGRAM) {
            continue;
        }
        let mut program = path.clone().into_os_string();
        program.push(PROGRAM);
        let _ = fs::remove_file(program);
        match PinnedLink::from_pin(&path) {
            Ok(link) => {
                if !detach(link.unpin()?, patience) {
                    tracing::warn!("somebody else holds {}", path.display());
                    patience = Duration::ZERO;
                }
            }
            // Nothing of ours.
            Err(_) => fs::remove_file(&path)?,
        }
    }
    fs::remove_dir_all(directory)
}

/// Gives the link up, and waits until the kernel knows its program no more: the link's own number is
/// free before the program is off its hook. False: it takes so long that somebody else must hold it.
fn detach(link: FdLink, patience: Duration) -> bool {
    let program = link.info().map(|info| info.program_id());
    drop(link);
    let Ok(program) = program else { return true };
    let until = Instant::now() + patience;
    while sys::is_loaded(program) {
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(GLANCE);
    }
    true
}
