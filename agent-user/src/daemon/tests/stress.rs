//! Everything at once: nobody waits for ever, and what was decided is what is told.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use agent_abi::{Right, Verdict, superblock::CANDIDATES};

use super::{
    cgroups::Cgroups,
    world::{PATIENCE, World, act, get, operator, post, process},
};
use crate::{
    api::{
        Enrol, EventFilter, Member, Page, Session, SessionsQuery, StartSession, Target, WhyQuery,
        routes,
    },
    daemon::state::Daemon,
    kernel::memory::MemoryKernel,
};

/// How long each call to the kernel side takes: long enough for others to come in between.
const PAUSE: Duration = Duration::from_micros(50);
/// Sessions that each of those who start them starts, one after the other.
const SESSIONS: usize = 8;
const STARTERS: usize = 3;

/// What each task has of the world.
#[derive(Clone)]
struct Shared {
    daemon: Arc<Daemon>,
    kernel: MemoryKernel,
    cgroups: Arc<Cgroups>,
    request: StartSession,
    key: std::path::PathBuf,
}

impl Shared {
    fn refuse(&self, pid: u32) {
        let verdict = act(&self.kernel, pid, Right::FileRead, &self.key);
        assert_eq!(verdict, Verdict::Deny);
    }

    /// Sessions that begin, are refused something, and end.
    async fn start_and_stop(self) {
        for round in 0..SESSIONS {
            let start = routes::START.place();
            let session = post(&self.daemon, &operator(), &start, &self.request).await;
            let session = session.unwrap();
            let pid = self.cgroups.spawn();
            let enrol = routes::ENROL.of(&session.name);
            let (agent, said) = (process(0, pid), Enrol::default());
            post(&self.daemon, &agent, &enrol, &said).await.unwrap();
            self.refuse(pid);
            if round % 2 == 0 {
                self.cgroups.end(pid);
            }
            let stop = routes::STOP.of(&session.name);
            // It may have ended by itself meanwhile.
            let stopped = post(&self.daemon, &operator(), &stop, &()).await;
            let summary = routes::SUMMARY.of(&session.name);
            let told = get(&self.daemon, &operator(), &summary).await.unwrap();
            assert_eq!(told.session.refused, 1, "{stopped:?}");
            assert_eq!(told.recorded, 1);
        }
    }

    /// What a process asks that is in a session.
    async fn ask_from_inside(self, session: Session, pid: u32) {
        let inside = process(0, pid);
        let own = routes::SESSION.of(routes::OWN_SESSION);
        let why = routes::WHY.with(&WhyQuery::default()).unwrap();
        loop {
            self.refuse(pid);
            let seen = get(&self.daemon, &inside, &own).await.unwrap();
            assert_eq!(seen.name, session.name);
            let told = get(&self.daemon, &inside, &why).await.unwrap();
            assert_eq!(told.event.session, session.name);
        }
    }

    /// What an operator asks, of all sessions at once.
    async fn ask_for_all(self) {
        let list = routes::SESSIONS.with(&SessionsQuery { all: true }).unwrap();
        let events = routes::EVENTS.with(&EventFilter::default()).unwrap();
        loop {
            let who = operator();
            let _: Page<Session> = get(&self.daemon, &who, &list).await.unwrap();
            let tasks = routes::TASKS.place();
            let _: Page<Member> = get(&self.daemon, &who, &tasks).await.unwrap();
            get(&self.daemon, &who, &routes::STATUS.place())
                .await
                .unwrap();
            get(&self.daemon, &who, &events).await.unwrap();
        }
    }

    /// Filesystems that go and come again, each so often that no number is left for it: images are replaced
    /// to have one, with the kernel held.
    async fn mount_and_unmount(self) {
        loop {
            for _ in 0..=CANDIDATES {
                self.kernel.unmount_all();
                for mounts in self.daemon.shared_mounts() {
                    self.daemon.take_in(&mounts).await;
                }
            }
            self.daemon.rebuild_all().await;
        }
    }

    /// What the daemon does every few seconds, for each session.
    async fn look_again_and_again(self) {
        loop {
            let looked = self.daemon.blocking(|daemon| {
                daemon.tell_all_losses();
                daemon.settle_labels()
            });
            looked.await.unwrap();
        }
    }
}

/// Does not return where what `work` does stands still: says so, and leaves its threads where they are.
fn within(world: World, patience: Duration, work: impl FnOnce(&World) + Send + 'static) {
    let cgroups = Arc::clone(&world.cgroups);
    let (done, wait) = mpsc::channel();
    let worker = thread::spawn(move || {
        work(&world);
        let _ = done.send(());
    });
    match wait.recv_timeout(patience) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            cgroups.end_all();
            panic!("the daemon stands still");
        }
        // A panic of the worker's is this test's.
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => worker.join().unwrap(),
    }
}

#[test]
fn nobody_waits_for_ever_whatever_is_asked_at_once() {
    let world = World::new();
    let shared = Shared {
        daemon: Arc::clone(world.daemon()),
        kernel: world.kernel.clone(),
        cgroups: Arc::clone(&world.cgroups),
        request: world.request(Target::New),
        key: world.work("keys/id"),
    };
    world.kernel.slow_down(PAUSE);
    within(world, 2 * PATIENCE, move |world| {
        let (session, pid) = world.session();
        let runtime = world.runtime();
        let others = [
            runtime.spawn(shared.clone().ask_from_inside(session, pid)),
            runtime.spawn(shared.clone().ask_for_all()),
            runtime.spawn(shared.clone().mount_and_unmount()),
            runtime.spawn(shared.clone().look_again_and_again()),
        ];
        let starters = [(); STARTERS].map(|()| runtime.spawn(shared.clone().start_and_stop()));
        for starter in starters {
            runtime.block_on(starter).unwrap();
        }
        for other in others {
            assert!(!other.is_finished(), "it goes on until it is ended");
            other.abort();
        }
    });
}
