//! `bailiff grant test`

use std::{path::PathBuf, process::ExitCode};

use agent_grant::{Effect, Grant, TestAnswer, TestOutcome};
use clap::Args;

use super::{
    move_words::{allowing, obstacles},
    rule_and_place, verdict,
};
use crate::{
    api::{
        SCHEMA,
        grant::{GrantTests, TestResult},
    },
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

/// For a test that failed: its place, what was asked and expected, and what came out and why.
pub(super) fn line(outcome: &TestOutcome) -> String {
    let because = match &outcome.answer {
        TestAnswer::Rights { wrong, rule } => {
            let wrong: Vec<_> = wrong.iter().map(|right| right.name()).collect();
            let by = rule.as_ref().map_or_else(
                || "no rule allows it".to_owned(),
                |rule| format!("rule {} decides", rule_and_place(&rule.into())),
            );
            format!(" ({}): {by}", wrong.join(", "))
        }
        TestAnswer::Environment(fate) => format!(": {}", escape(fate)),
        TestAnswer::Move(found) => match obstacles(found) {
            none if none.is_empty() => format!(": {}", allowing(found)),
            obstacles => format!(": {}", obstacles.join("; ")),
        },
    };
    format!(
        "{}: {}: {} should be {}, and is {}{because}",
        escape(&outcome.location.to_string()),
        paint("test failed", BAD),
        escape(&outcome.question),
        word(outcome.expected()),
        word(outcome.decided()),
    )
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allowed",
        Effect::Deny => "refused",
    }
}

/// Runs the tests of a grant that was loaded for them.
pub(super) fn run_tests(grant: &Grant) -> Result<Vec<TestOutcome>, GrantError> {
    Ok(agent_grant::run_tests(Compiled::for_tests(grant)?.inner()))
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
    let passed = outcomes.iter().filter(|outcome| outcome.passed).count();
    let tested = GrantTests {
        schema: SCHEMA,
        grant: args.grant.clone(),
        ok: passed == outcomes.len(),
        passed,
        failed: outcomes.len() - passed,
        tests: outcomes.iter().map(TestResult::from).collect(),
    };
    if args.json.json {
        print_json(&tested)?;
    } else {
        for outcome in outcomes.iter().filter(|outcome| !outcome.passed) {
            print(&line(outcome))?;
        }
        print(&summary(&tested))?;
    }
    Ok(if tested.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn summary(tested: &GrantTests) -> String {
    format!(
        "{}: {}, {} of {} tests passed",
        escape(&tested.grant),
        verdict(tested.ok),
        tested.passed,
        tested.tests.len()
    )
}
