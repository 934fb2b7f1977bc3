//! The mounts that a process sees, and which path counts for each filesystem.

mod escape;
pub mod namespace;
pub mod parse;
pub mod view;

pub use namespace::MountNamespace;
pub use parse::{Mount, MountParseError, parse};
pub use view::MountView;
