//! The program that a session runs: does acts one by one, each in a process of its own, and says
//! what became of each.
//!
//! Lines: `#session NAME`, `#act NUMBER PID OUTCOME`, `#end NUMBER PID STATUS`.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs, io,
    io::{Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::acts::{
    Act, OVERWRITTEN, Outcome, PYTHON_HEAD, Way,
    raw::{Fault, check, owned},
};

/// One act of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) number: u32,
    pub(crate) act: Act,
}

/// What a driver said of one act.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) pid: u32,
    pub(crate) outcome: Outcome,
}

/// `bailiff-scenarios drive WAY PLAN`, inside the session.
pub(crate) fn drive(way: &str, plan: &str) -> Result<()> {
    let steps: Vec<Step> =
        serde_json::from_slice(&fs::read(plan).with_context(|| format!("read {plan}"))?)?;
    println!(
        "#session {}",
        std::env::var("BAILIFF_SESSION").unwrap_or_else(|_| "-".into())
    );
    for step in &steps {
        io::stdout().flush()?;
        match way {
            "compiled" => perform(step)?,
            "direct" => use_tool(step)?,
            other => bail!("there is no driver for {other}"),
        }
    }
    Ok(())
}

fn say(line: &str) {
    // In one write, so that lines of several processes do not mix.
    let _ = io::stdout().write_all(format!("{line}\n").as_bytes());
    let _ = io::stdout().flush();
}

fn fork() -> Result<i32> {
    // SAFETY: the driver has one thread.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        bail!("fork: {}", io::Error::last_os_error())
    }
    Ok(pid)
}

fn finish(number: u32, pid: i32) -> Result<()> {
    let mut status = 0;
    // SAFETY: a live integer.
    if unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 {
        bail!("wait: {}", io::Error::last_os_error());
    }
    say(&format!("#end {number} {pid} {status}"));
    Ok(())
}

/// Seconds after which an act that hangs is ended.
const PATIENCE: u32 = 30;

fn perform(step: &Step) -> Result<()> {
    let pid = fork()?;
    if pid == 0 {
        // SAFETY: no pointers.
        unsafe { libc::alarm(PATIENCE) };
        let outcome = step.act.perform();
        let said = match outcome {
            Outcome::Done => "ok".into(),
            Outcome::Refused(errno) => format!("errno {errno}"),
            Outcome::Failed(text) => text,
        };
        say(&format!(
            "#act {} {} {said}",
            step.number,
            std::process::id()
        ));
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    finish(step.number, pid)
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: two live integers.
    let made = check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) });
    if let Err(Fault::Errno(errno)) = made {
        bail!("pipe: errno {errno}");
    }
    Ok((owned(ends[0].into()), owned(ends[1].into())))
}

/// Executes the tool, without a shell, with [`OVERWRITTEN`] as its input.
fn use_tool(step: &Step) -> Result<()> {
    let words = step.act.direct().context("no tool for the act")?;
    let strings = words.iter().map(|word| CString::new(word.as_str()));
    let strings = strings.collect::<Result<Vec<_>, _>>()?;
    let mut pointers = strings.iter().map(|word| word.as_ptr()).collect::<Vec<_>>();
    pointers.push(ptr::null());
    let (input, feed) = pipe()?;
    let (heard, output) = pipe()?;
    let (error, tell) = pipe()?;
    fs::File::from(feed).write_all(OVERWRITTEN.as_bytes())?;
    let pid = fork()?;
    if pid == 0 {
        // SAFETY: descriptors of this process; a NULL-terminated array of strings.
        unsafe {
            libc::alarm(PATIENCE);
            libc::dup2(input.as_raw_fd(), 0);
            libc::dup2(output.as_raw_fd(), 1);
            libc::dup2(output.as_raw_fd(), 2);
            libc::execvp(pointers[0], pointers.as_ptr());
        }
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        let _ = fs::File::from(tell).write_all(errno.to_string().as_bytes());
        // SAFETY: ends the process.
        unsafe { libc::_exit(127) };
    }
    drop((output, tell, input));
    let mut failure = String::new();
    fs::File::from(error).read_to_string(&mut failure)?;
    let mut said = Vec::new();
    fs::File::from(heard).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said).replace('\n', " ");
    if !failure.is_empty() {
        say(&format!("#act {} {pid} errno {failure}", step.number));
    } else if matches!(step.act, Act::Read { .. } | Act::ReadFrom { .. }) && said.contains("secret")
    {
        say(&format!("#act {} {pid} ok", step.number));
    } else {
        say(&format!("#said {} {pid} {said}", step.number));
    }
    finish(step.number, pid)
}

/// The Bash script that does all steps.
pub(crate) fn bash_script(steps: &[Step]) -> String {
    let mut script = String::from(
        "echo \"#session ${BAILIFF_SESSION:--}\"\n\
         t() { local n=$1 b said code; said=$( { b=$BASHPID; echo \"#pid $b\"; eval \"$2\"; } 2>&1 ); code=$?;\n\
         b=${said%%$'\\n'*}; said=${said//$'\\n'/ };\n\
         if [ $code = 0 ]; then echo \"#act $n ${b#\\#pid } ok\"; else echo \"#act $n ${b#\\#pid } exit $code $said\"; fi; }\n",
    );
    for step in steps {
        if let Some(command) = step.act.bash() {
            let quoted = format!("'{}'", command.replace('\'', "'\\''"));
            script.push_str(&format!("t {} {quoted}\n", step.number));
        }
    }
    script
}

/// The Python program that does all steps.
pub(crate) fn python_program(steps: &[Step]) -> String {
    let mut program = String::from(PYTHON_HEAD);
    for step in steps {
        if let Some(body) = step.act.python() {
            let n = step.number;
            program.push_str(&format!("def f{n}():\n    {body}\nact({n}, f{n})\n"));
        }
    }
    program
}

/// Everything that a driver said.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) session: Option<String>,
    pub(crate) told: BTreeMap<u32, Told>,
    /// Lines that are none of its own.
    pub(crate) rest: Vec<String>,
}

impl Transcript {
    pub(crate) fn parse(output: &str) -> Self {
        let mut transcript = Self::default();
        let mut said = BTreeMap::new();
        for line in output.lines() {
            let mut words = line.splitn(4, ' ');
            let (head, number, pid) = (words.next(), words.next(), words.next());
            let rest = words.next().unwrap_or("");
            let number_and_pid = || Some((number?.parse().ok()?, pid?.parse().ok()?));
            match (head, number_and_pid()) {
                (Some("#session"), _) => {
                    transcript.session = number.filter(|name| *name != "-").map(str::to_owned);
                }
                (Some("#act"), Some((number, pid))) => {
                    transcript.told.insert(
                        number,
                        Told {
                            pid,
                            outcome: Outcome::parse(rest),
                        },
                    );
                }
                (Some("#said"), Some((number, _))) => {
                    said.insert(number, rest.to_owned());
                }
                (Some("#end"), Some((number, pid))) => {
                    // Only what has not spoken for itself: tools, and what became a program.
                    let status = rest.parse().unwrap_or(-1);
                    let words = said.remove(&number).unwrap_or_default();
                    transcript.told.entry(number).or_insert_with(|| Told {
                        pid,
                        outcome: by_status(status, &words),
                    });
                }
                _ => transcript.rest.push(line.to_owned()),
            }
        }
        transcript
    }
}

fn by_status(status: i32, said: &str) -> Outcome {
    if status == 0 {
        return Outcome::Done;
    }
    if libc::WIFSIGNALED(status) {
        return Outcome::Failed(format!(
            "killed by signal {}: {said}",
            libc::WTERMSIG(status)
        ));
    }
    Outcome::parse(&format!("exit {} {said}", libc::WEXITSTATUS(status)))
}

/// The words that start the driver of a way; `driver` is this program, `plan` its steps.
pub(crate) fn command(way: Way, driver: &str, files: &str) -> Vec<String> {
    let words: Vec<String> = match way {
        Way::Direct | Way::Compiled => {
            vec![
                driver.into(),
                "drive".into(),
                way.name().into(),
                format!("{files}/plan.json"),
            ]
        }
        Way::Bash => vec!["bash".into(), format!("{files}/script.sh")],
        Way::Python => vec![
            "python3".into(),
            "-S".into(),
            "-E".into(),
            format!("{files}/program.py"),
        ],
    };
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_read_back() {
        let output = "#session s-1\n#act 1 10 errno 13\n#end 1 10 0\n#end 2 11 0\n\
                      #said 3 12 cat: x: Permission denied\n#end 3 12 256\nnoise\n";
        let transcript = Transcript::parse(output);
        assert_eq!(transcript.session.as_deref(), Some("s-1"));
        let outcome = |number: u32| transcript.told[&number].outcome.clone();
        assert_eq!(outcome(1), Outcome::Refused(13));
        assert_eq!(outcome(2), Outcome::Done);
        assert_eq!(outcome(3), Outcome::Refused(13));
        assert_eq!(transcript.rest, ["noise"]);
    }
}
