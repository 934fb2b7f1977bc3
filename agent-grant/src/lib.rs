//! The grant language.
