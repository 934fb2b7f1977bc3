//! Colours. `anstream` takes them out where the output is no terminal.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};

use super::escape;
use crate::api::{Event, Verdict};

pub const PLAIN: Style = Style::new();
pub const FAINT: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const NAME: Style = AnsiColor::Cyan.on_default();

/// What a verdict is called, and its colour.
#[must_use]
pub fn verdict(event: &Event) -> (Cow<'_, str>, Style) {
    match event.verdict.known() {
        Some(Verdict::Deny) => ("DENIED".into(), BAD),
        Some(Verdict::Allow) => ("allowed".into(), GOOD),
        Some(Verdict::Lost) => ("LOST".into(), WARN),
        Some(Verdict::WouldDeny | Verdict::Removed | Verdict::Ended) | None => {
            (escape(event.verdict.as_str()), WARN)
        }
    }
}

/// `text` in `style`.
#[must_use]
pub fn paint(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}
