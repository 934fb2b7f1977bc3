//! Acts by Python.

use super::{Act, Arg, ModeBy, OVERWRITTEN, Received, SendBy, SignalBy};

/// What every generated program begins with. `act` runs each function in a process of its own.
pub(crate) const HEAD: &str = include_str!("head.py");

/// As a Python literal. JSON's escapes mean the same there.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn argument(arg: &Arg) -> String {
    match arg {
        Arg::Number(number) => number.to_string(),
        Arg::Text(value) => format!("c({})", text(value)),
        Arg::Bytes(bytes) => format!("buffer(bytes({bytes:?}))"),
        Arg::Open(path, flags) => format!("os.open({}, {flags})", text(path)),
    }
}

impl Act {
    /// Statements for the body of a function; it fails by an exception.
    #[expect(clippy::too_many_lines, reason = "one line for each act")]
    pub(crate) fn python(&self) -> Option<String> {
        let written = text(OVERWRITTEN);
        Some(match self {
            Self::Read { path } => format!("read(open({}))", text(path)),
            Self::Open { path } => format!("os.open({}, os.O_RDONLY)", text(path)),
            Self::ReadMapped { path } => format!(
                "f = os.open({}, os.O_RDONLY); m = mmap.mmap(f, 8, prot=mmap.PROT_READ); m[0]",
                text(path)
            ),
            Self::ReadAgain { path } => {
                format!(
                    "f = os.open({}, os.O_PATH); read(open(f'/proc/self/fd/{{f}}'))",
                    text(path)
                )
            }
            Self::ReadFrom { dir, path } => {
                format!("os.chdir({}); read(open({}))", text(dir), text(path))
            }
            Self::ReadWrite { path } => format!("os.open({}, os.O_RDWR)", text(path)),
            Self::Write { path } => {
                format!(
                    "f = os.open({}, os.O_WRONLY); os.write(f, {written}.encode())",
                    text(path)
                )
            }
            Self::WriteMapped { path } => format!(
                "f = os.open({}, os.O_RDWR); m = mmap.mmap(f, 8); m[0:8] = b'overwrit'; m.flush()",
                text(path)
            ),
            Self::WriteText {
                path,
                text: content,
            } => format!(
                "f = os.open({}, os.O_WRONLY); os.write(f, {}.encode())",
                text(path),
                text(content)
            ),
            Self::Append { path } => format!("open({}, 'a').write({written})", text(path)),
            Self::Truncate { path } => format!("os.truncate({}, 0)", text(path)),
            Self::TruncateOpen { path } => {
                format!("os.open({}, os.O_RDONLY | os.O_TRUNC)", text(path))
            }
            Self::Create { path } => format!("open({}, 'x')", text(path)),
            Self::Tmpfile { dir } => {
                format!("os.open({}, os.O_TMPFILE | os.O_WRONLY)", text(dir))
            }
            Self::TmpfileLink { dir, to } => format!(
                "f = os.open({}, os.O_TMPFILE | os.O_WRONLY); \
                 os.link(f'/proc/self/fd/{{f}}', {}, src_dir_fd=f, follow_symlinks=True)",
                text(dir),
                text(to)
            ),
            Self::Mkdir { path } => format!("os.mkdir({})", text(path)),
            Self::Mkfifo { path } => format!("os.mkfifo({})", text(path)),
            Self::Mkdev { path } => {
                format!("os.mknod({}, 0o20666, os.makedev(1, 3))", text(path))
            }
            Self::BindSocket { path } => {
                format!("socket.socket(socket.AF_UNIX).bind({})", text(path))
            }
            Self::Symlink { target, path } => {
                format!("os.symlink({}, {})", text(target), text(path))
            }
            Self::Link { from, to } => format!("os.link({}, {})", text(from), text(to)),
            Self::Rename { from, to } => format!("os.rename({}, {})", text(from), text(to)),
            Self::Delete { path } => format!("os.unlink({})", text(path)),
            Self::Rmdir { path } => format!("os.rmdir({})", text(path)),
            Self::DeleteTree { path } => format!("shutil.rmtree({})", text(path)),
            Self::List { path } => format!("os.listdir({})", text(path)),
            Self::Chmod { path } => format!("os.chmod({}, 0o700)", text(path)),
            Self::ChmodDescriptor { path } => {
                format!(
                    "f = os.open({}, os.O_RDONLY); os.fchmod(f, 0o700)",
                    text(path)
                )
            }
            Self::Mode { path, mode, by } => {
                let name = text(path);
                match by {
                    ModeBy::Chmod => format!("os.chmod({name}, {mode})"),
                    ModeBy::Fchmod => {
                        format!("f = os.open({name}, os.O_RDONLY); os.fchmod(f, {mode})")
                    }
                    ModeBy::Open => {
                        format!("os.open({name}, os.O_CREAT | os.O_EXCL | os.O_WRONLY, {mode})")
                    }
                    ModeBy::Mknod => format!("os.mknod({name}, 0o100000 | {mode})"),
                    ModeBy::Tmpfile => format!(
                        "f = os.open(os.path.dirname({name}), os.O_TMPFILE | os.O_WRONLY, {mode}); \
                         os.link(f'/proc/self/fd/{{f}}', {name}, src_dir_fd=f, \
                         follow_symlinks=True)"
                    ),
                }
            }
            Self::Chown { path } => format!("os.chown({}, 0, 0)", text(path)),
            Self::Touch { path } => format!("os.utime({})", text(path)),
            Self::SetTimes { path } => format!("os.utime({}, (10**9, 10**9))", text(path)),
            Self::SetTimesDescriptor { path } => format!(
                "os.utime(os.open({}, os.O_RDONLY), (10**9, 10**9))",
                text(path)
            ),
            Self::SetXattr { path, name, value } => {
                let (path, name) = (text(path), text(name));
                format!("os.setxattr({path}, {name}, bytes({value:?}))")
            }
            Self::RemoveXattr { path, name } => {
                format!("os.removexattr({}, {})", text(path), text(name))
            }
            Self::Ioctl {
                path,
                flags,
                command,
                argument,
                ..
            } => format!(
                "f = os.open({}, {flags}); fcntl.ioctl(f, {command}, bytes({argument:?}))",
                text(path)
            ),
            Self::Watch { path } => format!(
                "call(254, libc.inotify_init(), c({}), 0x302)", // IN_MODIFY, IN_CREATE, IN_DELETE
                text(path)
            ),
            Self::Receive { from, then } => {
                let from = text(from);
                match then {
                    Received::Keep => format!("received({from})"),
                    Received::Read => format!("read(open(received({from})))"),
                    Received::Write(_) => {
                        format!("os.write(received({from}), {written}.encode())")
                    }
                }
            }
            Self::Run { program, mark } => {
                format!("os.execv({0}, [{0}, {1}])", text(program), text(mark))
            }
            Self::RunByLoader { program, mark } => format!(
                "run(['/lib64/ld-linux-x86-64.so.2', {}, {}])",
                text(program),
                text(mark)
            ),
            Self::RunMemory { program, mark } => format!(
                "data = open({}, 'rb').read(); f = os.memfd_create('m', 0); os.write(f, data); \
                 os.execve(f, ['touch', {}], os.environ)",
                text(program),
                text(mark)
            ),
            Self::Preload { library, mark } => format!(
                "run(['env', 'LD_PRELOAD=' + {}, 'MARK=' + {mark}, 'test', '-e', {mark}])",
                text(library),
                mark = text(mark)
            ),
            Self::Dlopen { library, mark } => {
                format!(
                    "os.environ['MARK'] = {}; ctypes.CDLL({})",
                    text(mark),
                    text(library)
                )
            }
            Self::MapExecutable { path } => format!(
                "f = os.open({}, os.O_RDONLY); \
                 mmap.mmap(f, 8, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
                text(path)
            ),
            Self::WrittenProgram { path } => format!(
                "f = os.open({}, os.O_RDONLY); mmap.mmap(f, 8, flags=mmap.MAP_PRIVATE, \
                 prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
                text(path)
            ),
            Self::AnonymousCode => "mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANON, \
                 prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"
                .into(),
            Self::Tcp { address, port } => {
                format!(
                    "inet({a}, socket.SOCK_STREAM).connect(({a}, {port}))",
                    a = text(address)
                )
            }
            Self::FastOpen { address, port } => format!(
                "inet({a}, socket.SOCK_STREAM).sendto(b'x', socket.MSG_FASTOPEN, ({a}, {port}))",
                a = text(address)
            ),
            Self::Udp { address, port, by } => {
                let a = text(address);
                match by {
                    SendBy::Connect => format!(
                        "s = inet({a}, socket.SOCK_DGRAM); s.connect(({a}, {port})); s.send(b'x')"
                    ),
                    SendBy::SendTo => {
                        format!("inet({a}, socket.SOCK_DGRAM).sendto(b'x', ({a}, {port}))")
                    }
                    SendBy::SendMsg => {
                        format!(
                            "inet({a}, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ({a}, {port}))"
                        )
                    }
                    SendBy::SendMmsg
                    | SendBy::SendMmsgConnected
                    | SendBy::Unspecified
                    | SendBy::V4OnV6
                    | SendBy::WithoutScope => return None,
                }
            }
            Self::Socket {
                family,
                kind,
                protocol,
            } => {
                format!("socket.socket({family}, {kind}, {protocol})")
            }
            Self::UnixStream { path } => {
                format!("socket.socket(socket.AF_UNIX).connect({})", text(path))
            }
            Self::UnixDatagram { path } => format!(
                "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', {})",
                text(path)
            ),
            Self::Abstract { name } => {
                format!(
                    "socket.socket(socket.AF_UNIX).connect('\\0' + {})",
                    text(name)
                )
            }
            Self::Signal { pid, by, .. } => match by {
                SignalBy::Kill => format!("os.kill({pid}, 9)"),
                SignalBy::Pidfd => {
                    format!("signal.pidfd_send_signal(os.pidfd_open({pid}), 9)")
                }
                SignalBy::Tgkill => format!("call(234, {pid}, {pid}, 9)"),
                SignalBy::Queue | SignalBy::Pkill => return None,
            },
            Self::SignalChild { by } => {
                let sent = match by {
                    SignalBy::Kill => "os.kill(p, 9)",
                    SignalBy::Pidfd => "signal.pidfd_send_signal(os.pidfd_open(p), 9)",
                    SignalBy::Tgkill => "call(234, p, p, 9)",
                    SignalBy::Queue | SignalBy::Pkill => return None,
                };
                format!("p = child(); {sent}; os.waitpid(p, 0)")
            }
            Self::Ptrace { pid } => {
                format!("call(101, 16, {pid}, 0, 0); os.waitpid({pid}, 0x40000000)")
            }
            Self::Syscall {
                number, arguments, ..
            } => {
                let arguments = arguments
                    .iter()
                    .map(argument)
                    .collect::<Vec<_>>()
                    .join(", ");
                format!("call({number}, {arguments})")
            }
            Self::Then(first, second) => format!("{}; {}", first.python()?, second.python()?),
            _ => return None,
        })
    }
}
