//! The decision: what an act needs, and whether a session's image gives it.
//!
//! One code for both halves. The kernel side (`agent-ebpf`) finds out who acts and on what, and asks here;
//! `bailiff grant explain`, a grant's own tests, the property tests and the fuzz targets ask the same
//! functions about the same [`Image`](agent_abi::Image). What the verifier forbids to share is said where
//! it is, and held together by a test.
//!
//! An act goes through these in order: [`needs`] (the rights that it takes) -> [`automaton`] (the state at
//! the object's path) -> [`label`] (what the state allows, and by which rule) -> [`refer`] (whether an
//! object may change its path). Destinations are in [`destination`].
//!
//! Written for the verifier: no panic can be reached, every index is masked, and nothing branches that
//! need not.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod automaton;
pub mod destination;
pub mod label;
pub mod needs;
mod opaque;
pub mod path;
pub mod refer;

pub use label::{Record, Refusal, judge};
pub use opaque::opaque;
pub use refer::{New, Old};
