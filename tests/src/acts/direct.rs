//! Acts by tools. Standard input of every tool is [`super::OVERWRITTEN`].

use super::{Act, ModeBy, SendBy, SignalBy, attributes::ACCESS_LIST};

fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

impl Act {
    /// The tool with its arguments.
    pub(crate) fn direct(&self) -> Option<Vec<String>> {
        match self {
            Self::Read { path } => words(&["cat", path]),
            Self::ReadFrom { dir, path } => words(&["env", "-C", dir, "cat", path]),
            Self::Write { path } => words(&["tee", path]),
            Self::WriteText { path, text } => {
                words(&["sh", "-c", "printf %s \"$1\" > \"$0\"", path, text])
            }
            Self::Append { path } => words(&["tee", "-a", path]),
            Self::Truncate { path } => words(&["truncate", "-s", "0", path]),
            Self::TruncateOpen { path } => words(&["cp", "/dev/null", path]),
            Self::PunchHole { path } => words(&[
                "fallocate",
                "--punch-hole",
                "--offset",
                "0",
                "--length",
                "8",
                path,
            ]),
            Self::Create { path } => words(&["touch", path]),
            Self::Mkdir { path } => words(&["mkdir", path]),
            Self::Mkfifo { path } => words(&["mkfifo", path]),
            Self::Mkdev { path } => words(&["mknod", path, "c", "1", "3"]),
            Self::Symlink { target, path } => words(&["ln", "-s", target, path]),
            Self::Link { from, to } => words(&["ln", "-T", from, to]),
            Self::Rename { from, to } => words(&["mv", "--no-copy", "-f", "-T", from, to]),
            Self::Exchange { from, to } => {
                words(&["mv", "--exchange", "--no-copy", "-T", from, to])
            }
            Self::Delete { path } => words(&["rm", "-f", path]),
            Self::Rmdir { path } => words(&["rmdir", path]),
            Self::DeleteTree { path } => words(&["rm", "-rf", path]),
            Self::List { path } => words(&["ls", path]),
            Self::Chmod { path } => words(&["chmod", "700", path]),
            Self::Mode {
                path,
                mode,
                by: ModeBy::Chmod,
            } => words(&["chmod", &format!("{mode:o}"), path]),
            Self::Chown { path } => words(&["chown", "0:0", path]),
            Self::Touch { path } => words(&["touch", "-c", path]),
            Self::TouchOne { path } => words(&["touch", "-c", "-m", path]),
            Self::SetTimes { path } => words(&["touch", "-c", "-d", "@1000000000", path]),
            Self::SetXattr { path, name, .. } if name == ACCESS_LIST => {
                words(&["setfacl", "-m", "u:1000:r", path])
            }
            Self::SetXattr { path, name, value } => {
                let digits = value.iter().map(|byte| format!("{byte:02x}"));
                let value = format!("0x{}", digits.collect::<String>());
                words(&["setfattr", "-n", name, "-v", &value, path])
            }
            Self::RemoveXattr { path, name } if name == ACCESS_LIST => {
                words(&["setfacl", "-b", path])
            }
            Self::RemoveXattr { path, name } => words(&["setfattr", "-x", name, path]),
            Self::Run { program, mark } => words(&[program, mark]),
            Self::RunByLoader { program, mark } => {
                words(&["/lib64/ld-linux-x86-64.so.2", program, mark])
            }
            Self::Preload { library, mark } => {
                let library = format!("LD_PRELOAD={library}");
                // The loader only warns when it cannot load the library.
                words(&["env", &library, &format!("MARK={mark}"), "test", "-e", mark])
            }
            Self::Tcp { address, port } => {
                words(&["nc", "-v", "-z", "-w", "3", address, &port.to_string()])
            }
            Self::Udp {
                address,
                port,
                by: SendBy::SendTo,
            } => {
                let to = if address.contains(':') {
                    format!("UDP6-DATAGRAM:[{address}]:{port}")
                } else {
                    format!("UDP4-DATAGRAM:{address}:{port}")
                };
                words(&["socat", "-u", "STDIN", &to])
            }
            Self::UnixStream { path } => {
                words(&["socat", "-u", "STDIN", &format!("UNIX-CONNECT:{path}")])
            }
            Self::Abstract { name } => {
                words(&["socat", "-u", "STDIN", &format!("ABSTRACT-CONNECT:{name}")])
            }
            Self::Signal {
                pid,
                by: SignalBy::Kill,
                ..
            } => words(&["/bin/kill", "-KILL", &pid.to_string()]),
            Self::Signal {
                by: SignalBy::Pkill,
                marker,
                ..
            } => words(&["pkill", "-KILL", "-f", &format!("^{marker} ")]),
            Self::SignalChild { by: SignalBy::Kill } => words(&[
                "bash",
                "-c",
                "sleep 60 & kill -KILL $!; wait $!; test $? = 137",
            ]),
            Self::Syscall { tool, .. } | Self::Ioctl { tool, .. } if !tool.is_empty() => {
                Some(tool.clone())
            }
            _ => None,
        }
    }
}
