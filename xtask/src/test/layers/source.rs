//! The paths of a source file that stay within its crate.

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A path, from the root of the crate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
}

/// Every path of the file that begins with `crate`, `self` or `super`, in `use` and elsewhere.
pub(super) fn paths(text: &str, module: &[String]) -> Result<Vec<Named>> {
    let text: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
    let mut found = Vec::new();
    visit(text, module, &mut found);
    Ok(found)
}

fn visit(stream: TokenStream, here: &[String], found: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let Some((first, after)) = rest.split_first() {
        rest = match rest {
            // Tests may name everything.
            [
                TokenTree::Group(attribute),
                TokenTree::Ident(word),
                TokenTree::Ident(_),
                TokenTree::Group(_),
                after @ ..,
            ] if word == "mod" && is_for_tests(attribute) => after,
            [
                TokenTree::Ident(word),
                TokenTree::Ident(name),
                TokenTree::Group(body),
                after @ ..,
            ] if word == "mod" => {
                let inner = [here, &[name.to_string()]].concat();
                visit(body.stream(), &inner, found);
                after
            }
            [TokenTree::Ident(_), ..] => path(rest, None, here, found),
            _ => {
                if let TokenTree::Group(group) = first {
                    visit(group.stream(), here, found);
                }
                after
            }
        };
    }
}

/// Reads the path that begins here, after `base` where that is known, and gives what follows it.
fn path<'a>(
    mut rest: &'a [TokenTree],
    base: Option<&[String]>,
    here: &[String],
    found: &mut Vec<Named>,
) -> &'a [TokenTree] {
    let line = rest.first().map_or(0, |token| token.span().start().line);
    let mut path = base.map(<[String]>::to_vec);
    let mut words = 0;
    loop {
        match rest {
            [TokenTree::Ident(word), after @ ..] => {
                let word = word.to_string();
                match (word.as_str(), &mut path) {
                    ("crate", path) if words == 0 => *path = Some(Vec::new()),
                    ("self", path @ None) if words == 0 => *path = Some(here.to_vec()),
                    ("super", path @ None) if words == 0 => *path = Some(above(here)),
                    ("super", Some(path)) => {
                        path.pop();
                    }
                    ("self", _) | (_, None) => {}
                    (_, Some(path)) => path.push(word),
                }
                words += 1;
                rest = after;
            }
            [TokenTree::Group(list), after @ ..] if list.delimiter() == Delimiter::Brace => {
                let tokens: Vec<TokenTree> = list.stream().into_iter().collect();
                let items = tokens.split(|token| is_mark(token, ','));
                for item in items.filter(|item| !item.is_empty()) {
                    self::path(item, path.as_deref(), here, found);
                }
                return after;
            }
            // `*`, or the arguments of a generic type.
            _ => break,
        }
        match rest {
            [a, b, after @ ..] if is_mark(a, ':') && is_mark(b, ':') => rest = after,
            _ => break,
        }
    }
    // `crate` alone is the one of `pub(crate)`.
    if let Some(path) = path
        && (base.is_some() || words > 1)
    {
        found.push(Named { line, path });
    }
    rest
}

fn is_for_tests(attribute: &Group) -> bool {
    attribute.to_string().replace(' ', "") == "[cfg(test)]"
}

fn above(here: &[String]) -> Vec<String> {
    here.split_last()
        .map_or_else(Vec::new, |(_, above)| above.to_vec())
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}
