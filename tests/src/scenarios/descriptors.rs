//! What is done with descriptors: receiving, watching, controlling; rows 42, 52, 55 and 58 of the
//! catalogue.

use std::{fs, io, os::fd::OwnedFd};

use super::{Context, Single};
use crate::{
    acts::{Act, Received, Way, Witness, raw},
    harness::{
        Check, Doing, ensure, events,
        giver::{self, Gift},
        ground::Ground,
        matrix::{Case, fixture_grant},
        process::shell,
        session::Shell,
        world::{Place, World},
    },
};

const READ: &str = "file.read";
const WRITE: &str = "file.write";
const LIST: &str = "file.list";
const IOCTL: &str = "file.ioctl";

fn case(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
) -> Case {
    Case::new("descriptors", name, right, refused).errno(libc::EACCES)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = receiving();
    cases.extend(watching());
    cases.extend(controlling());
    cases
}

fn receive(g: &mut Ground<'_>, path: &str) -> Act {
    Act::Receive {
        from: g.giver_of(path, libc::O_RDONLY),
        then: Received::Read,
    }
}

fn receive_directory(g: &mut Ground<'_>, path: &str) -> Act {
    Act::Receive {
        from: g.giver_of(path, libc::O_RDONLY | libc::O_DIRECTORY),
        then: Received::Keep,
    }
}

fn receive_to_write(g: &mut Ground<'_>, path: String) -> Act {
    Act::Receive {
        from: g.giver_of(&path, libc::O_WRONLY),
        then: Received::Write(path),
    }
}

/// A case whose refusal nobody tells: the message comes without the descriptor.
fn untold(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
) -> Case {
    case(name, right, refused).says("no descriptor came")
}

fn receiving() -> Vec<Case> {
    vec![
        untold(
            "receives a descriptor by which a process outside is changed",
            "process.control",
            |g| {
                let path = format!("/proc/{}/oom_score_adj", g.victim());
                Act::Receive {
                    from: g.giver_of(&path, libc::O_WRONLY),
                    then: Received::Keep,
                }
            },
        )
        .reason("outside-session")
        .twin(|g| {
            let path = g.file_inside("f");
            receive_to_write(g, path)
        }),
        untold("receives a file outside", READ, |g| {
            let path = g.file_outside("f");
            receive(g, &path)
        })
        .twin(|g| {
            let path = g.file_inside("f");
            receive(g, &path)
        })
        .places(),
        untold(
            "receives a file to write that may only be read",
            WRITE,
            |g| {
                let path = g.file_reference("f");
                receive_to_write(g, path)
            },
        )
        .twin(|g| {
            let path = g.file_dropbox("f");
            receive_to_write(g, path)
        })
        .places(),
        untold("receives a directory outside", LIST, |g| {
            let path = g.dir_outside("d");
            receive_directory(g, &path)
        })
        .twin(|g| {
            let path = g.dir_inside("d");
            receive_directory(g, &path)
        })
        .places(),
        untold("receives a performance counter", "kernel.perf", |g| {
            Act::Receive {
                from: g.giver(Box::new(counter)),
                then: Received::Keep,
            }
        })
        .reason("not-granted"),
        untold("receives a userfaultfd", "kernel.userfaultfd", |g| {
            Act::Receive {
                from: g.giver(Box::new(faults)),
                then: Received::Keep,
            }
        })
        .reason("not-granted"),
        untold("receives a BPF map", "kernel.bpf", |g| Act::Receive {
            from: g.giver(Box::new(map)),
            then: Received::Keep,
        })
        .reason("not-granted")
        .twin(|g| Act::Receive {
            from: g.giver(Box::new(pipe)),
            then: Received::Keep,
        }),
    ]
}

fn of_system(made: raw::Done<i64>) -> io::Result<OwnedFd> {
    made.map(raw::owned)
        .map_err(|fault| io::Error::other(format!("{fault:?}")))
}

/// An array of one number.
fn map() -> io::Result<OwnedFd> {
    const BPF_MAP_CREATE: i64 = 0;
    // Type, sizes of key and value, entries.
    let attributes = [2_u32, 4, 4, 1];
    of_system(raw::syscall(
        libc::SYS_bpf,
        &[
            BPF_MAP_CREATE,
            attributes.as_ptr() as i64,
            size_of_val(&attributes) as i64,
        ],
    ))
}

/// A counter of the processor's time, of this process.
fn counter() -> io::Result<OwnedFd> {
    // Type (software), size, event.
    let mut attributes = [0_u64; 16];
    attributes[0] = 1 | 112 << 32;
    of_system(raw::syscall(
        libc::SYS_perf_event_open,
        &[attributes.as_ptr() as i64, 0, -1, -1, 0],
    ))
}

fn faults() -> io::Result<OwnedFd> {
    of_system(raw::syscall(libc::SYS_userfaultfd, &[0]))
}

fn pipe() -> io::Result<OwnedFd> {
    Ok(io::pipe()?.0.into())
}

fn memory() -> io::Result<OwnedFd> {
    // SAFETY: a NUL-terminated string.
    of_system(raw::check(unsafe {
        libc::memfd_create(c"gift".as_ptr(), 0)
    }))
}

fn socket() -> io::Result<OwnedFd> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.into())
}

fn event() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    of_system(raw::check(unsafe { libc::eventfd(0, 0) }))
}

/// With `O_PATH`, which gives access to nothing.
fn path_only() -> io::Result<OwnedFd> {
    raw::open("/etc/shadow", libc::O_PATH).map_err(|fault| io::Error::other(format!("{fault:?}")))
}

fn watching() -> Vec<Case> {
    let unprivileged = [libc::EACCES, libc::EPERM];
    vec![
        case("watches a file outside", READ, |g| Act::Watch {
            path: g.file_outside("f"),
        })
        .twin(|g| Act::Watch {
            path: g.file_reference("f"),
        })
        .places(),
        case("watches a directory outside", LIST, |g| Act::Watch {
            path: g.dir_outside("d"),
        })
        .twin(|g| Act::Watch {
            path: g.dir_inside("d"),
        })
        .places(),
        case("watches a file outside by fanotify", READ, |g| Act::Mark {
            path: g.file_outside("f"),
        })
        .errnos(&unprivileged)
        .twin(|g| Act::Mark {
            path: g.file_reference("f"),
        }),
    ]
}

/// `RNDGETENTCNT`, which everybody may ask /dev/random.
fn ask_random(g: &mut Ground<'_>, path: String) -> Act {
    Act::Ioctl {
        path: g.device(path, 1, 8),
        flags: libc::O_RDONLY,
        command: 0x8004_5200,
        argument: vec![0; 4],
        tool: Vec::new(),
    }
}

/// `BLKGETSIZE64` of the VM's disk.
fn ask_disk(g: &mut Ground<'_>, path: String) -> Act {
    let real = g.world.fixture(&path);
    g.shell(&format!(
        "mknod {} b $(tr : ' ' </sys/block/nvme0n1/dev)",
        real.display()
    ));
    Act::Ioctl {
        path,
        flags: libc::O_RDONLY,
        command: 0x8008_1272,
        argument: vec![0; 8],
        tool: Vec::new(),
    }
}

/// `FS_IOC_ZERO_RANGE` of the first bytes: `struct space_resv`.
fn zero(g: &mut Ground<'_>, path: String) -> Act {
    g.watch(Witness::Content(path.clone(), None));
    let mut argument = vec![0; 48];
    argument[16] = 8;
    Act::Ioctl {
        path,
        flags: libc::O_RDWR,
        command: 0x4030_5839,
        argument,
        tool: Vec::new(),
    }
}

fn controlling() -> Vec<Case> {
    vec![
        case("controls a device that may only be read", IOCTL, |g| {
            let path = g.reference("random");
            ask_random(g, path)
        })
        .twin(|g| {
            let path = g.inside("random");
            ask_random(g, path)
        })
        .places(),
        case("controls a disk that may only be read", IOCTL, |g| {
            let path = g.reference("disk");
            ask_disk(g, path)
        })
        .twin(|g| {
            let path = g.inside("disk");
            ask_disk(g, path)
        }),
        case(
            "zeroes a file that may be written by its filesystem's control",
            IOCTL,
            |g| {
                let path = g.file_dropbox("f");
                zero(g, path)
            },
        )
        .twin(|g| {
            let path = g.file_inside("f");
            zero(g, path)
        })
        .places(),
        case("controls a device as a 32-bit program does", IOCTL, |g| {
            let path = g.reference("random");
            Act::Ioctl32 {
                path: g.device(path, 1, 8),
                command: 0x8004_5200,
                argument: vec![0; 4],
            }
        })
        .ways(&[Way::Compiled])
        .twin(|g| {
            let path = g.inside("random");
            Act::Ioctl32 {
                path: g.device(path, 1, 8),
                command: 0x8004_5200,
                argument: vec![0; 4],
            }
        }),
    ]
}

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "descriptors",
            "what has no path may be received",
            receive_nameless,
        ),
        Single::new(
            "descriptors",
            "programs ask terminals and files and are refused nothing",
            ask,
        ),
        Single::new(
            "descriptors",
            "no blocks go from file to file, whatever may be done to both",
            exchange,
        ),
    ]
}

const RECEIVE: &str = "import socket, sys
for path in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    assert socket.recv_fds(s, 1, 1)[1], path
";

fn receive_nameless(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    fs::create_dir_all("/srv/givers").doing("make a directory")?;
    let gifts: [(&str, Gift); 5] = [
        ("pipe", Box::new(pipe)),
        ("memory", Box::new(memory)),
        ("socket", Box::new(socket)),
        ("event", Box::new(event)),
        ("path", Box::new(path_only)),
    ];
    let mut words = vec!["python3".to_owned(), "-c".into(), RECEIVE.into()];
    for (name, gift) in gifts {
        let path = format!("/srv/givers/{name}");
        giver::give(path.as_ref(), gift).doing("listen")?;
        words.push(path);
    }
    let ended = world.launch("fixture", &fixture_grant())?.run(&words)?;
    ensure(ended.code == 0, || {
        format!("expected every descriptor to come, saw {}", ended.tail())
    })
}

/// `FS_IOC_ZERO_RANGE` of a third file, then `EXT4_IOC_MOVE_EXT` of the first block.
const EXCHANGE: &str = "import fcntl, os, struct, sys
one, two, three = (os.open(path, os.O_RDWR) for path in sys.argv[1:])
fcntl.ioctl(three, 0x40305839, struct.pack('hhqqiI16x', 0, 0, 0, 4096, 0, 0))
fcntl.ioctl(one, 0xc028660f, bytearray(struct.pack('IIQQQQ', 0, two, 0, 0, 1, 0)))
";

fn exchange(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let at = |name: &str| format!("{}/{name}", world.workspace);
    let files = ["one", "two", "three"].map(at);
    let program = at("exchange.py");
    fs::write(&program, EXCHANGE).doing("write")?;
    let fill = || -> Check {
        for (file, byte) in files.iter().zip(["1", "2", "3"]) {
            fs::write(file, byte.repeat(4096)).doing("write")?;
        }
        shell("sync").map(drop)
    };
    let first = |file: &String| fs::read(file).map(|bytes| bytes.first().copied());
    let told = || -> Check<[Option<u8>; 3]> {
        shell("sync; echo 3 >/proc/sys/vm/drop_caches")?;
        let [one, two, three] = files.each_ref().map(first);
        Ok([one, two, three].map(|byte| byte.ok().flatten()))
    };
    let command = format!("python3 {program} {}", files.join(" "));
    fill()?;
    let mut session = Shell::start(&world.launch("fixture", &fixture_grant())?)?;
    session.may_not(&command)?;
    let seen = told()?;
    ensure(seen == [Some(b'1'), Some(b'2'), Some(0)], || {
        format!("expected the third file alone to be changed, saw {seen:?}")
    })?;
    let events = events::of(&session.session)?;
    let told_why = events
        .iter()
        .any(|event| event.right == IOCTL && event.reason == "self-protection");
    ensure(told_why, || format!("no event tells it: {events:?}"))?;
    // Who is not confined exchanges them.
    fill()?;
    shell(&command)?;
    let seen = told()?;
    // The first keeps its content, on the blocks of the second, which loses its own.
    ensure(seen[0] == Some(b'1') && seen[1] != Some(b'2'), || {
        format!("expected the second to have lost its blocks, saw {seen:?}")
    })
}

/// What shells and programs ask of what they are given and open.
const ASK: &str = "import fcntl, os, pty, sys, termios
reference = sys.argv[1]
for path in ['/dev/null', '/dev/zero', '/dev/urandom', reference, os.path.dirname(reference)]:
    assert not os.isatty(os.open(path, os.O_RDONLY)), path
assert fcntl.ioctl(open(reference), termios.FIONREAD, bytes(4)) != bytes(4)
fcntl.ioctl(open(reference), 0x80086601, bytes(8))
def child(command):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp('bash', ['bash', '-c', command])
    said = b''
    try:
        while part := os.read(terminal, 4096):
            said += part
    except OSError:
        pass
    assert os.waitpid(pid, 0)[1] == 0, said
child('test -t 0 && stty size && stty -echo && tty && test -t 2 </dev/tty')
";

fn ask(_: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let reference = format!("{}/asked/file", world.reference);
    fs::create_dir_all(format!("{}/asked", world.reference)).doing("make a directory")?;
    fs::write(&reference, "asked").doing("write")?;
    let launch = world.launch("fixture", &fixture_grant())?;
    let mut shell = Shell::start(&launch)?;
    let session = shell.session.clone();
    shell.may(&format!("lsattr {reference}"))?;
    let program = format!("{}/ask.py", world.workspace);
    fs::write(&program, ASK).doing("write")?;
    shell.may(&format!("python3 {program} {reference}"))?;
    shell.may_not(&format!("chattr +d {reference}"))?;
    // The refusal before is the last event, so those of what was asked would be here too.
    let seen = events::of(&session)?;
    let refused = seen
        .iter()
        .filter(|event| event.right.starts_with("file."))
        .map(events::Event::brief)
        .collect::<Vec<_>>();
    ensure(
        refused.len() == 1 && refused[0].contains("file.attr"),
        || {
            format!(
                "expected one refusal, of file.attr, saw {}",
                refused.join("; ")
            )
        },
    )
}
