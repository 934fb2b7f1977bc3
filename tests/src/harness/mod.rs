//! What scenarios stand on: the daemon, sessions, fixtures, the matrix of acts and ways, reports.

pub(crate) mod daemon;
pub(crate) mod events;
pub(crate) mod fuse;
pub(crate) mod giver;
pub(crate) mod ground;
pub(crate) mod inventory;
pub(crate) mod label;
pub(crate) mod matrix;
pub(crate) mod members;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod session;
pub(crate) mod world;

/// A scenario's verdict: what was expected and what was seen, where it failed.
pub(crate) type Check<T = ()> = Result<T, String>;

/// Fails unless `condition` holds.
pub(crate) fn ensure(condition: bool, otherwise: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { Err(otherwise()) }
}

/// An error with what was being done.
pub(crate) trait Doing<T> {
    fn doing(self, what: &str) -> Check<T>;
}

impl<T, E: std::fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Check<T> {
        self.map_err(|error| format!("{what}: {error:#}"))
    }
}
