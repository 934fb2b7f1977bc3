//! Acceptance scenarios for Bailiff.
