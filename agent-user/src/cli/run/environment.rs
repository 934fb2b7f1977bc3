//! What the command is handed over of the environment: what its grant keeps and sets.

use std::{
    ffi::{CString, OsString},
    os::unix::ffi::OsStrExt,
};

use agent_grant::environment::{Environment, Fate, GIVEN};

use crate::render::escape::escape_bytes;

/// An environment as `execve` takes it, without the session's name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Handed {
    variables: Vec<CString>,
    /// Names alone: a value may be a secret.
    pub(in crate::cli) kept: Vec<OsString>,
    pub(in crate::cli) dropped: Vec<OsString>,
}

impl Handed {
    /// Of this process's own environment.
    pub(in crate::cli) fn by(grant: &Environment) -> Self {
        Self::of(grant, std::env::vars_os())
    }

    fn of(grant: &Environment, own: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut handed = Self::default();
        for (name, value) in own.filter(|(name, _)| name != GIVEN) {
            match grant.fate(name.as_bytes()) {
                Fate::Kept => {
                    handed.add(name.as_bytes(), value.as_bytes());
                    handed.kept.push(name);
                }
                Fate::Dropped => handed.dropped.push(name),
                Fate::Set(_) => {}
            }
        }
        for (name, value) in &grant.set {
            handed.add(name.as_bytes(), value.as_bytes());
        }
        for names in [&mut handed.kept, &mut handed.dropped] {
            names.sort();
            names.dedup();
        }
        handed
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        // Neither holds a NUL byte: the kernel's are C strings, a grant's are checked.
        self.variables
            .extend(CString::new([name, b"=", value].concat()).ok());
    }

    /// What the process that becomes the command is told: the session's name, and this. It says how long it
    /// is, so that no part of it passes for the whole.
    pub(super) fn message(&self, session: &str) -> Vec<u8> {
        let variables = self.variables.iter().map(CString::as_bytes);
        let variables = variables.collect::<Vec<_>>().join(&0);
        let head = format!("{session}\0{}\0", variables.len());
        [head.as_bytes(), &variables].concat()
    }

    /// The session's name, and the environment with it; `None`: not all was told.
    pub(super) fn read(message: &[u8]) -> Option<(String, Vec<CString>)> {
        let mut parts = message.splitn(3, |byte| *byte == 0);
        let mut text = || String::from_utf8(parts.next()?.into()).ok();
        let (session, length) = (text()?, text()?.parse::<usize>().ok()?);
        let variables = parts.next().filter(|rest| rest.len() == length)?;
        let variables = variables.split(|byte| *byte == 0);
        let handed = Self {
            variables: variables
                .filter(|variable| !variable.is_empty())
                .filter_map(|variable| CString::new(variable).ok())
                .collect(),
            ..Self::default()
        };
        let variables = handed.in_session(&session);
        Some((session, variables))
    }

    /// With the session's name.
    pub(in crate::cli) fn in_session(mut self, session: &str) -> Vec<CString> {
        self.add(GIVEN.as_bytes(), session.as_bytes());
        self.variables
    }

    /// What `--verbose` says of it.
    pub(super) fn line(&self) -> String {
        if self.dropped.is_empty() {
            return "nothing of the environment is dropped".into();
        }
        let dropped = self.dropped.iter();
        let dropped: Vec<_> = dropped.map(|name| escape_bytes(name.as_bytes())).collect();
        format!(
            "dropped of the environment: {}; `keep` in `[environment]` hands over more",
            dropped.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use agent_grant::{Inputs, Source, load, shipped_includes};

    use super::*;
    use crate::api::HandsOver;

    fn handed(text: &str, own: &[(&str, &str)]) -> Vec<String> {
        let text = format!("version = 1\nname = \"x\"\n{text}");
        let grant = load(
            Source::new("x", text),
            &Inputs::default(),
            &shipped_includes,
        )
        .unwrap();
        let own = own.iter().map(|(name, value)| (name.into(), value.into()));
        let told = HandsOver::from(&grant.environment);
        let handed = Handed::of(&(&told).into(), own);
        let (session, texts) = Handed::read(&handed.message("x-1")).unwrap();
        assert_eq!(session, "x-1");
        let texts = texts.into_iter();
        texts.map(|text| text.into_string().unwrap()).collect()
    }

    #[test]
    fn what_programs_need_is_kept_and_the_rest_is_not() {
        let own = [
            ("PATH", "/bin:~/x"),
            ("LC_ALL", "C"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("LD_PRELOAD", "/x.so"),
            ("BAILIFF_SESSION", "other-1"),
            ("CARGO_HOME", "/c"),
        ];
        assert_eq!(
            handed("", &own),
            ["PATH=/bin:~/x", "LC_ALL=C", "BAILIFF_SESSION=x-1"]
        );
        assert_eq!(
            handed(
                "[environment]\nkeep = [\"CARGO_*\"]\nset = { PATH = \"/usr/bin\", CI = \"\" }\n",
                &own
            ),
            [
                "LC_ALL=C",
                "CARGO_HOME=/c",
                "CI=",
                "PATH=/usr/bin",
                "BAILIFF_SESSION=x-1"
            ]
        );
        assert_eq!(
            handed("[environment]\ndefault = false\n", &own),
            ["BAILIFF_SESSION=x-1"]
        );
    }

    #[test]
    fn what_is_told_in_part_is_no_session() {
        let own = [("PATH".into(), "/bin".into()), ("LANG".into(), "C".into())];
        let handed = Handed::of(&Environment::default(), own.into_iter());
        for handed in [Handed::default(), handed] {
            let whole = handed.message("x-1");
            let (session, variables) = Handed::read(&whole).unwrap();
            assert_eq!(session, "x-1");
            assert_eq!(variables.len(), handed.variables.len() + 1);
            for length in 0..whole.len() {
                assert_eq!(Handed::read(&whole[..length]), None, "{length}");
            }
        }
    }

    #[test]
    fn values_are_in_no_message() {
        let own = [("TOKEN".into(), "hunter2".into())];
        let handed = Handed::of(&Environment::default(), own.into_iter());
        assert!(handed.line().contains("TOKEN") && !handed.line().contains("hunter2"));
    }
}
