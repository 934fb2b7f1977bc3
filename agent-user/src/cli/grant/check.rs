//! `bailiff grant check`

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, process::ExitCode};

use agent_grant::{
    Diagnostic, Lint, LintKind, Severity, TestOutcome, lint,
    lint::{denied_alone, matches_nothing, patterns_in},
};
use clap::Args;

use super::{
    Here, here, mistakes_here,
    test::{line, run_tests},
    verdict,
};
use crate::{
    api::{
        Inputs, SCHEMA,
        grant::{GrantCheck, Mistake, Remark, TestResult},
    },
    attachments,
    cli::{
        JsonArg,
        failure::{self, USAGE},
        grant_args::SetArgs,
        output::{print, print_json},
    },
    grants::{self, Bounds, GrantError, absent},
    render::{
        diagnostic::{self, Colours},
        escape,
        style::{WARN, paint},
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// Files, or names of grants; also files in /etc/bailiff/attach.d.
    #[arg(required = true, value_name = "GRANT")]
    grants: Vec<String>,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// A grant that can be used.
struct Sound {
    rules: usize,
    table_bytes: usize,
    tests: Vec<TestOutcome>,
    remarks: Vec<Lint>,
    /// Limits that this version does not enforce.
    unenforced: Vec<&'static str>,
}

/// One of the grants, and what came out.
struct Examined<'a> {
    name: &'a str,
    found: Result<Sound, GrantError>,
}

pub(in crate::cli) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut grants = Vec::new();
    for name in &args.grants {
        if is_attachment(name) {
            attachment(name)?;
            continue;
        }
        let found = match examine(name, &args.set) {
            Ok(sound) => Ok(sound),
            Err(error) => Err(every_mistake(name, &args.set, error.downcast()?)?),
        };
        grants.push(Examined { name, found });
    }
    if args.json.json {
        print_json(&grants.iter().map(document).collect::<Vec<_>>())?;
    } else {
        for grant in &grants {
            tell(grant)?;
        }
    }
    Ok(if grants.iter().all(Examined::is_ok) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(USAGE)
    })
}

/// Whether it is what `bailiff attach` writes, which is no grant but names one.
fn is_attachment(name: &str) -> bool {
    let directory = Path::new(name).parent().and_then(Path::file_name);
    directory.is_some_and(|directory| directory == "attach.d")
}

/// Checks an attachment, and the grant that it names with what it fills in.
fn attachment(name: &str) -> anyhow::Result<()> {
    let attachment = attachments::read(Path::new(name))?;
    grants::load(&attachment.grant, &attachment.inputs())?;
    print(&format!(
        "{}: {} comes under the grant {}",
        escape(name),
        escape(attachment.subject.text()),
        escape(&attachment.grant)
    ))
}

fn examine(name: &str, set: &SetArgs) -> anyhow::Result<Sound> {
    let here = here(name, &set.inputs())?;
    let tests = run_tests(&grants::read_for_tests(&here.source, &set.set())?)?;
    let mut remarks = lint(here.compiled.inner());
    remarks.extend(on_this_host(&here));
    remarks.extend(here.remarks.iter().map(|text| link_not_followed(text)));
    leave_out_included(&mut remarks, &here, &set.inputs());
    Ok(Sound {
        rules: here.grant.rules.len(),
        table_bytes: here.compiled.inner().table_bytes(),
        tests,
        remarks,
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
        GrantError::Mistakes(mistakes)
    })
}

/// Remarks on patterns of the grant's own file: those that match nothing on this host, and denials of directories
/// alone. A grant that ships is written for every host.
fn on_this_host(here: &Here) -> Vec<Lint> {
    let origin = &here.source.main.origin;
    if !Path::new(origin).exists() {
        return Vec::new();
    }
    let compiled = here.compiled.inner();
    let patterns = patterns_in(compiled, origin);
    let globs = patterns.iter().map(|p| p.globs().cloned().collect());
    let absent = absent(globs.collect(), Bounds::default());
    let absent: Vec<_> = absent.into_iter().map(|i| patterns[i].clone()).collect();
    let mut remarks = matches_nothing(compiled, &absent);
    let is_directory = |path: &[u8]| Path::new(OsStr::from_bytes(path)).is_dir();
    remarks.extend(denied_alone(compiled, &patterns, &is_directory));
    remarks
}

/// Takes out what is remarked on a grant by itself that this one includes by its name: it is no business of this file's.
fn leave_out_included(remarks: &mut Vec<Lint>, here: &Here, inputs: &Inputs) {
    let place = |lint: &Lint| {
        let at = lint.diagnostic.location.as_ref();
        at.map(|at| (at.source.name.clone(), at.span.clone()))
    };
    let names = here.source.includes.iter().map(|file| &file.name);
    for file in names.filter(|name| !grants::is_path(name)) {
        let known = super::here(file, inputs).map(|alone| lint(alone.compiled.inner()));
        let known = known.unwrap_or_default();
        remarks.retain(|remark| {
            let is_same = |other: &Lint| {
                other.kind == remark.kind
                    && other.diagnostic.message == remark.diagnostic.message
                    && place(other) == place(remark)
            };
            place(remark).is_none() || !known.iter().any(is_same)
        });
    }
}

/// What is not granted on this host because a link is not followed.
fn link_not_followed(text: &str) -> Lint {
    Lint {
        kind: LintKind::LinkNotFollowed,
        rules: Vec::new(),
        path: None,
        diagnostic: Diagnostic {
            severity: Severity::Warning,
            message: text.into(),
            location: None,
            label: String::new(),
            help: None,
        },
    }
}

impl Sound {
    fn failed(&self) -> impl Iterator<Item = &TestOutcome> {
        self.tests.iter().filter(|test| !test.passed)
    }
}

impl Examined<'_> {
    fn is_ok(&self) -> bool {
        let sound = self.found.as_ref();
        sound.is_ok_and(|sound| sound.failed().next().is_none())
    }
}

/// The answer for programs.
fn document(grant: &Examined<'_>) -> GrantCheck {
    let empty = GrantCheck {
        schema: SCHEMA,
        grant: grant.name.into(),
        ok: grant.is_ok(),
        ..GrantCheck::default()
    };
    match &grant.found {
        Ok(sound) => GrantCheck {
            rules: sound.rules,
            table_bytes: sound.table_bytes,
            tests: sound.tests.len(),
            failed_tests: sound.failed().map(TestResult::from).collect(),
            remarks: sound.remarks.iter().map(Remark::from).collect(),
            unenforced: sound.unenforced.iter().copied().map(Into::into).collect(),
            ..empty
        },
        Err(error) => GrantCheck {
            error: Some(error.to_string()),
            mistakes: match error {
                GrantError::Mistakes(mistakes) => mistakes.iter().map(Mistake::from).collect(),
                _ => Vec::new(),
            },
            ..empty
        },
    }
}

fn tell(grant: &Examined<'_>) -> anyhow::Result<()> {
    let name = escape(grant.name);
    let sound = match &grant.found {
        Ok(sound) => sound,
        Err(error) => {
            failure::say(&error.shown(Colours::Styled));
            return Ok(());
        }
    };
    for remark in &sound.remarks {
        print(&diagnostic::render(&remark.diagnostic, Colours::Styled))?;
        print("")?;
    }
    for test in sound.failed() {
        print(&line(test))?;
    }
    for limit in &sound.unenforced {
        print(&format!(
            "{name}: {}: `limits.{limit}` is read and not enforced by this version",
            paint("warning", WARN)
        ))?;
    }
    print(&format!(
        "{name}: {}, {} {}, {} of {} tests passed, {} KB in the kernel",
        verdict(grant.is_ok()),
        sound.rules,
        if sound.rules == 1 { "rule" } else { "rules" },
        sound.tests.len() - sound.failed().count(),
        sound.tests.len(),
        sound.table_bytes.div_ceil(1024)
    ))
}
