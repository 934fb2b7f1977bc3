//! Checks that need no kernel, and the scenarios on each kernel.

pub(crate) mod host;
pub(crate) mod kernel;
#[cfg(test)]
mod layers;
mod tally;

pub(crate) use tally::Tally;
