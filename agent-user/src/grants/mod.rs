//! Grants between file and kernel: found, read, their prefixes resolved, compiled.

mod compiled;
mod load;
mod resolve;
mod trail;

pub use compiled::{Compiled, Prepared};
pub use load::{GrantError, load, read};
pub use resolve::{Resolutions, Resolver};
