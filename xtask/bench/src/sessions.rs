//! What sessions cost who starts them: the daemon and its client, with the command.

use anyhow::{Context, Result, ensure};
use bailiff_bench::{Results, SessionCell, SessionFigure};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::cgroup::{Cgroup, SESSIONS};
use crate::conditions::CGROUP;
use crate::daemon::{BAILIFF, Daemon, terminate};

/// The grant that is started; one that ships.
const GRANT: &str = "coder";

/// Samples of what can be done more than once; the least counts.
const TIMES: usize = 3;

/// Sessions beside each other at one place, and each at its own.
const TOGETHER: usize = 32;
const APART: usize = 8;

/// The daemon may finish what it does beside answering. Costs nothing: time without work passes at once.
const SETTLED: Duration = Duration::from_secs(2);

/// Measures all of them, on a kernel where nothing of Bailiff has been.
pub(crate) fn measure() -> Result<Results> {
    let mut bench = Bench {
        own: Cgroup::new(CGROUP)?,
        sessions: Cgroup::new(SESSIONS)?,
        places: 0,
        cells: Vec::new(),
    };
    bench.starts()?;
    let daemon = bench.daemon()?;
    sleep(SETTLED);
    bench.record(SessionFigure::MemoryAfterRestart, daemon.resident()?);
    bench.grants()?;
    bench.memory(&daemon)?;
    daemon.stop()?;
    Ok(Results {
        sessions: bench.cells,
        ..crate::nothing()?
    })
}

struct Bench {
    /// Of the daemon and its clients.
    own: Cgroup,
    /// Of the commands.
    sessions: Cgroup,
    places: usize,
    cells: Vec<SessionCell>,
}

impl Bench {
    fn record(&mut self, figure: SessionFigure, value: u64) {
        eprintln!("measured {figure}: {value} {}", figure.unit());
        self.cells.push(SessionCell { figure, value });
    }

    fn starts(&mut self) -> Result<()> {
        let mut daemon = None;
        let first = self.cost(|bench| bench.daemon().map(|started| daemon = Some(started)))?;
        self.record(SessionFigure::FirstStart, first);
        let daemon = daemon.context("no daemon")?;
        sleep(SETTLED);
        self.record(SessionFigure::MemoryAfterFirstStart, daemon.resident()?);
        daemon.stop()?;
        let restart = least(|| {
            let mut daemon = None;
            let cost = self.cost(|bench| bench.daemon().map(|started| daemon = Some(started)))?;
            daemon.context("no daemon")?.stop()?;
            Ok(cost)
        })?;
        self.record(SessionFigure::Restart, restart);
        Ok(())
    }

    fn grants(&mut self) -> Result<()> {
        let new = least(|| {
            let place = self.place()?;
            self.cost(|bench| bench.run_true(&place))
        })?;
        self.record(SessionFigure::NewGrant, new);
        let place = self.place()?;
        self.run_true(&place)?;
        let known = least(|| self.cost(|bench| bench.run_true(&place)))?;
        self.record(SessionFigure::KnownGrant, known);
        Ok(())
    }

    fn memory(&mut self, daemon: &Daemon) -> Result<()> {
        let place = self.place()?;
        self.run_true(&place)?;
        let places = vec![place.clone(); TOGETHER];
        let mut among = 0;
        let more = self.memory_of(daemon, &places, |bench| {
            among = least(|| bench.cost(|bench| bench.run_true(&place)))?;
            Ok(())
        })?;
        self.record(SessionFigure::KnownGrantAmongMany, among);
        self.record(SessionFigure::MemoryOfOneMore, more);
        let places = (0..APART)
            .map(|_| self.place())
            .collect::<Result<Vec<_>>>()?;
        let apart = self.memory_of(daemon, &places, |_| Ok(()))?;
        self.record(SessionFigure::MemoryOfAnotherPlace, apart);
        sleep(SETTLED);
        self.record(SessionFigure::MemoryAfterAll, daemon.resident()?);
        Ok(())
    }

    /// What each session adds while all of them run; what else is done meanwhile comes after.
    fn memory_of(
        &mut self,
        daemon: &Daemon,
        places: &[PathBuf],
        meanwhile: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<u64> {
        sleep(SETTLED);
        let before = daemon.resident()?;
        let sleepers = places
            .iter()
            .map(|place| self.sleeper(place))
            .collect::<Result<Vec<_>>>()?;
        sleep(SETTLED);
        let during = daemon.resident()?;
        meanwhile(self)?;
        for mut client in sleepers {
            terminate(&client);
            client.wait()?;
        }
        Ok(during.saturating_sub(before) / places.len() as u64)
    }

    /// Instructions of daemon, client and command.
    fn cost(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<u64> {
        sleep(SETTLED);
        let before = self.instructions()?;
        act(self)?;
        Ok(self.instructions()? - before)
    }

    fn instructions(&self) -> Result<u64> {
        Ok(self.own.instructions()? + self.sessions.instructions()?)
    }

    fn daemon(&self) -> Result<Daemon> {
        Daemon::start_by(self.bailiff())
    }

    fn bailiff(&self) -> Command {
        let mut command = Command::new(BAILIFF);
        self.own.enter(&mut command);
        command
    }

    /// A workspace where no session has been.
    fn place(&mut self) -> Result<PathBuf> {
        self.places += 1;
        let path = PathBuf::from(format!("/srv/workspace-{:03}", self.places));
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    fn client(&self, place: &Path, command: &[&str]) -> Command {
        let mut client = self.bailiff();
        client
            .args(["run", "--grant", GRANT, "--"])
            .args(command)
            .current_dir(place)
            .stdin(Stdio::null());
        client
    }

    fn run_true(&self, place: &Path) -> Result<()> {
        let status = self.client(place, &["true"]).status()?;
        ensure!(status.success(), "bailiff run ended with {status}");
        Ok(())
    }

    /// A session whose command runs until its client is told to end.
    fn sleeper(&self, place: &Path) -> Result<Child> {
        let mut client = self
            .client(place, &["sh", "-c", "echo; exec sleep infinity"])
            .stdout(Stdio::piped())
            .spawn()?;
        let output = client.stdout.as_mut().context("no standard output")?;
        output
            .read_exact(&mut [0])
            .context("a session did not start")?;
        Ok(client)
    }
}

/// Of a few samples: timer ticks and refilled caches only ever add.
fn least(mut sample: impl FnMut() -> Result<u64>) -> Result<u64> {
    let mut found = u64::MAX;
    for _ in 0..TIMES {
        found = found.min(sample()?);
    }
    Ok(found)
}
