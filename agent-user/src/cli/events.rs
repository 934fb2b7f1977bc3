//! `bailiff events`

use std::process::ExitCode;

use agent_abi::Right;
use clap::Args;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    JsonArg, event_groups,
    event_line::EventLines,
    failure,
    output::{block_on, print, print_json, print_json_line},
};
use crate::{
    api::{Event, EventFilter, Verdict, routes},
    client::Client,
    clock::parse_time,
};

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Only later than this: `1h` (ago), `14:30`, `2026-05-01`.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only earlier than this.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Only of this session, by name or number.
    #[arg(short, long)]
    session: Option<String>,
    /// Only this right (`file.write`), or family of rights (`file`).
    #[arg(long, value_parser = right)]
    right: Option<String>,
    /// Only this verdict: `deny`, `would-deny`, `allow`.
    #[arg(long, value_parser = verdict)]
    verdict: Option<Verdict>,
    /// Only objects that match: `/etc/*`; `*` stands for slashes too.
    #[arg(long, value_name = "GLOB")]
    path: Option<String>,
    /// Only what this rule of the grant decided.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// At most so many, the newest.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000)]
    limit: u32,
    /// Count what is alike: by session, right, rule and directory.
    #[arg(short, long, conflicts_with_all = ["follow", "json"])]
    group: bool,
    /// Go on with what comes.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    json: JsonArg,
}

fn right(text: &str) -> Result<String, String> {
    let known = |name: &str| Right::from_name(name).is_some();
    let family = |name: &str| {
        Right::ALL
            .iter()
            .any(|(_, n)| n.split('.').next() == Some(name))
    };
    if known(text) || family(text) {
        return Ok(text.into());
    }
    let names = Right::ALL.iter().map(|(_, name)| *name).collect::<Vec<_>>();
    Err(format!("no such right; there are {}", names.join(", ")))
}

fn verdict(text: &str) -> Result<Verdict, String> {
    match text {
        "deny" | "denied" => Ok(Verdict::Deny),
        "allow" | "allowed" => Ok(Verdict::Allow),
        "would-deny" => Ok(Verdict::WouldDeny),
        _ => Err("a verdict is `deny`, `would-deny` or `allow`".into()),
    }
}

pub(super) fn events(args: EventsArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let filter = EventFilter {
        since: args.since,
        until: args.until,
        session: args.session,
        right: args.right,
        verdict: args.verdict.map(Into::into),
        path: args.path,
        rule: args.rule,
        after: None,
        limit: Some(args.limit),
    };
    if args.group {
        return grouped(&filter, client);
    }
    block_on(show(filter, args.follow, args.json.json, client))??;
    Ok(ExitCode::SUCCESS)
}

fn grouped(filter: &EventFilter, client: &Client) -> anyhow::Result<ExitCode> {
    let page = block_on(client.get(&routes::EVENTS.with(filter)?))??;
    if page.items.is_empty() {
        failure::tell("no event matches");
    } else {
        print(&event_groups::table(&page.items).render())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(
    filter: EventFilter,
    follow: bool,
    json: bool,
    client: &Client,
) -> anyhow::Result<()> {
    let page = client.get(&routes::EVENTS.with(&filter)?).await?;
    let mut lines = EventLines::new(Timestamp::now(), TimeZone::system());
    if json && !follow {
        return print_json(&page);
    }
    if page.items.is_empty() && !follow {
        failure::tell("no event matches");
    }
    lines.fit(&page.items);
    for event in &page.items {
        print_event(event, json, &mut lines)?;
    }
    if !follow {
        return Ok(());
    }
    // What comes between the answer and the stream has greater numbers and is not missed.
    let seen = page.items.last().map_or(0, |event| event.id);
    let after = (filter.limit != Some(0)).then_some(seen);
    let filter = EventFilter {
        after,
        limit: None,
        ..filter
    };
    let mut stream = client.stream(&routes::FOLLOW.with(&filter)?).await?;
    while let Some(event) = stream.next().await? {
        print_event(&event, json, &mut lines)?;
    }
    anyhow::bail!("the daemon ended the stream; `bailiff status` shows whether it runs")
}

fn print_event(event: &Event, json: bool, lines: &mut EventLines) -> anyhow::Result<()> {
    if json {
        print_json_line(event)
    } else {
        print(&lines.render(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_and_verdicts_are_checked() {
        assert_eq!(right("file.write").unwrap(), "file.write");
        assert_eq!(right("file").unwrap(), "file");
        assert!(right("file.writ").unwrap_err().contains("file.write"));
        assert_eq!(verdict("denied").unwrap(), Verdict::Deny);
        assert!(verdict("maybe").is_err());
    }
}
