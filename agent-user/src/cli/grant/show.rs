//! `bailiff grant show`

use std::process::ExitCode;

use agent_grant::{
    Effect, Grant, Mode, Rule,
    model::{FilePattern, Object, right_names},
};
use clap::Args;
use serde::Serialize;

use super::here;
use crate::{
    api::SCHEMA,
    cli::{
        JsonArg,
        grant_args::SetArgs,
        output::{print, print_json},
    },
    render::{
        Table, escape,
        style::{BAD, FAINT, GOOD, STRONG, paint},
        table::Cell,
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// A file, or the name of a grant.
    grant: String,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Shown {
    schema: u32,
    name: String,
    purpose: Option<String>,
    mode: &'static str,
    rules: Vec<ShownRule>,
    capabilities: Vec<&'static str>,
    /// Limits that this version does not enforce.
    unenforced: Vec<&'static str>,
}

#[derive(Serialize)]
struct ShownRule {
    id: String,
    place: Option<String>,
    effect: &'static str,
    rights: Vec<&'static str>,
    objects: Vec<ShownObject>,
    except: Vec<ShownObject>,
    reason: Option<String>,
}

/// A pattern as written, and what it names on this host where that is something else.
#[derive(Serialize)]
struct ShownObject {
    written: String,
    real: Vec<String>,
}

pub(in crate::cli) fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let grant = here(&args.grant, &args.set.inputs())?.grant;
    let shown = shown(&grant);
    if args.json.json {
        print_json(&shown)?;
    } else {
        print(&lines(&shown))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(grant: &Grant) -> Shown {
    Shown {
        schema: SCHEMA,
        name: grant.name.clone(),
        purpose: grant.purpose.clone(),
        mode: if grant.mode == Mode::Audit {
            "audit"
        } else {
            "enforce"
        },
        rules: grant.rules.iter().map(rule).collect(),
        capabilities: grant.capability_names(),
        unenforced: grant.unenforced_limits(),
    }
}

fn rule(rule: &Rule) -> ShownRule {
    let (rights, objects, except) = match &rule.object {
        Object::File {
            rights,
            paths,
            except,
        } => {
            let all = *rights == agent_abi::FileRights::ALL;
            let rights = if all {
                vec!["all"]
            } else {
                right_names(*rights)
            };
            (
                rights,
                paths.iter().map(pattern).collect(),
                except.iter().map(pattern).collect(),
            )
        }
        Object::Net { .. } | Object::Unix { .. } => {
            let objects = rule.objects().into_iter();
            let plain = |text: &str| ShownObject {
                written: text.into(),
                real: Vec::new(),
            };
            (vec!["connect"], objects.map(plain).collect(), Vec::new())
        }
    };
    ShownRule {
        id: rule.id.clone(),
        place: rule.location.as_ref().map(ToString::to_string),
        effect: if rule.effect == Effect::Allow {
            "allow"
        } else {
            "deny"
        },
        rights,
        objects,
        except,
        reason: rule.reason.clone(),
    }
}

fn pattern(pattern: &FilePattern) -> ShownObject {
    let changed = pattern
        .alternatives
        .iter()
        .filter(|alternative| alternative.written.is_some());
    ShownObject {
        written: pattern.text.value.clone(),
        real: changed
            .map(|alternative| alternative.glob.to_string())
            .collect(),
    }
}

fn lines(shown: &Shown) -> String {
    let purpose = shown
        .purpose
        .as_deref()
        .map(|text| format!(": {}", escape(text)));
    let mut text = format!(
        "{} ({}){}\n\n",
        paint(&escape(&shown.name), STRONG),
        shown.mode,
        purpose.unwrap_or_default()
    );
    let mut table = Table::new(&["RULE", "", "RIGHTS", "OBJECTS"]);
    for rule in &shown.rules {
        let style = if rule.effect == "allow" { GOOD } else { BAD };
        let mut head = Some((escape(&rule.id), rule.effect, rule.rights.join(" ")));
        let objects = rule.objects.iter().map(|object| (object, ""));
        let except = rule.except.iter().map(|object| (object, "except "));
        for (object, word) in objects.chain(except) {
            let (id, effect, rights) = head.take().unwrap_or_default();
            let real = object
                .real
                .iter()
                .map(|real| escape(real))
                .collect::<Vec<_>>()
                .join(", ");
            let arrow = if real.is_empty() {
                String::new()
            } else {
                format!("  -> {real}")
            };
            table.row([
                id.into(),
                Cell::styled(effect, style),
                rights.into(),
                format!("{word}{}{arrow}", escape(&object.written)).into(),
            ]);
        }
        if let Some(reason) = &rule.reason {
            table.row([
                "".into(),
                "".into(),
                "".into(),
                Cell::styled(escape(reason), FAINT),
            ]);
        }
    }
    text += &table.render();
    if !shown.capabilities.is_empty() {
        text += &format!("\ncapabilities: {}\n", shown.capabilities.join(" "));
    }
    if !shown.unenforced.is_empty() {
        text += &format!(
            "\nnot enforced by this version: limits {}\n",
            shown.unenforced.join(", ")
        );
    }
    text
}
