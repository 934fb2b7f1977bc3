//! `bailiff grant show`

use std::{collections::BTreeMap, process::ExitCode};

use agent_abi::{FileRights, Right};
use agent_grant::{
    Effect, Grant, Mode, Rule,
    environment::Environment,
    model::{FilePattern, Object, right_words},
    opens::opens,
    syntax::settings::settings,
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
        run::environment::Handed,
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
    /// For each file right the rules that allow and deny it.
    rights: Vec<ShownRight>,
    settings: Vec<ShownSetting>,
    capabilities: Vec<&'static str>,
    environment: ShownEnvironment,
    /// What switches and capabilities open, in words.
    opens: Vec<ShownOpening>,
    limits: BTreeMap<&'static str, String>,
    /// Limits that this version does not enforce.
    unenforced: Vec<&'static str>,
    /// What is written and not granted on this host, since a link is not followed.
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct ShownOpening {
    setting: String,
    opens: &'static str,
}

#[derive(Serialize)]
struct ShownRule {
    id: String,
    /// `file`, `net` or `unix`.
    kind: &'static str,
    place: Option<String>,
    effect: &'static str,
    rights: Vec<&'static str>,
    objects: Vec<ShownObject>,
    except: Vec<ShownObject>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct ShownRight {
    right: &'static str,
    allowed_by: Vec<String>,
    denied_by: Vec<String>,
}

/// A switch of `[process]` or `[kernel]`.
#[derive(Serialize)]
struct ShownSetting {
    table: &'static str,
    key: &'static str,
    value: &'static str,
    is_default: bool,
}

/// What a session is handed over of its caller's environment.
#[derive(Serialize)]
struct ShownEnvironment {
    /// What programs need is kept.
    default: bool,
    keep: Vec<String>,
    set: BTreeMap<String, String>,
    /// Names of this command's own environment.
    kept_here: Vec<String>,
    dropped_here: Vec<String>,
}

/// A pattern as written, and what it names on this host where that is something else.
#[derive(Serialize)]
struct ShownObject {
    written: String,
    real: Vec<String>,
}

pub(in crate::cli) fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let here = here(&args.grant, &args.set.inputs())?;
    let shown = shown(&here.grant, here.remarks);
    if args.json.json {
        print_json(&shown)?;
    } else {
        print(&lines(&shown))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(grant: &Grant, remarks: Vec<String>) -> Shown {
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
        rights: rights(grant),
        settings: settings()
            .map(|setting| ShownSetting {
                table: setting.table,
                key: setting.key,
                value: setting.value(grant.surface),
                is_default: !setting.is_on(grant.surface),
            })
            .collect(),
        capabilities: grant.capability_names(),
        environment: environment(&grant.environment),
        opens: opens(grant.surface, grant.capabilities)
            .into_iter()
            .map(|opens| ShownOpening {
                setting: opens.setting,
                opens: opens.sentence,
            })
            .collect(),
        limits: limits(grant),
        unenforced: grant.unenforced_limits(),
        remarks,
    }
}

fn rights(grant: &Grant) -> Vec<ShownRight> {
    let named = |right: FileRights, effect: Effect| {
        let rules = grant.rules.iter().filter(move |rule| {
            rule.effect == effect
                && matches!(&rule.object, Object::File { rights, .. } if rights.contains(right))
        });
        rules.map(|rule| rule.id.clone()).collect()
    };
    Right::FILE
        .into_iter()
        .map(|right| ShownRight {
            right: right.name(),
            allowed_by: named(FileRights::only(right), Effect::Allow),
            denied_by: named(FileRights::only(right), Effect::Deny),
        })
        .collect()
}

fn environment(environment: &Environment) -> ShownEnvironment {
    let handed = Handed::by(environment);
    let parts = environment.parts.iter();
    let keep = parts.clone().flat_map(|part| &part.keep);
    ShownEnvironment {
        default: parts.clone().all(|part| part.default),
        keep: keep.map(|kept| kept.text.value.clone()).collect(),
        set: environment.set.clone(),
        kept_here: handed.kept,
        dropped_here: handed.dropped,
    }
}

/// In words, names alone.
fn environment_sentences(shown: &ShownEnvironment) -> Vec<String> {
    let default = if shown.default {
        "what programs need"
    } else {
        "nothing"
    };
    let mut text = format!("Kept of the environment: {default}");
    if !shown.keep.is_empty() {
        text += &format!("; {}", escape(&shown.keep.join(", ")));
    }
    let mut sentences = vec![text + "."];
    if !shown.set.is_empty() {
        let set: Vec<_> = shown
            .set
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        sentences.push(format!("Set in it: {}.", escape(&set.join(" "))));
    }
    if !shown.dropped_here.is_empty() {
        sentences.push(format!(
            "Dropped of this command's environment: {}.",
            escape(&shown.dropped_here.join(", "))
        ));
    }
    sentences
}

fn limits(grant: &Grant) -> BTreeMap<&'static str, String> {
    let texts = grant.limits.texts().into_iter();
    texts
        .filter_map(|(name, text)| Some((name, text?)))
        .collect()
}

fn rule(rule: &Rule) -> ShownRule {
    let (rights, objects, except) = match &rule.object {
        Object::File {
            rights,
            paths,
            except,
        } => {
            let all = *rights == FileRights::ALL;
            let rights = if all {
                vec!["all"]
            } else {
                right_words(*rights)
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
        kind: rule.kind(),
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
    text.push('\n');
    text += &rights_table(shown);
    text.push('\n');
    for sentence in sentences(shown) {
        text += &format!("{sentence}\n");
    }
    text
}

fn rights_table(shown: &Shown) -> String {
    let mut table = Table::new(&["RIGHT", "ALLOWED BY", "DENIED BY"]);
    for right in &shown.rights {
        let ids = |ids: &[String]| {
            let ids: Vec<_> = ids.iter().map(|id| escape(id)).collect();
            if ids.is_empty() {
                "-".to_owned()
            } else {
                ids.join(" ")
            }
        };
        table.row([
            right.right.into(),
            ids(&right.allowed_by).into(),
            ids(&right.denied_by).into(),
        ]);
    }
    table.render()
}

/// The rest of the grant, in words.
fn sentences(shown: &Shown) -> Vec<String> {
    let mut text = vec![if shown.mode == "audit" {
        "Nothing is refused: in audit mode, what would have been is recorded.".to_owned()
    } else {
        "What no rule allows is refused, and so is what a rule denies, whatever else allows it."
            .to_owned()
    }];
    if !shown
        .rules
        .iter()
        .any(|rule| rule.kind == "net" && rule.effect == "allow")
    {
        text.push("The network is closed.".to_owned());
    }
    let value = |key: &str| {
        shown
            .settings
            .iter()
            .find(|s| s.key == key)
            .map(|s| s.value)
    };
    let reach = |key, any: &str, session: &str| match value(key) {
        Some("any") => any.to_owned(),
        _ => session.to_owned(),
    };
    text.push(reach(
        "signal",
        "Every process that its user may signal can be signalled.",
        "Only processes of the session can be signalled.",
    ));
    text.push(reach(
        "control",
        "Limits and scheduling of every process of its user can be changed.",
        "Only processes of the session can have their limits and scheduling changed.",
    ));
    text.push(match value("ptrace") {
        Some("session") => "Processes of the session can be traced.".to_owned(),
        _ => "No process can be traced.".to_owned(),
    });
    text.push(match value("jit") {
        Some("true") => "Anonymous memory can be made executable.".to_owned(),
        _ => "No memory that the session wrote can be made executable.".to_owned(),
    });
    let kernel = shown.settings.iter().filter(|s| s.table == "kernel");
    let open: Vec<_> = kernel.filter(|s| !s.is_default).map(|s| s.key).collect();
    text.push(if open.is_empty() {
        "Mounts, namespaces, bpf, perf, io_uring, userfaultfd, keyrings and loading of code into \
         the kernel are refused."
            .to_owned()
    } else {
        format!("Opened of the kernel: {}.", open.join(", "))
    });
    text.push(if shown.capabilities.is_empty() {
        "No capability can be used, not even by root.".to_owned()
    } else {
        format!("Capabilities: {}.", shown.capabilities.join(", "))
    });
    text.extend(environment_sentences(&shown.environment));
    text.extend(
        shown
            .opens
            .iter()
            .map(|opening| format!("`{}`: {}", opening.setting, opening.opens)),
    );
    text.push(if shown.limits.is_empty() {
        "There are no limits.".to_owned()
    } else {
        let limits: Vec<_> = shown
            .limits
            .iter()
            .map(|(name, text)| format!("{name} {text}"))
            .collect();
        format!("Limits: {}.", limits.join("; "))
    });
    if !shown.unenforced.is_empty() {
        text.push(format!(
            "Not enforced by this version: {}.",
            shown.unenforced.join(", ")
        ));
    }
    text.extend(
        shown
            .remarks
            .iter()
            .map(|remark| format!("On this host {}.", escape(remark))),
    );
    text
}
