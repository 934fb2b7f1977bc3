//! The files that operations work on, laid out before anything is limited.

use anyhow::{Context, Result};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bailiff_bench::{DEPTHS, PATTERNS};

/// Below it everything is allowed in every condition.
pub(crate) const TREE: &str = "/b";

/// Holds a directory for each further pattern.
pub(crate) const OTHERS: &str = "/o";

/// x86-64 ELF file of one segment: reads the time-stamp counter, writes it to standard output, ends.
const PROGRAM: [u8; 159] = {
    let mut file = [0; 159];
    let header: [u8; 64] = [
        0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // class, order, version
        2, 0, 62, 0, 1, 0, 0, 0, 0x78, 0, 0x40, 0, 0, 0, 0, 0, // type, machine, entry
        64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // program headers
        0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0, // sizes
    ];
    let segment: [u8; 56] = [
        1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // PT_LOAD, readable, executable
        0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, // addresses
        159, 0, 0, 0, 0, 0, 0, 0, 159, 0, 0, 0, 0, 0, 0, 0, // sizes
        0, 0x10, 0, 0, 0, 0, 0, 0, // alignment
    ];
    let code: [u8; 39] = [
        0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09,
        0xd0, // rdtsc; shl rdx, 32; or rax, rdx
        0x50, 0x48, 0x89, 0xe6, 0xbf, 1, 0, 0, 0, // push rax; mov rsi, rsp; mov edi, 1
        0xba, 8, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0x0f,
        0x05, // mov edx, 8; mov eax, SYS_write; syscall
        0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05, // xor edi, edi; mov eax, SYS_exit; syscall
    ];
    let mut at = 0;
    while at < file.len() {
        file[at] = if at < 64 {
            header[at]
        } else if at < 120 {
            segment[at - 64]
        } else {
            code[at - 120]
        };
        at += 1;
    }
    file
};

/// The directory whose files have paths of so many components.
fn directory(depth: u32) -> PathBuf {
    let mut path = PathBuf::from(TREE);
    path.extend((2..depth).map(|_| "directory"));
    path
}

/// A file of that name at that depth.
pub(crate) fn path(depth: u32, name: &str) -> Result<CString> {
    let path = directory(depth).join(name);
    CString::new(path.as_os_str().as_bytes()).context("a path with a zero byte")
}

/// The file to open.
pub(crate) const FILE: &str = "file-name.rs";
/// The program to execute.
pub(crate) const EXECUTABLE: &str = "program";

/// Directory of the pattern with this number.
pub(crate) fn other(number: u32) -> String {
    format!("{OTHERS}/project-{number:03}")
}

/// On a tmpfs: what a disk's filesystem takes depends on what it did before.
pub(crate) fn prepare() -> Result<()> {
    fs::create_dir_all(TREE)?;
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "bench", TREE])
        .status()?;
    anyhow::ensure!(status.success(), "mount a tmpfs on {TREE}");
    for depth in DEPTHS {
        let directory = directory(depth);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(FILE), b"content\n")?;
        write_program(&directory.join(EXECUTABLE))?;
    }
    for number in 0..PATTERNS[PATTERNS.len() - 1] {
        fs::create_dir_all(other(number))?;
    }
    Ok(())
}

fn write_program(path: &Path) -> Result<()> {
    fs::write(path, PROGRAM)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}
