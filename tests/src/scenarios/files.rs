//! Files: scenarios 1, 3 to 5, 16 to 18 of the fixture, and section A of the catalogue.

mod reading;
mod writing;

use crate::{
    acts::{Act, SECRET, Witness},
    harness::matrix::Case,
};

const READ: &str = "file.read";
const WRITE: &str = "file.write";
const CREATE: &str = "file.create";
const DELETE: &str = "file.delete";
const LIST: &str = "file.list";
const ATTR: &str = "file.attr";

fn case(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut crate::harness::ground::Ground<'_>) -> Act + 'static,
) -> Case {
    Case::new("files", name, right, refused)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = reading::reading();
    cases.extend(writing::writing());
    cases.extend(writing::creating());
    cases.extend(deleting());
    cases.extend(attributes());
    cases.extend(by_rule());
    cases
}

fn deleting() -> Vec<Case> {
    vec![
        case("deletes a file outside", DELETE, |g| Act::Delete {
            path: g.file_outside("f"),
        })
        .twin(|g| Act::Delete {
            path: g.file_inside("f"),
        })
        .errno(libc::EACCES)
        .places(),
        case("deletes a file that it may create and write", DELETE, |g| {
            Act::Delete {
                path: g.file_dropbox("f"),
            }
        })
        .twin(|g| Act::Delete {
            path: g.file_inside("f"),
        })
        .places(),
        case("deletes an empty directory outside", DELETE, |g| {
            Act::Rmdir {
                path: g.dir_outside("d"),
            }
        })
        .twin(|g| Act::Rmdir {
            path: g.dir_inside("d"),
        })
        .places(),
        case(
            "deletes the home directory with all that is in it",
            LIST,
            |g| {
                for name in [".bashrc", ".ssh/id_rsa", "letters/one", "letters/two"] {
                    let path = g.home(name);
                    let path = g.file(path);
                    g.watch(Witness::Content(path, Some(SECRET.into())));
                }
                Act::DeleteTree { path: g.home("") }
            },
        )
        .or_right(DELETE)
        .twin(|g| {
            for name in [".bashrc", "letters/one", "letters/two"] {
                let path = g.inside(name);
                g.file(path);
            }
            Act::DeleteTree { path: g.inside("") }
        })
        .places(),
        case("deletes a tree that may be listed", DELETE, |g| {
            for name in ["one", "two/three"] {
                let path = g.reference(name);
                let path = g.file(path);
                g.watch(Witness::Content(path, Some(SECRET.into())));
            }
            Act::DeleteTree {
                path: g.reference(""),
            }
        }),
    ]
}

fn attributes() -> Vec<Case> {
    vec![
        case("changes the mode of a file outside", ATTR, |g| Act::Chmod {
            path: g.file_outside("f"),
        })
        .twin(|g| Act::Chmod {
            path: g.file_inside("f"),
        })
        .errno(libc::EACCES)
        .places(),
        case(
            "changes the mode of a file that may be written",
            ATTR,
            |g| Act::Chmod {
                path: g.file_dropbox("f"),
            },
        )
        .twin(|g| Act::Chmod {
            path: g.file_inside("f"),
        }),
        case(
            "changes the mode of an open file that may be read",
            ATTR,
            |g| Act::ChmodDescriptor {
                path: g.file_reference("f"),
            },
        )
        .twin(|g| Act::ChmodDescriptor {
            path: g.file_inside("f"),
        })
        .places(),
        case("changes the owner of a file outside", ATTR, |g| {
            Act::Chown {
                path: g.file_outside("f"),
            }
        })
        .twin(|g| Act::Chown {
            path: g.file_inside("f"),
        })
        .places(),
    ]
}

fn by_rule() -> Vec<Case> {
    vec![
        case("reads .env in the checkout", READ, |g| Act::Read {
            path: g.file_inside(".env"),
        })
        .rule("secrets")
        .twin(|g| Act::Read {
            path: g.file_inside(".env.example"),
        })
        .places(),
        case("maps .env in the checkout", READ, |g| Act::ReadMapped {
            path: g.file_inside(".env.production"),
        })
        .rule("secrets")
        .twin(|g| Act::ReadMapped {
            path: g.file_inside(".env.example"),
        }),
        case("reads a key below .ssh", READ, |g| Act::Read {
            path: g.file_home(".ssh/id_rsa"),
        })
        .or_reason("rule")
        .places(),
        case("reads credentials below .aws", READ, |g| Act::Read {
            path: g.file_inside(".aws/credentials"),
        })
        .rule("secrets")
        .twin(|g| Act::Read {
            path: g.file_inside("aws/credentials"),
        }),
        case("creates .env", CREATE, |g| Act::Create {
            path: g.inside(".env"),
        })
        .rule("secrets")
        .twin(|g| Act::Create {
            path: g.inside("env"),
        }),
        case("installs a hook of git", CREATE, |g| {
            let dir = g.inside(".git/hooks");
            g.dir(dir);
            Act::Create {
                path: g.inside(".git/hooks/pre-commit"),
            }
        })
        .rule("hooks")
        .twin(|g| {
            let dir = g.inside(".git/objects");
            g.dir(dir);
            Act::Create {
                path: g.inside(".git/objects/pre-commit"),
            }
        })
        .places(),
        case("overwrites a hook of git", WRITE, |g| Act::Write {
            path: g.file_inside(".git/hooks/pre-commit"),
        })
        .rule("hooks")
        .twin(|g| Act::Read {
            path: g.file_inside(".git/hooks/pre-commit"),
        }),
        case("makes a hook executable", ATTR, |g| Act::Chmod {
            path: g.file_inside(".git/hooks/pre-commit"),
        })
        .rule("hooks")
        .twin(|g| Act::Chmod {
            path: g.file_inside("pre-commit"),
        }),
        case(
            "writes a workflow while the sources may be written",
            WRITE,
            |g| Act::Append {
                path: g.file_inside(".github/workflows/ci.yml"),
            },
        )
        .rule("hooks")
        .twin(|g| Act::Append {
            path: g.file_inside("src/main.c"),
        }),
        case("removes a file of the daemon", DELETE, |g| {
            let path = format!("/var/lib/bailiff/{}", g.tag());
            Act::Delete { path: g.file(path) }
        })
        .rule("bailiff:state")
        .never(),
        case("reads a file of the daemon", READ, |g| {
            let path = format!("/var/lib/bailiff/{}", g.tag());
            Act::Read { path: g.file(path) }
        })
        .rule("bailiff:state")
        .never(),
        case(
            "creates a file beside the socket of the daemon",
            CREATE,
            |g| Act::Create {
                path: format!("/run/bailiff/{}", g.tag()),
            },
        )
        .rule("bailiff:run")
        .never(),
        case("removes a pin", DELETE, |_| Act::Delete {
            path: "/sys/fs/bpf/bailiff/maps/LABELS".into(),
        })
        .rule("bailiff:state")
        .without_free(),
        case("changes the mode of the daemon's program", ATTR, |_| {
            Act::Chmod {
                path: "/usr/bin/bailiff".into(),
            }
        })
        .rule("bailiff:program")
        .without_free(),
        case("writes a grant of the operator", CREATE, |g| {
            g.dir("/etc/bailiff/grants".into());
            Act::Create {
                path: format!("/etc/bailiff/grants/{}.toml", g.tag()),
            }
        })
        .rule("bailiff:limits")
        .never(),
    ]
}
