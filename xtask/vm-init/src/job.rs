//! The job that the host hands to process 1: which root, which command, how its input is wired.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Job {
    /// Serial number of the disk with the root file system; none means: stay in the initramfs.
    pub root: Option<OsString>,
    /// Serial number of the disk with `/lib/modules`.
    pub modules: Option<OsString>,
    /// Program and arguments; none means an interactive shell.
    pub argv: Vec<OsString>,
    /// What becomes process 1 before the command runs; none means: process 1 stays what it is.
    pub init: Option<OsString>,
    /// Environment, beside the few variables that every command gets.
    pub env: Vec<(OsString, OsString)>,
    /// Run the command on a terminal of its own, of so many rows and columns.
    pub terminal: Option<(u16, u16)>,
}

impl Job {
    /// Fields, each one a letter, its text and a NUL: none of the texts can hold a NUL.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut field = |letter: u8, parts: &[&OsStr]| {
            bytes.push(letter);
            for part in parts {
                bytes.extend_from_slice(part.as_bytes());
            }
            bytes.push(0);
        };
        if let Some(root) = &self.root {
            field(b'r', &[root]);
        }
        if let Some(modules) = &self.modules {
            field(b'm', &[modules]);
        }
        if let Some(init) = &self.init {
            field(b'i', &[init]);
        }
        for argument in &self.argv {
            field(b'a', &[argument]);
        }
        for (key, value) in &self.env {
            field(b'e', &[key, OsStr::new("="), value]);
        }
        if let Some((rows, columns)) = self.terminal {
            field(b't', &[OsStr::new(&format!("{rows} {columns}"))]);
        }
        bytes
    }

    pub fn decode(bytes: &[u8]) -> io::Result<Job> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut job = Job::default();
        for field in bytes.split(|byte| *byte == 0) {
            let Some((letter, text)) = field.split_first() else {
                continue;
            };
            let owned = || OsString::from_vec(text.to_vec());
            match letter {
                b'r' => job.root = Some(owned()),
                b'm' => job.modules = Some(owned()),
                b'i' => job.init = Some(owned()),
                b'a' => job.argv.push(owned()),
                b'e' => {
                    let equals = text.iter().position(|byte| *byte == b'=');
                    let equals = equals.ok_or_else(|| invalid("variable without `=`"))?;
                    let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
                    job.env
                        .push((part(&text[..equals]), part(&text[equals + 1..])));
                }
                b't' => {
                    let text = std::str::from_utf8(text).ok();
                    let (rows, columns) = text
                        .and_then(|text| text.split_once(' '))
                        .and_then(|(rows, columns)| {
                            Some((rows.parse().ok()?, columns.parse().ok()?))
                        })
                        .ok_or_else(|| invalid("bad terminal size"))?;
                    job.terminal = Some((rows, columns));
                }
                _ => return Err(invalid("unknown field in the job")),
            }
        }
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv_survives_exactly() {
        let job = Job {
            root: Some("root".into()),
            modules: None,
            init: Some("/init".into()),
            argv: ["sh", "-c", "echo \"$1\"\n", "", "a b", "é"]
                .map(OsString::from)
                .to_vec(),
            env: vec![("A".into(), "b=c".into())],
            terminal: Some((24, 80)),
        };
        assert_eq!(Job::decode(&job.encode()).unwrap(), job);
        assert_eq!(
            Job::decode(&Job::default().encode()).unwrap(),
            Job::default()
        );
    }
}
