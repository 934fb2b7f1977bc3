//! The mounts that a process sees, and which path counts for each filesystem.

pub mod backing;
mod escape;
pub mod layers;
pub mod names;
pub mod namespace;
pub mod parse;
mod path;
pub mod private_tmp;
pub mod sight;
pub mod uuid;
pub mod view;

pub use backing::{Behind, behind};
pub use layers::Layers;
pub use names::{Names, Shown};
pub use namespace::MountNamespace;
pub use parse::{Mount, MountParseError, parse};
pub use private_tmp::PrivateTmps;
pub use sight::{Sight, Vantage};
pub use uuid::Uuid;
pub use view::MountView;
