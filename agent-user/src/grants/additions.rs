//! A grant and what a command line adds to it, written as a grant.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use agent_grant::Effect;

use super::written::{key, list, string};

/// One rule of a command line: rights, and what they are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    about: About,
    /// As the words of a rule.
    rights: Vec<String>,
    objects: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    File,
    Net,
}

/// Why something cannot be added.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AdditionError {
    /// There is nothing behind the rights.
    #[error("write it as RIGHT:OBJECT, such as file.read:/data or net.connect:10.0.0.1:443")]
    NoObject,
    /// An address with more around it than a rule has.
    #[error(
        "that is a URL: write the addresses of its host and the port, such as 10.0.0.5:443 (`getent ahosts HOST` \
         lists them)"
    )]
    Url,
    /// A destination, and a right that is about a socket's path.
    #[error(
        "`connect` alone is for the path of a Unix socket: write net.connect:ADDRESS:PORT, or file.connect:PATH"
    )]
    Destination,
    /// Rights of two kinds, or of one that rules are not about.
    #[error(
        "`{0}` cannot be given here: write file.RIGHT:PATH (several by commas) or net.connect:ADDRESS:PORT"
    )]
    NotInRules(String),
}

/// Where a path on the command line begins.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What `${cwd}` stands for.
    pub cwd: Option<&'a str>,
    /// Where the working directory is below that, if it is.
    pub below: Option<&'a str>,
    /// The home directory.
    pub home: Option<&'a str>,
}

impl Addition {
    /// Reads `file.read,file.list:PATTERN` or `net.connect:DESTINATION`. A path that is relative begins in the
    /// working directory. A directory stands for all that is in it, too; of what is denied each may be one. What is
    /// there by just this name is no pattern. What rights and patterns are worth is found by whoever reads the grant.
    ///
    /// # Errors
    /// It is none of these.
    pub fn read(text: &str, effect: Effect, standing: Standing<'_>) -> Result<Self, AdditionError> {
        let (rights, object) = text.split_once(':').ok_or(AdditionError::NoObject)?;
        if object.is_empty() {
            return Err(AdditionError::NoObject);
        }
        let mut kind = None;
        let mut words = Vec::new();
        for right in rights.split(',') {
            let unknown = || AdditionError::NotInRules(right.to_owned());
            let (family, word) = right.split_once('.').unwrap_or(("file", right));
            let about = match family {
                "file" => About::File,
                "net" => About::Net,
                _ => return Err(unknown()),
            };
            if kind.replace(about).is_some_and(|before| before != about) {
                return Err(unknown());
            }
            words.push(word.to_owned());
        }
        let about = kind.unwrap_or(About::File);
        must_be_clear(about, rights, object)?;
        let objects = match about {
            About::File => paths(object, effect, standing),
            About::Net => vec![object.to_owned()],
        };
        Ok(Self {
            about,
            rights: words,
            objects,
        })
    }

    /// A destination to connect to.
    ///
    /// # Errors
    /// It is none.
    pub fn destination(to: &str) -> Result<Self, AdditionError> {
        must_be_clear(About::Net, "net.connect", to)?;
        Ok(Self {
            about: About::Net,
            rights: vec!["connect".into()],
            objects: vec![to.into()],
        })
    }
}

/// Refuses what is about something else than it seems to be.
fn must_be_clear(about: About, rights: &str, object: &str) -> Result<(), AdditionError> {
    match about {
        About::Net if object.contains("://") => Err(AdditionError::Url),
        About::File if rights == "connect" && has_port(object) => Err(AdditionError::Destination),
        About::File | About::Net => Ok(()),
    }
}

/// `HOST:443`, which is hardly a path.
fn has_port(object: &str) -> bool {
    let port = object.rsplit_once(':').map(|(_, port)| port);
    let port = port.map(|port| port.trim_end_matches("/tcp").trim_end_matches("/udp"));
    let is_port = |port: &str| {
        port == "*" || !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    !object.starts_with(['/', '~', '.', '$']) && port.is_some_and(is_port)
}

/// The patterns that are meant by a path.
fn paths(path: &str, effect: Effect, standing: Standing<'_>) -> Vec<String> {
    let begins = ['/', '~', '$', '{', '\\'];
    let pattern = if path.starts_with(begins) {
        path.to_owned()
    } else {
        let here = match standing.below {
            None | Some("") => "${cwd}".to_owned(),
            Some(below) => format!("${{cwd}}/{below}"),
        };
        match path.trim_start_matches("./") {
            "" | "." => here,
            below => format!("{here}/{below}"),
        }
    };
    let bare = match pattern.trim_end_matches('/') {
        "" => "/",
        bare => bare,
    };
    let (begin, rest, real) = in_full(bare, standing);
    let is_pattern = rest.contains(WILD);
    let pattern = match fs::symlink_metadata(&real) {
        Ok(_) if is_pattern => format!("{begin}{}", escaped(rest)),
        _ => bare.to_owned(),
    };
    let is_directory = path.ends_with('/') || Path::new(&real).is_dir();
    let is_below = pattern == "**" || pattern.ends_with("/**");
    if is_below || effect == Effect::Allow && !is_directory {
        return vec![pattern];
    }
    let below = format!("{}/**", pattern.trim_end_matches('/'));
    vec![pattern, below]
}

const WILD: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// The variable that a pattern begins with, the rest, and the path that both are if nothing in it is a wildcard.
fn in_full<'p>(pattern: &'p str, standing: Standing<'_>) -> (&'p str, &'p str, String) {
    for (begin, value) in [("${cwd}", standing.cwd), ("~", standing.home)] {
        if let (Some(value), Some(rest)) = (value, pattern.strip_prefix(begin)) {
            return (&pattern[..begin.len()], rest, format!("{value}{rest}"));
        }
    }
    ("", pattern, pattern.to_owned())
}

/// As a pattern that matches just this.
fn escaped(name: &str) -> String {
    let mut pattern = String::new();
    for c in name.chars() {
        if WILD.contains(&c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// What is added to a grant.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    pub allow: Vec<Addition>,
    pub deny: Vec<Addition>,
}

/// What a grant is made of.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// By which it is included.
    pub include: &'a str,
    pub name: &'a str,
    pub purpose: Option<&'a str>,
    /// Of the whole: `enforce` or `audit`.
    pub mode: &'a str,
    /// Values that its variables are to have.
    pub variables: &'a BTreeMap<String, String>,
    /// The ids of its rules.
    pub ids: &'a BTreeSet<String>,
}

const ADDED: &str = "With rules of the command line.";
const ID: &str = "command-line-";

impl Additions {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// The text of a grant that includes `base` and has these rules besides.
    #[must_use]
    pub fn text(&self, base: Base<'_>) -> String {
        let mut purpose = base.purpose.unwrap_or_default().to_owned();
        let mut name = base.name.to_owned();
        if !self.is_empty() && !purpose.ends_with(ADDED) {
            let _ = write!(purpose, " {ADDED}");
            // As long as names may be.
            name = format!("{}+", &name[..name.floor_char_boundary(63)]);
        }
        let free = (1..).map(|number| format!("{ID}{number}"));
        let mut ids = free.filter(|id| !base.ids.contains(id));
        let mut text = format!(
            "version = 1\nname = {}\npurpose = {}\nmode = {}\ninclude = [{}]\n",
            string(&name),
            string(purpose.trim()),
            string(base.mode),
            string(base.include)
        );
        if !base.variables.is_empty() {
            text += "\n[variables]\n";
        }
        for (name, value) in base.variables {
            let _ = writeln!(text, "{} = {}", key(name), string(value));
        }
        let allowed = self.allow.iter().map(|addition| (addition, "allow"));
        let denied = self.deny.iter().map(|addition| (addition, "deny"));
        for (addition, effect) in allowed.chain(denied) {
            let (table, objects) = match addition.about {
                About::File => ("file", "path"),
                About::Net => ("net", "to"),
            };
            // There is always a next.
            let id = ids.next().unwrap_or_default();
            let _ = write!(
                text,
                "\n[[{table}]]\nid = {}\n{effect} = {}\n{objects} = {}\n",
                string(&id),
                list(&addition.rights),
                list(&addition.objects)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use agent_abi::Right;

    use super::*;

    const NOWHERE: Standing<'static> = Standing {
        cwd: None,
        below: None,
        home: None,
    };

    fn grant(additions: &Additions, base: &str) -> agent_grant::Grant {
        let text = additions.text(Base {
            include: base,
            name: base,
            purpose: None,
            mode: "audit",
            variables: &BTreeMap::from([("workspace".into(), "/srv/w".into())]),
            ids: &BTreeSet::from(["command-line-1".into()]),
        });
        let inputs = agent_grant::Inputs {
            cwd: Some("/w".into()),
            home: Some("/home/u".into()),
            user: Some("u".into()),
            ..agent_grant::Inputs::default()
        };
        let source = agent_grant::Source::new("the command line", text.as_str());
        agent_grant::load(source, &inputs, &agent_grant::shipped_includes)
            .unwrap_or_else(|errors| panic!("{errors:?}\n{text}"))
    }

    #[test]
    fn what_is_added_is_a_grant_that_allows_and_denies_it() {
        let read = |text: &str| Addition::read(text, Effect::Allow, NOWHERE).unwrap();
        let deny = |text: &str| Addition::read(text, Effect::Deny, NOWHERE).unwrap();
        let additions = Additions {
            allow: vec![
                read("file.read,list:/data/**"),
                Addition::destination("127.0.0.1:8080").unwrap(),
            ],
            deny: vec![
                deny("file.all:notes"),
                deny("net.connect:127.0.0.1:8081/tcp"),
            ],
        };
        let grant = grant(&additions, "coder");
        assert_eq!(grant.name, "coder+");
        let compiled = agent_grant::compile(&grant, &Default::default()).unwrap();
        let allowed = |path: &str, right| compiled.decide(path.as_bytes(), right).0;
        assert!(allowed("/data/x/y", Right::FileRead));
        assert!(allowed("/data/x", Right::FileList));
        assert!(!allowed("/data/x", Right::FileWrite));
        assert!(allowed("/srv/w/other", Right::FileRead));
        assert!(!allowed("/w/other", Right::FileRead));
        assert!(grant.rules.iter().any(|rule| rule.id == "command-line-2"));
        assert!(!grant.rules.iter().any(|rule| rule.id == "command-line-1"));
    }

    #[test]
    fn a_directory_stands_for_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().to_str();
        let standing = Standing {
            cwd: here,
            below: None,
            home: here,
        };
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let of = |path: &str| paths(path, Effect::Allow, standing);
        let denied = |path: &str| paths(path, Effect::Deny, standing);
        assert_eq!(of("sub"), ["${cwd}/sub", "${cwd}/sub/**"]);
        assert_eq!(of("./sub/"), ["${cwd}/sub", "${cwd}/sub/**"]);
        assert_eq!(of("~/sub"), ["~/sub", "~/sub/**"]);
        assert_eq!(of("."), ["${cwd}", "${cwd}/**"]);
        assert_eq!(of("file"), ["${cwd}/file"]);
        assert_eq!(of("not-yet"), ["${cwd}/not-yet"]);
        assert_eq!(of("s*b"), ["${cwd}/s*b"]);
        assert_eq!(of("/"), ["/", "/**"]);
        assert_eq!(of("new/"), ["${cwd}/new", "${cwd}/new/**"]);
        // Of what is denied nobody is to make a directory that is open.
        assert_eq!(denied("file"), ["${cwd}/file", "${cwd}/file/**"]);
        assert_eq!(denied("s*b"), ["${cwd}/s*b", "${cwd}/s*b/**"]);
        assert_eq!(denied("s*b/**"), ["${cwd}/s*b/**"]);
        // What is there by just this name.
        std::fs::create_dir(dir.path().join("s[1]")).unwrap();
        assert_eq!(of("s[1]"), ["${cwd}/s\\[1\\]", "${cwd}/s\\[1\\]/**"]);
        assert_eq!(of("~/s[1]"), ["~/s\\[1\\]", "~/s\\[1\\]/**"]);
    }

    #[test]
    fn what_is_no_rule_is_said_to_be_none() {
        let read = |text: &str| Addition::read(text, Effect::Allow, NOWHERE).unwrap_err();
        for text in ["file.read", "/data", "file.read:"] {
            assert_eq!(read(text), AdditionError::NoObject, "{text}");
        }
        for text in [
            "process.signal:session",
            "unix.connect:@bus",
            "file.read,net.connect:/x",
        ] {
            assert!(matches!(read(text), AdditionError::NotInRules(_)), "{text}");
        }
        for text in [
            "connect:api.example:443",
            "connect:10.0.0.1:*",
            "connect:[::1]:53/udp",
        ] {
            assert_eq!(read(text), AdditionError::Destination, "{text}");
        }
        for url in ["https://api.example", "http://10.0.0.1:80/x"] {
            assert_eq!(Addition::destination(url), Err(AdditionError::Url), "{url}");
        }
        for text in ["file.connect:a:1", "connect:./a:1", "connect:/run/x.sock"] {
            assert!(
                Addition::read(text, Effect::Allow, NOWHERE).is_ok(),
                "{text}"
            );
        }
    }
}
