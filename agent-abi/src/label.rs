//! The label of a task: which session it belongs to. Kept in task storage.

/// Value of the `LABELS` task storage. Inherited at birth, dropped by the daemon alone.
///
/// `generation` 0 is no session: whether the task has one is told by its cgroup when it next acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Label {
    /// Index into every per-session map; of an armed label ([`Self::armed`]) with a bit above it.
    pub slot: u32,
    /// Tells successive sessions in one slot apart. A label whose generation is not that of the
    /// slot's image belongs to a session that has ended: everything is refused.
    pub generation: u32,
}

impl Label {
    /// As the eight bytes of the value are read at once.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.slot as u64 | (self.generation as u64) << 32
    }

    /// The label of no session.
    pub const NONE: Self = Self {
        slot: 0,
        generation: 0,
    };

    /// That of the daemon's own tests, which has an image while they run. Slot 0 is no session's.
    pub const SELF_TEST: Self = Self {
        slot: 0,
        generation: u32::MAX,
    };

    /// One that never has an image: who executes a program under it is refused that and all else. What cannot be
    /// put in force gives it, armed.
    pub const REFUSING: Self = Self {
        slot: 0,
        generation: u32::MAX - 1,
    };

    /// Whether it names a session, in force or ended.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.generation != 0
    }

    /// The same, not in force before the task's next `execve`. Inherited as it is.
    #[must_use]
    pub const fn armed(self) -> Self {
        Self {
            slot: self.slot | ARMED,
            ..self
        }
    }

    /// Whether it waits for an `execve`.
    #[must_use]
    pub const fn is_armed(self) -> bool {
        self.slot & ARMED != 0
    }

    /// The label as it is once it has force: what names the session.
    #[must_use]
    pub const fn in_force(self) -> Self {
        Self {
            slot: self.slot & !ARMED,
            ..self
        }
    }

    /// What [`Self::bits`] or [`Self::newborn_bits`] made.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            slot: bits as u32 & !(NEWBORN as u32),
            generation: (bits >> 32) as u32,
        }
    }

    /// The label of a parent, for a child whose own is settled when everybody can see it.
    #[must_use]
    pub const fn newborn_bits(self) -> u64 {
        self.bits() | NEWBORN
    }

    /// What names the session, of a value that was read as it is kept: a newborn's, an armed one's.
    #[must_use]
    pub const fn settled(self) -> Self {
        Self::from_bits(self.bits()).in_force()
    }

    /// Whether [`Self::newborn_bits`] made this, and the child has not been settled since.
    #[must_use]
    pub const fn is_newborn(bits: u64) -> bool {
        bits & NEWBORN != 0
    }
}

/// Above every slot.
const NEWBORN: u64 = 1 << 31;

/// Above every slot too, and kept in [`Label::slot`].
const ARMED: u32 = 1 << 30;

const _: () = assert!((crate::limits::MAX_SESSIONS as u64) < ARMED as u64);
const _: () = assert!((ARMED as u64) < NEWBORN);

const _: () = assert!(size_of::<Label>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armed_label_is_kept_and_inherited_as_one() {
        let label = Label {
            slot: 5,
            generation: 7,
        };
        assert!(!label.is_armed());
        let armed = label.armed();
        assert!(armed.is_armed() && armed != label);
        assert_eq!(Label::from_bits(armed.bits()), armed);
        assert_eq!(Label::from_bits(armed.newborn_bits()), armed);
        assert_eq!(armed.in_force(), label);
        assert!(!Label::is_newborn(armed.bits()));
    }
}
