//! `bailiff grant explain`

mod moves;

use std::{path::Path, process::ExitCode};

use agent_abi::Right;
use agent_grant::{Effect, RuleInfo, explain as explain_file, explain::Match, explain_net, net};
use anyhow::bail;
use clap::Args;

use self::moves::MoveArgs;
use super::{Here, here, place, rule_and_place};
use crate::{
    api::{
        PathText, RuleRef, SCHEMA,
        grant::{GrantExplanation, MoveExplanation, RightExplanation, RuleMatch},
    },
    cli::{
        JsonArg,
        grant_args::SetArgs,
        output::{print, print_json},
    },
    grants::Compiled,
    render::{
        Table, escape,
        escape::escape_bytes,
        style::{BAD, FAINT, GOOD, paint},
        table::Cell,
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// A file, or the name of a grant.
    grant: String,
    /// A path (also `~/…`, and one that begins here), or a destination (`10.0.0.1:443/tcp`).
    object: String,
    /// Only this right (`read`, `file.write`): with every rule that matches, and what would have to
    /// change.
    #[arg(value_parser = file_right)]
    right: Option<Right>,
    #[command(flatten)]
    moved: MoveArgs,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    json: JsonArg,
}

fn file_right(text: &str) -> Result<Right, String> {
    let mut rights = file_rights();
    rights
        .find(|right| right.name() == text || right.name().strip_prefix("file.") == Some(text))
        .ok_or_else(|| {
            let names: Vec<_> = file_rights().map(Right::name).collect();
            format!("expected one of {}", names.join(", "))
        })
}

fn file_rights() -> impl Iterator<Item = Right> {
    Right::FILE.into_iter()
}

pub(in crate::cli) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let inputs = args.set.inputs();
    let here = here(&args.grant, &inputs)?;
    let object = place::meant(&args.object, &inputs);
    let object = object.as_str();
    if let Some(found) = moves::asked(&here, &args.moved, object)? {
        if args.json.json {
            print_json(&MoveExplanation {
                schema: SCHEMA,
                judgement: (&found).into(),
            })?;
        } else {
            print(&moves::in_words(&found))?;
            if let Some(note) = moves::assumed(&args.moved, object) {
                print(&note)?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let explained = if object.starts_with('/') {
        place::must_lead_somewhere(object)?;
        explain_path(&here, object, args.right)
    } else {
        let Ok(endpoint) = net::parse_endpoint(object) else {
            bail!(
                "`{}` is neither a path nor a destination such as `10.0.0.1:443/tcp`; a file here is written `./{}`",
                escape(object),
                escape(object)
            );
        };
        if args.right.is_some() {
            bail!("a destination has one right, which need not be named: net.connect");
        }
        explain_destination(&here.compiled, endpoint)
    };
    if args.json.json {
        print_json(&explained)?;
    } else if let [decision] = explained.rights.as_slice() {
        print(&details(&shown(&explained.object), decision))?;
    } else {
        print(&overview(&explained, &args.grant))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Rights on a path as the kernel would find it: links followed, as far as it exists.
fn explain_path(here: &Here, path: &str, only: Option<Right>) -> GrantExplanation {
    let walked = place::of_object(&here.view, Path::new(path));
    let asked = file_rights().filter(|right| only.is_none_or(|only| only == *right));
    let rights = asked.filter_map(|right| {
        let found = explain_file(here.compiled.inner(), &walked, right)?;
        let rule = found.rule.as_ref();
        Some(decision(
            right,
            found.allowed,
            rule,
            &found.matches,
            found.change,
        ))
    });
    GrantExplanation {
        schema: SCHEMA,
        object: PathText::new(if walked.is_empty() { b"/" } else { &walked }),
        rights: rights.collect(),
    }
}

fn explain_destination(compiled: &Compiled, endpoint: net::Endpoint) -> GrantExplanation {
    let found = explain_net(compiled.inner(), endpoint);
    let rule = found.rule.as_ref();
    GrantExplanation {
        schema: SCHEMA,
        object: PathText::new(endpoint.to_string().as_bytes()),
        rights: vec![decision(
            Right::NetConnect,
            found.allowed,
            rule,
            &found.matches,
            found.change,
        )],
    }
}

fn decision(
    right: Right,
    allowed: bool,
    rule: Option<&RuleInfo>,
    matches: &[Match],
    change: String,
) -> RightExplanation {
    let deciding = matches.iter().find(|m| m.decides);
    RightExplanation {
        right: right.into(),
        allowed,
        rule: rule.map(RuleRef::from),
        pattern: deciding.map(|m| m.pattern.clone()),
        matches: matches.iter().map(RuleMatch::from).collect(),
        change,
    }
}

fn verdict(allowed: bool) -> Cell {
    if allowed {
        Cell::styled("allowed", GOOD)
    } else {
        Cell::styled("refused", BAD)
    }
}

/// Every right in a line.
fn overview(explained: &GrantExplanation, grant: &str) -> String {
    let mut table = Table::new(&["RIGHT", "", "RULE", "PATTERN", "WHERE", "REASON"]);
    let text = |text: Option<&String>| escape(text.map_or("", String::as_str)).into_owned();
    for decision in &explained.rights {
        let rule = decision.rule.as_ref();
        let reason = match rule {
            None => "no rule allows it".to_owned(),
            Some(rule) => text(rule.reason.as_ref()),
        };
        table.row([
            escape(decision.right.as_str()).into(),
            verdict(decision.allowed),
            escape(rule.map_or("-", |rule| &rule.id)).into(),
            text(decision.pattern.as_ref()).into(),
            text(rule.and_then(|rule| rule.place.as_ref())).into(),
            Cell::styled(reason, FAINT),
        ]);
    }
    let object = shown(&explained.object);
    let more = format!(
        "`bailiff grant explain {} {object} RIGHT` says what would have to change.",
        escape(grant)
    );
    format!("{object}\n\n{}\n{}", table.render(), paint(&more, FAINT))
}

fn shown(object: &PathText) -> String {
    escape_bytes(&object.bytes())
}

/// One right: every rule that matches, and what would have to change.
fn details(object: &str, decision: &RightExplanation) -> String {
    let (word, style) = if decision.allowed {
        ("allowed", GOOD)
    } else {
        ("refused", BAD)
    };
    let mut text = format!("{} {object}: {}", decision.right, paint(word, style));
    match &decision.rule {
        None => text += ", since no rule allows it",
        Some(rule) => {
            text += &format!(" by rule {}", escape(&rule.id));
            if let Some(reason) = &rule.reason {
                text += &format!(": {}", escape(reason));
            }
        }
    }
    text.push_str("\n\n");
    if !decision.matches.is_empty() {
        let mut table = Table::new(&["", "RULE", "PATTERN", "HERE", ""]);
        for found in &decision.matches {
            table.row(match_row(found));
        }
        text += &table.render();
        text.push('\n');
    }
    let mut change = decision.change.clone();
    if let Some(first) = change.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text + &escape(&change) + "."
}

fn match_row(found: &RuleMatch) -> [Cell; 5] {
    let effect = match &found.except {
        Some(_) => Cell::styled("no match", FAINT),
        None if found.effect == Effect::Allow => Cell::styled("allows", GOOD),
        None => Cell::styled("denies", BAD),
    };
    let here = if found.glob == found.pattern {
        ""
    } else {
        found.glob.as_str()
    };
    let note = match &found.except {
        Some(except) => format!("excepted by {}", escape(except)),
        None if found.decides => "decides".to_owned(),
        None => String::new(),
    };
    [
        effect,
        rule_and_place(&found.rule).into(),
        escape(&found.pattern).into(),
        escape(here).into(),
        note.into(),
    ]
}
