//! What reads files and directories.

use super::{LIST, READ, case};
use crate::{acts::Act, harness::matrix::Case};

pub(super) fn reading() -> Vec<Case> {
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
