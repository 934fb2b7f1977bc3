//! The daemon on a kernel side in memory: requests as the server gets them, sessions, events and the store,
//! on any machine and without root.
//!
//! Real here: processes, the mount table, the store, compiled grants and their images. Not real: the kernel
//! side ([`MemoryKernel`](crate::kernel::memory::MemoryKernel)), cgroups ([`cgroups`]), and who asks, which
//! is said with each request but where a test goes through the socket.

mod arrivals;
mod attachments;
mod callers;
mod cgroups;
mod evidence;
mod faults;
mod sessions;
mod stress;
mod takeover;
mod trust;
mod world;
