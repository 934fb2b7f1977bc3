//! A real refusal before the first session: a child of the daemon gets a label under which it may
//! read and not write, opens a file both ways, and the event must name that very file. So wrong
//! offsets, a hook that does not fire or a lost event end the start, not a session.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use agent_abi::{
    FileRights, Image, Label, Right, Verdict,
    image::{IMAGE_MAGIC, LABEL_WORDS},
    ledger::NO_RULE,
    superblock::{NOBODY, kernel_device},
};
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::Pid,
};

use super::{
    EventSource, Kernel, KernelError, OwnedEvent, Port, SuperblockEntry, child::fork_waiting,
};
use crate::process::ProcessHandle;

/// What it is refused is nobody's.
pub const LABEL: Label = Label::SELF_TEST;
const DIRECTORY: &str = "/run/bailiff/self-check";

/// What the child found, as its exit status.
const AS_EXPECTED: i32 = 0;
const READ_REFUSED: i32 = 1;
const WRITE_ALLOWED: i32 = 2;

pub(super) fn run(kernel: &mut Kernel) -> Result<(), KernelError> {
    let path = make_file().map_err(|error| failed(&format!("cannot make {DIRECTORY}: {error}")))?;
    let metadata = fs::metadata(&path).map_err(|error| failed(&error.to_string()))?;
    let dev = kernel_device(metadata.dev());
    let known = kernel.superblocks()?.iter().any(|entry| entry.dev == dev);
    let own = SuperblockEntry {
        dev,
        instance: 0,
        number: NOBODY,
    };
    if !known {
        kernel.add_superblock(own)?;
    }
    kernel.install(LABEL.slot, &read_only())?;
    let outcome = probe(kernel, &path);
    kernel.remove(LABEL.slot)?;
    if !known {
        kernel.remove_superblock(own)?;
    }
    let _ = fs::remove_dir_all(DIRECTORY);
    compare(&outcome?, &path, dev, metadata.ino())
}

fn failed(reason: &str) -> KernelError {
    KernelError::SelfCheck(reason.into())
}

fn make_file() -> io::Result<PathBuf> {
    let directory = Path::new(DIRECTORY).join("a directory");
    fs::create_dir_all(&directory)?;
    let path = directory.join("a file");
    fs::write(&path, b"self-check")?;
    Ok(path)
}

/// An image of one state besides the sink: read anything, nothing else.
fn read_only() -> Box<Image> {
    // SAFETY: an image is integers only; all zeroes is the image that refuses everything.
    let mut image = unsafe { Box::<Image>::new_zeroed().assume_init() };
    let labels = 8;
    image.header.magic = IMAGE_MAGIC;
    image.header.generation = LABEL.generation;
    image.header.columns = 1;
    image.header.states = 2;
    image.header.settled = 0;
    image.header.state_labels = 2;
    image.header.labels = labels;
    image.header.refer_classes = 4;
    image.roots.fill(1);
    image.words[1] = 1; // state 1 stays
    image.words[3] = LABEL_WORDS as u16; // state 1 has the second label record
    let records = &mut image.words[labels as usize..][..2 * LABEL_WORDS];
    records.fill(NO_RULE);
    records[0] = FileRights::NONE.0;
    records[LABEL_WORDS] = FileRights::READ.0;
    records[LABEL_WORDS + 1] = 0;
    image
}

/// Lets a labelled child open the file; returns the events of its refusals.
fn probe(kernel: &mut Kernel, path: &Path) -> Result<Vec<OwnedEvent>, KernelError> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| failed("a path with a NUL byte"))?;
    // SAFETY: `try_both` only calls open.
    let waiting = unsafe { fork_waiting(move || try_both(&name)) }
        .map_err(|error| failed(&format!("cannot fork: {error}")))?;
    let child = waiting.pid;
    let labelled = handle(child).and_then(|child| kernel.set_label(child.fd(), LABEL));
    // The child goes on in any case, so that it ends.
    let _ = waiting.let_go();
    let status = waitpid(child, None).map_err(|error| failed(&error.to_string()))?;
    labelled?;
    match status {
        WaitStatus::Exited(_, AS_EXPECTED) => {}
        WaitStatus::Exited(_, READ_REFUSED) => {
            let events = events_of(kernel, child)?;
            let reasons: Vec<_> = events.iter().map(|event| event.event.reason).collect();
            return Err(failed(&format!(
                "a read that the image allows was refused, for reason {reasons:?}"
            )));
        }
        WaitStatus::Exited(_, WRITE_ALLOWED) => {
            return Err(failed(
                "a write that the image does not allow was not refused",
            ));
        }
        other => return Err(failed(&format!("the child ended with {other:?}"))),
    }
    events_of(kernel, child)
}

fn handle(process: Pid) -> Result<ProcessHandle, KernelError> {
    ProcessHandle::open(process.as_raw().unsigned_abs())
        .map_err(|error| failed(&format!("pidfd_open: {error}")))
}

fn try_both(name: &std::ffi::CStr) -> i32 {
    // SAFETY: a live C string.
    unsafe {
        if libc::open(name.as_ptr(), libc::O_RDONLY) < 0 {
            return READ_REFUSED;
        }
        if libc::open(name.as_ptr(), libc::O_RDWR) >= 0 {
            return WRITE_ALLOWED;
        }
    }
    AS_EXPECTED
}

/// The child's events; those of others go back into the stream.
fn events_of(kernel: &mut Kernel, child: Pid) -> Result<Vec<OwnedEvent>, KernelError> {
    // Others may have left as many events before it as the buffer takes, on a machine that they load.
    let deadline = Instant::now() + Duration::from_secs(60);
    let stream = kernel
        .events
        .as_mut()
        .ok_or_else(|| failed("the events are taken"))?;
    let mut others = Vec::new();
    let mut own = Vec::new();
    while own.is_empty() && Instant::now() < deadline {
        for event in stream.poll() {
            let is_own = event.event.slot == LABEL.slot
                && event.event.generation == LABEL.generation
                && i32::try_from(event.event.pid) == Ok(child.as_raw());
            if is_own {
                own.push(event);
            } else {
                others.push(event);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    stream.put_back(others);
    Ok(own)
}

fn compare(events: &[OwnedEvent], path: &Path, dev: u32, ino: u64) -> Result<(), KernelError> {
    let [event] = events else {
        return Err(failed(&format!(
            "one event was expected, {} came",
            events.len()
        )));
    };
    let full = path.as_os_str().as_bytes();
    let tail = &Path::new(DIRECTORY)
        .file_name()
        .map(OsStrExt::as_bytes)
        .unwrap_or_default();
    let right_path =
        full.ends_with(&event.path) && event.path.windows(tail.len()).any(|window| window == *tail);
    let found = &event.event;
    if !right_path || found.dev != dev || found.ino != ino {
        return Err(failed(&format!(
            "a hook saw {:?} (device {:#x}, inode {}) for {} (device {dev:#x}, inode {ino})",
            String::from_utf8_lossy(&event.path),
            found.dev,
            found.ino,
            path.display(),
        )));
    }
    if found.right != Right::FileWrite as u8 || found.verdict != Verdict::Deny as u8 {
        return Err(failed(&format!(
            "a refused write was reported as right {}, verdict {}",
            found.right, found.verdict
        )));
    }
    Ok(())
}
