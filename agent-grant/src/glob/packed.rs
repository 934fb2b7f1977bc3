//! A pattern as it is kept: a session has hundreds, most of them plain paths, and several who know them.

use std::{fmt, sync::Arc};

use super::{
    Atom, ByteSet, Component, MAX_PATTERN, literal_components, matches_components, write_atom,
};

/// One pattern without braces. A copy is the same pattern, and takes nothing.
///
/// Before each component stands a slash, and bytes stand for themselves. What is no byte is a NUL, which no
/// name holds, and a letter; so patterns are equal whose bytes are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Glob(Arc<[u8]>);

/// Before the letters.
const MARK: u8 = 0;
const ANY: u8 = b'/';
const ONE: u8 = b'?';
const STAR: u8 = b'*';
/// Its 32 bytes follow.
const SET: u8 = b'[';

/// What a pattern is made of, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Where a name begins.
    Slash,
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Star,
    Set(ByteSet),
    /// `**`, with the slash before it.
    Any,
}

impl Glob {
    /// Of these components; none are the root directory.
    #[must_use]
    pub fn new(components: &[Component]) -> Self {
        let mut packed = Vec::new();
        for component in components {
            packed.push(b'/');
            match component {
                Component::Any => packed.extend([MARK, ANY]),
                Component::Name(atoms) => atoms.iter().for_each(|atom| pack(atom, &mut packed)),
            }
        }
        Self(packed.into())
    }

    pub(crate) fn pieces(&self) -> Pieces<'_> {
        Pieces(&self.0)
    }

    /// What stands between its slashes; nothing for the root directory.
    #[must_use]
    pub fn components(&self) -> Vec<Component> {
        let mut components = Vec::new();
        for piece in self.pieces() {
            let atom = match piece {
                Piece::Any => {
                    components.push(Component::Any);
                    continue;
                }
                Piece::Slash => {
                    components.push(Component::Name(Vec::new()));
                    continue;
                }
                Piece::Byte(byte) => Atom::Byte(byte),
                Piece::One => Atom::One,
                Piece::Star => Atom::Star,
                Piece::Set(set) => Atom::Set(Box::new(set)),
            };
            if let Some(Component::Name(atoms)) = components.last_mut() {
                atoms.push(atom);
            }
        }
        components
    }

    /// Whether it begins with `**`, and so goes along everywhere.
    #[must_use]
    pub fn floats(&self) -> bool {
        self.0.starts_with(&[b'/', MARK, ANY])
    }

    /// Leading components that hold no wildcard, as a path: empty for the root.
    #[must_use]
    pub fn literal_prefix(&self) -> &[u8] {
        match self.0.iter().position(|byte| *byte == MARK) {
            None => &self.0,
            Some(mark) => {
                let slash = self.0[..mark].iter().rposition(|byte| *byte == b'/');
                &self.0[..slash.unwrap_or(0)]
            }
        }
    }

    /// Whether no component holds a wildcard.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.0.contains(&MARK)
    }

    /// Whether it is certain that it is read again as it is printed: ASCII that means nothing else, and
    /// wildcards that are no class.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"*?[]{},\\$~".contains(&byte);
        self.0.len() <= MAX_PATTERN
            && self.pieces().all(|piece| match piece {
                Piece::Byte(byte) => plain(byte),
                Piece::Set(_) => false,
                Piece::Slash | Piece::One | Piece::Star | Piece::Any => true,
            })
    }

    /// The glob with another literal prefix. `prefix` is empty or begins with a slash.
    ///
    /// # Errors
    /// Says what is wrong with `prefix`.
    pub fn with_prefix(&self, prefix: &[u8]) -> Result<Self, String> {
        let prefix = Self::new(&literal_components(prefix)?);
        let rest = &self.0[self.literal_prefix().len()..];
        Ok(Self([&prefix.0, rest].concat().into()))
    }

    /// Whether the glob matches a path.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        // Most are told apart by what they begin with.
        let prefix = self.literal_prefix();
        let Some(rest) = path.strip_prefix(prefix) else {
            return false;
        };
        if self.is_literal() {
            return rest.is_empty();
        }
        if !(rest.is_empty() || rest.starts_with(b"/")) {
            return false;
        }
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
        matches_components(&self.components(), &names)
    }
}

fn pack(atom: &Atom, packed: &mut Vec<u8>) {
    match atom {
        Atom::Byte(byte) => packed.push(*byte),
        Atom::One => packed.extend([MARK, ONE]),
        Atom::Star => packed.extend([MARK, STAR]),
        Atom::Set(set) => {
            packed.extend([MARK, SET]);
            packed.extend(set.0.iter().flat_map(|word| word.to_le_bytes()));
        }
    }
}

pub(crate) struct Pieces<'g>(&'g [u8]);

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let (piece, rest) = match self.0 {
            [b'/', MARK, ANY, rest @ ..] => (Piece::Any, rest),
            [b'/', rest @ ..] => (Piece::Slash, rest),
            [MARK, ONE, rest @ ..] => (Piece::One, rest),
            [MARK, STAR, rest @ ..] => (Piece::Star, rest),
            [MARK, SET, rest @ ..] => {
                let (set, rest) = rest.split_first_chunk::<32>()?;
                (Piece::Set(unpacked(set)), rest)
            }
            [byte, rest @ ..] => (Piece::Byte(*byte), rest),
            [] => return None,
        };
        self.0 = rest;
        Some(piece)
    }
}

fn unpacked(bytes: &[u8; 32]) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    let (words, _) = bytes.as_chunks::<8>();
    for (word, bytes) in set.0.iter_mut().zip(words) {
        *word = u64::from_le_bytes(*bytes);
    }
    set
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        let mut text = Vec::new();
        for component in self.components() {
            text.push(b'/');
            match component {
                Component::Any => text.extend(b"**"),
                Component::Name(atoms) => atoms.iter().for_each(|atom| write_atom(atom, &mut text)),
            }
        }
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::parse, *};

    fn glob(pattern: &str) -> Glob {
        let globs = parse(pattern, &|_| Err(String::new())).unwrap();
        globs.into_iter().next().unwrap()
    }

    #[test]
    fn what_is_packed_is_what_was_written() {
        for pattern in [
            "/",
            "/**",
            "/a",
            "/usr/lib/**/*.so",
            "/a?/[!x]b*/**/\\*[a-z]",
            "/**/x/**",
        ] {
            let packed = glob(pattern);
            assert_eq!(Glob::new(&packed.components()), packed, "{pattern}");
            assert_eq!(glob(&packed.to_string()), packed, "{pattern}");
            let is_plain = !pattern.contains(['[', '\\']);
            assert_eq!(packed.is_plain(), is_plain, "{pattern}");
        }
        assert_eq!(glob("/a/?x").components().len(), 2);
        assert_eq!(glob("/").components(), []);
    }

    #[test]
    fn a_prefix_is_whole_names_without_wildcards() {
        for (pattern, prefix, is_literal) in [
            ("/", "", true),
            ("/usr/lib", "/usr/lib", true),
            ("/usr/lib*/x", "/usr", false),
            ("/usr/[.0]x", "/usr", false),
            ("/usr/**", "/usr", false),
            ("/**/x", "", false),
        ] {
            let glob = glob(pattern);
            assert_eq!(glob.literal_prefix(), prefix.as_bytes(), "{pattern}");
            assert_eq!(glob.is_literal(), is_literal, "{pattern}");
        }
        let moved = glob("/bin/*.sh").with_prefix(b"/usr/bin").unwrap();
        assert_eq!(moved, glob("/usr/bin/*.sh"));
        assert_eq!(glob("/bin/x").with_prefix(b"").unwrap(), glob("/"));
        assert!(glob("/bin/x").with_prefix(b"/a//b").is_err());
    }

    #[test]
    fn what_begins_alike_is_not_below() {
        for (pattern, path, matches) in [
            ("/w/**", "/w", true),
            ("/w/**", "/w/a/b", true),
            ("/w/**", "/ww", false),
            ("/w/a", "/w/a/b", false),
            ("/w/a", "/w/a", true),
            ("/w/a*", "/w/ab", true),
            ("/w/*", "/w", false),
            ("/", "", true),
            ("/", "/w", false),
        ] {
            assert_eq!(
                glob(pattern).matches(path.as_bytes()),
                matches,
                "{pattern} {path}"
            );
        }
    }
}
