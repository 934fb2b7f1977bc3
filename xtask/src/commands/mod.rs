//! One file per subcommand.

pub(crate) mod agents;
pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod demo;
pub(crate) mod deny;
pub(crate) mod fuzz;
pub(crate) mod kernels;
pub(crate) mod mutants;
pub(crate) mod setup;
pub(crate) mod storm;
pub(crate) mod test;
pub(crate) mod vm;
