//! Sessions under a grant.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{ChildStdout, Command, Stdio},
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Check, Doing,
    daemon::BAILIFF,
    process::{self, Ended},
};

/// How a session is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    /// Words before `bailiff`: `chroot DIR`.
    pub(crate) before: Vec<String>,
    /// Words before the command: what it is started by in the session.
    pub(crate) inner: Vec<String>,
    /// The grant's file, as the session's command line sees it.
    pub(crate) grant: String,
    pub(crate) sets: Vec<(String, String)>,
    /// The variable `HOME`.
    pub(crate) home: Option<String>,
}

impl Launch {
    pub(crate) fn grant(path: &str) -> Self {
        Self {
            grant: path.into(),
            ..Self::default()
        }
    }

    /// The whole command line.
    pub(crate) fn words<S: AsRef<str>>(&self, command: &[S]) -> Vec<String> {
        self.words_of("run", command)
    }

    /// The same of `run` or `exec`.
    pub(crate) fn words_of<S: AsRef<str>>(&self, start: &str, command: &[S]) -> Vec<String> {
        let mut words = self.before.clone();
        words.extend([BAILIFF, start, "--quiet", "--grant", &self.grant].map(str::to_owned));
        for (name, value) in &self.sets {
            words.extend(["--set".into(), format!("{name}={value}")]);
        }
        words.push("--".into());
        words.extend(self.inner.iter().cloned());
        words.extend(command.iter().map(|word| word.as_ref().to_owned()));
        words
    }

    pub(crate) fn command<S: AsRef<str>>(&self, words: &[S]) -> Command {
        let words = self.words(words);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(home) = &self.home {
            command.env("HOME", home);
        }
        command
    }

    /// Runs a command in a new session, to its end.
    pub(crate) fn run<S: AsRef<str>>(&self, words: &[S]) -> Check<Ended> {
        let child = self.command(words).spawn().doing("start bailiff run")?;
        process::finish(child, "bailiff run")
    }
}

/// A shell that does what it is told, one command after the other.
pub(crate) struct Shell {
    shell: process::Background,
    /// Its output, line by line, as another thread reads it.
    lines: Receiver<String>,
    /// Its own process, not that of `bailiff run`.
    pub(crate) pid: i32,
    /// Empty outside a session.
    pub(crate) session: String,
}

/// Says who it is, then runs each line and says its exit code, on a line of its own whatever the
/// command left behind.
const LOOP: &str = "echo \"$$ $BAILIFF_SESSION\"
while IFS= read -r line; do eval \"$line\" 2>&1 </dev/null; printf '\\n#done-%s %s\\n' $$ $?; done";

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);

impl Shell {
    /// In a session of its own.
    pub(crate) fn start(launch: &Launch) -> Check<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let said = format!("/run/scenarios/shell-{}", STARTED.fetch_add(1, Relaxed));
        let mut command = launch.command(&["bash", "-c", LOOP]);
        command.stderr(fs::File::create(&said).doing("make a file")?);
        let started = Self::from(&mut command);
        started.map_err(|error| {
            let said = fs::read_to_string(&said).unwrap_or_default();
            format!("{error} {}", said.trim_end())
        })
    }

    /// In a session of its own, where it is started (`bailiff exec`), below `sh -c SCRIPT "$@"`.
    pub(crate) fn in_place(launch: &Launch, script: &str) -> Check<Self> {
        let words = launch.words_of("exec", &["bash", "-c", LOOP]);
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh"])
            .args(&words)
            .stdout(Stdio::piped());
        Self::from(&mut command)
    }

    /// In no session; `before` are words such as `unshare --user`.
    pub(crate) fn unconfined(before: &[&str]) -> Check<Self> {
        let mut words = before.to_vec();
        words.extend(["bash", "-c", LOOP]);
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .stdout(Stdio::piped())
            .env_remove("BAILIFF_SESSION");
        Self::from(&mut command)
    }

    fn from(command: &mut Command) -> Check<Self> {
        let mut shell = process::Background::start(command)?;
        let output = shell.child.stdout.take().ok_or("no output")?;
        let lines = read_lines(output);
        let line = lines.recv_timeout(PATIENCE).unwrap_or_default();
        let mut words = line.split_whitespace();
        let pid = words.next().and_then(|word| word.parse().ok());
        let pid = pid.ok_or_else(|| format!("the session's shell did not start: {line:?}"))?;
        Ok(Self {
            shell,
            lines,
            pid,
            session: words.next().unwrap_or("").into(),
        })
    }

    /// Exit code and output of a command.
    pub(crate) fn run(&mut self, command: &str) -> Check<(i32, String)> {
        self.shell.tell(command)?;
        let marker = format!("#done-{} ", self.pid);
        let until = Instant::now() + PATIENCE;
        let mut said = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|error| match error {
                RecvTimeoutError::Timeout => {
                    format!("`{command}` did not end within {PATIENCE:?}: {said}")
                }
                RecvTimeoutError::Disconnected => {
                    format!("the shell ended while it ran `{command}`: {said}")
                }
            })?;
            if let Some(code) = line.strip_prefix(&marker) {
                // The line break before the marker is not the command's.
                said.truncate(said.strip_suffix('\n').unwrap_or(&said).len());
                return Ok((code.trim().parse().doing("read an exit code")?, said));
            }
            said.push_str(&line);
        }
    }

    /// A command that must succeed.
    pub(crate) fn may(&mut self, command: &str) -> Check<String> {
        let (code, said) = self.run(command)?;
        if code == 0 {
            Ok(said)
        } else {
            Err(format!("expected `{command}` to succeed, but: {said}"))
        }
    }

    /// A command that must be refused.
    pub(crate) fn may_not(&mut self, command: &str) -> Check<String> {
        let (code, said) = self.run(command)?;
        let lower = said.to_ascii_lowercase();
        if code != 0 && (lower.contains("permission denied") || lower.contains("not permitted")) {
            return Ok(said);
        }
        Err(format!(
            "expected `{command}` to be refused, but it ended with {code}: {said}"
        ))
    }
}

/// Lines as they come, with their ends; none follows the end of the output.
fn read_lines(output: ChildStdout) -> Receiver<String> {
    let (tell, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut line = Vec::new();
            match output.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if tell
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    lines
}
