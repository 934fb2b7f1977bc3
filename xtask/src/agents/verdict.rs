//! Whether what a program did was what is expected of it.

use super::programs::Expected;
use serde::Deserialize;
use std::fmt;

/// What the machine says of one try.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) index: usize,
    pub(super) code: i32,
    /// Standard output and error.
    pub(super) output: String,
    /// What was refused to its session.
    pub(super) events: Vec<Refusal>,
}

#[derive(Deserialize)]
pub(super) struct Refusal {
    right: String,
    object: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "refused {} {}", self.right, self.object)
    }
}

/// Why it was not, in a sentence.
pub(super) fn judge(expected: &Expected, answer: &Answer) -> Result<(), String> {
    match *expected {
        Expected::Works(text) if answer.code != 0 || !answer.output.contains(text) => {
            Err(format!("expected it to work and to say `{text}`"))
        }
        Expected::Works(_) => Ok(()),
        Expected::Refused {
            keeps,
            right,
            object,
        } => {
            if answer.output.contains(keeps) {
                return Err(format!("expected `{keeps}` to be kept from it"));
            }
            let is_told = |one: &Refusal| one.right == right && one.object.contains(object);
            if answer.events.iter().any(is_told) {
                return Ok(());
            }
            Err(format!("expected an event: {right} on {object}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i32, output: &str, events: &[(&str, &str)]) -> Answer {
        let refusal = |(right, object): &(&str, &str)| Refusal {
            right: (*right).into(),
            object: (*object).into(),
        };
        Answer {
            index: 0,
            code,
            output: output.into(),
            events: events.iter().map(refusal).collect(),
        }
    }

    #[test]
    fn what_is_to_work_says_so_and_ends_well() {
        let expected = Expected::Works("done");
        assert!(judge(&expected, &answer(0, "all done\n", &[])).is_ok());
        assert!(judge(&expected, &answer(1, "all done\n", &[])).is_err());
        assert!(judge(&expected, &answer(0, "nothing\n", &[])).is_err());
    }

    #[test]
    fn what_is_to_be_refused_is_kept_and_told() {
        let expected = Expected::Refused {
            keeps: "secret",
            right: "file.read",
            object: "/srv/x",
        };
        let told = [("file.read", "/srv/x")];
        assert!(judge(&expected, &answer(1, "no", &told)).is_ok());
        assert!(judge(&expected, &answer(1, "a secret", &told)).is_err());
        assert!(judge(&expected, &answer(1, "no", &[("file.write", "/srv/x")])).is_err());
        assert!(judge(&expected, &answer(1, "no", &[])).is_err());
    }
}
