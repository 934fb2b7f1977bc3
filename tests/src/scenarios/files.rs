//! Files: scenarios 1, 3 to 5, 16 to 18 of the fixture, and section A of the catalogue.

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
    let mut cases = reading();
    cases.extend(writing());
    cases.extend(creating());
    cases.extend(deleting());
    cases.extend(attributes());
    cases.extend(by_rule());
    cases
}

fn reading() -> Vec<Case> {
    vec![
        case("reads a file outside", READ, |g| Act::Read {
            path: g.file_outside("f"),
        })
        .twin(|g| Act::Read {
            path: g.file_inside("f"),
        })
        .errno(libc::EACCES)
        .places(),
        case("reads a file below the home directory", READ, |g| {
            Act::Read {
                path: g.file_home("notes"),
            }
        })
        .twin(|g| Act::Read {
            path: g.file_reference("f"),
        })
        .places(),
        case("maps a file outside", READ, |g| Act::ReadMapped {
            path: g.file_outside("f"),
        })
        .twin(|g| Act::ReadMapped {
            path: g.file_inside("f"),
        })
        .places(),
        case(
            "opens a file outside again through /proc/self/fd",
            READ,
            |g| Act::ReadAgain {
                path: g.file_outside("f"),
            },
        )
        .twin(|g| Act::ReadAgain {
            path: g.file_inside("f"),
        })
        .places(),
        case(
            "opens a file outside by handle",
            "process.capability",
            |g| Act::ReadByHandle {
                path: g.file_outside("f"),
            },
        )
        .reason("not-granted")
        .or_right(LIST)
        .or_reason("no-rule"),
        case("opens a file outside beneath its directory", READ, |g| {
            let path = g.outside("f");
            g.file(path);
            Act::ReadBeneath {
                dir: g.outside(""),
                name: "f".into(),
            }
        })
        .twin(|g| {
            let path = g.inside("f");
            g.file(path);
            Act::ReadBeneath {
                dir: g.inside(""),
                name: "f".into(),
            }
        })
        .places(),
        case("reads a file outside by a path with .. and //", READ, |g| {
            let path = g.outside("f");
            g.file(path.clone());
            let inside = g.inside("");
            Act::Read {
                path: format!("{inside}/../../../..//.{path}"),
            }
        })
        .twin(|g| {
            let path = g.inside("f");
            g.file(path.clone());
            let dir = g.inside("");
            Act::Read {
                path: format!("{dir}//.././{}/f", g.tag()),
            }
        })
        .places(),
        case("reads a file outside from a working directory", READ, |g| {
            let path = g.outside("f");
            g.file(path);
            Act::ReadFrom {
                dir: g.outside(""),
                path: "./f".into(),
            }
        })
        .twin(|g| {
            let path = g.inside("f");
            g.file(path);
            Act::ReadFrom {
                dir: g.inside(""),
                path: "./f".into(),
            }
        })
        .places(),
        case("reads a file outside through /proc/self/root", READ, |g| {
            let path = g.outside("f");
            g.file(path.clone());
            Act::Read {
                path: format!("/proc/self/root{path}"),
            }
        })
        .twin(|g| {
            let path = g.inside("f");
            g.file(path.clone());
            Act::Read {
                path: format!("/proc/self/root{path}"),
            }
        })
        .places(),
        case("reads a file outside through /proc/self/cwd", READ, |g| {
            let path = g.outside("f");
            g.file(path);
            Act::ReadFrom {
                dir: g.outside(""),
                path: "/proc/self/cwd/f".into(),
            }
        })
        .twin(|g| {
            let path = g.inside("f");
            g.file(path);
            Act::ReadFrom {
                dir: g.inside(""),
                path: "/proc/self/cwd/f".into(),
            }
        }),
        case("reads a file outside through a link inside", READ, |g| {
            let path = g.outside("f");
            let target = g.file(path);
            let link = g.inside("link");
            Act::Read {
                path: g.symlink(&target, link),
            }
        })
        .twin(|g| {
            let path = g.inside("f");
            let target = g.file(path);
            let link = g.inside("link");
            Act::Read {
                path: g.symlink(&target, link),
            }
        })
        .places(),
        case("reads a file with a line break in its name", READ, |g| {
            Act::Read {
                path: g.file_outside("a\nb ü"),
            }
        })
        .twin(|g| Act::Read {
            path: g.file_inside("a\nb ü"),
        }),
        case(
            "reads a file in a name that only begins like the workspace",
            READ,
            |g| {
                let path = format!("{}er/{}/f", g.world.workspace, g.tag());
                Act::Read { path: g.file(path) }
            },
        )
        .places(),
        case("lists a directory outside", LIST, |g| Act::List {
            path: g.outside(""),
        })
        .twin(|g| Act::List { path: g.inside("") })
        .places(),
        case("lists the home directory", LIST, |g| Act::List {
            path: g.home(""),
        })
        .twin(|g| Act::List {
            path: g.reference(""),
        }),
        case("reads a file that is too deep to be judged", READ, |g| {
            let dir = format!("{}/{}", g.inside("deep"), vec!["d"; 128].join("/"));
            Act::Read {
                path: g.file(format!("{dir}/f")),
            }
        })
        .twin(|g| {
            let dir = format!("{}/{}", g.inside("deep"), vec!["d"; 100].join("/"));
            Act::Read {
                path: g.file(format!("{dir}/f")),
            }
        })
        .reason("unresolvable")
        .never(),
        case("reads the memory of the kernel", READ, |_| Act::Open {
            path: "/proc/kcore".into(),
        }),
        case("opens the disk", READ, |_| Act::Open {
            path: "/dev/nvme0n1".into(),
        }),
        case("opens /dev/mem", READ, |_| Act::Open {
            path: "/dev/mem".into(),
        }),
    ]
}

fn writing() -> Vec<Case> {
    vec![
        case("writes to a file outside", WRITE, |g| Act::Write {
            path: g.file_outside("f"),
        })
        .twin(|g| Act::Write {
            path: g.file_inside("f"),
        })
        .errno(libc::EACCES)
        .places(),
        case("writes to a file that may only be read", WRITE, |g| {
            Act::Write {
                path: g.file_reference("f"),
            }
        })
        .twin(|g| Act::Write {
            path: g.file_dropbox("f"),
        })
        .places(),
        case("opens a file that may only be read for both", WRITE, |g| {
            Act::ReadWrite {
                path: g.file_reference("f"),
            }
        })
        .twin(|g| Act::ReadWrite {
            path: g.file_dropbox("f"),
        }),
        case("writes to a file through a shared mapping", WRITE, |g| {
            Act::WriteMapped {
                path: g.file_reference("f"),
            }
        })
        .twin(|g| Act::WriteMapped {
            path: g.file_inside("f"),
        })
        .places(),
        case("appends to a file outside", WRITE, |g| Act::Append {
            path: g.file_outside("f"),
        })
        .twin(|g| Act::Append {
            path: g.file_inside("f"),
        })
        .places(),
        case("truncates a file outside", WRITE, |g| Act::Truncate {
            path: g.file_outside("f"),
        })
        .twin(|g| Act::Truncate {
            path: g.file_inside("f"),
        })
        .places(),
        case("truncates a file that may only be read", WRITE, |g| {
            Act::TruncateOpen {
                path: g.file_reference("f"),
            }
        })
        .twin(|g| Act::TruncateOpen {
            path: g.file_dropbox("f"),
        })
        .places(),
        case("punches a hole into a file outside", WRITE, |g| {
            Act::PunchHole {
                path: g.file_outside("f"),
            }
        })
        .or_right(READ)
        .twin(|g| Act::PunchHole {
            path: g.file_inside("f"),
        }),
        case("writes through a link to a file outside", WRITE, |g| {
            let path = g.outside("f");
            let target = g.file(path);
            g.watch(Witness::Content(target.clone(), None));
            let link = g.inside("link");
            Act::Write {
                path: g.symlink(&target, link),
            }
        })
        .twin(|g| {
            let path = g.inside("f");
            let target = g.file(path);
            g.watch(Witness::Content(target.clone(), None));
            let link = g.inside("link");
            Act::Write {
                path: g.symlink(&target, link),
            }
        })
        .places(),
        case("writes into the start-up file of the shell", WRITE, |g| {
            Act::Append {
                path: g.file_home(".bashrc"),
            }
        })
        .twin(|g| Act::Append {
            path: g.file_inside(".bashrc"),
        }),
    ]
}

fn creating() -> Vec<Case> {
    vec![
        case("creates a file outside", CREATE, |g| Act::Create {
            path: g.outside("new"),
        })
        .twin(|g| Act::Create {
            path: g.inside("new"),
        })
        .errno(libc::EACCES)
        .places(),
        case("creates a file where it may only read", CREATE, |g| {
            Act::Create {
                path: g.reference("new"),
            }
        })
        .twin(|g| Act::Create {
            path: g.dropbox("new"),
        })
        .places(),
        case("creates a file through a dangling link", CREATE, |g| {
            let target = g.outside("new");
            g.watch(Witness::Exists(target.clone(), false));
            let link = g.inside("link");
            Act::Append {
                path: g.symlink(&target, link),
            }
        })
        .twin(|g| {
            let target = g.inside("new");
            g.watch(Witness::Exists(target.clone(), false));
            let link = g.inside("link");
            Act::Append {
                path: g.symlink(&target, link),
            }
        })
        .places(),
        case("makes a directory outside", CREATE, |g| Act::Mkdir {
            path: g.outside("new"),
        })
        .twin(|g| Act::Mkdir {
            path: g.inside("new"),
        })
        .places(),
        case("makes a fifo outside", CREATE, |g| Act::Mkfifo {
            path: g.outside("new"),
        })
        .twin(|g| Act::Mkfifo {
            path: g.inside("new"),
        })
        .places(),
        case("makes a device inside", "process.capability", |g| {
            Act::Mkdev {
                path: g.inside("new"),
            }
        })
        .reason("not-granted")
        .twin(|g| Act::Mkfifo {
            path: g.inside("new"),
        }),
        case("binds a socket outside", CREATE, |g| Act::BindSocket {
            path: g.outside("new"),
        })
        .twin(|g| Act::BindSocket {
            path: g.inside("new"),
        })
        .places(),
        case("makes a link outside", CREATE, |g| Act::Symlink {
            target: "x".into(),
            path: g.outside("new"),
        })
        .twin(|g| Act::Symlink {
            target: "x".into(),
            path: g.inside("new"),
        })
        .places(),
        case("opens a nameless file outside", CREATE, |g| Act::Tmpfile {
            dir: g.outside(""),
        })
        .or_right(WRITE)
        .twin(|g| Act::Tmpfile { dir: g.inside("") })
        .places()
        .nameless(),
        case("gives a nameless file a name outside", CREATE, |g| {
            Act::TmpfileLink {
                dir: g.inside(""),
                to: g.outside("new"),
            }
        })
        .twin(|g| Act::TmpfileLink {
            dir: g.inside(""),
            to: g.inside("new"),
        })
        .places_but_bind()
        .nameless(),
        case("creates a timer of the system", CREATE, |g| Act::Create {
            path: format!("/etc/cron.d/{}", g.tag()),
        })
        .free(|g| {
            g.dir("/etc/cron.d".into());
            Act::Create {
                path: format!("/etc/cron.d/{}", g.tag()),
            }
        }),
        case("creates a unit of the user", CREATE, |g| {
            let dir = g.home(".config/systemd/user");
            g.dir(dir);
            Act::Create {
                path: g.home(".config/systemd/user/x.service"),
            }
        })
        .twin(|g| {
            let dir = g.inside(".config/systemd/user");
            g.dir(dir);
            Act::Create {
                path: g.inside(".config/systemd/user/x.service"),
            }
        }),
    ]
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
