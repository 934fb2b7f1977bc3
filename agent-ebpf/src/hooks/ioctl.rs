//! Controls of devices and filesystems.
//!
//! | hook | right |
//! |---|---|
//! | `file_ioctl`, `file_ioctl_compat` | see below |
//! | `uring_cmd` (6.0+) | of devices, files and directories `file.ioctl` |
//!
//! | command | on | right |
//! |---|---|---|
//! | `TIOCSTI`, `TIOCLINUX` | anything | never: they type into a terminal |
//! | `FIOSETOWN`, `SIOCSPGRP` | anything | `process.signal` |
//! | `FIOASYNC` | character device | `process.signal` |
//! | `TIOCSPGRP` (`tcsetpgrp`) | anything | `process.control`, unless the jobs there are the session's own |
//! | modes, size, flow and line discipline of a terminal where others are in front | terminals | `process.control` |
//! | of the descriptor itself; `FICLONE` and its like, judged by the opens of both files | anything | none |
//! | changes of inode flags | what has a path | `file.attr` |
//! | every other | devices | `file.ioctl` |
//! | of terminals (which files do not have), or only asking | files and directories | none |
//! | of a filesystem, and not about this object alone | files and directories | never |
//! | every other | files and directories | `file.ioctl` |
//! | every other | pipes, sockets, and what has no path | none |
//!
//! A command of 32-bit programs has the size of its argument in its number and so a number of its own.

use agent_abi::{FileRights, Reason};
use aya_ebpf::{macros::lsm, programs::LsmContext};

use super::{
    files::at_file,
    process::{control_group, notifies, signals_owner},
};
use crate::{
    address::Address,
    decide::{EPERM, refuse_whatever_rules},
    groups,
    kernel::{Dentry, FILE_DENTRY, File, RING_COMMAND_FILE, RingCommand, load},
    place::{S_IFCHR, S_IFDIR, S_IFMT, mode_of},
    subject::{Subject, guard, guard_unless},
    terminal,
};

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

const TIOCSPGRP: u32 = 0x5410;
const TIOCGPTN: u32 = 0x8004_5430;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCGPTPEER: u32 = 0x5441;

// In order of their numbers; those between two that stand for a range change a terminal as well.
const TCSETS: u32 = 0x5402;
const TCSETSF: u32 = 0x5404;
const TCSETA: u32 = 0x5406;
const TCSETAF: u32 = 0x5408;
/// `TCSBRK`, `TCXONC`, `TCFLSH`, `TIOCEXCL`, `TIOCNXCL`
const TCSBRK: u32 = 0x5409;
const TIOCNXCL: u32 = 0x540d;
const TIOCSWINSZ: u32 = 0x5414;
const TIOCMBIS: u32 = 0x5416;
const TIOCMSET: u32 = 0x5418;
const TIOCSSOFTCAR: u32 = 0x541a;
const TIOCSSERIAL: u32 = 0x541f;
const TIOCSETD: u32 = 0x5423;
const TCSBRKP: u32 = 0x5425;
const TIOCSBRK: u32 = 0x5427;
const TIOCCBRK: u32 = 0x5428;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSF2: u32 = 0x402c_542d;
const TIOCSLCKTRMIOS: u32 = 0x5457;

const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;

const FIOASYNC: u32 = 0x5452;

// The descriptor's own, as `fcntl` has them.
const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const FIONBIO: u32 = 0x5421;

// Handled before any driver sees them, and for files only (`do_vfs_ioctl()`, fs/ioctl.c).
const FIOQSIZE: u32 = 0x5460;
const FIGETBSZ: u32 = 2;
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
const FICLONE: u32 = 0x4004_9409;
const FICLONERANGE: u32 = 0x4020_940d;
const FIDEDUPERANGE: u32 = 0xc018_9436;
const FS_IOC_GETFSUUID: u32 = 0x8011_1500;
const FS_IOC_GETFSSYSFSPATH: u32 = 0x8081_1501;

const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC32_SETFLAGS: u32 = 0x4004_6602;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
const FAT_IOCTL_SET_ATTRIBUTES: u32 = 0x4004_7211;

const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC32_GETFLAGS: u32 = 0x8004_6601;
const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
const FS_IOC_GETVERSION: u32 = 0x8008_7601;
const FS_IOC32_GETVERSION: u32 = 0x8004_7601;
const FS_IOC_GETFSLABEL: u32 = 0x8100_9431;
const EXT4_IOC_GETFSUUID: u32 = 0x8008_662c;
const FAT_IOCTL_GET_ATTRIBUTES: u32 = 0x8004_7210;

/// Type of the terminals' commands, in the second byte.
const TERMINAL: u32 = 0x54;

// Types of the filesystems' commands. fscrypt and fs-verity are of ext4's, freezing and trimming of XFS's.
const EXT4: u32 = 0x66;
const XFS: u32 = 0x58;
const BTRFS: u32 = 0x94;
const F2FS: u32 = 0xf5;
const BCACHEFS: u32 = 0xbc;
const NILFS: u32 = 0x6e;
const OCFS2: u32 = 0x6f;

const S_IFBLK: u16 = 0o060_000;
const S_IFREG: u16 = 0o100_000;

/// `int file_ioctl(struct file *, unsigned int cmd, unsigned long arg)`
#[lsm(hook = "file_ioctl")]
fn file_ioctl(ctx: LsmContext) -> i32 {
    control(&ctx)
}

/// `int file_ioctl_compat(struct file *, unsigned int cmd, unsigned long arg)`, 6.8 and stable.
#[lsm(hook = "file_ioctl_compat")]
fn file_ioctl_compat(ctx: LsmContext) -> i32 {
    control(&ctx)
}

/// `int uring_cmd(struct io_uring_cmd *)`: commands to devices and files that a ring carries. They have
/// numbers of their own, so every one needs what an unknown `ioctl` needs.
#[lsm(hook = "uring_cmd")]
fn uring_cmd(ctx: LsmContext) -> i32 {
    guard(&ctx, |subject, ctx| {
        let command: *const RingCommand = ctx.arg(0);
        // SAFETY: the hook's argument.
        let file: *const File = unsafe { load(command, &RING_COMMAND_FILE) };
        if needs_control(file, 0) {
            at_file(subject, file, FileRights::IOCTL)
        } else {
            0
        }
    })
}

#[inline(always)]
fn control(ctx: &LsmContext) -> i32 {
    guard_unless(
        ctx,
        |ctx| concerns_no_device(ctx.arg(1)),
        |subject, ctx| judge(subject, ctx.arg(0), ctx.arg(1)),
    )
}

#[inline(always)]
fn judge(subject: &Subject, file: *const File, command: u32) -> i32 {
    if matches!(command, TIOCSTI | TIOCLINUX) {
        return never(subject, file);
    }
    if matches!(command, FIOSETOWN | SIOCSPGRP) {
        return signals_owner(subject);
    }
    // Whether on or off stands in memory that may change until the kernel reads it.
    if command == FIOASYNC {
        return notifies(subject, file);
    }
    // Which group it is stands in memory that may change until the kernel reads it.
    if command == TIOCSPGRP && !groups::are_own(subject) {
        let result = control_group(subject, 0);
        if result != 0 {
            return result;
        }
    }
    if changes_terminal(command)
        && let Err(group) =
            groups::is_in_front_of(subject, Address::at(terminal::terminal_of(file)))
    {
        let result = control_group(subject, group);
        if result != 0 {
            return result;
        }
    }
    if shows_slave(command) {
        terminal::note_master(subject, file);
    }
    let wanted = if changes_flags(command) {
        FileRights::ATTR
    } else if needs_control(file, command) {
        if !is_device(file) && reaches_further(command) {
            return never(subject, file);
        }
        FileRights::IOCTL
    } else {
        return 0;
    };
    at_file(subject, file, wanted)
}

/// Whether a command changes for all who use a terminal what its keys do, its size, its flow or its line
/// discipline.
#[inline(always)]
fn changes_terminal(command: u32) -> bool {
    matches!(
        command,
        TCSETS..=TCSETSF
            | TCSETA..=TCSETAF
            | TCSBRK..=TIOCNXCL
            | TIOCSWINSZ
            | TIOCMBIS..=TIOCMSET
            | TIOCSSOFTCAR
            | TIOCSSERIAL
            | TIOCSETD
            | TCSBRKP
            | TIOCSBRK
            | TIOCCBRK
            | TCSETS2..=TCSETSF2
            | TIOCSLCKTRMIOS
    )
}

/// Whether a command to a master comes before the first open of its slave: it unlocks the slave, opens it
/// or tells its number. A slave is born locked (`ptmx_open()`, drivers/tty/pty.c).
#[inline(always)]
fn shows_slave(command: u32) -> bool {
    matches!(command, TIOCSPTLCK | TIOCGPTPEER | TIOCGPTN)
}

/// What Landlock permits on devices too (`is_masked_device_ioctl()`, security/landlock/fs.c), but for
/// freezing a filesystem.
#[inline(always)]
fn concerns_no_device(command: u32) -> bool {
    matches!(
        command,
        FIONCLEX
            | FIOCLEX
            | FIONBIO
            | FIOQSIZE
            | FIGETBSZ
            | FS_IOC_FIEMAP
            | FICLONE
            | FICLONERANGE
            | FIDEDUPERANGE
            | FS_IOC_GETFSUUID
            | FS_IOC_GETFSSYSFSPATH
    )
}

#[inline(always)]
fn changes_flags(command: u32) -> bool {
    matches!(
        command,
        FS_IOC_SETFLAGS | FS_IOC32_SETFLAGS | FS_IOC_FSSETXATTR | FAT_IOCTL_SET_ATTRIBUTES
    )
}

#[inline(always)]
fn is_device(file: *const File) -> bool {
    matches!(mode_of(file) & S_IFMT, S_IFCHR | S_IFBLK)
}

/// Whether a command that changes no flags needs `file.ioctl` on this kind of object.
#[inline(always)]
fn needs_control(file: *const File, command: u32) -> bool {
    match mode_of(file) & S_IFMT {
        S_IFCHR | S_IFBLK => true,
        S_IFREG | S_IFDIR => !only_asks(command),
        _ => false,
    }
}

/// Whether a command changes nothing on a file: `isatty()` asks every file with a terminal's command,
/// and gets ENOTTY.
#[inline(always)]
fn only_asks(command: u32) -> bool {
    let is_terminals = command >> 8 & 0xff == TERMINAL;
    let reads = matches!(
        command,
        FS_IOC_GETFLAGS
            | FS_IOC32_GETFLAGS
            | FS_IOC_FSGETXATTR
            | FS_IOC_GETVERSION
            | FS_IOC32_GETVERSION
            | FS_IOC_GETFSLABEL
            | EXT4_IOC_GETFSUUID
            | FAT_IOCTL_GET_ATTRIBUTES
    );
    is_terminals || reads
}

/// Whether a command names other objects besides the one that it is given to, or changes the filesystem as a
/// whole: taking blocks from one file to another (`EXT4_IOC_MOVE_EXT` leaves set-user-id bits), a snapshot that has
/// everything under new names, another identifier for a disk, freezing it.
///
/// Of what is not known it is assumed: a command of tomorrow is refused.
#[inline(always)]
fn reaches_further(command: u32) -> bool {
    let number = command & 0xff;
    match command >> 8 & 0xff {
        EXT4 => !matches!(number, 1..=6 | 9 | 12 | 18..=22 | 26 | 27 | 40..=42 | 133..=135),
        XFS => !matches!(number, 30..=32 | 38 | 40..=45 | 56 | 57 | 100 | 124 | 126),
        BTRFS => !matches!(number, 2 | 16 | 25 | 30 | 31 | 49 | 60),
        F2FS => !matches!(number, 1..=5 | 8 | 12..=15 | 17..=26),
        BCACHEFS | NILFS | OCFS2 => true,
        _ => false,
    }
}

/// Refuses what no grant can allow.
#[inline(always)]
fn never(subject: &Subject, file: *const File) -> i32 {
    // SAFETY: the hook's file.
    let dentry: *const Dentry = unsafe { load(file, &FILE_DENTRY) };
    refuse_whatever_rules(
        subject,
        dentry,
        FileRights::IOCTL,
        Reason::SelfProtection,
        EPERM,
    )
}
