//! The daemon's log: standard error, whatever becomes of it. A disk that is full or read-only, or a pipe that
//! nobody reads, takes lines away and nothing else.

use std::{
    fmt::{self, Debug},
    io,
};

use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    fmt::format::{Writer, debug_fn},
};

use crate::render::escape::is_harmless;

/// From here on what is logged is written.
pub(super) fn start() {
    let filter = EnvFilter::try_from_env("BAILIFF_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would say on standard error that standard error takes nothing, and panic because of that.
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .fmt_fields(debug_fn(field).delimited(" "))
        .init();
}

fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    writer.write_str(&plain(&format!("{value:?}")))
}

/// A message without the styles of a terminal, such as diagnostics of a grant have, and with all else that a
/// terminal would act on written out. Lines stay lines.
fn plain(message: &str) -> String {
    let message = anstream::adapter::strip_str(message).to_string();
    let mut plain = String::with_capacity(message.len());
    for c in message.chars() {
        if c == '\n' || is_harmless(c.encode_utf8(&mut [0; 4])) {
            plain.push(c);
        } else {
            plain.extend(c.escape_unicode());
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;
    use crate::render::style::{BAD, paint};

    #[test]
    fn a_message_has_no_styles_and_nothing_that_a_terminal_obeys() {
        let message = format!("the grant:\n{}: `version`", paint("error", BAD));
        assert_eq!(plain(&message), "the grant:\nerror: `version`");
        assert_eq!(plain("a\u{202e}b\rc\\"), "a\\u{202e}b\\u{d}c\\");
    }
}
