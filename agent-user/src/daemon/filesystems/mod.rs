//! What filesystems there are, what sessions know them as, and the images that say so.

mod arrivals;
pub(super) mod epochs;
mod follow;
mod images;
mod numbers;
pub(super) mod reach;
mod setting_up;
pub(super) mod superblocks;
mod vantage;
