//! Bailiff's kernel side: who acts, on what, and whether the grant allows it.
//!
//! An action takes the same way through every hook:
//! [`subject`] (is this task in a session?) -> object ([`walk`], or the hook's own arguments) ->
//! [`decide`] -> [`ledger`](decide) and [`event`].
//!
//! Rules of this side: an unlabelled task leaves by the shortest way and is never refused; for a
//! labelled task every doubt is a refusal; nothing here can panic (the build checks the object).
#![no_std]
#![no_main]
// Inline assembly and atomics for the BPF target are not stable yet; the compiler that builds this
// crate is a nightly, or is told to behave as one.
#![feature(asm_experimental_arch, core_intrinsics)]
#![allow(
    internal_features,
    reason = "atomic_xadd: the stable atomics need compare-and-swap"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the macros of hooks hand the context over by value"
)]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "a key that is handed over by value is copied, which makes other code"
)]
#![allow(
    clippy::redundant_closure,
    reason = "hooks that hand over the same function share code that they had each for itself"
)]
#![allow(
    clippy::pointers_in_nomem_asm_block,
    reason = "the assembly compares pointers and adds to them, it reads nothing through them"
)]

mod address;
mod automaton;
mod counter;
mod daemon;
mod decide;
mod directory;
mod event;
mod forking;
mod groups;
mod hooks;
mod kernel;
mod launcher;
mod listeners;
mod maps;
mod membership;
mod name;
mod namespace;
mod nested;
mod notice;
mod place;
mod program;
mod refer;
mod renames;
mod scratch;
mod short_walk;
mod sockets;
mod storage;
mod subject;
mod terminal;
mod values;
mod walk;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The helpers used here are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
