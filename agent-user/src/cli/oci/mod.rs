//! What runtimes of containers call: the hook, and the runtime in front of another.

pub(super) mod hook;
pub(super) mod runtime;
