//! The ground of one act: directories, victims and listeners of its own, so that its traces can be
//! told from every other act's.

use std::{
    fs,
    net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::net::{UnixDatagram, UnixListener},
};

use super::{
    Check, Doing,
    giver::{self, Gift},
    process::Background,
    world::World,
};
use crate::acts::{SECRET, Witness};

/// Something that hears when an act reaches it.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Udp(UdpSocket),
    Unix(UnixListener),
    UnixDatagram(UnixDatagram),
}

impl Listener {
    /// Whether anything arrived.
    pub(crate) fn heard(&self) -> bool {
        let mut byte = [0];
        match self {
            Self::Tcp(socket) => socket.accept().is_ok(),
            Self::Udp(socket) => socket.recv(&mut byte).is_ok(),
            Self::Unix(socket) => socket.accept().is_ok(),
            Self::UnixDatagram(socket) => socket.recv(&mut byte).is_ok(),
        }
    }
}

pub(crate) struct Ground<'a> {
    pub(crate) world: &'a World,
    pub(crate) number: u32,
    pub(crate) victims: Vec<Background>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) witnesses: Vec<Witness>,
    /// What went wrong while it was prepared.
    pub(crate) error: Option<String>,
    /// Nothing is made; only the act is wanted.
    imagined: bool,
}

/// First port of those that the fixture grants.
pub(crate) const GRANTED_PORTS: u16 = 10_000;
/// First port of those that it does not.
pub(crate) const OTHER_PORTS: u16 = 20_000;

impl<'a> Ground<'a> {
    pub(crate) fn new(world: &'a World, number: u32) -> Self {
        Self {
            world,
            number,
            victims: Vec::new(),
            listeners: Vec::new(),
            witnesses: Vec::new(),
            error: None,
            imagined: false,
        }
    }

    /// A ground on which nothing is made.
    pub(crate) fn imagined(world: &'a World) -> Self {
        Self {
            imagined: true,
            ..Self::new(world, 0)
        }
    }

    /// What stands in every path of this act.
    pub(crate) fn tag(&self) -> String {
        format!("n{:05}", self.number)
    }

    fn note(&mut self, check: Check) {
        if let Err(error) = check {
            self.error.get_or_insert(error);
        }
    }

    fn below(&mut self, base: &str, name: &str) -> String {
        let dir = format!("{base}/{}", self.tag());
        self.dir(dir.clone());
        if name.is_empty() {
            dir
        } else {
            format!("{dir}/{name}")
        }
    }

    /// A path below the workspace: everything is granted.
    pub(crate) fn inside(&mut self, name: &str) -> String {
        self.below(&self.world.workspace.clone(), name)
    }

    /// A path at which nothing is granted.
    pub(crate) fn outside(&mut self, name: &str) -> String {
        self.below(&self.world.outside.clone(), name)
    }

    /// A path at which reading and listing is granted.
    pub(crate) fn reference(&mut self, name: &str) -> String {
        self.below(&self.world.reference.clone(), name)
    }

    /// A path at which reading, writing, creating and listing is granted.
    pub(crate) fn dropbox(&mut self, name: &str) -> String {
        self.below(&self.world.dropbox.clone(), name)
    }

    /// A path below the home directory: nothing is granted.
    pub(crate) fn home(&mut self, name: &str) -> String {
        self.below(&self.world.home.clone(), name)
    }

    /// Makes a file with [`SECRET`] in it.
    pub(crate) fn file(&mut self, path: String) -> String {
        self.content(path, SECRET.as_bytes(), 0o644)
    }

    pub(crate) fn content(&mut self, path: String, bytes: &[u8], mode: u32) -> String {
        use std::os::unix::fs::PermissionsExt;
        if self.imagined {
            return path;
        }
        let real = self.world.fixture(&path);
        let made = (|| {
            if let Some(dir) = real.parent() {
                fs::create_dir_all(dir)?;
            }
            fs::write(&real, bytes)?;
            fs::set_permissions(&real, fs::Permissions::from_mode(mode))
        })();
        self.note(made.doing(&format!("make {path}")));
        path
    }

    pub(crate) fn dir(&mut self, path: String) -> String {
        if self.imagined {
            return path;
        }
        let made = fs::create_dir_all(self.world.fixture(&path)).doing(&format!("make {path}"));
        self.note(made);
        path
    }

    pub(crate) fn file_inside(&mut self, name: &str) -> String {
        let path = self.inside(name);
        self.file(path)
    }

    pub(crate) fn file_outside(&mut self, name: &str) -> String {
        let path = self.outside(name);
        self.file(path)
    }

    pub(crate) fn file_reference(&mut self, name: &str) -> String {
        let path = self.reference(name);
        self.file(path)
    }

    pub(crate) fn file_dropbox(&mut self, name: &str) -> String {
        let path = self.dropbox(name);
        self.file(path)
    }

    pub(crate) fn file_home(&mut self, name: &str) -> String {
        let path = self.home(name);
        self.file(path)
    }

    pub(crate) fn dir_inside(&mut self, name: &str) -> String {
        let path = self.inside(name);
        self.dir(path)
    }

    pub(crate) fn dir_outside(&mut self, name: &str) -> String {
        let path = self.outside(name);
        self.dir(path)
    }

    pub(crate) fn symlink(&mut self, target: &str, path: String) -> String {
        if self.imagined {
            return path;
        }
        let made = std::os::unix::fs::symlink(target, self.world.fixture(&path));
        self.note(made.doing(&format!("link {path}")));
        path
    }

    /// A copy of a program of the host.
    pub(crate) fn program(&mut self, from: &str, path: String) -> String {
        let bytes = fs::read(from);
        match bytes {
            Ok(bytes) => self.content(path, &bytes, 0o755),
            Err(error) => {
                self.error.get_or_insert(format!("read {from}: {error}"));
                path
            }
        }
    }

    /// A program that makes the file that it is given: a mark that it ran.
    pub(crate) fn touch(&mut self, path: String) -> String {
        self.program("/usr/bin/touch", path)
    }

    /// A mark that a program is to leave: always where writing is granted.
    pub(crate) fn mark(&mut self) -> String {
        self.inside("mark")
    }

    /// A process outside every session.
    pub(crate) fn victim(&mut self) -> i32 {
        if self.imagined {
            return 0;
        }
        let marker = self.marker();
        match Background::victim(&marker) {
            Ok(victim) => {
                let pid = victim.pid();
                self.victims.push(victim);
                pid
            }
            Err(error) => {
                self.error.get_or_insert(error);
                0
            }
        }
    }

    /// What the command lines of this ground's victims begin with.
    pub(crate) fn marker(&self) -> String {
        format!("victim-{}", self.tag())
    }

    fn listen(&mut self, port: u16, made: std::io::Result<Listener>) -> u16 {
        match made {
            Ok(listener) => self.listeners.push(listener),
            Err(error) => {
                self.error
                    .get_or_insert(format!("listen at port {port}: {error}"));
            }
        }
        port
    }

    /// The port that this act may connect to (`granted`) or may not.
    fn port(&self, granted: bool) -> u16 {
        let first = if granted { GRANTED_PORTS } else { OTHER_PORTS };
        first + (self.number % 10_000) as u16
    }

    /// Listens for TCP at every address of both families.
    pub(crate) fn tcp(&mut self, granted: bool) -> u16 {
        let port = self.port(granted);
        if self.imagined {
            return port;
        }
        let made = TcpListener::bind(any(port)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(Listener::Tcp(socket))
        });
        self.listen(port, made)
    }

    /// The same for UDP.
    pub(crate) fn udp(&mut self, granted: bool) -> u16 {
        let port = self.port(granted);
        if self.imagined {
            return port;
        }
        let made = UdpSocket::bind(any(port)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(Listener::Udp(socket))
        });
        self.listen(port, made)
    }

    pub(crate) fn unix(&mut self, path: String) -> String {
        if self.imagined {
            return path;
        }
        let made = UnixListener::bind(self.world.fixture(&path)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(Listener::Unix(socket))
        });
        self.listen(0, made);
        path
    }

    pub(crate) fn unix_datagram(&mut self, path: String) -> String {
        if self.imagined {
            return path;
        }
        let made = UnixDatagram::bind(self.world.fixture(&path)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(Listener::UnixDatagram(socket))
        });
        self.listen(0, made);
        path
    }

    /// Listens at an abstract name.
    pub(crate) fn abstract_name(&mut self) -> String {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("bailiff-{}", self.tag());
        if self.imagined {
            return name;
        }
        let made = std::os::unix::net::SocketAddr::from_abstract_name(&name)
            .and_then(|address| UnixListener::bind_addr(&address))
            .and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok(Listener::Unix(socket))
            });
        self.listen(0, made);
        name
    }

    /// Someone outside who gives this descriptor to whoever connects there. Connecting is granted.
    pub(crate) fn giver(&mut self, gift: Gift) -> String {
        let path = format!("/srv/givers/{}", self.tag());
        self.dir("/srv/givers".into());
        if !self.imagined {
            let made = giver::give(&self.world.seen(&path), gift);
            self.note(made.doing(&format!("listen at {path}")));
        }
        path
    }

    /// The same for a file or directory.
    pub(crate) fn giver_of(&mut self, path: &str, flags: i32) -> String {
        use std::os::unix::fs::OpenOptionsExt;
        let real = self.world.seen(path);
        self.giver(Box::new(move || {
            let mut options = fs::OpenOptions::new();
            let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
            options.read(!writes).write(writes).custom_flags(flags);
            Ok(options.open(&real)?.into())
        }))
    }

    /// An extended attribute.
    pub(crate) fn xattr(&mut self, path: String, name: &str, value: &str) -> String {
        let real = self.world.fixture(&path);
        self.shell(&format!("setfattr -n {name} -v {value} {}", real.display()));
        path
    }

    /// A character device.
    pub(crate) fn device(&mut self, path: String, major: u32, minor: u32) -> String {
        let real = self.world.fixture(&path);
        self.shell(&format!("mknod {} c {major} {minor}", real.display()));
        path
    }

    /// Something else that shows whether the act happened.
    pub(crate) fn watch(&mut self, witness: Witness) {
        self.witnesses.push(witness);
    }

    /// Runs a shell script while preparing.
    pub(crate) fn shell(&mut self, script: &str) {
        if self.imagined {
            return;
        }
        let done = super::process::shell(script).map(drop);
        self.note(done);
    }
}

fn any(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}
