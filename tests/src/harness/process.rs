//! Running programs, and waiting for things to become true.

use std::{
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Check, Doing};

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code, or 128 and the signal.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// For messages: the end of everything that was said.
    pub(crate) fn tail(&self) -> String {
        let said = format!("{}{}", self.stdout, self.stderr);
        let lines = said.lines().collect::<Vec<_>>();
        lines[lines.len().saturating_sub(6)..].join(" | ")
    }
}

/// Seconds after which a program is taken to hang.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs a program to its end, with nothing to read.
pub(crate) fn run<S: AsRef<str>>(words: &[S]) -> Check<Ended> {
    run_with(words, &mut |_| {})
}

/// The same, after `prepare`.
pub(crate) fn run_with<S: AsRef<str>>(
    words: &[S],
    prepare: &mut dyn FnMut(&mut Command),
) -> Check<Ended> {
    let name = words[0].as_ref().to_owned();
    let mut command = Command::new(&name);
    command.args(words[1..].iter().map(AsRef::as_ref));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    prepare(&mut command);
    let child = command.spawn().doing(&format!("start {name}"))?;
    finish(child, &name)
}

/// Waits for a child whose output is piped.
pub(crate) fn finish(mut child: Child, name: &str) -> Check<Ended> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let listen = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = listen(out.map(|stream| Box::new(stream) as Box<dyn Read + Send>));
    let err = listen(err.map(|stream| Box::new(stream) as Box<dyn Read + Send>));
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().doing("wait")? {
            Some(status) => break status,
            None if Instant::now() > until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} did not end within {PATIENCE:?}"));
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    let stdout = out.join().map_err(|_| "a reader panicked".to_owned())?;
    let stderr = err.join().map_err(|_| "a reader panicked".to_owned())?;
    Ok(Ended {
        code,
        stdout,
        stderr,
    })
}

/// Runs a program that has to succeed.
pub(crate) fn must<S: AsRef<str>>(words: &[S]) -> Check<Ended> {
    let ended = run(words)?;
    if ended.code == 0 {
        return Ok(ended);
    }
    let words = words
        .iter()
        .map(AsRef::as_ref)
        .collect::<Vec<_>>()
        .join(" ");
    Err(format!(
        "`{words}` ended with {}: {}",
        ended.code,
        ended.tail()
    ))
}

/// Where a process is in cgroup v2, whatever other hierarchies there are.
pub(crate) fn cgroup_of(pid: impl std::fmt::Display) -> Check<String> {
    let file = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&file).doing("read a cgroup")?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::"));
    own.map(str::to_owned)
        .ok_or_else(|| format!("no cgroup v2 in {file}: {text}"))
}

/// A shell script that has to succeed.
pub(crate) fn shell(script: &str) -> Check<Ended> {
    must(&["bash", "-ec", script])
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, seconds: u64, holds: impl FnMut() -> bool) -> Check {
    let mut holds = holds;
    let until = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        if Instant::now() > until {
            return Err(format!("after {seconds} s still not: {what}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A process that is ended with this value.
pub(crate) struct Background {
    pub(crate) child: Child,
}

impl Background {
    pub(crate) fn start(command: &mut Command) -> Check<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped());
        let child = command.spawn().doing(&format!("start {name}"))?;
        Ok(Self { child })
    }

    /// A process to be killed: its command line begins with `marker`.
    pub(crate) fn victim(marker: &str) -> Check<Self> {
        let mut command = Command::new("/usr/bin/sleep");
        command
            .arg0(marker)
            .arg("1000")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self::start(&mut command)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn tell(&mut self, line: &str) -> Check {
        let input = self.child.stdin.as_mut().ok_or("its input is closed")?;
        input
            .write_all(format!("{line}\n").as_bytes())
            .doing("write")?;
        input.flush().doing("write")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
