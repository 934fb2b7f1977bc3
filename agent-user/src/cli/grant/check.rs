//! `bailiff grant check`

use std::{path::Path, process::ExitCode};

use agent_grant::{
    Errors, Lint, Severity, lint,
    lint::{matches_nothing, patterns_in},
};
use clap::Args;
use serde::Serialize;

use super::{
    Here, here, mistakes_here,
    test::{Tried, run_tests},
    verdict,
};
use crate::{
    api::SCHEMA,
    cli::{
        JsonArg,
        failure::{self, USAGE},
        grant_args::SetArgs,
        output::{print, print_json},
    },
    grants::{self, Bounds, GrantError, absent},
    render::{
        escape,
        escape::escape_bytes,
        style::{WARN, paint},
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
    failed_tests: Vec<Tried>,
    remarks: Vec<Remark>,
    /// Limits that this version does not enforce.
    unenforced: Vec<&'static str>,
}

/// Something that is valid and may not mean what its author wants.
#[derive(Serialize)]
struct Remark {
    kind: &'static str,
    severity: &'static str,
    message: String,
    place: Option<String>,
    /// A path that shows it.
    path: Option<String>,
    help: Option<String>,
    #[serde(skip)]
    shown: String,
}

pub(in crate::cli) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut outcomes = Vec::new();
    for name in &args.grants {
        outcomes.push(match examine(name, &args.set) {
            Ok(outcome) => outcome,
            Err(error) => match error.downcast::<GrantError>() {
                Ok(error) => broken(name, &every_mistake(name, &args.set, error)?),
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
    let tests = run_tests(&grants::read_for_tests(&here.source, &set.set())?)?;
    let failed = tests.iter().filter(|test| !test.passed);
    let failed_tests = failed.map(Tried::new).collect::<Vec<_>>();
    let mut remarks = lint(here.compiled.inner());
    remarks.extend(matching_nothing(&here));
    Ok(Outcome {
        schema: SCHEMA,
        grant: name.into(),
        ok: failed_tests.is_empty(),
        error: None,
        rules: here.grant.rules.len(),
        table_bytes: here.compiled.inner().table_bytes(),
        tests: tests.len(),
        failed_tests,
        remarks: remarks
            .iter()
            .map(Remark::new)
            .chain(here.remarks.iter().map(|text| Remark::on_link(text)))
            .collect(),
        unenforced: here.grant.unenforced_limits(),
    })
}

/// All that is wrong with a grant: what was found first, and what that kept from being looked at.
fn every_mistake(name: &str, set: &SetArgs, first: GrantError) -> anyhow::Result<GrantError> {
    if !matches!(first, GrantError::Mistakes(_)) {
        return Ok(first);
    }
    let (mut grant, mut mistakes) = grants::examine(name, &set.inputs())?;
    mistakes.extend(mistakes_here(&mut grant)?);
    Ok(if mistakes.is_empty() {
        first
    } else {
        GrantError::mistakes(&Errors(mistakes))
    })
}

/// Remarks on patterns of the grant's own file that match nothing on this host. A grant that ships
/// is written for every host.
fn matching_nothing(here: &Here) -> Vec<Lint> {
    let origin = &here.source.main.origin;
    if !Path::new(origin).exists() {
        return Vec::new();
    }
    let compiled = here.compiled.inner();
    let patterns = patterns_in(compiled, origin);
    let globs = patterns.iter().map(|p| p.globs().cloned().collect());
    let absent = absent(globs.collect(), Bounds::default());
    let absent: Vec<_> = absent.into_iter().map(|i| patterns[i].clone()).collect();
    matches_nothing(compiled, &absent)
}

impl Remark {
    /// What is not granted on this host because a link is not followed.
    fn on_link(text: &str) -> Self {
        Self {
            kind: "link-not-followed",
            severity: "warning",
            message: text.into(),
            place: None,
            path: None,
            help: None,
            shown: format!("{}: {text}", paint("warning", WARN)),
        }
    }

    fn new(lint: &Lint) -> Self {
        let diagnostic = &lint.diagnostic;
        Self {
            kind: lint.kind.name(),
            severity: match diagnostic.severity {
                Severity::Note => "note",
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            message: diagnostic.message.clone(),
            place: diagnostic.location.as_ref().map(ToString::to_string),
            path: lint.path.as_deref().map(escape_bytes),
            help: diagnostic.help.clone(),
            shown: diagnostic.render(true),
        }
    }
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
        remarks: Vec::new(),
        unenforced: Vec::new(),
    }
}

fn tell(outcome: &Outcome) -> anyhow::Result<()> {
    let name = escape(&outcome.grant);
    if let Some(error) = &outcome.error {
        failure::say(error);
        return Ok(());
    }
    for remark in &outcome.remarks {
        print(&remark.shown)?;
        print("")?;
    }
    for test in &outcome.failed_tests {
        print(&test.line())?;
    }
    for limit in &outcome.unenforced {
        print(&format!(
            "{name}: {}: `limits.{limit}` is read and not enforced by this version",
            paint("warning", WARN)
        ))?;
    }
    let verdict = verdict(outcome.ok);
    print(&format!(
        "{name}: {verdict}, {} rules, {} of {} tests passed, {} KB in the kernel",
        outcome.rules,
        outcome.tests - outcome.failed_tests.len(),
        outcome.tests,
        outcome.table_bytes.div_ceil(1024)
    ))
}
