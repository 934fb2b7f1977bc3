//! The process that a condition limits, and its driver outside: the driver reads what the cgroup used
//! while the worker waits for a line, so that all of it is accounted.

use anyhow::{Context, Result, ensure};
use bailiff_bench::Task;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::tasks;
use crate::cgroup::Cgroup;

/// Does each task that a line of standard input names, and answers with an empty line.
pub(crate) fn serve() -> Result<()> {
    for line in io::stdin().lines() {
        let line = line?;
        let mut all = Task::ALL.into_iter();
        let task = all.find(|task| task.name() == line);
        tasks::run(task.with_context(|| format!("there is no task {line}"))?)?;
        println!();
    }
    Ok(())
}

/// A worker that runs; it ends with this value.
pub(super) struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    cgroup: Cgroup,
}

impl Worker {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {command:?}"))?;
        let orders = child.stdin.take();
        let answers = child.stdout.take().context("no standard output")?;
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(answers),
            cgroup: Cgroup::new(crate::conditions::CGROUP)?,
        })
    }

    /// Instructions that a task takes.
    pub(super) fn cost(&mut self, task: Task) -> Result<u64> {
        let before = self.cgroup.instructions()?;
        let orders = self.orders.as_mut().context("no standard input")?;
        writeln!(orders, "{task}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(line == "\n", "{task} failed");
        Ok(self.cgroup.instructions()? - before)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.wait();
    }
}
