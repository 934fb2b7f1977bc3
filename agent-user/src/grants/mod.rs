//! Grants between file and kernel: found, read, their prefixes resolved, compiled.

mod additions;
mod cache;
mod compiled;
mod grant_file;
mod ground;
mod load;
mod making;
mod origin;
mod own_files;
mod presence;
mod reach;
mod resolve;
mod straight;
mod trail;
mod written;

pub use additions::{Addition, AdditionError, Additions, Base, Standing};
pub use cache::Cache;
pub use compiled::{Compiled, Prepared};
pub use grant_file::GrantFile;
pub use ground::{Backing, Disk, Ground, Host, Named, named_by_operators};
pub use load::{
    About, GrantError, about, examine, gather, is_known, is_path, load, load_for_tests, names,
    read, read_for_tests, with_additions,
};
pub use making::Making;
pub use origin::origin;
pub use own_files::{DEFAULT_STATE, OwnFiles, OwnPlaces};
pub use presence::{Bounds, absent};
pub use reach::{Reach, Spot};
pub use resolve::{Makers, Resolutions, Resolver};
pub use trail::Past;
