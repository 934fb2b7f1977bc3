//! `bailiff why`

use std::process::ExitCode;

use clap::Args;

use super::{
    JsonArg,
    output::{block_on, print, print_json},
};
use crate::{
    api::{Why, WhyQuery},
    client::{Client, query},
    render::style::{BAD, STRONG, paint},
};

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// Number of the event, as `bailiff events` shows it; without it, the latest refusal.
    #[arg(value_parser = event_id)]
    event: Option<i64>,
    /// The latest refusal of this session.
    #[arg(short, long, conflicts_with = "event")]
    session: Option<String>,
    #[command(flatten)]
    json: JsonArg,
}

fn event_id(text: &str) -> Result<i64, String> {
    let number = text.strip_prefix('#').unwrap_or(text).parse();
    number.map_err(|_| "not the number of an event; `bailiff events` shows them as #12".into())
}

pub(super) fn why(args: &WhyArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let asked = WhyQuery {
        event: args.event,
        session: args.session.clone(),
    };
    let why: Why = block_on(client.get(&format!("/v1/why{}", query(&asked))))??;
    if args.json.json {
        print_json(&why)?;
    } else {
        let mut text = format!(
            "{}\n{}\n{}\n",
            paint(&why.what, BAD),
            why.because,
            why.retry
        );
        if let Some(ask) = &why.ask {
            let (first, rest) = ask.split_once('\n').unwrap_or((ask, ""));
            text += &format!("{}\n", paint(first, STRONG));
            text.extend(rest.lines().map(|line| format!("    {line}\n")));
        }
        print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
