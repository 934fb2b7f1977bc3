//! Other processes: scenarios 6 and 15 of the fixture, section D of the catalogue.

use crate::{
    acts::{Act, SignalBy, Way, Witness, syscall},
    harness::{ground::Ground, matrix::Case},
};

const SIGNAL: &str = "process.signal";
const PTRACE: &str = "process.ptrace";
const CONTROL: &str = "process.control";

fn case(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
) -> Case {
    Case::new("processes", name, right, refused).reason("outside-session")
}

fn signal(name: &'static str, by: SignalBy) -> Case {
    case(name, SIGNAL, move |g| Act::Signal {
        pid: g.victim(),
        by,
        marker: g.marker(),
    })
    .twin(move |_| Act::SignalChild { by })
    .errno(libc::EPERM)
}

/// Acts on a process outside; the twin is the same on itself, which pid 0 stands for.
fn control(name: &'static str, act: fn(i32) -> Act) -> Case {
    case(name, CONTROL, move |g| act(g.victim()))
        .twin(move |_| act(0))
        .errno(libc::EPERM)
}

/// Without a twin: the tool or the call does not take pid 0.
fn control_of_other(name: &'static str, act: fn(i32) -> Act) -> Case {
    case(name, CONTROL, move |g| act(g.victim())).errno(libc::EPERM)
}

fn of_proc(name: &'static str, file: &'static str) -> Case {
    case(name, PTRACE, move |g| Act::Open {
        path: format!("/proc/{}/{file}", g.victim()),
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let compiled = &[Way::Compiled];
    vec![
        signal("kills a process outside", SignalBy::Kill),
        signal("kills a thread outside", SignalBy::Tgkill),
        signal("queues a signal to a process outside", SignalBy::Queue),
        signal("kills a process outside by its descriptor", SignalBy::Pidfd),
        case("kills processes by name", SIGNAL, |g| Act::Signal {
            pid: g.victim(),
            by: SignalBy::Pkill,
            marker: g.marker(),
        })
        .ways(&[Way::Direct, Way::Bash])
        // With none killed pkill says the error of each.
        .twin(|_| Act::SignalChild { by: SignalBy::Kill }),
        case(
            "kills a process outside by cgroup.kill",
            "file.write",
            |g| {
                let dir = format!("/sys/fs/cgroup/{}", g.tag());
                let pid = g.victim();
                g.shell(&format!("mkdir -p {dir}; echo {pid} > {dir}/cgroup.procs"));
                g.watch(Witness::Alive(pid, true));
                Act::WriteText {
                    path: format!("{dir}/cgroup.kill"),
                    text: "1".into(),
                }
            },
        )
        .rule("bailiff:limits")
        .never(),
        case("freezes processes outside", "file.write", |g| {
            let dir = format!("/sys/fs/cgroup/{}", g.tag());
            g.shell(&format!("mkdir -p {dir}"));
            g.watch(Witness::Content(format!("{dir}/cgroup.freeze"), None));
            Act::WriteText {
                path: format!("{dir}/cgroup.freeze"),
                text: "1".into(),
            }
        })
        .rule("bailiff:limits")
        .never(),
        case(
            "makes a process outside the first to be killed for memory",
            CONTROL,
            |g| {
                let path = format!("/proc/{}/oom_score_adj", g.victim());
                g.watch(Witness::Content(path.clone(), None));
                Act::WriteText {
                    path,
                    text: "500".into(),
                }
            },
        ),
        case("traces a process outside", PTRACE, |g| Act::Ptrace {
            pid: g.victim(),
        })
        // `ptrace = "session"` reaches no further.
        .never(),
        case("reads the memory of a process outside", PTRACE, |g| {
            Act::ReadMemory { pid: g.victim() }
        })
        .never(),
        case("takes a descriptor of a process outside", PTRACE, |g| {
            Act::StealDescriptor { pid: g.victim() }
        })
        .never(),
        of_proc("opens the environment of a process outside", "environ").never(),
        of_proc("opens the memory of a process outside", "mem").never(),
        of_proc("opens the memory map of a process outside", "maps").never(),
        case(
            "follows the root directory of a process outside",
            PTRACE,
            |g| Act::List {
                path: format!("/proc/{}/root", g.victim()),
            },
        )
        .never(),
        case(
            "follows the working directory of a process outside",
            PTRACE,
            |g| Act::List {
                path: format!("/proc/{}/cwd/", g.victim()),
            },
        )
        .never(),
        case("follows a descriptor of a process outside", PTRACE, |g| {
            Act::WriteText {
                path: format!("/proc/{}/fd/1", g.victim()),
                text: String::new(),
            }
        })
        .never(),
        case("compares a process outside", PTRACE, |g| {
            syscall::compare(g.victim())
        })
        .never(),
        case("asks for the futexes of a process outside", PTRACE, |g| {
            syscall::robust_list(g.victim())
        })
        .never(),
        Case::new("processes", "traces a process of its own", PTRACE, |_| {
            Act::PtraceChild
        })
        .reason("not-granted")
        .ways(compiled),
        Case::new(
            "processes",
            "writes its own memory through /proc",
            "file.write",
            |_| Act::WriteText {
                path: "/proc/self/mem".into(),
                text: String::new(),
            },
        )
        .rule("bailiff:memory")
        .never(),
        control("limits a process outside", syscall::prlimit),
        control("makes a process outside nice", syscall::nice),
        control("binds a process outside to a processor", syscall::affinity),
        control(
            "changes the scheduler of a process outside",
            syscall::scheduler,
        ),
        control(
            "changes the I/O priority of a process outside",
            syscall::io_priority,
        ),
        control_of_other("moves the memory of a process outside", syscall::move_pages)
            .or_right(PTRACE)
            .never(),
        case(
            "makes a process outside the owner of a socket",
            SIGNAL,
            |g| Act::SignalByOwner { pid: g.victim() },
        )
        .ways(compiled),
        case(
            "makes a process outside the owner of a file by its kind",
            SIGNAL,
            |g| {
                let pid = g.victim();
                syscall::extended_owner(&g.file_inside("f"), pid)
            },
        )
        .twin(|g| syscall::owner(&g.file_inside("f"), 0))
        .errno(libc::EPERM),
        case(
            "changes the signal that the owner of a file gets",
            SIGNAL,
            |g| syscall::signal_of(&g.file_inside("f"), libc::SIGKILL),
        )
        .twin(|g| syscall::signal_of(&g.file_inside("f"), 0))
        .errno(libc::EPERM),
        case("has a device tell its owner of input", SIGNAL, |_| {
            syscall::notify("/dev/null")
        })
        .twin(|g| syscall::notify(&g.file_inside("f")))
        .errno(libc::EPERM),
        case("has a device tell its owner by ioctl", SIGNAL, |_| {
            syscall::notify_not("/dev/null")
        })
        .twin(|g| syscall::notify_not(&g.file_inside("f")))
        .errno(libc::EPERM),
        case(
            "makes a process group outside the owner of a file",
            SIGNAL,
            |g| {
                let pid = g.victim();
                syscall::owner(&g.file_inside("f"), -pid)
            },
        )
        .errno(libc::EPERM),
        case("opens a message queue of others", "file.read", |g| {
            g.shell(&format!(
                "python3 -c 'import ctypes; ctypes.CDLL(None).mq_open(b\"/{}\", 66, 0o666, None)'",
                g.tag()
            ));
            syscall::message_queue(&g.tag())
        })
        .reason("no-rule")
        .or_right("file.write")
        .or_reason("unknown-mount"),
    ]
}
