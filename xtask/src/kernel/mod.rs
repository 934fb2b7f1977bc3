//! Debian's cloud kernels: which there are, and a local copy of each that is asked for.

mod index;
mod modules;
mod store;

pub(crate) use index::{Available, available};
pub(crate) use store::Kernel;

use anyhow::{Result, bail};

/// What tests run on: the floor, two long-term kernels and whatever is newest.
pub(crate) const MATRIX: &[&str] = &["6.1", "6.12", "6.18", NEWEST];
pub(crate) const NEWEST: &str = "newest";

/// The newest kernel of the series `wanted` (`6.12`, `6.12.95`, or `newest`), downloaded if needed.
pub(crate) fn get(wanted: &str) -> Result<Kernel> {
    store::local_copy(&resolve(wanted)?)
}

/// The newest kernel in the index that `wanted` names.
pub(crate) fn resolve(wanted: &str) -> Result<Available> {
    let all = available()?;
    let found = all
        .iter()
        .rfind(|kernel| wanted == NEWEST || kernel.is_of(wanted));
    let Some(found) = found else {
        let mut series: Vec<String> = all.iter().map(Available::series).collect();
        series.dedup();
        bail!(
            "Debian's package index holds no kernel {wanted} any more; it holds {}",
            series.join(", ")
        );
    };
    Ok(found.clone())
}
