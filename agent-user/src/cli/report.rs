//! `bailiff report`

use std::process::ExitCode;

use clap::Args;

use super::{
    JsonArg,
    output::{block_on, print, print_json},
};
use crate::{
    api::{Alignment, SessionReport, routes},
    client::Client,
    render::{
        Table, escape,
        style::{BAD, FAINT, GOOD, PLAIN, WARN, paint},
        table::Cell,
    },
};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Name or number, as `bailiff ps --all` shows it.
    session: String,
    #[command(flatten)]
    json: JsonArg,
}

pub(super) fn report(args: &ReportArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let report = block_on(client.get(&routes::REPORT.of(&args.session)))??;
    if args.json.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let colour = match report.alignment.known() {
        Some(Alignment::Aligned) => GOOD,
        Some(Alignment::Unknown) | None => WARN,
        Some(Alignment::NotAligned) => BAD,
    };
    print(&format!(
        "{} is {}: {}\n",
        escape(&report.session.name),
        paint(&escape(report.alignment.as_str()), colour),
        escape(&report.because)
    ))?;
    print(&table(&report).render())?;
    Ok(ExitCode::SUCCESS)
}

fn table(report: &SessionReport) -> Table {
    let mut table = Table::new(&["RULE", "ALLOWED", "REFUSED", ""]);
    for count in &report.rules {
        let (name, reason) = match &count.rule {
            Some(rule) => (escape(&rule.id), rule.reason.as_deref().unwrap_or("")),
            None => ("-".into(), "no rule allowed it"),
        };
        let unused = count.allowed + count.refused == 0;
        let remark = if unused && report.session.ended.is_some() {
            "never used"
        } else {
            reason
        };
        table.row([
            Cell::styled(name, if unused { FAINT } else { PLAIN }),
            count.allowed.to_string().into(),
            Cell::styled(
                count.refused.to_string(),
                if count.refused > 0 { WARN } else { PLAIN },
            ),
            Cell::styled(escape(remark), FAINT),
        ]);
    }
    table
}
