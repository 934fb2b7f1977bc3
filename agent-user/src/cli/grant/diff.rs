//! `bailiff grant diff`

use std::process::ExitCode;

use agent_grant::{
    Relation, Witness,
    algebra::{Side, compare, differences},
    model::right_name,
    syntax::settings::SettingTable,
};
use clap::Args;

use super::{here, rule_and_place};
use crate::{
    api::{
        PathText, SCHEMA,
        grant::{Answer, Difference, DifferenceKind, GrantDiff},
    },
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
    let compared = GrantDiff {
        schema: SCHEMA,
        first: args.first.clone(),
        second: args.second.clone(),
        relation: relation.into(),
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

/// Differences that show on the same object by the same rules become one row.
pub(super) fn rows(differences: &[agent_grant::Difference]) -> Vec<Difference> {
    let mut rows: Vec<Difference> = Vec::new();
    for difference in differences {
        let row = row(difference);
        let same = rows.iter_mut().find(|known| {
            row.object.is_some()
                && (&known.wider, &known.kind, &known.object)
                    == (&row.wider, &row.kind, &row.object)
                && (&known.first, &known.second) == (&row.first, &row.second)
        });
        match same {
            Some(known) => known.rights.extend(row.rights),
            None => rows.push(row),
        }
    }
    rows
}

fn row(found: &agent_grant::Difference) -> Difference {
    let (kind, right, object) = match &found.witness {
        Witness::File { path, right } => {
            let path = if path.is_empty() { b"/" } else { &path[..] };
            let right = right_name(*right).to_owned();
            (DifferenceKind::File, Some(right), Some(PathText::new(path)))
        }
        Witness::Net(to) => {
            let to = PathText::new(to.to_string().as_bytes());
            (DifferenceKind::Net, Some("connect".to_owned()), Some(to))
        }
        Witness::Unix(name) => {
            let name = PathText::new(&[b"@", &name[..]].concat());
            (DifferenceKind::Unix, Some("connect".to_owned()), Some(name))
        }
        Witness::Environment(name) => {
            (DifferenceKind::Environment, None, Some(PathText::new(name)))
        }
        Witness::Setting(setting) => {
            let kind = match setting.table {
                SettingTable::Process => DifferenceKind::Process,
                SettingTable::Kernel => DifferenceKind::Kernel,
            };
            (kind, Some(setting.key.to_owned()), None)
        }
        Witness::Capability(name) => {
            let right = format!("capabilities {name}");
            (DifferenceKind::Process, Some(right), None)
        }
        Witness::Limit(name) => (DifferenceKind::Limits, Some((*name).to_owned()), None),
        Witness::Audit => (DifferenceKind::Mode, None, None),
    };
    Difference {
        wider: found.wider.into(),
        kind: kind.into(),
        rights: right.into_iter().collect(),
        object,
        first: (&found.first).into(),
        second: (&found.second).into(),
    }
}

/// What one of the grants says.
fn said(answer: &Answer) -> String {
    match (&answer.rule, answer.value.as_str()) {
        (Some(rule), value) => format!("{}: {}", escape(value), rule_and_place(rule)),
        (None, "refused") => "refused: no rule".to_owned(),
        (None, value) => escape(value).into_owned(),
    }
}

fn lines(compared: &GrantDiff, relation: Relation) -> String {
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
    let mut text = format!(
        "{first} is {}{rest}\n",
        paint(compared.relation.as_str(), style)
    );
    if compared.differences.is_empty() {
        return text;
    }
    let mut table = Table::new(&["", "WHAT", "FOR EXAMPLE", "FIRST", "SECOND"]);
    for row in &compared.differences {
        let mark = if row.wider == Side::First {
            Cell::styled("<", BAD)
        } else {
            Cell::styled(">", GOOD)
        };
        let dot = if row.rights.is_empty() { "" } else { "." };
        table.row([
            mark,
            format!("{}{dot}{}", row.kind, row.rights.join(",")).into(),
            row.object
                .as_ref()
                .map_or_else(String::new, |object| escape_bytes(&object.bytes()))
                .into(),
            said(&row.first).into(),
            said(&row.second).into(),
        ]);
    }
    text += "\n";
    text += &table.render();
    text
}
