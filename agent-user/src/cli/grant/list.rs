//! `bailiff grant list`

use std::process::ExitCode;

use clap::Args;

use crate::{
    api::{
        SCHEMA,
        grant::{GrantList, ListedGrant},
    },
    cli::{
        JsonArg,
        output::{print, print_json},
    },
    grants,
    render::{
        Table, escape,
        style::{BAD, FAINT},
        table::Cell,
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    json: JsonArg,
}

pub(in crate::cli) fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let grants = grants::names().into_iter().map(listed).collect();
    let list = GrantList {
        schema: SCHEMA,
        grants,
    };
    if args.json.json {
        print_json(&list)?;
    } else {
        print(&table(&list))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(name: String) -> ListedGrant {
    match grants::about(&name) {
        Ok(about) => ListedGrant {
            name,
            origin: Some(about.origin),
            purpose: about.purpose,
            error: None,
        },
        Err(error) => ListedGrant {
            name,
            error: Some(error.to_string()),
            ..ListedGrant::default()
        },
    }
}

fn table(list: &GrantList) -> String {
    let mut table = Table::new(&["GRANT", "WHERE", "PURPOSE"]);
    for grant in &list.grants {
        let first_line = |text: &str| escape(text.lines().next().unwrap_or_default()).into_owned();
        let purpose = match (&grant.error, &grant.purpose) {
            (Some(error), _) => Cell::styled(first_line(error), BAD),
            (None, purpose) => first_line(purpose.as_deref().unwrap_or_default()).into(),
        };
        let origin = grant.origin.as_deref().unwrap_or_default();
        let origin = if origin.ends_with("(shipped)") {
            "ships".to_owned()
        } else {
            escape(origin).into_owned()
        };
        table.row([
            escape(&grant.name).into(),
            Cell::styled(origin, FAINT),
            purpose,
        ]);
    }
    table.render()
}
