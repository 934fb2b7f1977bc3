//! Whose a terminal is. A session has the pseudo-terminals that it opened or was started on, and no other;
//! paths do not tell, since every terminal of a host is below one /dev/pts.
//!
//! What counts is the slave's inode, which lives as long as its terminal and has one owner or several in
//! inode storage ([`TERMINALS`]). A session comes to own a slave in one of three ways:
//! - The daemon says so: what was open when the session started.
//! - It is the controlling terminal of the process that asks. A process of a session gets one by a
//!   descriptor of it (`O_NOCTTY` not given, `TIOCSCTTY`), or had it before; every descriptor of a terminal
//!   was its own from the start, or was judged here when it was opened or received.
//! - A process of the session holds the master. No slave can be opened before its master was told to unlock
//!   or to open it, which [`note_master`] sees. It sees the slave's inode as an address only, so what it
//!   notes is checked at the first open: the inode must have the same time of change. An address is used
//!   for another inode only after a grace period of RCU, which takes longer than the tick that such a time
//!   is of, so another terminal is never taken for it. (Who changes the slave's mode before its first
//!   open is refused that open.)
//!
//! Where a device is a slave is told by its number: major numbers 136 to 143 have no other use, and such a
//! node elsewhere than in devpts opens nothing (`pts_unix98_lookup()`, drivers/tty/pty.c).

use core::ffi::c_void;

use agent_abi::{
    Label,
    terminal::{OWNERS, Owners, Unlocked},
};

use crate::{
    kernel::{
        DENTRY_INODE, DENTRY_PRIVATE, Dentry, FILE_INODE, FILE_PRIVATE, File, INODE_CHANGED,
        INODE_CHANGED_NS, INODE_MODE, INODE_RDEV, Inode, SIGNAL_TTY, Signals, TASK_SIGNAL,
        TTY_DRIVER_DATA, TTY_FILE_TTY, TTY_LINK, is_null, load, member, number_at, opaque,
    },
    maps::{TERMINALS, UNLOCKED},
    place::{S_IFCHR, S_IFMT},
    subject::Subject,
};

/// `UNIX98_PTY_SLAVE_MAJOR` and the seven after it, as `dev_t` has them.
const SLAVES: u32 = 136 << 20;
const SLAVES_LENGTH: u32 = 8 << 20;
/// /dev/tty: whatever the controlling terminal is.
const CONTROLLING: u32 = 5 << 20;
/// /dev/ptmx: a master.
const MASTER: u32 = 5 << 20 | 2;

const BPF_ANY: u64 = 0;

/// Whether a file that is being opened is a slave that is not the session's own.
#[inline(always)]
pub(crate) fn is_opened_by_others(
    subject: &Subject,
    file: *const File,
    dentry: *const Dentry,
) -> bool {
    // SAFETY: the hook's file; an open one has an inode.
    unsafe {
        let inode: *const Inode = load(file, &FILE_INODE);
        is_slave(device(inode)) && !is_own(subject, inode, dentry)
    }
}

/// The same of what a hook gives as a dentry.
#[inline(always)]
pub(crate) fn is_of_others(subject: &Subject, dentry: *const Dentry) -> bool {
    // SAFETY: the hook's dentry; a negative one has no inode.
    unsafe {
        if is_null(dentry, &DENTRY_INODE) {
            return false;
        }
        let inode: *const Inode = load(dentry, &DENTRY_INODE);
        if inode.is_null() {
            return false;
        }
        is_slave(device(inode)) && !is_own(subject, inode, dentry)
    }
}

/// Whether a received file is a terminal that is not the session's own: a slave, a master, or what somebody
/// else's /dev/tty was.
#[inline(always)]
pub(crate) fn is_received_from_others(
    subject: &Subject,
    file: *const File,
    dentry: *const Dentry,
) -> bool {
    // SAFETY: the hook's file; an open one has an inode.
    let (inode, device): (*const Inode, u32) = unsafe {
        let inode = load(file, &FILE_INODE);
        (inode, device(inode))
    };
    if is_slave(device) {
        return !is_own(subject, inode, dentry);
    }
    if !is_character_device(inode) {
        return false;
    }
    match device {
        CONTROLLING => opaque(terminal_of(file)) != opaque(controlling_terminal(subject)),
        MASTER => match noted(slave_inode(file)) {
            Some(noted) => noted.label != subject.label,
            None => true,
        },
        _ => false,
    }
}

/// Notes that the session holds the master that `file` is, if it is one: the slave is its own.
#[inline(always)]
pub(crate) fn note_master(subject: &Subject, file: *const File) {
    // SAFETY: the hook's file; an open one has an inode.
    let inode: *const Inode = unsafe { load(file, &FILE_INODE) };
    // SAFETY: as above.
    if unsafe { device(inode) } != MASTER || !is_character_device(inode) {
        return;
    }
    let slave = slave_inode(file);
    if slave == 0 {
        return;
    }
    let (seconds, nanoseconds) = changed(slave as *const Inode);
    let unlocked = Unlocked {
        label: subject.label,
        seconds,
        nanoseconds,
    };
    // Without it the session is refused its own terminal.
    let _ = UNLOCKED.insert(slave, unlocked, BPF_ANY);
}

/// Number of the device that an inode stands for; 0 where it is none.
///
/// # Safety
/// `inode` is one that the verifier accepts for a direct load, and not NULL.
#[inline(always)]
unsafe fn device(inode: *const Inode) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { load(inode, &INODE_RDEV) }
}

#[inline(always)]
fn is_slave(device: u32) -> bool {
    device.wrapping_sub(SLAVES) < SLAVES_LENGTH
}

#[inline(always)]
fn is_character_device(inode: *const Inode) -> bool {
    // SAFETY: the inode of the hook's file.
    let mode: u16 = unsafe { load(inode, &INODE_MODE) };
    mode & S_IFMT == S_IFCHR
}

/// Whether a slave is the session's own; then it is so from now on.
#[inline(always)]
fn is_own(subject: &Subject, inode: *const Inode, dentry: *const Dentry) -> bool {
    let place = Owners::place(subject.label.generation);
    if let Some(owners) = TERMINALS.get(inode) {
        // SAFETY: the value lives as long as the program runs (RCU); the place is masked.
        let owner = unsafe { owner_at(owners, place).read_volatile() };
        if owner == subject.label {
            return true;
        }
    }
    if !controls_caller(subject, dentry) && !was_unlocked(subject, inode) {
        return false;
    }
    if let Some(owners) = TERMINALS.get_or_create(inode) {
        // SAFETY: as above.
        unsafe { owner_at(owners, place).write_volatile(subject.label) };
    }
    true
}

#[inline(always)]
unsafe fn owner_at(owners: *mut Owners, place: usize) -> *mut Label {
    let place = opaque(place as u64) as usize & (OWNERS - 1);
    // SAFETY: the caller's value; the place is within it.
    unsafe { (&raw mut (*owners).labels).cast::<Label>().add(place) }
}

/// Whether the slave at `dentry` is the controlling terminal of the process that asks. As long as it is,
/// `signal->tty` holds it, and its address stands for no other.
#[inline(always)]
fn controls_caller(subject: &Subject, dentry: *const Dentry) -> bool {
    // SAFETY: the hook's dentry, of a filesystem that keeps the terminal there.
    let terminal: u64 = unsafe { load(dentry, &DENTRY_PRIVATE) };
    terminal != 0 && opaque(terminal) == opaque(controlling_terminal(subject))
}

/// Whether the session was seen to hold the master of the slave that `inode` is.
#[inline(always)]
fn was_unlocked(subject: &Subject, inode: *const Inode) -> bool {
    let Some(noted) = noted(inode as u64) else {
        return false;
    };
    let (seconds, nanoseconds) = changed(inode);
    noted.label == subject.label && noted.seconds == seconds && noted.nanoseconds == nanoseconds
}

#[inline(always)]
fn noted(inode: u64) -> Option<Unlocked> {
    let inode = opaque(inode);
    // SAFETY: the value is copied; an update replaces the whole value.
    unsafe { UNLOCKED.get(inode).copied() }
}

#[inline(always)]
fn controlling_terminal(subject: &Subject) -> u64 {
    // SAFETY: `current` is a valid task; a living one has signals.
    unsafe {
        let signals: *const Signals = load(subject.task, &TASK_SIGNAL);
        load(signals, &SIGNAL_TTY)
    }
}

/// The terminal that an open file of one is of (`file_tty()`, drivers/tty/tty_io.c).
#[inline(always)]
pub(crate) fn terminal_of(file: *const File) -> u64 {
    // SAFETY: the hook's file.
    let private: *const c_void = unsafe { load(file, &FILE_PRIVATE) };
    number_at(member(private, &TTY_FILE_TTY))
}

/// Address of the inode of a master's slave; 0 where there is none.
#[inline(always)]
fn slave_inode(master: *const File) -> u64 {
    let terminal = terminal_of(master) as *const c_void;
    let slave = number_at(member(terminal, &TTY_LINK)) as *const c_void;
    let dentry = number_at(member(slave, &TTY_DRIVER_DATA)) as *const c_void;
    number_at(member(dentry, &DENTRY_INODE))
}

/// When an inode's status changed last.
#[inline(always)]
fn changed(inode: *const Inode) -> (u64, u64) {
    (
        number_at(member(inode, &INODE_CHANGED)),
        number_at(member(inode, &INODE_CHANGED_NS)) & 0xffff_ffff,
    )
}
