//! What became of an act.

/// What became of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// The error number, where the way tells it.
    Refused(i32),
    /// It failed otherwise; the text is the tool's or the exception's.
    Failed(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("it was done"),
            Self::Refused(0) => f.write_str("it was refused"),
            Self::Refused(errno) => write!(f, "it was refused with {}", errno_name(*errno)),
            Self::Failed(text) => write!(f, "it failed: {text}"),
        }
    }
}

/// Names of the error numbers that a refusal can have, or that a mistake in a test has.
pub(crate) fn errno_name(errno: i32) -> String {
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::EACCES, "EACCES"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENOENT, "ENOENT"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::ESRCH, "ESRCH"),
        (libc::EIO, "EIO"),
    ];
    let name = known.iter().find(|(number, _)| *number == errno);
    name.map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).into())
}

impl Outcome {
    /// From what a driver says: `ok`, `errno 13`, `exit 1 text`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = text.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("ok"), ..) => Self::Done,
            (Some("errno"), Some(number), _) => number
                .parse()
                .ok()
                .filter(|errno| is_refusal(*errno))
                .map_or_else(|| Self::Failed(format!("errno {number}")), Self::Refused),
            (Some("exit"), code, said) => Self::of_tool(code.unwrap_or("?"), said.unwrap_or("")),
            _ => Self::Failed(text.into()),
        }
    }

    /// Tools tell errors by their text. One that failed for another reason was not refused.
    fn of_tool(code: &str, said: &str) -> Self {
        let lower = said.to_ascii_lowercase();
        let refusals = [
            ("permission denied", libc::EACCES),
            ("operation not permitted", libc::EPERM),
            ("must be superuser", libc::EPERM),
            ("you must be root", libc::EPERM),
            ("cross-device", libc::EXDEV),
        ];
        let found = refusals.iter().find(|(words, _)| lower.contains(words));
        found.map_or_else(
            || Self::Failed(format!("exit code {code}: {said}")),
            |(_, errno)| Self::Refused(*errno),
        )
    }
}

fn is_refusal(errno: i32) -> bool {
    [libc::EPERM, libc::EACCES, libc::EXDEV].contains(&errno)
}
