//! `bailiff why`

use std::{borrow::Cow, process::ExitCode};

use clap::Args;

use super::{
    JsonArg,
    output::{block_on, print, print_json},
};
use crate::{
    api::{FailureCode, Why, WhyQuery, routes},
    client::{Client, ClientError},
    render::{
        escape,
        escape::is_harmless,
        style::{BAD, STRONG, paint},
    },
};

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// Number of the event, as `bailiff events` shows it; without it, the latest refusal. In a session, the
    /// latest of the command before, by a rule rather than by none.
    #[arg(value_parser = event_id)]
    event: Option<i64>,
    /// A refusal of this session.
    #[arg(short, long, conflicts_with = "event")]
    session: Option<String>,
    /// A refusal of this right (`file.write`), or of a family of rights (`file`).
    #[arg(long, conflicts_with = "event")]
    right: Option<String>,
    /// A refusal of what this matches: a path, or a pattern over it (`*` crosses slashes).
    #[arg(long, value_name = "GLOB", conflicts_with = "event")]
    path: Option<String>,
    /// The latest N refusals, the latest first.
    #[arg(long, value_name = "N", conflicts_with = "event",
          value_parser = clap::value_parser!(u32).range(1..=50))]
    last: Option<u32>,
    #[command(flatten)]
    json: JsonArg,
}

fn event_id(text: &str) -> Result<i64, String> {
    let number = text.strip_prefix('#').unwrap_or(text).parse();
    number.map_err(|_| "not the number of an event; `bailiff events` shows them as #12".into())
}

pub(super) fn why(args: &WhyArgs, client: &Client) -> anyhow::Result<ExitCode> {
    for nth in 0..args.last.unwrap_or(1) {
        let asked = WhyQuery {
            event: args.event,
            session: args.session.clone(),
            right: args.right.clone(),
            path: args.path.clone(),
            nth: args.last.map(|_| nth),
        };
        let why = match block_on(client.get(&routes::WHY.with(&asked)?))? {
            // There are fewer.
            Err(ClientError::Refused(failure))
                if nth > 0 && failure.code == FailureCode::NotFound =>
            {
                break;
            }
            why => why?,
        };
        if args.json.json {
            print_json(&why)?;
        } else {
            let text = told(&why);
            print(&if nth > 0 { format!("\n{text}") } else { text })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told(why: &Why) -> String {
    let mut text = format!(
        "{}\n{}\n",
        paint(&escape(&why.what), BAD),
        escape(&why.because)
    );
    if let Some(before) = &why.before {
        let whose = if before.event.process.pid == why.event.process.pid {
            "What the same process was refused last before may be why it crashed"
        } else {
            "It was refused nothing itself. The last refusal of its session before the crash"
        };
        text += &format!("{} (#{}):\n", paint(whose, STRONG), before.event.id);
        text.extend(told(before).lines().map(|line| format!("  {line}\n")));
    }
    text += &format!("{}\n", why.retry);
    if let Some(ask) = &why.ask {
        let (first, rest) = ask.split_once('\n').unwrap_or((ask, ""));
        text += &format!("{}\n", paint(&as_written(first), STRONG));
        text.extend(
            rest.lines()
                .map(|line| format!("    {}\n", as_written(line))),
        );
    }
    text
}

/// A line that is meant to be copied, where it is what it seems to be.
fn as_written(line: &str) -> Cow<'_, str> {
    if is_harmless(line) {
        line.into()
    } else {
        escape(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::events_for_tests as event, why::why_crashed};

    #[test]
    fn a_crash_is_told_with_the_refusal_before_it() {
        let of = |id, right: &str| crate::api::Event {
            id,
            rule: None,
            reason: "not-granted".into(),
            ..event(right, b"-", "deny")
        };
        let before = |pid| {
            let mut before = of(11, "process.jit");
            before.process.pid = pid;
            let text = told(&why_crashed(of(12, "process.core"), Some(before), None));
            anstream::adapter::strip_str(&text).to_string()
        };
        let same = before(9);
        let lines = same.lines().collect::<Vec<_>>();
        assert!(lines[0].contains("process.core"), "{same}");
        assert!(
            lines[2].contains("same process") && lines[2].contains("#11"),
            "{same}"
        );
        assert!(
            lines[3].starts_with("  ") && lines[3].contains("process.jit"),
            "{same}"
        );
        let (jit, core) = (same.find("jit = true"), same.find("core = true"));
        assert!(jit.is_some() && jit < core, "{same}");
        assert!(before(10).contains("of its session"));
    }

    #[test]
    fn what_the_agent_chose_is_told_on_its_line_and_moves_no_cursor() {
        let event = event("file.read", b"/w/a\n\x1b[2J\xe2\x80\xae\\", "deny");
        let why = why_crashed(event, None, None);
        assert!(why.what.contains("/w/a\n\u{1b}[2J"), "{}", why.what);
        let told = anstream::adapter::strip_str(&told(&why)).to_string();
        let first = told.lines().next().unwrap();
        assert!(
            first.ends_with(r"file.read on /w/a\n\u{1b}[2J\u{202e}\\."),
            "{first}"
        );
    }

    #[test]
    fn what_is_proposed_is_told_as_it_is_to_be_pasted() {
        let event = event("file.read", br"/w/a*b", "deny");
        let told = told(&why_crashed(event, None, None));
        assert!(told.contains(r#"except = ["/w/a\\*b"]"#), "{told}");
    }
}
