//! What the kernel side says: from its buffers to the store.

pub(super) mod notices;
pub(super) mod owed;
pub(super) mod pump;
mod translate;
mod whose;
