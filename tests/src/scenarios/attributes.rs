//! Attributes but mode and owner: rows 38 to 42 of the catalogue.

use crate::{
    acts::{
        Act, Way, Witness,
        attributes::{ACCESS_LIST, NO_DUMP},
    },
    harness::{ground::Ground, matrix::Case},
};

const WRITE: &str = "file.write";
const ATTR: &str = "file.attr";

const NAME: &str = "user.bailiff";

fn case(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
) -> Case {
    Case::new("attributes", name, right, refused).errno(libc::EACCES)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = times();
    cases.extend(extended());
    cases.extend(access_lists());
    cases.extend(flags());
    cases
}

fn times() -> Vec<Case> {
    vec![
        case("sets the times of a file outside", ATTR, |g| {
            Act::SetTimes {
                path: g.file_outside("f"),
            }
        })
        .twin(|g| Act::SetTimes {
            path: g.file_inside("f"),
        })
        .places(),
        case("sets the times of a file that may be written", ATTR, |g| {
            Act::SetTimes {
                path: g.file_dropbox("f"),
            }
        })
        // What every writer may do.
        .twin(|g| Act::Touch {
            path: g.file_dropbox("f"),
        })
        .places(),
        // Of a filesystem that is told from the kernel's own by its flags alone.
        case("sets the times of a file among the devices", ATTR, |g| {
            let path = format!("/dev/{}", g.tag());
            g.file(path.clone());
            Act::SetTimes { path }
        })
        .twin(|g| Act::SetTimes {
            path: g.file_inside("f"),
        }),
        case("touches a file that may only be read", WRITE, |g| {
            Act::Touch {
                path: g.file_reference("f"),
            }
        })
        .twin(|g| Act::Touch {
            path: g.file_inside("f"),
        })
        .places(),
        case(
            "sets one of the times of a file that may be written",
            ATTR,
            |g| Act::TouchOne {
                path: g.file_dropbox("f"),
            },
        )
        .twin(|g| Act::TouchOne {
            path: g.file_inside("f"),
        })
        .places(),
        case(
            "sets the times of an open file that may be read",
            ATTR,
            |g| Act::SetTimesDescriptor {
                path: g.file_reference("f"),
            },
        )
        .twin(|g| Act::SetTimesDescriptor {
            path: g.file_inside("f"),
        })
        .places(),
        case("sets the times of a hook of git", ATTR, |g| Act::SetTimes {
            path: g.file_inside(".git/hooks/pre-commit"),
        })
        .rule("hooks")
        .twin(|g| Act::SetTimes {
            path: g.file_inside("pre-commit"),
        }),
    ]
}

fn set(path: String) -> Act {
    Act::SetXattr {
        path,
        name: NAME.into(),
        value: b"changed".into(),
    }
}

fn remove(path: String) -> Act {
    Act::RemoveXattr {
        path,
        name: NAME.into(),
    }
}

/// A file that has the attribute.
fn marked(g: &mut Ground<'_>, path: String) -> String {
    let path = g.file(path);
    g.xattr(path, NAME, "old")
}

fn extended() -> Vec<Case> {
    vec![
        case("sets an extended attribute of a file outside", ATTR, |g| {
            set(g.file_outside("f"))
        })
        .twin(|g| set(g.file_inside("f")))
        .places(),
        case(
            "changes an extended attribute of a file that may be written",
            ATTR,
            |g| {
                let path = g.dropbox("f");
                set(marked(g, path))
            },
        )
        .twin(|g| {
            let path = g.inside("f");
            set(marked(g, path))
        })
        .places(),
        case(
            "removes an extended attribute of a file that may be read",
            ATTR,
            |g| {
                let path = g.reference("f");
                remove(marked(g, path))
            },
        )
        .twin(|g| {
            let path = g.inside("f");
            remove(marked(g, path))
        })
        .places(),
        case("gives a program a capability", "process.capability", |g| {
            Act::SetXattr {
                path: g.file_inside("f"),
                name: "security.capability".into(),
                // VFS_CAP_REVISION_2, effective; CAP_NET_RAW.
                value: [0x0200_0001_u32, 1 << 13, 0, 0, 0]
                    .map(u32::to_le_bytes)
                    .concat(),
            }
        })
        .reason("not-granted")
        .errno(libc::EPERM)
        .twin(|g| set(g.file_inside("f")))
        .places(),
    ]
}

/// Version 2; the owner, the user root, whom every user namespace has, the group, the mask and others.
fn list() -> Vec<u8> {
    let entry = |tag: u16, permissions: u16, id: u32| {
        [
            tag.to_le_bytes().as_slice(),
            &permissions.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    };
    let nobody = u32::MAX;
    [
        2_u32.to_le_bytes().to_vec(),
        entry(1, 6, nobody),
        entry(2, 4, 0),
        entry(4, 4, nobody),
        entry(0x10, 4, nobody),
        entry(0x20, 4, nobody),
    ]
    .concat()
}

fn set_list(path: String) -> Act {
    Act::SetXattr {
        path,
        name: ACCESS_LIST.into(),
        value: list(),
    }
}

fn remove_list(path: String) -> Act {
    Act::RemoveXattr {
        path,
        name: ACCESS_LIST.into(),
    }
}

/// A file that has a list.
fn listed(g: &mut Ground<'_>, path: String) -> String {
    let path = g.file(path);
    let real = g.world.fixture(&path);
    g.shell(&format!("setfacl -m u:1000:r {}", real.display()));
    path
}

fn access_lists() -> Vec<Case> {
    vec![
        case("sets the ACL of a file outside", ATTR, |g| {
            set_list(g.file_outside("f"))
        })
        .twin(|g| set_list(g.file_inside("f")))
        .places(),
        case("sets the ACL of a file that may be written", ATTR, |g| {
            set_list(g.file_dropbox("f"))
        })
        .twin(|g| set_list(g.file_inside("f"))),
        case("removes the ACL of a file that may be read", ATTR, |g| {
            let path = g.reference("f");
            remove_list(listed(g, path))
        })
        .twin(|g| {
            let path = g.inside("f");
            remove_list(listed(g, path))
        })
        .places(),
    ]
}

const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC32_SETFLAGS: u32 = 0x4004_6602;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
/// `FS_XFLAG_NODUMP`
const EXTENDED_NO_DUMP: u32 = 0x80;

/// Watches the flags, which the act itself does not name.
fn flags_of(g: &mut Ground<'_>, path: String) -> String {
    g.watch(Witness::Flags(path.clone(), None));
    path
}

fn no_dump(g: &mut Ground<'_>, path: String) -> Act {
    let path = flags_of(g, path);
    let tool = ["chattr", "+d", &path].map(str::to_owned).into();
    Act::Ioctl {
        path,
        flags: libc::O_RDONLY,
        command: FS_IOC_SETFLAGS,
        argument: u64::from(NO_DUMP).to_le_bytes().into(),
        tool,
    }
}

fn no_dump_extended(g: &mut Ground<'_>, path: String) -> Act {
    let path = flags_of(g, path);
    let mut argument = vec![0; 28];
    argument[..4].copy_from_slice(&EXTENDED_NO_DUMP.to_le_bytes());
    Act::Ioctl {
        path,
        flags: libc::O_RDONLY,
        command: FS_IOC_FSSETXATTR,
        argument,
        tool: Vec::new(),
    }
}

fn no_dump_32(g: &mut Ground<'_>, path: String) -> Act {
    let path = flags_of(g, path);
    Act::Ioctl32 {
        path,
        command: FS_IOC32_SETFLAGS,
        argument: NO_DUMP.to_le_bytes().into(),
    }
}

fn flags() -> Vec<Case> {
    vec![
        case("sets a flag of a file that may be read", ATTR, |g| {
            let path = g.file_reference("f");
            no_dump(g, path)
        })
        .twin(|g| {
            let path = g.file_inside("f");
            no_dump(g, path)
        })
        .places(),
        case("sets a flag of a directory that may be listed", ATTR, |g| {
            let path = g.reference("");
            no_dump(g, path)
        })
        .twin(|g| {
            let path = g.inside("");
            no_dump(g, path)
        }),
        case(
            "sets an extended flag of a file that may be read",
            ATTR,
            |g| {
                let path = g.file_reference("f");
                no_dump_extended(g, path)
            },
        )
        .twin(|g| {
            let path = g.file_inside("f");
            no_dump_extended(g, path)
        })
        .places(),
        case("sets a flag as a 32-bit program does", ATTR, |g| {
            let path = g.file_reference("f");
            no_dump_32(g, path)
        })
        .ways(&[Way::Compiled])
        .twin(|g| {
            let path = g.file_inside("f");
            no_dump_32(g, path)
        }),
        case("sets a flag by file_setattr", ATTR, |g| Act::FileSetattr {
            path: g.file_reference("f"),
        })
        .twin(|g| Act::FileSetattr {
            path: g.file_inside("f"),
        })
        .since(6, 17)
        .places(),
    ]
}
