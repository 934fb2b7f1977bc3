//! Path patterns.
//!
//! A name is bytes: `?` is one byte, `*` any number of them (none and leading dots included),
//! neither ever a slash. `**` stands alone between slashes and is any number of components.
//! `[abc]`, `[a-z]`, `[!abc]` is one byte; `{a,b}` is either, nests, and may hold slashes;
//! `\` makes the next character stand for itself.
//!
//! A path is what the kernel walks: the root directory is empty, every component is `/` and a
//! name. So `/w/**` matches `/w` and everything below, `/w/**/*` only what is below.

mod expand;
mod packed;
mod parse;

use std::fmt;

pub use packed::Glob;
pub(crate) use packed::Piece;
pub(crate) use parse::parse_names;
pub use parse::{GlobError, parse};

/// Globs that one pattern may stand for once its braces are expanded.
pub const MAX_ALTERNATIVES: usize = 256;
/// Bytes of a pattern as written.
pub const MAX_PATTERN: usize = 4096;

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    pub const EMPTY: Self = Self([0; 4]);

    /// Every byte but the slash.
    #[must_use]
    pub fn any() -> Self {
        let mut set = Self([u64::MAX; 4]);
        set.remove(b'/');
        set
    }

    pub fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub fn remove(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] &= !(1 << (byte & 63));
    }

    #[must_use]
    pub fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    /// Every byte that is not in the set, the slash excepted.
    #[must_use]
    pub fn negated(&self) -> Self {
        let mut set = Self(self.0.map(|word| !word));
        set.remove(b'/');
        set
    }

    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=255).filter(|byte| self.contains(*byte))
    }
}

impl fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<u8> = self.iter().collect();
        write!(f, "[{}]", bytes.escape_ascii())
    }
}

/// A part of a component.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Atom {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Star,
    Set(Box<ByteSet>),
}

/// What stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// `**`: any number of components.
    Any,
    Name(Vec<Atom>),
}

impl Component {
    /// Whether the component, taken for one name, matches it; `**` matches every name.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Name(atoms) => matches_name(atoms, name),
        }
    }

    /// The name that the component spells, if it holds no wildcard.
    #[must_use]
    pub fn literal(&self) -> Option<Vec<u8>> {
        let Self::Name(atoms) = self else { return None };
        atoms
            .iter()
            .map(|atom| {
                if let Atom::Byte(byte) = atom {
                    Some(*byte)
                } else {
                    None
                }
            })
            .collect()
    }
}

/// The components of an absolute path that holds no pattern. Empty and `/` are the root.
pub(crate) fn literal_components(path: &[u8]) -> Result<Vec<Component>, String> {
    if path.is_empty() || path == b"/" {
        return Ok(Vec::new());
    }
    let Some(rest) = path.strip_prefix(b"/") else {
        return Err(format!("`{}` is not absolute", path.escape_ascii()));
    };
    let mut components = Vec::new();
    for name in rest.split(|byte| *byte == b'/') {
        if matches!(name, b"" | b"." | b"..") || name.contains(&0) {
            return Err(format!("`{}` is not a plain path", path.escape_ascii()));
        }
        components.push(Component::Name(
            name.iter().map(|byte| Atom::Byte(*byte)).collect(),
        ));
    }
    Ok(components)
}

fn matches_components(pattern: &[Component], names: &[&[u8]]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry = None;
    loop {
        let step = match (pattern.get(p), names.get(n)) {
            (None, None) => return true,
            (Some(Component::Any), _) => {
                retry = Some((p, n));
                p += 1;
                continue;
            }
            (Some(Component::Name(atoms)), Some(name)) => matches_name(atoms, name),
            _ => false,
        };
        if step {
            (p, n) = (p + 1, n + 1);
        } else if let Some((any, from)) = retry
            && from < names.len()
        {
            // Let the last `**` take one component more.
            retry = Some((any, from + 1));
            (p, n) = (any + 1, from + 1);
        } else {
            return false;
        }
    }
}

/// Whether a component's atoms match a name. Iterative, since names come from outside.
pub(crate) fn matches_name(atoms: &[Atom], name: &[u8]) -> bool {
    let (mut a, mut n) = (0, 0);
    let mut retry = None;
    loop {
        let step = match (atoms.get(a), name.get(n)) {
            (None, None) => return true,
            (Some(Atom::Star), _) => {
                retry = Some((a, n));
                a += 1;
                continue;
            }
            (Some(Atom::Byte(byte)), Some(found)) => byte == found,
            (Some(Atom::One), Some(_)) => true,
            (Some(Atom::Set(set)), Some(found)) => set.contains(*found),
            _ => false,
        };
        if step {
            (a, n) = (a + 1, n + 1);
        } else if let Some((star, from)) = retry
            && from < name.len()
        {
            retry = Some((star, from + 1));
            (a, n) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
}

fn write_atom(atom: &Atom, text: &mut Vec<u8>) {
    match atom {
        Atom::One => text.push(b'?'),
        Atom::Star => text.push(b'*'),
        Atom::Byte(byte) => {
            if b"*?[]{},\\".contains(byte) {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        Atom::Set(set) => {
            let negated = set.contains(0xff);
            let shown = if negated { set.negated() } else { **set };
            text.extend(if negated { &b"[!"[..] } else { b"[" });
            let mut bytes = shown.iter().peekable();
            while let Some(first) = bytes.next() {
                let mut last = first;
                while bytes.next_if_eq(&last.wrapping_add(1)).is_some() {
                    last += 1;
                }
                write_member(first, text);
                if last > first {
                    if last > first + 1 {
                        text.push(b'-');
                    }
                    write_member(last, text);
                }
            }
            text.push(b']');
        }
    }
}

fn write_member(byte: u8, text: &mut Vec<u8>) {
    if b"]\\-!^".contains(&byte) {
        text.push(b'\\');
    }
    text.push(byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_printed_as_one_that_means_the_same() {
        for pattern in [
            "/[,\\-3]",
            "/[\\!\\-\\]a-f]",
            "/[!,\\-]",
            "/[\\\\\\]]",
            "/[+-.]",
            "/[abc^]",
            "/[!^a]",
        ] {
            let globs = parse(pattern, &|_| Err(String::new())).unwrap();
            let again = parse(&globs[0].to_string(), &|_| Err(String::new())).unwrap();
            assert_eq!(again, globs, "{pattern}");
        }
    }
}
