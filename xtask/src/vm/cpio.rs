//! Writes cpio archives in the format `newc`, which is what the kernel unpacks as initramfs.
//!
//! Archives may follow one another in one file; later entries win.

use anyhow::{Context, Result};
use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// An archive in memory. Everything in it belongs to root.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    folders: HashSet<PathBuf>,
}

impl Archive {
    /// A folder, and those above it unless they were given before.
    pub(super) fn folder(&mut self, path: &str, mode: u32) {
        self.folder_at(Path::new(path), mode);
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.parents(Path::new(path));
        self.entry(Path::new(path), FILE | mode, content);
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.parents(Path::new(path));
        self.entry(Path::new(path), LINK | 0o777, target.as_bytes());
    }

    /// A file or folder of the host, with all below it.
    pub(super) fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        // The argument itself may be a symlink to what is meant; those below it stay symlinks.
        let meta = fs::metadata(from).with_context(|| format!("copy {}", from.display()))?;
        self.parents(to);
        self.copy_entry(from, to, &meta)
    }

    fn copy_entry(&mut self, from: &Path, to: &Path, meta: &fs::Metadata) -> Result<()> {
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_dir() {
            self.folder_at(to, mode);
            for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
                let entry = entry?;
                self.copy_entry(
                    &entry.path(),
                    &to.join(entry.file_name()),
                    &entry.metadata()?,
                )?;
            }
        } else if meta.is_symlink() {
            self.entry(
                to,
                LINK | 0o777,
                fs::read_link(from)?.as_os_str().as_bytes(),
            );
        } else if meta.is_file() {
            let content = fs::read(from).with_context(|| format!("read {}", from.display()))?;
            self.entry(to, FILE | mode, &content);
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        // The kernel looks for the next archive at a multiple of four; pad a little further.
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self.bytes
    }

    fn parents(&mut self, path: &Path) {
        if let Some(parent) = path.parent()
            && !parent.as_os_str().is_empty()
            && parent != Path::new("/")
        {
            self.folder_at(parent, 0o755);
        }
    }

    fn folder_at(&mut self, path: &Path, mode: u32) {
        if self.folders.contains(path) {
            return;
        }
        self.parents(path);
        self.folders.insert(path.to_owned());
        self.entry(path, FOLDER | mode, &[]);
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let name = path
            .strip_prefix("/")
            .unwrap_or(path)
            .as_os_str()
            .as_bytes();
        self.inode += 1;
        let links = if mode & FOLDER != 0 && mode & FILE == 0 {
            2
        } else {
            1
        };
        // inode, mode, uid, gid, links, time, size, device (2), special device (2), name, check
        let numbers = [
            self.inode,
            mode,
            0,
            0,
            links,
            0,
            u32::try_from(content.len()).unwrap_or(u32::MAX),
            0,
            0,
            0,
            0,
            u32::try_from(name.len() + 1).unwrap_or(u32::MAX),
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for number in numbers {
            self.bytes
                .extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_once_and_before_their_files() {
        let mut archive = Archive::default();
        archive.file("/a/b/one", 0o644, b"1");
        archive.file("/a/b/two", 0o755, b"22");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<&str> = ["a\0", "a/b\0", "a/b/one\0", "a/b/two\0", "TRAILER!!!\0"].to_vec();
        let places: Vec<usize> = names.iter().map(|name| text.find(name).unwrap()).collect();
        assert!(places.is_sorted());
        assert_eq!(text.matches("070701").count(), names.len());
        assert_eq!(bytes.len() % 512, 0);
    }
}
