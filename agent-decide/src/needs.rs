//! The rights that an act takes.

use agent_abi::FileRights;

use crate::opaque;

/// `FMODE_READ` in `f_mode` (include/linux/fs.h)
pub const FMODE_READ: u32 = 1;
/// `FMODE_WRITE`
pub const FMODE_WRITE: u32 = 2;
/// `__FMODE_EXEC` in `f_flags`: opened by `execve` or as an interpreter.
pub const OPEN_EXEC: u32 = 0x20;
/// `O_TRUNC`, asked for at the open, because overlayfs truncates in the course of it, before
/// `path_truncate`.
pub const O_TRUNC: u32 = 0o1000;
/// `__O_TMPFILE`
pub const O_TMPFILE: u32 = 0o20_000_000;

/// `RENAME_EXCHANGE` of `renameat2`
pub const RENAME_EXCHANGE: u32 = 2;

/// What an open takes, by `f_mode` and `f_flags`. `other_than_directory` is 0 for a directory, and less
/// than 2^63.
///
/// Without branches: the verifier would look at everything that follows once for every way through them.
#[must_use]
#[inline(always)]
pub fn of_open(mode: u32, flags: u32, other_than_directory: u64) -> FileRights {
    let when = |condition: u64, right: FileRights| opaque(condition) * u64::from(right.0);
    let (mode, flags) = (u64::from(mode), u64::from(flags));
    let reads = bit(mode, FMODE_READ);
    let lists = reads & is_zero(other_than_directory);
    let writes = bit(mode, FMODE_WRITE) | bit(flags, O_TRUNC);
    let mut wanted = when(reads & (lists ^ 1), FileRights::READ)
        | when(lists, FileRights::LIST)
        | when(writes, FileRights::WRITE)
        | when(bit(flags, O_TMPFILE), FileRights::CREATE);
    // Neither readable nor writable (access mode 3): `ioctl` only.
    wanted |= when(is_zero(wanted), FileRights::IOCTL);
    let executes = bit(flags, OPEN_EXEC);
    wanted = when(executes, FileRights::EXEC) | (opaque(executes ^ 1) * wanted);
    FileRights(wanted as u16)
}

/// What a change of names takes: a link, a rename or an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfMove {
    /// At the old name; nothing for a link.
    pub leave: FileRights,
    /// At the new name.
    pub arrive: FileRights,
    /// What is at the new name gets the old one.
    pub exchange: bool,
}

impl OfMove {
    /// What a link takes. `is_symlink` is 1 where a symbolic link gets another name, else 0.
    #[must_use]
    #[inline(always)]
    pub fn link(is_symlink: u64) -> Self {
        let symlink = u64::from(FileRights::SYMLINK.0);
        Self {
            leave: FileRights::NONE,
            arrive: FileRights((u64::from(FileRights::CREATE.0) | (symlink * is_symlink)) as u16),
            exchange: false,
        }
    }

    /// What a rename takes, by the flags of `renameat2`. `is_taken` is 1 where something has the new name
    /// already, else 0; `old_is_symlink` and `new_is_symlink` are 1 where what has the name is a symbolic
    /// link.
    ///
    /// Without branches, as [`of_open`].
    #[must_use]
    #[inline(always)]
    pub fn rename(flags: u32, is_taken: u64, old_is_symlink: u64, new_is_symlink: u64) -> Self {
        let exchange = bit(u64::from(flags), RENAME_EXCHANGE);
        let [create, delete, symlink] =
            [FileRights::CREATE, FileRights::DELETE, FileRights::SYMLINK]
                .map(|right| u64::from(right.0));
        let back = symlink * (new_is_symlink & exchange);
        Self {
            leave: FileRights((delete | (create * exchange) | back) as u16),
            arrive: FileRights((create | (delete * is_taken) | (symlink * old_is_symlink)) as u16),
            exchange: exchange == 1,
        }
    }

    /// What is asked first: a link takes nothing at the old name.
    #[must_use]
    #[inline(always)]
    pub const fn first(&self) -> FileRights {
        if self.leave.is_empty() {
            self.arrive
        } else {
            self.leave
        }
    }
}

/// 1 if the bit `mask` is set in `word`, else 0.
#[must_use]
#[inline(always)]
pub fn bit(word: u64, mask: u32) -> u64 {
    opaque(word >> mask.trailing_zeros()) & 1
}

/// 1 for 0, else 0, for what is less than 2^63.
#[must_use]
#[inline(always)]
pub fn is_zero(value: u64) -> u64 {
    opaque(value).wrapping_sub(1) >> 63
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: FileRights = FileRights::READ;
    const WRITE: FileRights = FileRights::WRITE;
    const CREATE: FileRights = FileRights::CREATE;
    const DELETE: FileRights = FileRights::DELETE;

    /// The same with branches, as one would say it.
    fn said(mode: u32, flags: u32, is_directory: bool) -> FileRights {
        if flags & OPEN_EXEC != 0 {
            return FileRights::EXEC;
        }
        let mut wanted = FileRights::NONE;
        if mode & FMODE_READ != 0 {
            wanted = if is_directory { FileRights::LIST } else { READ };
        }
        if mode & FMODE_WRITE != 0 || flags & O_TRUNC != 0 {
            wanted = wanted.union(WRITE);
        }
        if flags & O_TMPFILE != 0 {
            wanted = wanted.union(CREATE);
        }
        if wanted.is_empty() {
            FileRights::IOCTL
        } else {
            wanted
        }
    }

    #[test]
    fn every_way_to_open_takes_what_it_does() {
        for mode in 0..4 {
            for choice in 0..8_u32 {
                let flags = [OPEN_EXEC, O_TRUNC, O_TMPFILE];
                let flags = flags.iter().enumerate();
                let flags = flags.fold(0, |all, (bit, flag)| all | (((choice >> bit) & 1) * flag));
                // Flags that say nothing of rights change nothing.
                for flags in [flags, flags | 0o2_002_000] {
                    for (is_directory, other) in [(true, 0), (false, 1), (false, 0o40_000)] {
                        let found = of_open(mode, flags, other);
                        let expected = said(mode, flags, is_directory);
                        assert_eq!(found, expected, "{mode} {flags:o} {is_directory}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_rename_takes_what_it_does_to_both_names() {
        let both = CREATE.union(DELETE);
        let with_symlink = |rights: FileRights| rights.union(FileRights::SYMLINK);
        for (flags, is_taken, symlinks, leave, arrive, exchange) in [
            (0, 0, (0, 0), DELETE, CREATE, false),
            (0, 1, (0, 0), DELETE, both, false),
            (0, 0, (1, 0), DELETE, with_symlink(CREATE), false),
            // What is replaced goes; it is given no name.
            (0, 1, (0, 1), DELETE, both, false),
            // RENAME_NOREPLACE
            (1, 0, (0, 0), DELETE, CREATE, false),
            (RENAME_EXCHANGE, 1, (0, 0), both, both, true),
            (RENAME_EXCHANGE, 1, (1, 0), both, with_symlink(both), true),
            (RENAME_EXCHANGE, 1, (0, 1), with_symlink(both), both, true),
        ] {
            let expected = OfMove {
                leave,
                arrive,
                exchange,
            };
            let found = OfMove::rename(flags, is_taken, symlinks.0, symlinks.1);
            assert_eq!(found, expected, "{flags} {is_taken} {symlinks:?}");
        }
        assert_eq!(OfMove::rename(0, 0, 0, 0).first(), DELETE);
        assert_eq!(OfMove::link(0).first(), CREATE);
        assert_eq!(OfMove::link(1).arrive, with_symlink(CREATE));
    }
}
