//! Grants between file and kernel: found, read, their prefixes resolved, compiled.

mod compiled;
mod load;
mod presence;
mod resolve;
mod trail;

pub use compiled::{Compiled, Prepared};
pub use load::{GrantError, load, load_for_tests, read, read_for_tests};
pub use presence::{Bounds, absent};
pub use resolve::{Resolutions, Resolver};
