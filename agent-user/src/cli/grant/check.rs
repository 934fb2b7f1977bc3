//! `bailiff grant check`

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::here;
use crate::{
    api::SCHEMA,
    cli::{
        JsonArg,
        failure::{self, USAGE},
        grant_args::SetArgs,
        output::{print, print_json},
    },
    grants::GrantError,
    render::{
        escape,
        style::{BAD, GOOD, WARN, paint},
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// Files, or names of grants.
    #[arg(required = true, value_name = "GRANT")]
    grants: Vec<String>,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// What came out for one grant.
#[derive(Serialize)]
struct Outcome {
    schema: u32,
    grant: String,
    ok: bool,
    /// Mistakes, for people.
    error: Option<String>,
    rules: usize,
    table_bytes: usize,
    tests: usize,
    failed_tests: Vec<FailedTest>,
    /// Limits that this version does not enforce.
    unenforced: Vec<&'static str>,
}

#[derive(Serialize)]
struct FailedTest {
    place: String,
    question: String,
    expected: &'static str,
    rule: Option<String>,
}

pub(in crate::cli) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut outcomes = Vec::new();
    for name in &args.grants {
        outcomes.push(match examine(name, &args.set) {
            Ok(outcome) => outcome,
            Err(error) => match error.downcast::<GrantError>() {
                Ok(error) => broken(name, &error),
                Err(other) => return Err(other),
            },
        });
    }
    if args.json.json {
        print_json(&outcomes)?;
    } else {
        for outcome in &outcomes {
            tell(outcome)?;
        }
    }
    let ok = outcomes.iter().all(|outcome| outcome.ok);
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(USAGE)
    })
}

fn examine(name: &str, set: &SetArgs) -> anyhow::Result<Outcome> {
    let here = here(name, &set.inputs())?;
    let tests = here.written.inner().run_tests();
    let failed = tests
        .iter()
        .filter(|test| !test.passed)
        .map(|test| FailedTest {
            place: test.location.to_string(),
            question: test.question.clone(),
            expected: if test.expected_allow { "allow" } else { "deny" },
            rule: test.rule.clone(),
        });
    let failed_tests = failed.collect::<Vec<_>>();
    Ok(Outcome {
        schema: SCHEMA,
        grant: name.into(),
        ok: failed_tests.is_empty(),
        error: None,
        rules: here.grant.rules.len(),
        table_bytes: here.compiled.inner().table_bytes(),
        tests: tests.len(),
        failed_tests,
        unenforced: here.grant.unenforced_limits(),
    })
}

fn broken(name: &str, error: &GrantError) -> Outcome {
    Outcome {
        schema: SCHEMA,
        grant: name.into(),
        ok: false,
        error: Some(anstream::adapter::strip_str(&error.to_string()).to_string()),
        rules: 0,
        table_bytes: 0,
        tests: 0,
        failed_tests: Vec::new(),
        unenforced: Vec::new(),
    }
}

fn tell(outcome: &Outcome) -> anyhow::Result<()> {
    let name = escape(&outcome.grant);
    if let Some(error) = &outcome.error {
        failure::say(error);
        return Ok(());
    }
    for test in &outcome.failed_tests {
        let verdict = if test.expected == "allow" {
            "refused"
        } else {
            "allowed"
        };
        let rule = test
            .rule
            .as_deref()
            .map_or("no rule".into(), |rule| format!("rule `{rule}`"));
        print(&format!(
            "{}: {}: expected {}, but {rule} has it {verdict}: {}",
            escape(&test.place),
            paint("test failed", BAD),
            test.expected,
            escape(&test.question)
        ))?;
    }
    for limit in &outcome.unenforced {
        print(&format!(
            "{name}: {}: `limits.{limit}` is read and not enforced by this version",
            paint("warning", WARN)
        ))?;
    }
    let verdict = if outcome.ok {
        paint("ok", GOOD)
    } else {
        paint("not ok", BAD)
    };
    print(&format!(
        "{name}: {verdict}, {} rules, {} of {} tests passed, {} KB in the kernel",
        outcome.rules,
        outcome.tests - outcome.failed_tests.len(),
        outcome.tests,
        outcome.table_bytes.div_ceil(1024)
    ))
}
