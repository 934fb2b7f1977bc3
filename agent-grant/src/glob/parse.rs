//! From the text of a pattern to [`Glob`]s.

use std::ops::Range;

use super::{
    Atom, ByteSet, Glob, MAX_PATTERN,
    expand::{expand, expand_names},
};

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GlobError {
    /// Bytes of the pattern as written.
    pub span: Range<usize>,
    pub message: String,
    /// What was expected.
    pub label: String,
    pub help: Option<String>,
}

impl GlobError {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            label: String::new(),
            help: None,
        }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Byte(u8),
    Slash,
    One,
    Star,
    DoubleStar,
    Set(ByteSet),
    Open,
    Comma,
    Close,
}

/// A token, and where in the pattern it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// Reads a pattern. `variable` gives the value of `${name}`, or says why there is none; values
/// are literal text, and an absolute value has no slash at its end (the root is empty).
///
/// # Errors
/// The first mistake in the pattern.
pub fn parse(
    pattern: &str,
    variable: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Vec<Glob>, GlobError> {
    expand(pattern, &lex(pattern, variable)?)
}

/// Reads a pattern of names that are no paths, behind one slash: further ones are bytes like others.
///
/// # Errors
/// The first mistake in the pattern.
pub(crate) fn parse_names(
    pattern: &str,
    variable: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Vec<Vec<Atom>>, GlobError> {
    expand_names(pattern, &lex(pattern, variable)?)
}

fn lex(
    pattern: &str,
    variable: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Vec<Token>, GlobError> {
    if pattern.len() > MAX_PATTERN {
        return Err(GlobError::new(0..pattern.len(), "the pattern is too long")
            .label(format!("expected at most {MAX_PATTERN} bytes")));
    }
    if let Some(at) = pattern.find('\0') {
        return Err(GlobError::new(at..at + 1, "no name holds a NUL byte"));
    }
    Lexer {
        pattern,
        at: 0,
        tokens: Vec::new(),
    }
    .run(variable)
}

struct Lexer<'p> {
    pattern: &'p str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(
        mut self,
        variable: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Vec<Token>, GlobError> {
        let start = self.pattern;
        if start == "~" || start.starts_with("~/") {
            self.at = 1;
            self.value("home", 0..1, variable)?;
        } else if !start.starts_with(['/', '{', '\\']) && !start.starts_with("${") {
            return Err(
                GlobError::new(0..start.len(), "the pattern is not absolute")
                    .label("expected `/`, `~/` or a variable at its start")
                    .help(meant_by(start)),
            );
        }
        let mut depth: Vec<usize> = Vec::new();
        while let Some(c) = self.pattern[self.at..].chars().next() {
            let from = self.at;
            self.at += c.len_utf8();
            match c {
                '/' => self.push(Kind::Slash, from),
                '?' => self.push(Kind::One, from),
                '*' => self.stars(from)?,
                '[' => self.class(from)?,
                '{' => {
                    depth.push(from);
                    self.push(Kind::Open, from);
                }
                '}' if depth.pop().is_some() => self.push(Kind::Close, from),
                '}' => {
                    return Err(GlobError::new(from..self.at, "`}` closes nothing")
                        .label("write `\\}` for the character"));
                }
                ',' if !depth.is_empty() => self.push(Kind::Comma, from),
                '\\' => self.escape(from)?,
                '$' if self.pattern[self.at..].starts_with('{') => {
                    let rest = &self.pattern[self.at + 1..];
                    let Some(end) = rest.find('}') else {
                        return Err(
                            GlobError::new(from..self.pattern.len(), "`${` is not closed")
                                .label("expected `}` after the variable's name"),
                        );
                    };
                    let name = rest[..end].to_owned();
                    self.at += end + 2;
                    self.value(&name, from..self.at, variable)?;
                }
                _ => self.bytes(c, from),
            }
        }
        match depth.pop() {
            Some(open) => Err(GlobError::new(open..open + 1, "`{` is not closed")
                .label("expected `}`; write `\\{` for the character")),
            None => Ok(self.tokens),
        }
    }

    fn push(&mut self, kind: Kind, from: usize) {
        self.tokens.push(Token {
            kind,
            span: from..self.at,
        });
    }

    fn bytes(&mut self, c: char, from: usize) {
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            self.push(Kind::Byte(byte), from);
        }
    }

    fn value(
        &mut self,
        name: &str,
        span: Range<usize>,
        variable: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<(), GlobError> {
        let value = variable(name)
            .map_err(|why| GlobError::new(span.clone(), format!("variable `{name}`: {why}")))?;
        if self.tokens.is_empty() && !(value.is_empty() || value.starts_with('/')) {
            let shown = value.escape_debug();
            return Err(
                GlobError::new(span, format!("`${{{name}}}` is not absolute")).label(format!(
                    "its value is `{shown}`; a pattern must begin with `/`"
                )),
            );
        }
        if value.contains('\0') {
            return Err(GlobError::new(
                span,
                format!("`${{{name}}}` holds a NUL byte"),
            ));
        }
        for byte in value.bytes() {
            let kind = if byte == b'/' {
                Kind::Slash
            } else {
                Kind::Byte(byte)
            };
            self.tokens.push(Token {
                kind,
                span: span.clone(),
            });
        }
        Ok(())
    }

    fn stars(&mut self, from: usize) -> Result<(), GlobError> {
        let more = self.pattern[from..]
            .bytes()
            .take_while(|b| *b == b'*')
            .count();
        self.at = from + more;
        match more {
            1 => self.push(Kind::Star, from),
            2 => self.push(Kind::DoubleStar, from),
            _ => {
                return Err(GlobError::new(from..self.at, "too many stars")
                    .label("expected `*` (within a component) or `**` (any components)"));
            }
        }
        Ok(())
    }

    fn escape(&mut self, from: usize) -> Result<(), GlobError> {
        let Some(c) = self.pattern[self.at..].chars().next() else {
            return Err(
                GlobError::new(from..self.at, "`\\` at the end escapes nothing")
                    .label("write `\\\\` for the character"),
            );
        };
        self.at += c.len_utf8();
        if c == '/' {
            return Err(GlobError::new(from..self.at, "a slash cannot be escaped")
                .label("no name holds one"));
        }
        self.bytes(c, from);
        Ok(())
    }

    fn class(&mut self, from: usize) -> Result<(), GlobError> {
        let text = self.pattern;
        let mut set = ByteSet::EMPTY;
        let negated = text[self.at..].starts_with('!');
        if negated {
            self.at += 1;
        } else if text[self.at..].starts_with('^') {
            return Err(GlobError::new(from..self.at + 1, "`[^` is ambiguous")
                .label("write `[!…]` to negate, `[\\^…]` for the character"));
        }
        let first = self.at;
        loop {
            if text[self.at..].starts_with(']') && self.at > first {
                self.at += 1;
                break;
            }
            let item = self.at;
            let low = self.class_byte(from)?;
            let ranged = text[self.at..].starts_with('-')
                && !text[self.at + 1..].starts_with(']')
                && self.at + 1 < text.len();
            let high = if ranged {
                self.at += 1;
                self.class_byte(from)?
            } else {
                low
            };
            if high < low {
                return Err(
                    GlobError::new(item..self.at, "the range is reversed").label(format!(
                        "expected `{}-{}`",
                        [high].escape_ascii(),
                        [low].escape_ascii()
                    )),
                );
            }
            (low..=high).for_each(|byte| set.insert(byte));
        }
        set.remove(b'/');
        let set = if negated { set.negated() } else { set };
        self.push(Kind::Set(set), from);
        Ok(())
    }

    /// One member of a class.
    fn class_byte(&mut self, open: usize) -> Result<u8, GlobError> {
        let text = self.pattern;
        let unterminated = || {
            GlobError::new(open..text.len(), "the class is not closed")
                .label("expected `]`; write `\\[` for the character")
        };
        let from = self.at;
        let mut rest = text[from..].chars();
        let mut c = rest.next().ok_or_else(unterminated)?;
        if c == '\\' {
            c = rest.next().ok_or_else(unterminated)?;
            self.at += 1;
        }
        self.at += c.len_utf8();
        if c == '/' {
            // Either a mistake, or the `]` was forgotten; no class ever matches a slash.
            let closed = text[self.at..].contains(']');
            return Err(if closed {
                GlobError::new(from..self.at, "a class cannot match `/`")
                    .label("a slash always separates components")
            } else {
                unterminated()
            });
        }
        u8::try_from(c).ok().filter(u8::is_ascii).ok_or_else(|| {
            GlobError::new(from..self.at, format!("`{c}` is more than one byte"))
                .label("a class is one byte of ASCII")
                .help("write alternatives: `{ä,ö}`")
        })
    }
}
/// What may have been meant by a pattern that is not absolute: each of these is a pattern.
fn meant_by(pattern: &str) -> String {
    if let Some(rest) = pattern.strip_prefix("$HOME/") {
        return format!("write `~/{rest}`");
    }
    if let Some(variable) = pattern.strip_prefix('$') {
        let name = variable.split('/').next().unwrap_or_default();
        return format!(
            "a variable of the grant is written `${{{name}}}`; the environment's are not known"
        );
    }
    if pattern.starts_with('~') {
        return "`~/` is the home directory of whoever starts the session; write another's in full"
            .into();
    }
    if pattern.starts_with("../") || pattern == ".." {
        return "write the directory in full".into();
    }
    let below = pattern.trim_start_matches("./");
    let below = if below.is_empty() { "**" } else { below };
    if below.starts_with("**/") {
        return format!("`/{below}` matches it in every directory");
    }
    format!(
        "`${{cwd}}/{below}` is where the session starts; `/**/{below}` matches it in every directory"
    )
}
