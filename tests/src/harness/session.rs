//! Sessions under a grant.

use std::process::{Command, Stdio};

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
        let mut words = self.before.clone();
        words.extend([BAILIFF, "run", "--quiet", "--grant", &self.grant].map(str::to_owned));
        for (name, value) in &self.sets {
            words.extend(["--set".into(), format!("{name}={value}")]);
        }
        words.push("--".into());
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
    output: std::io::BufReader<std::process::ChildStdout>,
    /// Its own process, not that of `bailiff run`.
    pub(crate) pid: i32,
    /// Empty outside a session.
    pub(crate) session: String,
}

/// Says who it is, then runs each line and says its exit code.
const LOOP: &str = "echo \"$$ $BAILIFF_SESSION\"
while IFS= read -r line; do eval \"$line\" 2>&1 </dev/null; echo \"#done $?\"; done";

impl Shell {
    /// In a session of its own.
    pub(crate) fn start(launch: &Launch) -> Check<Self> {
        let mut command = launch.command(&["bash", "-c", LOOP]);
        command.stderr(Stdio::null());
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
        use std::io::BufRead;
        let mut shell = process::Background::start(command)?;
        let output = shell.child.stdout.take().ok_or("no output")?;
        let mut output = std::io::BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line).doing("read")?;
        let mut words = line.split_whitespace();
        let pid = words.next().and_then(|word| word.parse().ok());
        let pid = pid.ok_or_else(|| format!("the session's shell did not start: {line:?}"))?;
        Ok(Self {
            shell,
            output,
            pid,
            session: words.next().unwrap_or("").into(),
        })
    }

    /// Exit code and output of a command.
    pub(crate) fn run(&mut self, command: &str) -> Check<(i32, String)> {
        use std::io::BufRead;
        self.shell.tell(command)?;
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).doing("read")? == 0 {
                return Err(format!("the shell ended while it ran `{command}`: {said}"));
            }
            if let Some(code) = line.strip_prefix("#done ") {
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
