//! Mistakes and remarks on a grant, each with its source line and a caret.

use std::ops::Range;

use agent_grant::{Diagnostic, Severity};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Whether text is for a terminal, which shows colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// With the terminal's sequences for them.
    Styled,
    /// As text alone.
    Plain,
}

/// Every diagnostic, an empty line between two.
#[must_use]
pub fn render_all(diagnostics: &[Diagnostic], colours: Colours) -> String {
    let rendered: Vec<_> = diagnostics.iter().map(|d| render(d, colours)).collect();
    rendered.join("\n\n")
}

/// A diagnostic with its source line and a caret, without a trailing newline.
#[must_use]
pub fn render(diagnostic: &Diagnostic, colours: Colours) -> String {
    let level = match diagnostic.severity {
        Severity::Note => Level::NOTE,
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let mut group = level
        .primary_title(diagnostic.message.as_str())
        .elements(Vec::<annotate_snippets::Element<'_>>::new());
    if let Some(location) = &diagnostic.location {
        let text = &*location.source.text;
        let mut annotation = AnnotationKind::Primary.span(caret(text, &location.span));
        if !diagnostic.label.is_empty() {
            annotation = annotation.label(diagnostic.label.as_str());
        }
        group = group.element(
            Snippet::source(text)
                .path(location.source.name.as_str())
                .annotation(annotation),
        );
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = match colours {
        Colours::Styled => Renderer::styled(),
        Colours::Plain => Renderer::plain(),
    };
    renderer.render(&[group])
}

/// A span that the renderer accepts: inside the text, on character boundaries, of one line.
fn caret(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    let end = floor(span.end).max(start);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    start..end.min(line_end.max(start))
}

#[cfg(test)]
mod tests {
    use agent_grant::{Inputs, Source, load, shipped_includes};

    use super::*;

    #[test]
    fn a_message_in_full() {
        let text =
            "version = 1\nname = \"x\"\n[[net]]\nallow = [\"conect\"]\nto = [\"10.0.0.1:443\"]\n";
        let source = Source::new("g.toml", text);
        let errors = load(source, &Inputs::default(), &shipped_includes).unwrap_err();
        assert_eq!(
            render_all(&errors.0, Colours::Plain),
            "\
error: `conect` is no right of `[[net]]`
 --> g.toml:4:10
  |
4 | allow = [\"conect\"]
  |          ^^^^^^^^ expected `connect` or `all`
  |
  = help: did you mean `connect`?"
        );
        let styled = render_all(&errors.0, Colours::Styled);
        assert_ne!(styled, render_all(&errors.0, Colours::Plain));
        assert_eq!(
            anstream::adapter::strip_str(&styled).to_string(),
            render_all(&errors.0, Colours::Plain)
        );
    }

    #[test]
    fn a_span_is_cut_to_what_can_be_shown() {
        let text = "a\u{fc}\nb";
        assert_eq!(caret(text, &(0..9)), 0..3);
        assert_eq!(caret(text, &(2..2)), 1..1);
        assert_eq!(caret(text, &(9..11)), 5..5);
    }
}
