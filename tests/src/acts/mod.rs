//! Acts: what a session is made to do.
//!
//! One act can be done in up to four ways: by an ordinary tool that is executed directly, by
//! Bash, by Python, and by system calls of a compiled program. Where a way has no words for an
//! act, that way is left out for it.

pub(crate) mod attributes;
mod bash;
mod compiled;
mod descriptors;
mod direct;
mod modes;
mod python;
pub(crate) mod random_calls;
pub(crate) mod raw;
pub(crate) mod syscall;
mod witness;

use serde::{Deserialize, Serialize};

pub(crate) use arg::Arg;
pub(crate) use outcome::{Outcome, errno_name};
pub(crate) use python::HEAD as PYTHON_HEAD;
pub(crate) use witness::Witness;

/// What every fixture file holds, so that a reader can tell whether it got the content.
pub(crate) const SECRET: &str = "the secret of this file\n";
/// What writers put in its place.
pub(crate) const OVERWRITTEN: &str = "overwritten!\n";

/// How an act is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Way {
    /// A tool, executed directly.
    Direct,
    /// A script of `bash -c`.
    Bash,
    Python,
    /// System calls.
    Compiled,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Direct, Self::Bash, Self::Python, Self::Compiled];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Bash => "bash",
            Self::Python => "python",
            Self::Compiled => "compiled",
        }
    }
}

/// How a signal is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SignalBy {
    Kill,
    Tgkill,
    Queue,
    Pidfd,
    /// By name, as `pkill -f` does; the victim's command line holds `victim-PID-NUMBER`.
    Pkill,
}

/// How a datagram is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SendBy {
    Connect,
    SendTo,
    SendMsg,
    SendMmsg,
    /// Without addresses, on a connected socket.
    SendMmsgConnected,
    /// An address of family `AF_UNSPEC`, which an IPv4 socket takes for `AF_INET`.
    Unspecified,
    /// An IPv4 address on an IPv6 socket.
    V4OnV6,
    /// An IPv6 address as long as it was before it had a scope, which the kernel takes still.
    WithoutScope,
}

/// How a file comes to its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ModeBy {
    /// Of a file or directory that is there.
    Chmod,
    /// The same by a descriptor.
    Fchmod,
    /// A creating `open`.
    Open,
    /// `mknod` of a regular file.
    Mknod,
    /// `O_TMPFILE` in the directory around it, linked afterwards.
    Tmpfile,
}

/// What is done with a received descriptor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Received {
    Keep,
    Read,
    /// Of the file at this path.
    Write(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Act {
    // Files
    Read {
        path: String,
    },
    /// Opens for reading and reads nothing.
    Open {
        path: String,
    },
    ReadMapped {
        path: String,
    },
    /// `O_PATH`, then `/proc/self/fd/N`.
    ReadAgain {
        path: String,
    },
    ReadByHandle {
        path: String,
    },
    /// `openat2` with `RESOLVE_BENEATH`.
    ReadBeneath {
        dir: String,
        name: String,
    },
    /// A relative path from a working directory.
    ReadFrom {
        dir: String,
        path: String,
    },
    /// `O_RDWR`.
    ReadWrite {
        path: String,
    },
    Write {
        path: String,
    },
    WriteMapped {
        path: String,
    },
    WriteText {
        path: String,
        text: String,
    },
    Append {
        path: String,
    },
    Truncate {
        path: String,
    },
    /// `open` with `O_RDONLY | O_TRUNC`.
    TruncateOpen {
        path: String,
    },
    PunchHole {
        path: String,
    },
    Create {
        path: String,
    },
    /// `O_TMPFILE`.
    Tmpfile {
        dir: String,
    },
    TmpfileLink {
        dir: String,
        to: String,
    },
    Mkdir {
        path: String,
    },
    Mkfifo {
        path: String,
    },
    /// A character device that is /dev/null.
    Mkdev {
        path: String,
    },
    BindSocket {
        path: String,
    },
    Symlink {
        target: String,
        path: String,
    },
    Link {
        from: String,
        to: String,
    },
    /// `linkat` of `/proc/self/fd/N`.
    LinkDescriptor {
        from: String,
        to: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Exchange {
        from: String,
        to: String,
    },
    Whiteout {
        from: String,
        to: String,
    },
    Delete {
        path: String,
    },
    Rmdir {
        path: String,
    },
    /// `rm -rf`.
    DeleteTree {
        path: String,
    },
    List {
        path: String,
    },
    Chmod {
        path: String,
    },
    ChmodDescriptor {
        path: String,
    },
    /// A file with this mode.
    Mode {
        path: String,
        mode: u32,
        by: ModeBy,
    },
    Chown {
        path: String,
    },

    // Attributes
    /// Both times to the present.
    Touch {
        path: String,
    },
    /// The modification time to the present, the other stays.
    TouchOne {
        path: String,
    },
    /// Both times to long ago.
    SetTimes {
        path: String,
    },
    /// The same by a descriptor that is open for reading.
    SetTimesDescriptor {
        path: String,
    },
    SetXattr {
        path: String,
        name: String,
        value: Vec<u8>,
    },
    RemoveXattr {
        path: String,
        name: String,
    },
    /// `file_setattr`: marks the file as not to be dumped.
    FileSetattr {
        path: String,
    },

    // Descriptors
    Ioctl {
        path: String,
        /// How it is opened before.
        flags: i32,
        command: u32,
        argument: Vec<u8>,
        tool: Vec<String>,
    },
    /// As a 32-bit program does it.
    Ioctl32 {
        path: String,
        command: u32,
        argument: Vec<u8>,
    },
    /// By inotify.
    Watch {
        path: String,
    },
    /// By fanotify.
    Mark {
        path: String,
    },
    /// Receives a descriptor from who listens at `from`.
    Receive {
        from: String,
        then: Received,
    },

    // Execution; programs are `touch`es, which leave a mark
    Run {
        program: String,
        mark: String,
    },
    /// `execveat` of an `O_PATH` descriptor.
    RunDescriptor {
        program: String,
        mark: String,
    },
    /// By the dynamic loader.
    RunByLoader {
        program: String,
        mark: String,
    },
    /// From a memfd with the program's content.
    RunMemory {
        program: String,
        mark: String,
    },
    /// Loads a library whose constructor leaves the mark that `$MARK` names.
    Preload {
        library: String,
        mark: String,
    },
    Dlopen {
        library: String,
        mark: String,
    },
    MapExecutable {
        path: String,
    },
    ProtectExecutable {
        path: String,
    },
    /// A private mapping of a program that was written over and becomes executable.
    WrittenProgram {
        path: String,
    },
    /// Memory that was written and becomes executable.
    AnonymousCode,

    // Network
    Tcp {
        address: String,
        port: u16,
    },
    FastOpen {
        address: String,
        port: u16,
    },
    Udp {
        address: String,
        port: u16,
        by: SendBy,
    },
    /// Disconnects a socket that is connected within the grant, then connects elsewhere.
    Reconnect {
        first: (String, u16),
        then: (String, u16),
    },
    Socket {
        family: i32,
        kind: i32,
        protocol: i32,
    },
    UnixStream {
        path: String,
    },
    UnixDatagram {
        path: String,
    },
    Abstract {
        name: String,
    },

    // Processes
    Signal {
        pid: i32,
        by: SignalBy,
        marker: String,
    },
    /// The same to a child of its own.
    SignalChild {
        by: SignalBy,
    },
    Ptrace {
        pid: i32,
    },
    PtraceChild,
    ReadMemory {
        pid: i32,
    },
    StealDescriptor {
        pid: i32,
    },
    /// `F_SETOWN` of a socket to a process, then a message.
    SignalByOwner {
        pid: i32,
    },

    // Kernel
    Syscall {
        name: String,
        number: i64,
        arguments: Vec<Arg>,
        tool: Vec<String>,
    },
    /// `clone3` with `CLONE_INTO_CGROUP`.
    CloneIntoCgroup {
        path: String,
    },
    /// Types into the terminal that is made for it.
    Tiocsti,
    /// Two acts in one process; the second counts, and the first must succeed.
    Then(Box<Act>, Box<Act>),
}

impl Act {
    /// A system call that also a tool makes; an empty tool is none.
    pub(crate) fn syscall<const N: usize>(
        name: &str,
        number: i64,
        arguments: [Arg; N],
        tool: &[&str],
    ) -> Self {
        Self::Syscall {
            name: name.into(),
            number,
            arguments: arguments.into(),
            tool: tool.iter().map(|word| (*word).into()).collect(),
        }
    }

    /// Whether there are words for it.
    pub(crate) fn has(&self, way: Way) -> bool {
        match way {
            Way::Direct => self.direct().is_some(),
            Way::Bash => self.bash().is_some(),
            Way::Python => self.python().is_some(),
            Way::Compiled => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_fails_for_another_reason_was_not_refused() {
        assert_eq!(Outcome::parse("ok"), Outcome::Done);
        assert_eq!(Outcome::parse("errno 13"), Outcome::Refused(13));
        assert!(matches!(Outcome::parse("errno 2"), Outcome::Failed(_)));
        assert_eq!(
            Outcome::parse("exit 1 cat: /x: Permission denied"),
            Outcome::Refused(13)
        );
        assert!(matches!(
            Outcome::parse("exit 127 cat: not found"),
            Outcome::Failed(_)
        ));
        assert!(matches!(Outcome::parse(""), Outcome::Failed(_)));
    }
}
mod arg;
mod outcome;
