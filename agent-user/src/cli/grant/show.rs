//! `bailiff grant show`

use std::{collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStrExt, process::ExitCode};

use agent_abi::{FileRights, Right};
use agent_grant::{
    Effect, Grant, Rule,
    environment::Environment,
    model::{FilePattern, Object, right_words},
    opens::opens,
    syntax::settings::{SettingTable, settings},
};
use clap::Args;

use super::here;
use crate::{
    api::{
        Mode, PathText, RuleRef, SCHEMA,
        grant::{
            EnvironmentShown, GrantShown, Opening, PatternShown, RightShown, RuleKind, RuleShown,
            SettingShown,
        },
    },
    cli::{
        JsonArg,
        grant_args::SetArgs,
        output::{print, print_json},
        run::environment::Handed,
    },
    render::{
        Table, escape,
        escape::escape_bytes,
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

fn shown(grant: &Grant, remarks: Vec<String>) -> GrantShown {
    GrantShown {
        schema: SCHEMA,
        name: grant.name.clone(),
        purpose: grant.purpose.clone(),
        mode: grant.mode.into(),
        rules: grant.rules.iter().zip(0..).map(rule).collect(),
        rights: rights(grant),
        settings: settings()
            .map(|setting| SettingShown {
                table: setting.table.into(),
                key: setting.key.into(),
                value: setting.value(grant.surface).into(),
                is_default: !setting.is_on(grant.surface),
            })
            .collect(),
        capabilities: owned(grant.capability_names()),
        environment: environment(&grant.environment),
        opens: opens(grant.surface, grant.capabilities)
            .into_iter()
            .map(|opens| Opening {
                setting: opens.setting,
                opens: opens.sentence.into(),
            })
            .collect(),
        limits: limits(grant),
        unenforced: owned(grant.unenforced_limits()),
        remarks,
    }
}

fn owned(words: Vec<&'static str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn rights(grant: &Grant) -> Vec<RightShown> {
    let named = |right: FileRights, effect: Effect| {
        let rules = grant.rules.iter().filter(move |rule| {
            rule.effect == effect
                && matches!(&rule.object, Object::File { rights, .. } if rights.contains(right))
        });
        rules.map(|rule| rule.id.clone()).collect()
    };
    Right::FILE
        .into_iter()
        .map(|right| RightShown {
            right: right.into(),
            allowed_by: named(FileRights::only(right), Effect::Allow),
            denied_by: named(FileRights::only(right), Effect::Deny),
        })
        .collect()
}

fn environment(environment: &Environment) -> EnvironmentShown {
    let handed = Handed::by(environment);
    let parts = environment.parts.iter();
    let keep = parts.clone().flat_map(|part| &part.keep);
    EnvironmentShown {
        default: parts.clone().all(|part| part.default),
        keep: keep.map(|kept| kept.text.value.clone()).collect(),
        set: environment.set.clone(),
        private_tmp: environment.has_private_tmp(),
        kept_here: names(&handed.kept),
        dropped_here: names(&handed.dropped),
    }
}

fn names(names: &[OsString]) -> Vec<PathText> {
    let names = names.iter();
    names.map(|name| PathText::new(name.as_bytes())).collect()
}

/// In words, names alone.
fn environment_sentences(shown: &EnvironmentShown) -> Vec<String> {
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
    if shown.private_tmp {
        sentences.push("TMPDIR is a filesystem of its own, in memory, gone when it ends.".into());
    }
    if !shown.dropped_here.is_empty() {
        sentences.push(format!(
            "Dropped of this command's environment: {}.",
            shown
                .dropped_here
                .iter()
                .map(|name| escape_bytes(&name.bytes()))
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    sentences
}

fn limits(grant: &Grant) -> BTreeMap<String, String> {
    let texts = grant.limits.texts().into_iter();
    texts
        .filter_map(|(name, text)| Some((name.to_owned(), text?)))
        .collect()
}

fn rule((rule, number): (&Rule, u16)) -> RuleShown {
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
            let plain = |text: &str| PatternShown {
                written: text.into(),
                real: Vec::new(),
            };
            (vec!["connect"], objects.map(plain).collect(), Vec::new())
        }
    };
    RuleShown {
        rule: RuleRef {
            number,
            id: rule.id.clone(),
            reason: rule.reason.clone(),
            place: rule.location.as_ref().map(ToString::to_string),
        },
        kind: rule.kind().into(),
        effect: rule.effect.into(),
        rights: owned(rights),
        objects,
        except,
    }
}

fn pattern(pattern: &FilePattern) -> PatternShown {
    let changed = pattern
        .alternatives
        .iter()
        .filter(|alternative| alternative.written.is_some());
    PatternShown {
        written: pattern.text.value.clone(),
        real: changed
            .map(|alternative| alternative.glob.to_string())
            .collect(),
    }
}

fn lines(shown: &GrantShown) -> String {
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
        let style = if rule.effect == Effect::Allow {
            GOOD
        } else {
            BAD
        };
        let id = escape(&rule.rule.id);
        let mut head = Some((id, rule.effect.as_str(), rule.rights.join(" ")));
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
        if let Some(reason) = &rule.rule.reason {
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

fn rights_table(shown: &GrantShown) -> String {
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
            right.right.as_str().into(),
            ids(&right.allowed_by).into(),
            ids(&right.denied_by).into(),
        ]);
    }
    table.render()
}

/// The rest of the grant, in words.
fn sentences(shown: &GrantShown) -> Vec<String> {
    let mut text = vec![if shown.mode == Mode::Audit {
        "Nothing is refused: in audit mode, what would have been is recorded.".to_owned()
    } else {
        "What no rule allows is refused, and so is what a rule denies, whatever else allows it."
            .to_owned()
    }];
    if !shown
        .rules
        .iter()
        .any(|rule| rule.kind == RuleKind::Net && rule.effect == Effect::Allow)
    {
        text.push("The network is closed.".to_owned());
    }
    let value = |key: &str| {
        shown
            .settings
            .iter()
            .find(|s| s.key == key)
            .map(|s| s.value.as_str())
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
    let kernel = shown
        .settings
        .iter()
        .filter(|s| s.table == SettingTable::Kernel);
    let open: Vec<_> = kernel
        .filter(|s| !s.is_default)
        .map(|s| s.key.as_str())
        .collect();
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
