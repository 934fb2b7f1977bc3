//! What writes and makes files.

use super::{CREATE, READ, WRITE, case};
use crate::{
    acts::{Act, Witness},
    harness::matrix::Case,
};

pub(super) fn writing() -> Vec<Case> {
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

pub(super) fn creating() -> Vec<Case> {
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
