//! `bailiff grant diff`

use std::process::ExitCode;

use agent_grant::{
    Difference, Relation, Witness,
    algebra::{Answer, Side, compare, differences},
};
use clap::Args;
use serde::Serialize;

use super::{here, rule_and_place};
use crate::{
    api::SCHEMA,
    cli::{
        JsonArg,
        failure::{self, USAGE},
        grant_args::SetArgs,
        output::{print, print_json},
    },
    render::{
        Table, escape,
        escape::escape_bytes,
        style::{BAD, GOOD, STRONG, paint},
        table::Cell,
    },
};

/// The grants differ; as diff(1) has it.
const DIFFER: u8 = 1;

#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// A file, or the name of a grant.
    #[arg(value_name = "A")]
    first: String,
    /// The grant to compare it with.
    #[arg(value_name = "B")]
    second: String,
    #[command(flatten)]
    set: SetArgs,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Compared {
    schema: u32,
    first: String,
    second: String,
    /// Of the first to the second.
    relation: &'static str,
    differences: Vec<Row>,
}

/// One difference, with every right in which it shows alike.
#[derive(Serialize)]
struct Row {
    /// The grant that allows it.
    wider: &'static str,
    /// `file`, `net`, `unix`, `process`, `kernel`, `environment`,
    /// `limits` or `mode`.
    kind: &'static str,
    /// Rights, or the key of a setting.
    rights: Vec<String>,
    /// A shortest path, destination or name on which it shows; none for settings.
    object: Option<String>,
    first: Said,
    second: Said,
}

/// What one of the grants says.
#[derive(PartialEq, Eq, Serialize)]
struct Said {
    value: String,
    rule: Option<String>,
    place: Option<String>,
    #[serde(skip)]
    shown: String,
}

/// The exit code tells errors from differences, so no error may leave as another code.
pub(in crate::cli) fn diff(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    Ok(compared(args).unwrap_or_else(|error| {
        failure::report(&error);
        ExitCode::from(USAGE)
    }))
}

fn compared(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let inputs = args.set.inputs();
    let first = here(&args.first, &inputs)?.compiled;
    let second = here(&args.second, &inputs)?.compiled;
    let relation = compare(first.inner(), second.inner()).relation;
    let compared = Compared {
        schema: SCHEMA,
        first: args.first.clone(),
        second: args.second.clone(),
        relation: word(relation),
        differences: rows(&differences(first.inner(), second.inner())),
    };
    if args.json.json {
        print_json(&compared)?;
    } else {
        print(&lines(&compared, relation))?;
    }
    Ok(if relation == Relation::Equal {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFER)
    })
}

fn word(relation: Relation) -> &'static str {
    match relation {
        Relation::Equal => "equal",
        Relation::Narrower => "narrower",
        Relation::Wider => "wider",
        Relation::Incomparable => "incomparable",
    }
}

/// Differences that show on the same object by the same rules become one row.
fn rows(differences: &[Difference]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for difference in differences {
        let row = row(difference);
        let same = rows.iter_mut().find(|known| {
            row.object.is_some()
                && (known.wider, known.kind, &known.object) == (row.wider, row.kind, &row.object)
                && (&known.first, &known.second) == (&row.first, &row.second)
        });
        match same {
            Some(known) => known.rights.extend(row.rights),
            None => rows.push(row),
        }
    }
    rows
}

fn row(difference: &Difference) -> Row {
    let (kind, right, object) = match &difference.witness {
        Witness::File { path, right } => {
            let path = if path.is_empty() {
                b"/"
            } else {
                path.as_slice()
            };
            ("file", plain_name(right.name()), Some(escape_bytes(path)))
        }
        Witness::Net(to) => ("net", "connect".to_owned(), Some(to.to_string())),
        Witness::Unix(name) => (
            "unix",
            "connect".to_owned(),
            Some(format!("@{}", escape_bytes(name))),
        ),
        Witness::Environment(name) => ("environment", String::new(), Some(escape_bytes(name))),
        Witness::Setting(setting) => (setting.table, setting.key.to_owned(), None),
        Witness::Capability(name) => ("process", format!("capabilities {name}"), None),
        Witness::Limit(name) => ("limits", (*name).to_owned(), None),
        Witness::Audit => ("mode", String::new(), None),
    };
    Row {
        wider: if difference.wider == Side::First {
            "first"
        } else {
            "second"
        },
        kind,
        rights: vec![right],
        object,
        first: said(&difference.first),
        second: said(&difference.second),
    }
}

fn plain_name(right: &str) -> String {
    right.rsplit('.').next().unwrap_or(right).to_owned()
}

fn said(answer: &Answer) -> Said {
    let shown = match (&answer.rule, answer.value.as_str()) {
        (Some(rule), value) => format!("{value}: {}", rule_and_place(rule)),
        (None, "refused") => "refused: no rule".to_owned(),
        (None, value) => value.to_owned(),
    };
    Said {
        value: answer.value.clone(),
        rule: answer.rule.as_ref().map(|rule| rule.id.clone()),
        place: answer.rule.as_ref().and_then(|rule| rule.place.clone()),
        shown,
    }
}

fn lines(compared: &Compared, relation: Relation) -> String {
    let (first, second) = (escape(&compared.first), escape(&compared.second));
    let (style, rest) = match relation {
        Relation::Equal => (GOOD, format!(" to {second}: they allow the same.")),
        Relation::Narrower => (
            STRONG,
            format!(" than {second}: it allows nothing more, and less where marked `>`."),
        ),
        Relation::Wider => (
            STRONG,
            format!(" than {second}: it allows nothing less, and more where marked `<`."),
        ),
        Relation::Incomparable => (
            STRONG,
            format!(" with {second}: `<` only the first allows, `>` only the second."),
        ),
    };
    let mut text = format!("{first} is {}{rest}\n", paint(word(relation), style));
    if compared.differences.is_empty() {
        return text;
    }
    let mut table = Table::new(&["", "WHAT", "FOR EXAMPLE", "FIRST", "SECOND"]);
    for row in &compared.differences {
        let mark = if row.wider == "first" {
            Cell::styled("<", BAD)
        } else {
            Cell::styled(">", GOOD)
        };
        let dot = if row.rights.iter().all(String::is_empty) {
            ""
        } else {
            "."
        };
        table.row([
            mark,
            format!("{}{dot}{}", row.kind, row.rights.join(",")).into(),
            row.object.clone().unwrap_or_default().into(),
            row.first.shown.as_str().into(),
            row.second.shown.as_str().into(),
        ]);
    }
    text += "\n";
    text += &table.render();
    text
}
