//! Where it is tried: files, and what belongs to somebody else, under a grant of their own.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use nix::{
    fcntl::OFlag,
    mount::{MsFlags, mount},
    pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt},
    sched::{CloneFlags, unshare},
    unistd::mkdtemp,
};

use super::{COMMAND, Scratch};
use crate::api::{GrantSource, Inputs, SourceFile};

const GRANT: &str = r#"
version = 1
name = "self-test"
purpose = "Try one act of each kind that must be refused, and one that must not."

[variables]
place = "/nonexistent"
program = "/nonexistent"

[[file]]
id = "inside"
allow = ["read", "write", "create", "delete", "list", "attr"]
path = ["${place}/inside/**"]

[[file]]
id = "readable"
allow = ["read", "list"]
path = ["${place}/readable/**"]

[[file]]
id = "program"
allow = ["read", "exec"]
path = ["${program}"]

[[file]]
id = "terminals"
allow = ["read", "write", "ioctl"]
path = ["/dev/ptmx", "/dev/pts/*"]

[[net]]
id = "one-port"
allow = ["connect"]
to = ["127.0.0.1:9/udp"]

[process]
capabilities = ["sys_admin", "sys_chroot"]

[kernel]
namespaces = true
mount = true
userfaultfd = true
"#;

/// What is somebody else's, by the names that the scratch process tries.
#[derive(Clone, Debug, Args)]
pub struct Others {
    pub(super) terminal: PathBuf,
    pub(super) memory: i32,
    pub(super) listener: String,
}

/// A directory for one run, and what no session may touch; removed with this value.
pub struct Place {
    path: PathBuf,
    program: PathBuf,
    terminal: Option<PtyMaster>,
    memory: Option<Memory>,
    /// Its name is the directory's path.
    _socket: Option<UnixListener>,
}

/// No process can rename a directory of sysfs, or put a link in its place.
const COVERED: &str = "/sys/kernel";

impl Place {
    /// A place that no other process can get at, whatever its grant: in memory, in a mount namespace of
    /// this thread's own, which its children are born in. For root.
    ///
    /// # Errors
    /// The system lets nothing be mounted.
    pub fn private() -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        // No tmpfs: its number may be that of another, which a session could write.
        let (nothing, kind) = (None::<&str>, Some("ramfs"));
        mount(
            nothing,
            "/",
            nothing,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            nothing,
        )?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(kind, COVERED, kind, flags, Some("mode=755"))?;
        Self::make(Path::new(COVERED))
    }

    /// # Errors
    /// The directory cannot be made.
    pub fn make(below: &Path) -> io::Result<Self> {
        let path = mkdtemp(&below.join("bailiff-self-test-XXXXXX"))?;
        let path = fs::canonicalize(path)?;
        let listener = SocketAddr::from_abstract_name(path.as_os_str().as_encoded_bytes())
            .and_then(|name| UnixListener::bind_addr(&name));
        let place = Self {
            program: fs::canonicalize("/proc/self/exe")?,
            terminal: terminal().ok(),
            memory: Memory::make().ok(),
            _socket: listener.ok(),
            path,
        };
        for name in ["inside", "readable", "outside"] {
            let directory = place.path.join(name);
            fs::create_dir(&directory)?;
            // Whoever may write here could have put a link there.
            fs::File::create_new(directory.join("file"))?.write_all(b"self-test")?;
        }
        Ok(place)
    }

    /// The grant, and what fills it in.
    #[must_use]
    pub fn grant(&self) -> (GrantSource, Inputs) {
        let main = SourceFile {
            name: "self-test".into(),
            origin: "self-test".into(),
            text: GRANT.into(),
            file: None,
        };
        let text = |path: &Path| path.display().to_string();
        let set = [
            ("place", text(&self.path)),
            ("program", text(&self.program)),
        ];
        let inputs = Inputs {
            set: set
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            ..Inputs::default()
        };
        let source = GrantSource {
            main,
            includes: Vec::new(),
        };
        (source, inputs)
    }

    /// Starts the process that will do the acts, and waits until it is ready to.
    ///
    /// # Errors
    /// It does not start, or ends at once.
    pub fn start(&self) -> io::Result<Scratch> {
        let mut command = Command::new(&self.program);
        self.add_acts(&mut command);
        Scratch::start(&mut command)
    }

    /// The same in a session of its own, by `bailiff run`.
    ///
    /// # Errors
    /// It does not start; the message is that of `bailiff run`.
    pub fn start_session(&self, socket: &Path) -> io::Result<Scratch> {
        let grant = self.path.join("grant.toml");
        // This program may be one that is loaded dynamically.
        let text = GRANT.replacen("version = 1", "version = 1\ninclude = [\"base\"]", 1);
        fs::File::create_new(&grant)?.write_all(text.as_bytes())?;
        let mut command = Command::new(&self.program);
        command
            .arg("--socket")
            .arg(socket)
            .args(["run", "--quiet", "--grant"])
            .arg(grant);
        for (name, value) in [("place", &self.path), ("program", &self.program)] {
            command.arg("--set");
            command.arg(format!("{name}={}", value.display()));
        }
        command.arg("--").arg(&self.program);
        self.add_acts(&mut command);
        Scratch::start(&mut command)
    }

    /// What is missing here is named all the same: then it is not tried.
    fn add_acts(&self, command: &mut Command) {
        let terminal = self.terminal.as_ref();
        let terminal = terminal.and_then(|terminal| ptsname_r(terminal).ok());
        let memory = self.memory.as_ref().map_or(0, Memory::id);
        command
            .arg(COMMAND)
            .args([&self.path, &self.program])
            .arg(terminal.unwrap_or_else(|| "/nonexistent".into()))
            .arg(memory.to_string())
            .arg(&self.path);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn terminal() -> io::Result<PtyMaster> {
    let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    Ok(terminal)
}

/// A page of System V shared memory; removed with this value.
pub(super) struct Memory(i32);

impl Memory {
    pub(super) fn make() -> io::Result<Self> {
        // SAFETY: integers only.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, 1, 0o600) };
        Ok(Self(nix::errno::Errno::result(id)?))
    }

    pub(super) fn id(&self) -> i32 {
        self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this command takes no structure.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}
