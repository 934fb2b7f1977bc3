//! Colours. `anstream` takes them out where the output is no terminal.

use anstyle::{AnsiColor, Style};

use crate::api::Event;

pub const PLAIN: Style = Style::new();
pub const FAINT: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const NAME: Style = AnsiColor::Cyan.on_default();

/// What a verdict is called, and its colour.
#[must_use]
pub fn verdict(event: &Event) -> (&str, Style) {
    match event.verdict.as_str() {
        "deny" => ("DENIED", BAD),
        "allow" => ("allowed", GOOD),
        "lost" => ("LOST", WARN),
        other => (other, WARN),
    }
}

/// `text` in `style`.
#[must_use]
pub fn paint(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}
