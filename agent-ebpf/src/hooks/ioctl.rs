//! Controls of devices and filesystems.
//!
//! | hook | right |
//! |---|---|
//! | `file_ioctl`, `file_ioctl_compat` | see below |
//! | `uring_cmd` (6.0+) | of devices, files and directories `file.ioctl`, of disks `file.write` besides |
//!
//! | command | on | right |
//! |---|---|---|
//! | `TIOCSTI`, `TIOCLINUX` | anything | never: they type into a terminal |
//! | what keys do at all consoles, which of them is shown, and their size | character devices | never |
//! | `FIOSETOWN`, `SIOCSPGRP` | anything | `process.signal` |
//! | `FIOASYNC` | character device | `process.signal` |
//! | `TIOCSPGRP` (`tcsetpgrp`) | anything | `process.control`, unless the jobs there are the session's own |
//! | modes, size, flow and line discipline of a terminal where others are in front | terminals | `process.control` |
//! | of the descriptor itself; `FICLONE` and its like, judged by the opens of both files | anything | none |
//! | changes of inode flags | what has a path | `file.attr` |
//! | every other | character devices | `file.ioctl` |
//! | only asking | disks | `file.ioctl` |
//! | every other | disks | `file.ioctl` and `file.write` |
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

// Of the console that they are given to (linux/kd.h, linux/vt.h): whether it has graphics, what its keys give and
// whether any do, and who is asked before another is shown.
const KDSETMODE: u32 = 0x4b3a;
const KDSKBMODE: u32 = 0x4b45;
const KDSKBMETA: u32 = 0x4b63;
const KDSKBLED: u32 = 0x4b65;
const VT_SETMODE: u32 = 0x5602;

// Of all consoles, whichever they are given to.
const KDSKBENT: u32 = 0x4b47;
const KDSKBSENT: u32 = 0x4b49;
const KDSKBDIACR: u32 = 0x4b4b;
const KDSETKEYCODE: u32 = 0x4b4d;
const KDKBDREP: u32 = 0x4b52;
const KDSKBDIACRUC: u32 = 0x4bfb;
const VT_ACTIVATE: u32 = 0x5606;
/// `VT_RESIZE`, `VT_RESIZEX`, `VT_LOCKSWITCH`, `VT_UNLOCKSWITCH`
const VT_RESIZE: u32 = 0x5609;
const VT_UNLOCKSWITCH: u32 = 0x560c;
const VT_SETACTIVATE: u32 = 0x560f;

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

// Of disks (linux/fs.h, linux/blkzoned.h, linux/hdreg.h, linux/loop.h). Numbers of sizes differ for 32-bit programs.
const HDIO_GETGEO: u32 = 0x0301;
const BLKROGET: u32 = 0x125e;
const BLKGETSIZE: u32 = 0x1260;
const BLKRAGET: u32 = 0x1263;
const BLKFRAGET: u32 = 0x1265;
const BLKSECTGET: u32 = 0x1267;
const BLKSSZGET: u32 = 0x1268;
const BLKBSZGET: u32 = 0x8008_1270;
const BLKBSZGET_32: u32 = 0x8004_1270;
const BLKGETSIZE64: u32 = 0x8008_1272;
const BLKGETSIZE64_32: u32 = 0x8004_1272;
/// `BLKIOMIN`, `BLKIOOPT`, `BLKALIGNOFF`, `BLKPBSZGET`, `BLKDISCARDZEROES`
const BLKIOMIN: u32 = 0x1278;
const BLKDISCARDZEROES: u32 = 0x127c;
const BLKROTATIONAL: u32 = 0x127e;
const BLKGETDISKSEQ: u32 = 0x8008_1280;
const BLKREPORTZONE: u32 = 0xc010_1282;
const BLKGETZONESZ: u32 = 0x8004_1284;
const BLKGETNRZONES: u32 = 0x8004_1285;
const LOOP_GET_STATUS: u32 = 0x4c03;
const LOOP_GET_STATUS64: u32 = 0x4c05;

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
        match needs(file, 0) {
            Needs::Rights(wanted) => at_file(subject, file, wanted),
            Needs::Nothing => 0,
            Needs::More => never(subject, file),
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
    } else {
        match needs(file, command) {
            Needs::Nothing => return 0,
            Needs::More => return never(subject, file),
            Needs::Rights(wanted) => wanted,
        }
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
            | KDSETMODE
            | KDSKBMODE
            | KDSKBMETA
            | KDSKBLED
            | VT_SETMODE
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

/// What a command that changes no flags needs.
enum Needs {
    Nothing,
    Rights(FileRights),
    /// More than a grant can give.
    More,
}

#[inline(always)]
fn needs(file: *const File, command: u32) -> Needs {
    match mode_of(file) & S_IFMT {
        S_IFCHR if is_of_all_consoles(command) => Needs::More,
        S_IFBLK if asks_disk(command) || only_asks(command) => Needs::Rights(FileRights::IOCTL),
        // Some put other content behind a disk that is open for reading (`loop_change_fd()`), or take it away.
        S_IFBLK => Needs::Rights(FileRights::IOCTL.union(FileRights::WRITE)),
        S_IFREG | S_IFDIR if only_asks(command) => Needs::Nothing,
        S_IFREG | S_IFDIR if reaches_further(command) => Needs::More,
        // Devices that control disks (/dev/mapper/control, /dev/btrfs-control) ask for `sys_admin`, or for a disk that
        // was opened (mtd, nvme and scsi: for writing); /dev/loop-control gives and takes away only what nobody uses.
        S_IFCHR | S_IFREG | S_IFDIR => Needs::Rights(FileRights::IOCTL),
        _ => Needs::Nothing,
    }
}

/// Whether a command is about every console of the host (`vt_ioctl()`, `vt_do_kdsk_ioctl()`). A key that types what
/// a session chose does so for whoever is there next, after the session's end too; who is switched away, or cannot
/// switch, is locked out.
#[inline(always)]
fn is_of_all_consoles(command: u32) -> bool {
    matches!(
        command,
        KDSKBENT
            | KDSKBSENT
            | KDSKBDIACR
            | KDSETKEYCODE
            | KDKBDREP
            | KDSKBDIACRUC
            | VT_ACTIVATE
            | VT_RESIZE..=VT_UNLOCKSWITCH | VT_SETACTIVATE
    )
}

/// Whether a command changes nothing on a disk. Of what is not known it is assumed that it does.
#[inline(always)]
fn asks_disk(command: u32) -> bool {
    matches!(
        command,
        HDIO_GETGEO
            | BLKROGET
            | BLKGETSIZE
            | BLKRAGET
            | BLKFRAGET
            | BLKSECTGET
            | BLKSSZGET
            | BLKBSZGET
            | BLKBSZGET_32
            | BLKGETSIZE64
            | BLKGETSIZE64_32
            | BLKIOMIN
            ..=BLKDISCARDZEROES
                | BLKROTATIONAL
                | BLKGETDISKSEQ
                | BLKREPORTZONE
                | BLKGETZONESZ
                | BLKGETNRZONES
                | LOOP_GET_STATUS
                | LOOP_GET_STATUS64
    )
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
