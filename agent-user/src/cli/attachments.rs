//! `bailiff attachments`

use std::process::ExitCode;

use agent_abi::Label;
use anyhow::bail;
use clap::Args;

use super::{
    JsonArg,
    failure::{FAILED, note},
    journal,
    output::{block_on, print, print_json},
};
use crate::{
    api::{Attached, AttachedState, Page, routes},
    client::Client,
    kernel::label_of_unit,
    render::{
        escape,
        style::{BAD, FAINT, GOOD, NAME, WARN},
        table::{Cell, Table},
    },
};

#[derive(Debug, Args)]
pub(super) struct AttachmentsArgs {
    /// Have the daemon read /etc/bailiff/attach.d again, after you wrote there by hand.
    #[arg(long)]
    reload: bool,
    /// Fail if what starts as this unit comes under no grant; for units.
    #[arg(long, hide = true, conflicts_with = "reload", value_name = "UNIT")]
    held: Option<String>,
    #[command(flatten)]
    json: JsonArg,
}

pub(super) fn attachments(args: &AttachmentsArgs, client: &Client) -> anyhow::Result<ExitCode> {
    if let Some(unit) = &args.held {
        return Ok(held(unit));
    }
    let page: Page<Attached> = if args.reload {
        block_on(client.post(&routes::LOAD_ATTACHMENTS.place(), &()))??
    } else {
        block_on(client.get(&routes::ATTACHMENTS.place()))??
    };
    if args.json.json {
        print_json(&page)?;
    } else if page.items.is_empty() {
        print("nothing is attached: `bailiff attach UNIT --grant GRANT`")?;
    } else {
        print(&table(&page.items).render())?;
        for one in &page.items {
            if let Some(error) = &one.error {
                note(&format!("{}: {error}", escape(&one.name)));
            }
        }
    }
    let is_well = page.items.iter().all(|one| one.error.is_none());
    Ok(ExitCode::from(u8::from(!is_well)))
}

fn table(all: &[Attached]) -> Table {
    let mut table = Table::new(&["NAME", "FOR", "GRANT", "STATE", "NEXT SESSION"]);
    for one in all {
        let style = match one.state.known() {
            Some(AttachedState::InForce) if one.error.is_none() => GOOD,
            Some(AttachedState::InForce) | None => WARN,
            Some(AttachedState::Refusing | AttachedState::Rejected | AttachedState::Unreadable) => {
                BAD
            }
        };
        table.row([
            Cell::styled(escape(&one.name), NAME),
            escape(&one.subject).into(),
            escape(&one.grant).into(),
            Cell::styled(escape(one.state.as_str()), style),
            Cell::styled(escape(one.session.as_deref().unwrap_or("-")), FAINT),
        ]);
    }
    table
}

/// One attachment in a sentence.
pub(super) fn summary(one: &Attached) -> String {
    let variables = one.variables.iter();
    let variables = variables
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect::<Vec<_>>();
    let filled = if variables.is_empty() {
        String::new()
    } else {
        format!(", with {}", variables.join(" "))
    };
    format!(
        "{} comes under the grant {}{filled}, whenever it starts",
        escape(&one.subject),
        escape(&one.grant),
    )
}

/// Whether what starts as a unit comes under a grant. Asked of the kernel alone, so it goes on where no daemon
/// runs. It is another unit that asks, which the unit requires: nothing of Bailiff's is executed where the unit's
/// own root, user and environment would choose what that is.
fn held(unit: &str) -> ExitCode {
    match is_held(unit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{unit} does not start: {error:#}");
            note(&text);
            journal::tell(unit, &text);
            ExitCode::from(FAILED)
        }
    }
}

fn is_held(unit: &str) -> anyhow::Result<()> {
    let wrong = "`systemctl status bailiff` and `bailiff attachments` say what is wrong; `bailiff detach` lets it \
                 start without a grant";
    match label_of_unit(unit) {
        Ok(Some(Label::REFUSING)) => {
            bail!("its grant cannot be put in force: `bailiff attachments` says why")
        }
        Ok(Some(_)) => Ok(()),
        Ok(None) => bail!("it is under no grant. {wrong}"),
        Err(error) => bail!("the kernel side is not there ({error}). {wrong}"),
    }
}
