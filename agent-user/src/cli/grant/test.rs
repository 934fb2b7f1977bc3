//! `bailiff grant test`

use std::{path::PathBuf, process::ExitCode};

use agent_grant::{Grant, TestAnswer, TestOutcome};
use clap::Args;
use serde::Serialize;

use super::{
    moves::{Moved, allowing, obstacles},
    rule_and_place, verdict,
};
use crate::{
    api::SCHEMA,
    cli::{
        JsonArg,
        failure::{self, USAGE},
        grant_args::SetArgs,
        output::{print, print_json},
    },
    grants::{self, Compiled, GrantError},
    render::{
        escape,
        style::{BAD, paint},
    },
};

/// A test failed.
const FAILED: u8 = 1;

#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// A file, or the name of a grant.
    grant: String,
    /// Run the `[[test]]` tables of this file too.
    #[arg(long, value_name = "FILE")]
    tests: Option<PathBuf>,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Tested {
    schema: u32,
    grant: String,
    ok: bool,
    passed: usize,
    failed: usize,
    tests: Vec<Tried>,
}

/// One test, and what the grant decided.
#[derive(Serialize)]
pub(super) struct Tried {
    pub(super) passed: bool,
    place: String,
    question: String,
    expected: &'static str,
    decided: &'static str,
    /// The rights that were decided otherwise than expected; of a move `moved` tells.
    wrong: Vec<&'static str>,
    /// The rule that decided; none where no rule allows it.
    rule: Option<String>,
    moved: Option<Moved>,
    /// What came out and why, where that is not what was expected.
    #[serde(skip)]
    because: String,
}

impl Tried {
    pub(super) fn new(outcome: &TestOutcome) -> Self {
        let word = |allowed| if allowed { "allow" } else { "deny" };
        let decided = outcome.expected_allow == outcome.passed;
        let mut tried = Self {
            passed: outcome.passed,
            place: outcome.location.to_string(),
            question: outcome.question.clone(),
            expected: word(outcome.expected_allow),
            decided: word(decided),
            wrong: Vec::new(),
            rule: None,
            moved: None,
            because: String::new(),
        };
        match &outcome.answer {
            TestAnswer::Rights { wrong, rule } => {
                let rule = rule.as_ref();
                tried.wrong = wrong.iter().map(|right| right.name()).collect();
                tried.rule = rule.map(|rule| rule.id.clone());
                let by = rule.map_or_else(
                    || "no rule allows it".to_owned(),
                    |rule| format!("rule {} decides", rule_and_place(rule)),
                );
                tried.because = format!(" of {}: {by}", tried.wrong.join(", "));
            }
            TestAnswer::Environment(fate) => tried.because = format!(": {}", escape(fate)),
            TestAnswer::Move(found) => {
                tried.moved = Some(Moved::new(found));
                let obstacles = obstacles(found);
                tried.because = if obstacles.is_empty() {
                    format!(": {}", allowing(found))
                } else {
                    format!(": {}", obstacles.join("; "))
                };
            }
        }
        tried
    }

    /// For a test that failed: its place, what was asked and expected, and what came out.
    pub(super) fn line(&self) -> String {
        format!(
            "{}: {}: {}: expected {}, but {}{}",
            escape(&self.place),
            paint("test failed", BAD),
            escape(&self.question),
            self.expected,
            self.decided,
            self.because,
        )
    }
}

/// Runs the tests of a grant that was loaded for them.
pub(super) fn run_tests(grant: &Grant) -> Result<Vec<TestOutcome>, GrantError> {
    Ok(Compiled::for_tests(grant)?.inner().run_tests())
}

/// The exit code tells errors from failures, so no error may leave as another code.
pub(in crate::cli) fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    Ok(tested(args).unwrap_or_else(|error| {
        failure::report(&error);
        ExitCode::from(USAGE)
    }))
}

fn tested(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let grant = grants::load_for_tests(&args.grant, args.tests.as_deref(), &args.set.set())?;
    let outcomes = run_tests(&grant)?;
    if outcomes.is_empty() {
        anyhow::bail!(
            "`{}` has no tests: write `[[test]]` tables into it, or name a file of them with `--tests`",
            escape(&args.grant)
        );
    }
    let tests: Vec<_> = outcomes.iter().map(Tried::new).collect();
    let passed = tests.iter().filter(|test| test.passed).count();
    let tested = Tested {
        schema: SCHEMA,
        grant: args.grant.clone(),
        ok: passed == tests.len(),
        passed,
        failed: tests.len() - passed,
        tests,
    };
    if args.json.json {
        print_json(&tested)?;
    } else {
        tell(&tested)?;
    }
    Ok(if tested.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn tell(tested: &Tested) -> anyhow::Result<()> {
    for test in tested.tests.iter().filter(|test| !test.passed) {
        print(&test.line())?;
    }
    let verdict = verdict(tested.ok);
    print(&format!(
        "{}: {verdict}, {} of {} tests passed",
        escape(&tested.grant),
        tested.passed,
        tested.tests.len()
    ))
}
