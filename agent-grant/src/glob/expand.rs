//! Braces out, components in.

use super::{
    Atom, Component, Glob, MAX_ALTERNATIVES,
    parse::{GlobError, Kind, Token},
};

/// Expands braces and splits each result into components.
pub(super) fn expand(pattern: &str, tokens: &[Token]) -> Result<Vec<Glob>, GlobError> {
    let mut globs = Vec::new();
    for flat in alternatives(pattern, tokens)? {
        let glob = Glob::new(&components(pattern, &flat)?);
        if !globs.contains(&glob) {
            globs.push(glob);
        }
    }
    Ok(globs)
}

/// Expands braces of a pattern of names, and leaves out the slash before them.
pub(super) fn expand_names(pattern: &str, tokens: &[Token]) -> Result<Vec<Vec<Atom>>, GlobError> {
    let mut names = Vec::new();
    for flat in alternatives(pattern, tokens)? {
        let atoms = flat.iter().skip(1).filter_map(|token| match token.kind {
            Kind::Byte(byte) => Some(Ok(Atom::Byte(byte))),
            Kind::Slash => Some(Ok(Atom::Byte(b'/'))),
            Kind::One => Some(Ok(Atom::One)),
            Kind::Set(set) => Some(Ok(Atom::Set(Box::new(set)))),
            Kind::Star => Some(Ok(Atom::Star)),
            Kind::DoubleStar => Some(Err(GlobError::new(
                token.span.clone(),
                "`**` has no meaning in a name",
            )
            .label("expected `*`"))),
            Kind::Open | Kind::Comma | Kind::Close => None,
        });
        names.push(atoms.collect::<Result<_, _>>()?);
    }
    Ok(names)
}

fn too_many(pattern: &str) -> GlobError {
    GlobError::new(0..pattern.len(), "the braces stand for too many patterns")
        .label(format!("expected at most {MAX_ALTERNATIVES}"))
}

/// The finished alternatives of one brace, and the expansions of the one being read.
type Frame = (Vec<Vec<Token>>, Vec<Vec<Token>>);

/// Every flat token list that a list with balanced braces stands for.
fn alternatives(pattern: &str, tokens: &[Token]) -> Result<Vec<Vec<Token>>, GlobError> {
    // A stack instead of recursion, since nesting comes from outside.
    let mut frames: Vec<Frame> = vec![(Vec::new(), vec![Vec::new()])];
    for token in tokens {
        let depth = frames.len();
        let Some((finished, current)) = frames.last_mut() else {
            break;
        };
        match token.kind {
            Kind::Open => frames.push((Vec::new(), vec![Vec::new()])),
            Kind::Comma => finished.append(&mut std::mem::replace(current, vec![Vec::new()])),
            Kind::Close if depth > 1 => {
                let (mut choices, mut last) = frames.pop().unwrap_or_default();
                choices.append(&mut last);
                let Some((_, outer)) = frames.last_mut() else {
                    break;
                };
                if outer.len() * choices.len() > MAX_ALTERNATIVES {
                    return Err(too_many(pattern));
                }
                *outer = outer
                    .iter()
                    .flat_map(|head| {
                        choices
                            .iter()
                            .map(move |tail| [head.as_slice(), tail].concat())
                    })
                    .collect();
            }
            _ => current.iter_mut().for_each(|flat| flat.push(token.clone())),
        }
        if frames
            .last()
            .is_some_and(|(f, c)| f.len() + c.len() > MAX_ALTERNATIVES)
        {
            return Err(too_many(pattern));
        }
    }
    Ok(frames.pop().map(|(_, current)| current).unwrap_or_default())
}

fn components(pattern: &str, tokens: &[Token]) -> Result<Vec<Component>, GlobError> {
    let whole = 0..pattern.len();
    let Some(first) = tokens.first() else {
        // A variable or `~` that is the root; an alternative that is empty is a mistake.
        return if pattern.contains('{') && !pattern.starts_with("${") {
            Err(GlobError::new(whole, "an alternative is an empty pattern"))
        } else {
            Ok(Vec::new())
        };
    };
    if first.kind != Kind::Slash {
        return Err(
            GlobError::new(first.span.clone(), "the pattern is not absolute")
                .label("expected `/` here"),
        );
    }
    if tokens.len() == 1 {
        return Ok(Vec::new());
    }
    let mut components = Vec::new();
    let mut separator = first;
    for part in tokens[1..].split(|token| token.kind == Kind::Slash) {
        let component = component(pattern, separator, part)?;
        if component != Component::Any || components.last() != Some(&Component::Any) {
            components.push(component);
        }
        if let Some(last) = part.last() {
            separator = last;
        }
    }
    Ok(components)
}

fn component(pattern: &str, before: &Token, part: &[Token]) -> Result<Component, GlobError> {
    let (Some(first), Some(last)) = (part.first(), part.last()) else {
        let at = before.span.clone();
        let error =
            GlobError::new(at, "a component is empty").label("two slashes, or one at the end");
        return Err(if pattern.ends_with('/') {
            let bare = pattern.trim_end_matches('/');
            error.help(if bare.ends_with("/**") {
                format!("`{bare}` is the directory and what is below")
            } else {
                format!("`{bare}` is the directory, `{bare}/**` also what is below")
            })
        } else {
            error
        });
    };
    let span = first.span.start.min(last.span.start)..last.span.end.max(first.span.end);
    if let [
        Token {
            kind: Kind::DoubleStar,
            ..
        },
    ] = part
    {
        return Ok(Component::Any);
    }
    let mut atoms = Vec::with_capacity(part.len());
    for token in part {
        let atom = match token.kind {
            Kind::Byte(byte) => Atom::Byte(byte),
            Kind::One => Atom::One,
            Kind::Set(set) => Atom::Set(Box::new(set)),
            Kind::Star => Atom::Star,
            Kind::DoubleStar => {
                return Err(GlobError::new(token.span.clone(), "`**` is not alone")
                    .label("expected `/` on both sides")
                    .help("`*` matches within a component, `/**/` across components"));
            }
            Kind::Slash | Kind::Open | Kind::Comma | Kind::Close => continue,
        };
        if atom != Atom::Star || atoms.last() != Some(&Atom::Star) {
            atoms.push(atom);
        }
    }
    let component = Component::Name(atoms);
    if matches!(component.literal().as_deref(), Some(b"." | b"..")) {
        return Err(GlobError::new(span, "a pattern has no `.` or `..`")
            .label("objects have real paths, these never occur in one"));
    }
    Ok(component)
}
