//! Matching and deciding in the most obvious way, as the yardstick for everything cleverer.
//!
//! Slow, recursive and for tests: it shares no code with the compiler, not even the parser.

use agent_abi::{FileRights, right::FILE_RIGHTS};

/// Whether a pattern without variables matches a path. The root is the empty path; a path is
/// `/` and a name, any number of times. The pattern must be valid.
#[must_use]
pub fn matches(pattern: &str, path: &[u8]) -> bool {
    let mut alternatives = Vec::new();
    without_braces(pattern.as_bytes(), &mut alternatives);
    alternatives.iter().any(|pattern| {
        let components = split(pattern);
        let names: Vec<&[u8]> = path.split(|b| *b == b'/').skip(1).collect();
        match_components(&components, &names)
    })
}

/// Replaces the first group of braces by each of its alternatives, again and again. A NUL, which
/// matches nothing and is in no pattern, stands where a brace was, so that `*{*}` is no `**`.
fn without_braces(pattern: &[u8], out: &mut Vec<Vec<u8>>) {
    let Some(open) = find(pattern, 0, b'{') else {
        out.push(pattern.to_vec());
        return;
    };
    let mut depth = 0;
    let mut pieces = Vec::new();
    let mut from = open + 1;
    let mut at = open + 1;
    loop {
        match pattern[at] {
            b'\\' => at += 1,
            b'[' => at = class_end(pattern, at),
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => {
                pieces.push(&pattern[from..at]);
                from = at + 1;
                if pattern[at] == b'}' {
                    break;
                }
            }
            _ => {}
        }
        at += 1;
    }
    for piece in pieces {
        without_braces(
            &[&pattern[..open], b"\0", piece, b"\0", &pattern[at + 1..]].concat(),
            out,
        );
    }
}

/// The next plain occurrence of a byte: neither escaped nor in a class.
fn find(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += 1,
            b'[' => at = class_end(pattern, at),
            found if found == byte => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The index of the `]` that closes the class at `open`.
fn class_end(pattern: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    if pattern[at] == b'!' {
        at += 1;
    }
    let first = at;
    while pattern[at] != b']' || at == first {
        at += if pattern[at] == b'\\' { 2 } else { 1 };
    }
    at
}

fn split(pattern: &[u8]) -> Vec<&[u8]> {
    if pattern.iter().filter(|byte| **byte != 0).eq([&b'/']) {
        return Vec::new();
    }
    // Braces at the very beginning leave their mark before the first slash.
    let pattern = trim(pattern);
    let mut components = Vec::new();
    let mut from = 1;
    while let Some(slash) = find(pattern, from, b'/') {
        components.push(trim(&pattern[from..slash]));
        from = slash + 1;
    }
    components.push(trim(&pattern[from..]));
    components
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [0, rest @ ..] | [rest @ .., 0] = text {
        text = rest;
    }
    text
}

fn match_components(pattern: &[&[u8]], names: &[&[u8]]) -> bool {
    match pattern.split_first() {
        None => names.is_empty(),
        Some((&b"**", rest)) => {
            match_components(rest, names)
                || (!names.is_empty() && match_components(pattern, &names[1..]))
        }
        Some((first, rest)) => {
            !names.is_empty() && match_name(first, names[0]) && match_components(rest, &names[1..])
        }
    }
}

fn match_name(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.first() {
        None => name.is_empty(),
        Some(0) => match_name(&pattern[1..], name),
        Some(b'*') => {
            match_name(&pattern[1..], name) || (!name.is_empty() && match_name(pattern, &name[1..]))
        }
        Some(b'?') => !name.is_empty() && match_name(&pattern[1..], &name[1..]),
        Some(b'[') => {
            let end = class_end(pattern, 0);
            !name.is_empty()
                && in_class(&pattern[1..end], name[0])
                && match_name(&pattern[end + 1..], &name[1..])
        }
        Some(b'\\') => name.first() == Some(&pattern[1]) && match_name(&pattern[2..], &name[1..]),
        Some(byte) => name.first() == Some(byte) && match_name(&pattern[1..], &name[1..]),
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let negated = class.first() == Some(&b'!');
    let mut at = usize::from(negated);
    let mut found = false;
    while at < class.len() {
        let low = member(class, &mut at);
        if class.get(at) == Some(&b'-') && at + 1 < class.len() {
            at += 1;
            let high = member(class, &mut at);
            found |= (low..=high).contains(&byte);
        } else {
            found |= low == byte;
        }
    }
    found != negated
}

fn member(class: &[u8], at: &mut usize) -> u8 {
    if class[*at] == b'\\' {
        *at += 1;
    }
    *at += 1;
    class[*at - 1]
}

/// A file rule for [`decide`].
#[derive(Clone, Debug)]
pub struct NaiveRule {
    pub number: u16,
    pub allow: bool,
    pub rights: FileRights,
    pub paths: Vec<String>,
    pub except: Vec<String>,
}

/// Whether one of the paths of a rule matches that does not begin with `**`.
#[must_use]
pub fn matches_anchored(rule: &NaiveRule, path: &[u8]) -> bool {
    let mut alternatives = Vec::new();
    rule.paths
        .iter()
        .for_each(|p| without_braces(p.as_bytes(), &mut alternatives));
    alternatives.iter().any(|pattern| {
        split(pattern).first() != Some(&&b"**"[..])
            && matches(&String::from_utf8_lossy(pattern), path)
    }) && !rule.except.iter().any(|pattern| matches(pattern, path))
}

/// Whether a rule matches a path.
#[must_use]
pub fn rule_matches(rule: &NaiveRule, path: &[u8]) -> bool {
    rule.paths.iter().any(|pattern| matches(pattern, path))
        && !rule.except.iter().any(|pattern| matches(pattern, path))
}

/// Whether right number `right` is allowed on a path, and the rule that decides: the first
/// denying rule that matches, else the first allowing one.
#[must_use]
pub fn decide(rules: &[NaiveRule], path: &[u8], right: usize) -> (bool, Option<u16>) {
    assert!(right < FILE_RIGHTS);
    let first = |allow: bool| {
        rules.iter().find(|rule| {
            rule.allow == allow && rule.rights.0 & (1 << right) != 0 && rule_matches(rule, path)
        })
    };
    if let Some(rule) = first(false) {
        return (false, Some(rule.number));
    }
    match first(true) {
        Some(rule) => (true, Some(rule.number)),
        None => (false, None),
    }
}

/// A line of a table of cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub pattern: String,
    /// As the kernel walks it: empty for the root.
    pub path: Vec<u8>,
    pub matches: bool,
}

/// Reads a table of cases: a pattern on a line of its own, then lines `+ PATH…` that it matches
/// and `- PATH…` that it does not. `#` begins a comment, `\xHH` is a byte, `\s` a blank.
#[must_use]
pub fn cases(table: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut pattern = String::new();
    for line in table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (matches, paths) = match (line.strip_prefix("+ "), line.strip_prefix("- ")) {
            (Some(paths), _) => (true, paths),
            (_, Some(paths)) => (false, paths),
            _ => {
                pattern = line.replace("\\s", " ");
                continue;
            }
        };
        for path in paths.split_whitespace() {
            let path = if path == "/" {
                Vec::new()
            } else {
                unescape(path)
            };
            cases.push(Case {
                pattern: pattern.clone(),
                path,
                matches,
            });
        }
    }
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail.first()) {
            (b'\\', Some(b's')) => Some((b' ', 1)),
            (b'\\', Some(b'x')) => std::str::from_utf8(tail.get(1..3).unwrap_or_default())
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                .map(|byte| (byte, 3)),
            (b'\\', Some(b'\\')) => Some((b'\\', 1)),
            _ => None,
        };
        let (byte, used) = escaped.unwrap_or((*first, 0));
        bytes.push(byte);
        rest = tail.get(used..).unwrap_or_default();
    }
    bytes
}
