//! `bailiff grant explain`

use std::{fs, os::unix::ffi::OsStrExt, path::Path, process::ExitCode};

use agent_abi::{Right, right::FILE_RIGHTS};
use agent_grant::net::parse_endpoint;
use anyhow::bail;
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
    grants::Compiled,
    render::{
        Table, escape,
        escape::escape_bytes,
        style::{BAD, FAINT, GOOD},
        table::Cell,
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// A file, or the name of a grant.
    grant: String,
    /// An absolute path, or a destination (`10.0.0.1:443/tcp`).
    object: String,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Explained {
    schema: u32,
    /// What was judged: the real path.
    object: String,
    rights: Vec<Decision>,
}

#[derive(Serialize)]
struct Decision {
    right: &'static str,
    allowed: bool,
    /// The rule that decided; none where no rule allows it.
    rule: Option<String>,
    place: Option<String>,
    reason: Option<String>,
}

pub(in crate::cli) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let compiled = here(&args.grant, &args.set.inputs())?.compiled;
    let explained = if args.object.starts_with('/') {
        explain_path(&compiled, &args.object)
    } else if let Ok(endpoint) = parse_endpoint(&args.object) {
        let decided = compiled.inner().decide_net(endpoint);
        let rights = vec![decision(&compiled, Right::NetConnect, decided)];
        Explained {
            schema: SCHEMA,
            object: endpoint.to_string(),
            rights,
        }
    } else {
        bail!(
            "`{}` is neither an absolute path nor a destination such as `10.0.0.1:443/tcp`",
            escape(&args.object)
        );
    };
    if args.json.json {
        print_json(&explained)?;
    } else {
        print(&lines(&explained))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Rights on a path as the kernel would find it: links followed, as far as it exists.
fn explain_path(compiled: &Compiled, path: &str) -> Explained {
    let real = fs::canonicalize(path).or_else(|_| {
        let path = Path::new(path);
        let (parent, name) = (path.parent(), path.file_name());
        let parent = parent.map_or_else(|| Ok("/".into()), fs::canonicalize);
        parent.map(|parent| name.map_or(parent.clone(), |name| parent.join(name)))
    });
    let real = real.unwrap_or_else(|_| path.into());
    let bytes = real.as_os_str().as_bytes();
    let walked = if bytes == b"/" { b"" } else { bytes };
    let decide = |right| decision(compiled, right, compiled.inner().decide(walked, right));
    let rights = Right::ALL
        .iter()
        .map(|(right, _)| *right)
        .take(FILE_RIGHTS)
        .map(decide);
    Explained {
        schema: SCHEMA,
        object: escape_bytes(bytes),
        rights: rights.collect(),
    }
}

fn decision(compiled: &Compiled, right: Right, (allowed, rule): (bool, u16)) -> Decision {
    let rule = compiled.inner().rule(rule);
    Decision {
        right: right.name(),
        allowed,
        rule: rule.map(|rule| rule.id.clone()),
        place: rule.and_then(|rule| rule.place.clone()),
        reason: rule.and_then(|rule| rule.reason.clone()),
    }
}

fn lines(explained: &Explained) -> String {
    let mut table = Table::new(&["RIGHT", "", "RULE", "WHERE", "REASON"]);
    for decision in &explained.rights {
        let none = if decision.allowed {
            ""
        } else {
            "no rule allows it"
        };
        table.row([
            decision.right.into(),
            if decision.allowed {
                Cell::styled("allowed", GOOD)
            } else {
                Cell::styled("refused", BAD)
            },
            decision
                .rule
                .as_deref()
                .map_or("-".into(), |rule| escape(rule).into()),
            decision
                .place
                .as_deref()
                .map_or("".into(), |place| escape(place).into()),
            Cell::styled(
                escape(
                    decision
                        .reason
                        .as_deref()
                        .unwrap_or(if decision.rule.is_some() { "" } else { none }),
                ),
                FAINT,
            ),
        ]);
    }
    format!("{}\n\n{}", escape(&explained.object), table.render())
}
