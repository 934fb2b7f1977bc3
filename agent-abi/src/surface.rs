//! Kernel surface and process rights that a grant opens as a whole: the bits of
//! [`ImageHeader::surface`](crate::ImageHeader::surface).

/// One bit each; clear means refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Surface {
    /// `process.signal = "any"`: signal processes outside the session.
    SignalAny = 0,
    /// `process.ptrace = "session"`: trace processes of the same session.
    PtraceSession = 1,
    /// `process.jit`: anonymous executable memory.
    Jit = 2,
    /// `kernel.mount`
    Mount = 3,
    /// `kernel.namespaces`
    Namespaces = 4,
    /// `kernel.bpf`
    Bpf = 5,
    /// `kernel.perf`
    Perf = 6,
    /// `kernel.io_uring`
    IoUring = 7,
    /// `kernel.userfaultfd`
    Userfaultfd = 8,
    /// `kernel.keyrings`
    Keyrings = 9,
    /// `kernel.load`
    Load = 10,
    /// `process.control = "any"`: limits and scheduling of processes outside the session.
    ControlAny = 11,
    /// `process.core`: the kernel dumps core, which the host's handler gets.
    Core = 12,
    /// `process.ipc = "any"`: System V IPC objects and message queues of others.
    IpcAny = 13,
    /// `kernel.containers`: user namespaces, and in those that the session made every capability and mounts.
    Containers = 14,
}

impl Surface {
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
}
