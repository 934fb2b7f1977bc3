//! A FUSE server of one directory, which shows the links in it: as bindfs or a share shows what lies
//! elsewhere.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{Check, Doing};

/// The mounted directory; unmounted with this value.
pub(crate) struct Links {
    at: CString,
    silent: Arc<AtomicBool>,
}

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const READLINK: u32 = 5;
const INIT: u32 = 26;
const BATCH_FORGET: u32 = 42;
const ROOT: u64 = 1;
/// `struct fuse_in_header`
const HEADER: usize = 40;

impl Links {
    /// Shows the links that are in `directory` now and later, at `at`.
    pub(crate) fn serve(directory: &str, at: &str) -> Check<Self> {
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .doing("open /dev/fuse")?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
            device.as_raw_fd()
        );
        let text = |text: &str| CString::new(text).doing("make a C string");
        let (at_text, options) = (text(at)?, text(&options)?);
        // SAFETY: four live C strings; the kernel copies them.
        let mounted = unsafe {
            libc::mount(
                c"links".as_ptr(),
                at_text.as_ptr(),
                c"fuse".as_ptr(),
                0,
                options.as_ptr().cast(),
            )
        };
        if mounted != 0 {
            return Err(format!(
                "mount a FUSE filesystem: {}",
                std::io::Error::last_os_error()
            ));
        }
        let directory = PathBuf::from(directory);
        let silent = Arc::new(AtomicBool::new(false));
        let is_silent = Arc::clone(&silent);
        std::thread::spawn(move || serve(device, &directory, &is_silent));
        Ok(Self {
            at: at_text,
            silent,
        })
    }

    /// Whoever asks from now on waits for ever.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Relaxed);
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // The server ends when nobody has anything of it open.
        // SAFETY: a live C string.
        let _ = unsafe { libc::umount2(self.at.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Answers until it is unmounted.
fn serve(mut device: File, directory: &Path, silent: &AtomicBool) {
    // A node is one more than the place of its name.
    let mut names: Vec<CString> = Vec::new();
    let mut request = vec![0; 1 << 20];
    while let Ok(length) = device.read(&mut request) {
        let Some(header) = request
            .get(..HEADER.min(length))
            .filter(|h| h.len() == HEADER)
        else {
            return;
        };
        if silent.load(Relaxed) {
            continue;
        }
        let opcode = u32::from_le_bytes(part(header, 4));
        let unique = u64::from_le_bytes(part(header, 8));
        let node = u64::from_le_bytes(part(header, 16));
        let body = &request[HEADER..length];
        if [FORGET, BATCH_FORGET].contains(&opcode) {
            continue;
        }
        let path = |names: &[CString]| -> PathBuf {
            let index = usize::try_from(node.saturating_sub(ROOT + 1)).unwrap_or(usize::MAX);
            match names.get(index).filter(|_| node != ROOT) {
                Some(name) => directory.join(std::ffi::OsStr::from_bytes(name.as_bytes())),
                None => directory.into(),
            }
        };
        let answer = match opcode {
            INIT => Ok(init(body)),
            LOOKUP => lookup(directory, body, &mut names),
            GETATTR => attributes(&path(&names), node).map(|attributes| {
                let mut out = vec![0; 16];
                out.extend(attributes);
                out
            }),
            READLINK => fs::read_link(path(&names))
                .map(|to| to.as_os_str().as_bytes().to_vec())
                .map_err(|_| libc::EINVAL),
            _ => Err(libc::ENOSYS),
        };
        let (error, out) = match answer {
            Ok(out) => (0, out),
            Err(error) => (-error, Vec::new()),
        };
        let length = u32::try_from(16 + out.len()).unwrap_or_default();
        let mut reply = length.to_le_bytes().to_vec();
        reply.extend(error.to_le_bytes());
        reply.extend(unique.to_le_bytes());
        reply.extend(out);
        let _ = device.write(&reply);
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// `struct fuse_init_out` of version 7.31.
fn init(body: &[u8]) -> Vec<u8> {
    let read_ahead = body.get(8..12).unwrap_or(&[0; 4]);
    let mut out = [7u32, 31].map(u32::to_le_bytes).concat();
    out.extend(read_ahead);
    out.extend([0; 8]);
    out.extend(4096u32.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.resize(64, 0);
    out
}

fn lookup(directory: &Path, body: &[u8], names: &mut Vec<CString>) -> Result<Vec<u8>, i32> {
    let name = std::ffi::CStr::from_bytes_until_nul(body).map_err(|_| libc::EINVAL)?;
    let path = directory.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
    let known = names.iter().position(|known| known.as_c_str() == name);
    let index = known.unwrap_or(names.len());
    let node = ROOT + 1 + index as u64;
    let attributes = attributes(&path, node)?;
    if known.is_none() {
        names.push(name.into());
    }
    let mut out = node.to_le_bytes().to_vec();
    out.resize(40, 0);
    out.extend(attributes);
    Ok(out)
}

/// `struct fuse_attr`
fn attributes(path: &Path, node: u64) -> Result<Vec<u8>, i32> {
    let found = fs::symlink_metadata(path).map_err(|_| libc::ENOENT)?;
    let seconds = [found.atime(), found.mtime(), found.ctime()].map(i64::cast_unsigned);
    let parts = [found.atime_nsec(), found.mtime_nsec(), found.ctime_nsec()];
    let mut out = [node, found.size(), 0].map(u64::to_le_bytes).concat();
    out.extend(seconds.map(u64::to_le_bytes).concat());
    let parts = parts.map(|part| u32::try_from(part).unwrap_or_default());
    out.extend(parts.map(u32::to_le_bytes).concat());
    let rest = [found.mode(), 1, found.uid(), found.gid(), 0, 4096, 0];
    out.extend(rest.map(u32::to_le_bytes).concat());
    Ok(out)
}
