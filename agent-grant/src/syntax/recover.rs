//! What can be read of a text that is not TOML throughout: the tables without a mistake.

use std::{borrow::Cow, cell::Cell, ops::Range};

use toml::de::DeTable;

/// A mistake of TOML, in bytes of the text.
pub(super) struct Mistake {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

/// A text that is TOML, as long as the one that it stands for, and what that one had wrong.
pub(super) struct Readable<'t> {
    text: Cow<'t, str>,
    /// What the text says, where it is the one that it stands for, until it is asked.
    table: Cell<Option<DeTable<'t>>>,
    pub(super) mistakes: Vec<Mistake>,
    /// What stands before the first table was left out.
    pub(super) hides_head: bool,
    /// So may have been variables, or what includes some.
    pub(super) hides_variables: bool,
}

/// Takes the tables with a mistake out of a text.
pub(super) fn readable(text: &str) -> Readable<'_> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut readable = Readable {
        text: Cow::Borrowed(text),
        table: Cell::default(),
        mistakes: Vec::new(),
        hides_head: false,
        hides_variables: false,
    };
    if errors.is_empty() {
        readable.table.set(Some(table.into_inner()));
        return readable;
    }
    let mut masked = text.as_bytes().to_vec();
    // Where texts have several lines, a line of one can look like a table's head.
    let stretches = if text.contains("\"\"\"") || text.contains("'''") {
        Vec::new()
    } else {
        stretches(text)
    };
    for stretch in stretches {
        let part = &text[stretch.clone()];
        let Some(mistake) = first_mistake(part, stretch.start) else {
            continue;
        };
        readable.mistakes.push(mistake);
        readable.hides_head |= stretch.start == 0;
        readable.hides_variables |= stretch.start == 0 || may_hold_variables(part);
        for byte in &mut masked[stretch] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    // Bytes of whole characters were replaced.
    let masked = String::from_utf8(masked).unwrap_or_default();
    let Some(left) = first_mistake(&masked, 0) else {
        readable.text = Cow::Owned(masked);
        return readable;
    };
    // Tables that do not go together: nothing of it can be read.
    readable.mistakes.push(left);
    readable.mistakes.sort_by_key(|mistake| mistake.span.start);
    Readable {
        text: Cow::Borrowed(""),
        hides_head: true,
        hides_variables: true,
        ..readable
    }
}

impl Readable<'_> {
    /// What the text says.
    pub(super) fn table(&self) -> DeTable<'_> {
        let again = || DeTable::parse_recoverable(&self.text).0.into_inner();
        self.table.take().unwrap_or_else(again)
    }
}

/// The first mistake of a text: others may follow from it.
fn first_mistake(text: &str, offset: usize) -> Option<Mistake> {
    let (_, errors) = DeTable::parse_recoverable(text);
    let spans = errors.iter().map(|error| error.span().unwrap_or(0..0));
    let (error, span) = errors
        .iter()
        .zip(spans)
        .min_by_key(|(_, span)| span.start)?;
    Some(Mistake {
        span: span.start + offset..span.end + offset,
        message: error.message().to_owned(),
    })
}

/// What stands before the first table, and each table with its head.
fn stretches(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let is_head = line.trim_start().trim_start_matches('[');
        let opens = line.trim_start().starts_with('[')
            && is_head.starts_with(|c: char| c.is_ascii_alphabetic());
        if opens && at > 0 {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let ranges = starts.iter().zip(ends).map(|(start, end)| *start..end);
    ranges.collect()
}

/// Whether a table is not surely another one than `[variables]`.
fn may_hold_variables(table: &str) -> bool {
    let head = table.trim_start().trim_start_matches('[');
    let name = head.split(|c: char| !c.is_ascii_alphabetic()).next();
    !name.is_some_and(|name| name != "variables" && super::KEYS.contains(&name))
}
