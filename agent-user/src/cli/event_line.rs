//! The event line: the whole story in one.

use agent_abi::Reason;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    api::{Event, Verdict},
    render::{
        columns, escape, local_time,
        style::{self, FAINT, NAME, PLAIN},
        table::{Cell, flow, render_line, width},
    },
    why,
};

/// Columns before the last that line up, and how wide each may get for it: one long path does
/// not push everything away.
const WIDEST: [usize; 8] = [8, 19, 24, 12, 18, 44, 24, 20];

/// Renders events as lines; the widths seen so far are kept, so that a stream lines up too.
pub(super) struct EventLines {
    now: Timestamp,
    zone: TimeZone,
    widths: [usize; 8],
    /// Columns of the terminal that they are for.
    terminal: Option<usize>,
}

impl EventLines {
    pub(super) fn new(now: Timestamp, zone: TimeZone) -> Self {
        Self {
            now,
            zone,
            widths: [0; 8],
            terminal: columns::of_output(),
        }
    }

    /// Widens the columns for what will be rendered.
    pub(super) fn fit(&mut self, events: &[Event]) {
        for event in events {
            for (i, cell) in self.cells(event).iter().enumerate().take(WIDEST.len()) {
                self.widths[i] = self.widths[i].max(cell.width().min(WIDEST[i]));
            }
        }
    }

    /// One line, without its end.
    pub(super) fn render(&mut self, event: &Event) -> String {
        self.fit(std::slice::from_ref(event));
        let cells = self.cells(event);
        let line = render_line(&cells, &self.widths);
        let terminal = self
            .terminal
            .filter(|columns| width(&anstream::adapter::strip_str(&line).to_string()) > *columns);
        match terminal {
            Some(columns) => flow(&cells, columns),
            None => line,
        }
    }

    fn cells(&self, event: &Event) -> Vec<Cell> {
        let time = Cell::styled(local_time(event.time, self.now, &self.zone), FAINT);
        let id = Cell::styled(format!("#{}", event.id), FAINT);
        let (verdict, colour) = style::verdict(event);
        let verdict = Cell::styled(verdict, colour);
        if let Some(text) = told(event) {
            let session = Cell::styled(escape(&event.session), NAME);
            return vec![id, time, session, verdict, Cell::styled(text, colour)];
        }
        let rule = event
            .rule
            .as_ref()
            .map_or("-".into(), |rule| escape(&rule.id).into_owned());
        vec![
            id,
            time,
            Cell::styled(escape(&event.session), NAME),
            verdict,
            escape(event.right.as_str()).into(),
            object(event).into(),
            process(event).into(),
            rule.into(),
            Cell::styled(reason(event), PLAIN),
        ]
    }
}

fn object(event: &Event) -> String {
    let shown = match &event.path {
        Some(path) => escape::escape_bytes(&path.bytes()),
        None => escape(&event.object).into_owned(),
    };
    let shown = if event.truncated {
        format!("…{shown}")
    } else {
        shown
    };
    let shown = if event.moved {
        format!("{shown} (renamed meanwhile)")
    } else {
        shown
    };
    if event.count > 1 {
        format!("{shown} (x{})", event.count)
    } else {
        shown
    }
}

fn process(event: &Event) -> String {
    format!("{}[{}]", escape(&event.process.comm), event.process.pid)
}

/// Why, in a few words: the author's for a rule that has them.
fn reason(event: &Event) -> String {
    if !event.refused() {
        return String::new();
    }
    let written = event.rule.as_ref().and_then(|rule| rule.reason.as_deref());
    match (event.reason == Reason::Rule, written) {
        (true, Some(written)) => escape(written).into_owned(),
        (true, None) => "denied by this rule".into(),
        (false, _) => why::short(event).into(),
    }
}

/// What a row says that stands for no act.
fn told(event: &Event) -> Option<String> {
    let (count, reason) = (event.count, escape(event.reason.as_str()));
    match event.verdict.known()? {
        Verdict::Lost if count == 1 => Some(format!("1 event was not recorded: {reason}")),
        Verdict::Lost => Some(format!("{count} events were not recorded: {reason}")),
        Verdict::Removed => {
            let what = if event.object == Event::SESSIONS {
                "sessions"
            } else {
                "events"
            };
            Some(format!("{count} earlier {what} were removed: {reason}"))
        }
        Verdict::Ended => {
            let object = escape(&event.object);
            Some(format!("the session ended ({reason}): {object}"))
        }
        Verdict::Allow | Verdict::Deny | Verdict::WouldDeny => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{PathText, RuleRef},
        store::{events_for_tests as event, lost_row},
    };

    fn lines(events: &[Event]) -> Vec<String> {
        let now = Timestamp::from_second(1_700_000_500).unwrap();
        let mut lines = EventLines::new(now, TimeZone::UTC);
        lines.fit(events);
        let plain = |line: String| anstream::adapter::strip_str(&line).to_string();
        events
            .iter()
            .map(|event| plain(lines.render(event)))
            .collect()
    }

    #[test]
    fn tells_the_whole_story_aligned() {
        let secret = Event {
            id: 9,
            ..event("file.read", b"/w/.env", "deny")
        };
        let other = Event {
            id: 10,
            rule: None,
            reason: "no-rule".into(),
            count: 3,
            ..event("file.write", b"/etc/passwd", "would-deny")
        };
        assert_eq!(
            lines(&[secret, other]),
            [
                "#9   22:13:20  coder-1  DENIED      file.read   /w/.env           cat[9]  secrets  Ask.",
                "#10  22:13:20  coder-1  would-deny  file.write  /etc/passwd (x3)  cat[9]  -        no rule of the grant allows it",
            ]
        );
    }

    #[test]
    fn shows_nothing_that_a_terminal_obeys() {
        let mut event = event("file.read", b"/w/\x1b]0;x\x07\n/\xff", "deny");
        event.process.comm = "c\x1b[31m".into();
        event.rule = Some(RuleRef {
            number: 0,
            id: "r\n".into(),
            reason: Some("\u{202e}".into()),
            place: None,
        });
        event.path = Some(PathText::new(b"/w/\x1b]0;x\x07\n/\xff"));
        let line = &lines(&[event])[0];
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.contains("/w/\\u{1b}]0;x\\u{7}\\n/\\xff"), "{line}");
        assert!(line.contains("\\u{202e}"), "{line}");
    }

    #[test]
    fn says_what_was_lost() {
        let line = &lines(&[lost_row("coder-1", 7, "the kernel's buffer was full")])[0];
        assert!(
            line.contains("LOST  7 events were not recorded: the kernel's buffer"),
            "{line}"
        );
    }
}
