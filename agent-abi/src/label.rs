//! The label of a task: which session it belongs to. Kept in task storage.

/// Value of the `LABELS` task storage. Inherited in `task_alloc`, dropped by the daemon alone.
///
/// `generation` 0 is no session: user space writes it to drop a label.
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
}

const _: () = assert!(size_of::<Label>() == 8);
