//! Other people's programs, each doing its work in a session, and trying what the grant has not. Agents do a script
//! that stands in for their model.

mod programs;
mod scripted;
mod verdict;

use crate::build::{self, Profile};
use crate::kernel;
use crate::paths;
use crate::vm::{Output, Root, Vm};
use anyhow::{Context, Result, bail};
use programs::{PROGRAMS, Program, Try};
use scripted::{AGENTS, Agent, Outcome};
use serde::{Deserialize, Serialize};
use std::fs;
use std::process::ExitCode;
use std::time::Duration;
use verdict::{Answer, judge};

/// One line of what the machine is to do.
#[derive(Serialize)]
struct Order {
    index: usize,
    user: &'static str,
    command: &'static str,
    before: Option<&'static str>,
    /// An agent's name, whose script is to be done instead; the command tells its version.
    script: Option<&'static str>,
}

/// One line of what the machine says.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Tried(Answer),
    Scripted(Outcome),
}

/// What an order is about; none where a program tells its version.
struct Subject {
    program: &'static Program,
    user: &'static str,
    what: Option<&'static Try>,
}

/// Runs every program whose name holds the word, and prints what came of it.
pub(crate) fn run(kernel: &str, word: &str) -> Result<ExitCode> {
    let subjects = subjects(word);
    let agents: Vec<&Agent> = AGENTS
        .iter()
        .filter(|one| one.name.contains(word))
        .collect();
    if subjects.is_empty() && agents.is_empty() {
        bail!("no program's name holds `{word}`");
    }
    let mut orders = orders(&subjects);
    orders.extend(scripts(&agents, subjects.len()));
    let said = said(kernel, &orders)?;
    let mut failed = 0;
    for (index, subject) in subjects.iter().enumerate() {
        let answer = said.iter().find_map(|one| match one {
            Said::Tried(answer) if answer.index == index => Some(answer),
            _ => None,
        });
        failed += usize::from(!report(subject, answer));
    }
    for (number, agent) in agents.iter().enumerate() {
        let outcome = said.iter().find_map(|one| match one {
            Said::Scripted(outcome) if outcome.index == subjects.len() + number => Some(outcome),
            _ => None,
        });
        failed += usize::from(!report_script(agent, outcome));
    }
    let tried = subjects.iter().filter(|one| one.what.is_some()).count() + agents.len();
    println!("{tried} tried, {failed} not as expected");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn scripts(agents: &[&'static Agent], first: usize) -> Vec<Order> {
    let order = |(number, agent): (usize, &&'static Agent)| Order {
        index: first + number,
        user: "agent",
        command: agent.version,
        before: None,
        script: Some(agent.name),
    };
    agents.iter().enumerate().map(order).collect()
}

fn report_script(agent: &Agent, outcome: Option<&Outcome>) -> bool {
    let Some(outcome) = outcome else {
        println!("| {} | its script | - | NOT TRIED |", agent.name);
        return false;
    };
    let (lines, good) = outcome.report(agent);
    println!("{lines}");
    good
}

fn subjects(word: &str) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for program in PROGRAMS.iter().filter(|one| one.name.contains(word)) {
        subjects.push(Subject {
            program,
            user: program.users[0],
            what: None,
        });
        for user in program.users {
            let tries = program.tries.iter().map(|one| Subject {
                program,
                user,
                what: Some(one),
            });
            subjects.extend(tries);
        }
    }
    subjects
}

fn orders(subjects: &[Subject]) -> Vec<Order> {
    let order = |(index, subject): (usize, &Subject)| Order {
        index,
        user: subject.user,
        command: subject
            .what
            .map_or(subject.program.version, |one| one.command),
        before: subject.what.and_then(|one| one.before),
        script: None,
    };
    subjects.iter().enumerate().map(order).collect()
}

/// One machine does all of them, one after the other.
fn said(kernel: &str, orders: &[Order]) -> Result<Vec<Said>> {
    let plan = paths::cache()?.join("agents-plan.json");
    fs::write(&plan, serde_json::to_vec(orders)?).context("write the plan")?;
    let outcome = Vm::new(kernel::get(kernel)?)
        .root(Root::Agents)
        .install(build::static_binary_for_vm(&build::bailiff(Profile::Vm))?)
        .copy(paths::workspace().join("xtask/agents"), "/srv/agents")
        .copy(&plan, "/srv/agents-plan.json")
        .memory(3500)
        .timeout(Some(Duration::from_secs(3600)))
        .output(Output::Kept)
        .run(&["bash", "/srv/agents/run.sh", "/srv/agents-plan.json"])?;
    if let Some(error) = outcome.machine_error() {
        bail!(error);
    }
    let said = String::from_utf8_lossy(&outcome.stdout);
    let lines = said.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .with_context(|| format!("read what the machine said: {said}"))
}

/// A line of the table, and below it what was not as expected.
fn report(subject: &Subject, answer: Option<&Answer>) -> bool {
    let Subject {
        program,
        user,
        what,
    } = subject;
    let name = program.name;
    let Some(answer) = answer else {
        println!("| {name} | {user} | - | NOT TRIED |");
        return false;
    };
    let Some(what) = what else {
        let version = answer.output.lines().next().unwrap_or_default();
        println!("| {name} | {} | {version} | |", program.from);
        return answer.code == 0;
    };
    let seen = judge(&what.expected, answer);
    let word = if seen.is_ok() {
        what.expected.word()
    } else {
        "NOT AS EXPECTED"
    };
    println!("| {name} | {user} | {} | {word} |", what.does);
    if let Err(why) = &seen {
        println!("  {why}\n  exit code {}\n{}", answer.code, indented(answer));
    }
    seen.is_ok()
}

fn indented(answer: &Answer) -> String {
    let events = answer.events.iter().map(ToString::to_string);
    let lines = answer.output.lines().map(ToOwned::to_owned).chain(events);
    lines.map(|line| format!("    {line}\n")).collect()
}
