//! The label of a task: which session it belongs to. Kept in task storage.

/// Value of the `LABELS` task storage. Inherited at birth, dropped by the daemon alone.
///
/// `generation` 0 is no session: whether the task has one is told by its cgroup when it next acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Label {
    /// Index into every per-session map.
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

    /// Whether it names a session, in force or ended.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.generation != 0
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

    /// The same as it was before [`Self::newborn_bits`], for a value that was read as it is kept.
    #[must_use]
    pub const fn settled(self) -> Self {
        Self::from_bits(self.bits())
    }

    /// Whether [`Self::newborn_bits`] made this, and the child has not been settled since.
    #[must_use]
    pub const fn is_newborn(bits: u64) -> bool {
        bits & NEWBORN != 0
    }
}

/// Above every slot.
const NEWBORN: u64 = 1 << 31;

const _: () = assert!((crate::limits::MAX_SESSIONS as u64) < NEWBORN);

const _: () = assert!(size_of::<Label>() == 8);
