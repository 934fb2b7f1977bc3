//! A host with a daemon on it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use agent_abi::{Right, Verdict};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
};
use serde::{Serialize, de::DeserializeOwned};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;

use super::cgroups::Cgroups;
use crate::{
    api::{
        Enrol, Failure, GrantSource, Inputs, Page, Session, SessionState, SessionsQuery,
        SourceFile, StartSession, Target,
        routes::{self, Get, Place, Post},
    },
    cgroup::{Filesystem, Hierarchy},
    daemon::{
        assembly::{Drains, Parts, Streams},
        requests::{peer::Peer, router::router},
        state::Daemon,
    },
    grants::OwnFiles,
    kernel::memory::{Act, MemoryKernel},
    mounts::MountNamespace,
    process::ProcessHandle,
    store::{Retention, Store},
};

/// What sessions get here: the work directory, but for what is in `keys`.
pub(super) const GRANT: &str = r#"
version = 1
name = "work"

[[file]]
id = "work"
allow = ["read", "write", "create", "list"]
path = ["${cwd}/**"]

[[file]]
id = "keys"
deny = ["all"]
path = ["${cwd}/keys/**"]
reason = "Keys are not for agents."

[[net]]
id = "mirror"
allow = ["connect"]
to = ["10.0.0.5:443/tcp"]
"#;

/// Somebody who may not operate, unless the group says otherwise.
pub(super) const STRANGER: u32 = 4_000_000;

/// How long anything may take that is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What is answered, or why nothing is.
pub(super) type Answer<A> = Result<A, Failure>;

/// A host.
pub(super) struct World {
    running: Option<Running>,
    pub(super) kernel: MemoryKernel,
    pub(super) cgroups: Arc<Cgroups>,
    /// Cgroups, the store and the socket.
    host: TempDir,
    /// What sessions work on.
    work: TempDir,
}

struct Running {
    runtime: Runtime,
    daemon: Arc<Daemon>,
}

impl World {
    /// With a daemon that does all that it does.
    pub(super) fn new() -> Self {
        let mut world = Self::without_daemon();
        world.start_daemon();
        world
    }

    /// With a daemon that does nothing but what it is asked.
    pub(super) fn with_idle_daemon() -> Self {
        let mut world = Self::without_daemon();
        let runtime = runtime();
        let daemon = runtime.block_on(async { world.assemble().0 });
        world.running = Some(Running { runtime, daemon });
        world
    }

    fn without_daemon() -> Self {
        let kernel = MemoryKernel::new();
        let world = Self {
            running: None,
            cgroups: Arc::new(Cgroups::new(kernel.clone())),
            kernel,
            host: tempfile::tempdir().unwrap(),
            work: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(world.work.path().join("keys")).unwrap();
        world
    }

    fn assemble(&self) -> (Arc<Daemon>, Drains) {
        let host = fs::canonicalize(self.host.path()).unwrap();
        let filesystem: Arc<dyn Filesystem> = self.cgroups.clone();
        let parts = Parts {
            kernel: Box::new(self.kernel.clone()),
            labels: Box::new(self.kernel.clone()),
            hierarchy: Hierarchy::new(host.join("cgroup"), filesystem),
            store: Store::open(&host.join("state")).unwrap(),
            retention: Retention::default(),
            own: OwnFiles {
                socket: host.join("run/bailiff.sock"),
                state: host.join("state"),
            },
            boot_id: "this boot".into(),
            attach_directory: host.join("attach.d"),
        };
        Daemon::assemble(parts).unwrap()
    }

    /// Starts a daemon, which takes over what is there.
    pub(super) fn start_daemon(&mut self) {
        let runtime = runtime();
        let daemon = runtime.block_on(async {
            let (daemon, drains) = self.assemble();
            let streams = Streams {
                events: self.kernel.stream_of_events(),
                notices: self.kernel.stream_of_notices(),
            };
            daemon.take_over(streams, drains).await.unwrap();
            daemon
        });
        self.running = Some(Running { runtime, daemon });
    }

    /// Ends the daemon in the middle of what it does.
    pub(super) fn kill_daemon(&mut self) {
        self.running = None;
    }

    /// The kernel side is gone with all that it held, as where somebody removes its pins, and a new one is
    /// there for the next daemon.
    pub(super) fn replace_kernel(&mut self) {
        self.kernel = MemoryKernel::new();
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(super) fn daemon(&self) -> &Arc<Daemon> {
        &self.running().daemon
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.running().runtime
    }

    /// A path of the host's that is the daemon's alone.
    pub(super) fn host(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.host.path()).unwrap().join(name)
    }

    /// A path in the work directory.
    pub(super) fn work(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.work.path()).unwrap().join(name)
    }

    /// Makes a cgroup that is not the daemon's.
    pub(super) fn make_cgroup(&self, name: &str) -> PathBuf {
        let path = self.host("cgroup").join(name);
        self.cgroups.make(&path).unwrap();
        path
    }

    /// What puts the grant in force.
    pub(super) fn request(&self, target: Target) -> StartSession {
        StartSession {
            target,
            grant: GrantSource {
                main: SourceFile {
                    name: "work".into(),
                    origin: "work.toml".into(),
                    text: GRANT.into(),
                    file: None,
                },
                includes: Vec::new(),
            },
            inputs: Inputs {
                cwd: Some(self.work("").to_str().unwrap().trim_end_matches('/').into()),
                ..Inputs::default()
            },
            command: vec!["agent".into()],
            sought: None,
        }
    }

    pub(super) fn get<A: DeserializeOwned>(&self, who: &Peer, place: &Place<Get, A>) -> Answer<A> {
        self.runtime().block_on(get(self.daemon(), who, place))
    }

    pub(super) fn post<B: Serialize, A: DeserializeOwned>(
        &self,
        who: &Peer,
        place: &Place<Post<B>, A>,
        body: &B,
    ) -> Answer<A> {
        let asked = post(self.daemon(), who, place, body);
        self.runtime().block_on(asked)
    }

    /// A new session, with one process in it.
    pub(super) fn session(&self) -> (Session, u32) {
        let request = self.request(Target::New);
        let started = self.post(&operator(), &routes::START.place(), &request);
        let session = started.unwrap();
        let pid = self.cgroups.spawn();
        let place = routes::ENROL.of(&session.name);
        let enrolled = self.post(&process(0, pid), &place, &Enrol::default());
        (enrolled.unwrap(), pid)
    }

    /// A session as it is now, also one that has ended.
    pub(super) fn look(&self, name: &str) -> Session {
        self.get(&operator(), &routes::SESSION.of(name)).unwrap()
    }

    /// Names of the sessions in force.
    pub(super) fn in_force(&self) -> Vec<String> {
        let query = SessionsQuery::default();
        let place = routes::SESSIONS.with(&query).unwrap();
        let page: Page<Session> = self.get(&operator(), &place).unwrap();
        page.items.into_iter().map(|session| session.name).collect()
    }

    /// Waits until a session has ended and is written down so.
    pub(super) fn until_ended(&self, name: &str) -> Session {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let session = self.look(name);
            if session.ended.is_some() {
                assert_eq!(session.state, SessionState::Ended);
                return session;
            }
            assert!(Instant::now() < deadline, "{name} does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What becomes of it when a process does this to a file.
    pub(super) fn act(&self, pid: u32, right: Right, path: &Path) -> Verdict {
        act(&self.kernel, pid, right, path)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A daemon's door is open for as long as this process lives, and with it all that it holds.
        self.cgroups.end_all();
    }
}

/// See [`World::act`].
pub(super) fn act(kernel: &MemoryKernel, pid: u32, right: Right, path: &Path) -> Verdict {
    let namespace = MountNamespace::of_process(std::process::id()).unwrap();
    let view = namespace.view().unwrap();
    let path = path.as_os_str().as_encoded_bytes();
    let (dev, path) = view.object_at(path).unwrap();
    kernel.act(&Act {
        pid,
        dev,
        path: &path,
        right,
    })
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Somebody who may do everything.
pub(super) fn operator() -> Peer {
    process(0, std::process::id())
}

/// A process of this user.
pub(super) fn process(uid: u32, pid: u32) -> Peer {
    Peer::for_tests(uid, ProcessHandle::open(pid).unwrap())
}

pub(super) async fn get<A: DeserializeOwned>(
    daemon: &Arc<Daemon>,
    who: &Peer,
    place: &Place<Get, A>,
) -> Answer<A> {
    let request = Request::get(place.path()).body(Body::empty()).unwrap();
    answer(daemon, who, request).await
}

pub(super) async fn post<B: Serialize, A: DeserializeOwned>(
    daemon: &Arc<Daemon>,
    who: &Peer,
    place: &Place<Post<B>, A>,
    body: &B,
) -> Answer<A> {
    let body = serde_json::to_vec(body).unwrap();
    let request = Request::post(place.path()).header("content-type", "application/json");
    answer(daemon, who, request.body(body.into()).unwrap()).await
}

async fn answer<A: DeserializeOwned>(
    daemon: &Arc<Daemon>,
    who: &Peer,
    mut request: Request,
) -> Answer<A> {
    request.extensions_mut().insert(who.clone());
    let mut router = router(Arc::clone(daemon));
    let response = router.call(request).await.unwrap();
    let is_success = response.status().is_success();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    if is_success {
        Ok(serde_json::from_slice(&body).unwrap())
    } else {
        Err(serde_json::from_slice(&body).unwrap())
    }
}
