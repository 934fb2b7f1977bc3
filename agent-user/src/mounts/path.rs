//! Paths as bytes; `/` is the root.

/// What of `path` lies below `dir`: `Some("")` for `dir` itself.
pub(super) fn below<'a>(dir: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    if dir == b"/" {
        return Some(if path == b"/" { b"" } else { path });
    }
    let rest = path.strip_prefix(dir)?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

pub(super) fn join(dir: &[u8], rest: &[u8]) -> Vec<u8> {
    match (dir, rest) {
        (dir, b"") => dir.to_vec(),
        (b"/", rest) => rest.to_vec(),
        (dir, rest) => [dir, rest].concat(),
    }
}

pub(super) fn depth(path: &[u8]) -> usize {
    if path == b"/" {
        0
    } else {
        path.iter().filter(|byte| **byte == b'/').count()
    }
}

/// Whether it is absolute, and without empty parts, `.` and `..`.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else {
        return false;
    };
    rest.is_empty()
        || rest
            .split(|byte| *byte == b'/')
            .all(|name| !matches!(name, b"" | b"." | b".."))
}
