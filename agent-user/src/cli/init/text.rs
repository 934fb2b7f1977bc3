//! The text of a checkout's own grant.

use std::{fmt::Write as _, path::Path};

use super::languages::{Language, Need};
use crate::cli::checkout::NAME;

/// What is known of a checkout.
pub(super) struct Checkout<'a> {
    /// Its directory's name.
    pub(super) name: &'a str,
    pub(super) languages: &'a [&'a Language],
    pub(super) agents: &'a [&'a str],
    /// The grant that it includes, and whether that is `coder` or more.
    pub(super) include: &'a str,
    pub(super) is_coder: bool,
    pub(super) home: Option<&'a Path>,
}

impl Checkout<'_> {
    /// The whole of it but its tests.
    pub(super) fn text(&self) -> String {
        let name = plain(self.name);
        let mut text = format!(
            "# What agents and builds may do in this checkout. `bailiff run -- COMMAND`\n\
             # finds this file by itself, and uses it while it is what its user trusts.\n\
             # After a change: `bailiff grant check {NAME}`, then `bailiff trust`.\n\
             # Written by `bailiff init`.\n\
             # {}\n\
             version = 1\n\
             name = \"{name}\"\n\
             purpose = \"Edit, build and test {name}.\"\n\n",
            self.seen()
        );
        text += &self.about_include();
        let _ = write!(text, "include = [\"{}\"]\n\n", self.include);
        if self.is_coder {
            for language in self.languages {
                for need in language.needs {
                    text += &self.rule(language, need);
                }
            }
            text += &self.environment();
        }
        text += NETWORK;
        text
    }

    fn seen(&self) -> String {
        let languages: Vec<_> = self.languages.iter().map(|found| found.name).collect();
        let languages = match &languages[..] {
            [] => "No language was found at its top".to_owned(),
            found => format!("Found: {}", found.join(", ")),
        };
        let others = self.agents.iter().filter(|agent| **agent != self.include);
        let others: Vec<_> = others.copied().collect();
        match &others[..] {
            [] => format!("{languages}."),
            others => format!("{languages}; agents: {}.", others.join(", ")),
        }
    }

    fn about_include(&self) -> String {
        let what = match (self.include, self.is_coder) {
            ("coder", _) => {
                "# This checkout to read, write and execute, toolchains to use, /tmp to write.\n\
                 # No network, no credentials, and nothing that runs later outside: git hooks,\n\
                 # CI, settings of editors and agents.\n"
            }
            (_, true) => "# What `coder` has, and what this agent needs.\n",
            (_, false) => "",
        };
        format!(
            "{what}# All of it: `bailiff grant show {}`.\n",
            self.include
        )
    }

    fn rule(&self, language: &Language, need: &Need) -> String {
        let present = self.home.map_or_else(Vec::new, |home| need.present(home));
        if present.is_empty() {
            return String::new();
        }
        let paths: Vec<_> = present
            .iter()
            .map(|path| format!("\"~/{path}/**\""))
            .collect();
        let allow: Vec<_> = need
            .allow
            .iter()
            .map(|right| format!("\"{right}\""))
            .collect();
        format!(
            "# {}\n[[file]]\nid = \"{}\"\nallow = [{}]\npath = [{}]\nreason = \"{}\"\n\n",
            language.name,
            need.id,
            allow.join(", "),
            paths.join(", "),
            need.reason
        )
    }

    /// Variables that the languages need, and how others are kept.
    fn environment(&self) -> String {
        let set: Vec<_> = self
            .languages
            .iter()
            .flat_map(|language| language.set)
            .collect();
        let mut text = String::new();
        if set.is_empty() {
            return format!("{KEYS}# [environment]\n# keep = [\"ANTHROPIC_API_KEY\"]\n\n");
        }
        for (name, _, why) in &set {
            let _ = writeln!(text, "# {name}: {why}.");
        }
        text += "[environment]\n";
        let values: Vec<_> = set
            .iter()
            .map(|(name, value, _)| format!("{name} = \"{value}\""))
            .collect();
        let _ = writeln!(text, "set = {{ {} }}", values.join(", "));
        text += KEYS;
        text += "# keep = [\"ANTHROPIC_API_KEY\"]\n\n";
        text
    }
}

const KEYS: &str = "# An agent that asks a model itself needs its key, best one made for it:\n";

const NETWORK: &str = "\
# The network is closed. Rules open it by address, since the kernel sees no names:
# a mirror, a proxy, a model at home.
# [[net]]
# id = \"mirror\"
# allow = [\"connect\"]
# to = [\"10.0.0.5:443/tcp\", \"127.0.0.1:11434/tcp\"]
";

/// What the grant is to keep to, whoever changes it. Those that it does not pass are left out.
pub(super) const TESTS: &[&str] = &[
    "path = \"${cwd}/src/main\"\nright = [\"read\", \"write\", \"create\"]\nexpect = \"allow\"\n",
    "path = \"${cwd}/.env\"\nright = \"read\"\nexpect = \"deny\"\n",
    "path = \"${cwd}/.git/hooks/post-commit\"\nright = [\"write\", \"create\"]\nexpect = \"deny\"\n",
    "path = \"~/.ssh/id_ed25519\"\nright = \"read\"\nexpect = \"deny\"\n",
    "connect = \"192.0.2.1:443/tcp\"\nexpect = \"deny\"\n",
];

/// A name that a grant may have, and that stands in a comment and a text as it is.
fn plain(name: &str) -> String {
    let kept = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c));
    let kept: String = kept.take(64).collect();
    match kept.trim_start_matches('.') {
        "" => "checkout".into(),
        name => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_grant_may_be_called() {
        assert_eq!(plain("web-app_2.0"), "web-app_2.0");
        assert_eq!(plain("a\"\n\u{202e}b c"), "abc");
        assert_eq!(plain("..."), "checkout");
        assert_eq!(plain("日本"), "checkout");
        assert_eq!(plain(&"x".repeat(100)).len(), 64);
    }
}
