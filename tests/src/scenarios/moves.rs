//! Moving: no rename, exchange or link gives an object a right that it did not have.

use crate::{
    acts::{Act, Way, Witness},
    harness::{ground::Ground, matrix::Case},
};

fn case(
    name: &'static str,
    right: &'static str,
    refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
) -> Case {
    Case::new("moves", name, right, refused)
}

fn moved(g: &mut Ground<'_>, from: String, to: String) -> Act {
    Act::Rename {
        from: g.file(from),
        to,
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("renames a file outside to inside", "file.delete", |g| {
            let (from, to) = (g.outside("f"), g.inside("f"));
            moved(g, from, to)
        })
        .twin(|g| {
            let (from, to) = (g.inside("f"), g.inside("g"));
            moved(g, from, to)
        })
        .places_but_bind(),
        case("renames a file inside to outside", "file.create", |g| {
            let (from, to) = (g.inside("f"), g.outside("f"));
            moved(g, from, to)
        })
        .twin(|g| {
            let (from, to) = (g.inside("f"), g.dropbox("f"));
            moved(g, from, to)
        })
        .places_but_bind(),
        case("renames over a file outside", "file.create", |g| {
            let to = g.outside("f");
            let to = g.file(to);
            g.watch(Witness::Content(to.clone(), None));
            let from = g.inside("f");
            let from = g.content(from, b"other", 0o644);
            Act::Rename { from, to }
        })
        .or_right("file.delete")
        .twin(|g| {
            let to = g.inside("g");
            let to = g.file(to);
            let from = g.inside("f");
            let from = g.content(from, b"other", 0o644);
            Act::Rename { from, to }
        })
        .places_but_bind(),
        case(
            "links a file that may be read to where it may be written",
            "file.write",
            |g| {
                let from = g.reference("f");
                Act::Link {
                    from: g.file(from),
                    to: g.inside("f"),
                }
            },
        )
        .or_right("file.delete")
        .reason("refer")
        .errno(libc::EXDEV)
        .twin(|g| {
            let from = g.inside("f");
            Act::Link {
                from: g.file(from),
                to: g.inside("g"),
            }
        })
        .places_but_bind(),
        case("links a file outside to inside", "file.read", |g| {
            let from = g.outside("f");
            Act::Link {
                from: g.file(from),
                to: g.inside("f"),
            }
        })
        .reason("refer")
        .errno(libc::EXDEV)
        .twin(|g| {
            let from = g.inside("f");
            Act::Link {
                from: g.file(from),
                to: g.dropbox("f"),
            }
        })
        .places_but_bind(),
        case("links an open file outside to inside", "file.read", |g| {
            let from = g.outside("f");
            Act::LinkDescriptor {
                from: g.file(from),
                to: g.inside("f"),
            }
        })
        .reason("refer")
        .errno(libc::EXDEV)
        .twin(|g| {
            let from = g.inside("f");
            Act::LinkDescriptor {
                from: g.file(from),
                to: g.inside("g"),
            }
        })
        .places_but_bind(),
        case("links .env to another name", "file.read", |g| {
            let from = g.inside(".env");
            Act::Link {
                from: g.file(from),
                to: g.inside("env"),
            }
        })
        .reason("refer")
        .errno(libc::EXDEV)
        .twin(|g| {
            let from = g.inside(".env.example");
            Act::Link {
                from: g.file(from),
                to: g.inside("env"),
            }
        })
        .places(),
        case("renames .env to another name", "file.delete", |g| {
            let (from, to) = (g.inside(".env"), g.inside("env"));
            moved(g, from, to)
        })
        .rule("secrets")
        .twin(|g| {
            let (from, to) = (g.inside(".env.example"), g.inside("env"));
            moved(g, from, to)
        })
        .places(),
        case(
            "renames a directory so that its hooks can be written",
            "file.create",
            |g| {
                let hook = g.inside(".git/hooks/pre-commit");
                g.file(hook);
                Act::Rename {
                    from: g.inside(".git"),
                    to: g.inside("git"),
                }
            },
        )
        .reason("refer")
        .errno(libc::EXDEV)
        .twin(|g| {
            let file = g.inside("src/main.c");
            g.file(file);
            Act::Rename {
                from: g.inside("src"),
                to: g.inside("lib"),
            }
        })
        .places(),
        case(
            "renames the directory above a protected one",
            "file.create",
            |g| {
                // The rule protects `*/.git/hooks`, so that a name one level down escapes it.
                let hook = g.inside(".git/hooks/pre-commit");
                g.file(hook);
                let below = g.inside("below");
                g.dir(below.clone());
                Act::Rename {
                    from: g.inside(".git"),
                    to: format!("{below}/.git"),
                }
            },
        )
        .reason("refer")
        .errno(libc::EXDEV)
        .twin(|g| {
            let file = g.inside("src/main.c");
            g.file(file);
            let below = g.inside("below");
            g.dir(below.clone());
            Act::Rename {
                from: g.inside("src"),
                to: format!("{below}/src"),
            }
        }),
        case(
            "exchanges a file inside with one outside",
            "file.create",
            |g| {
                let (from, to) = (g.inside("f"), g.outside("f"));
                Act::Exchange {
                    from: g.file(from),
                    to: g.file(to),
                }
            },
        )
        .or_right("file.delete")
        .twin(|g| {
            let (from, to) = (g.inside("f"), g.inside("g"));
            Act::Exchange {
                from: g.file(from),
                to: g.file(to),
            }
        })
        .places_but_bind(),
        case(
            "exchanges a directory with one whose hooks are protected",
            "file.create",
            |g| {
                let hook = g.inside(".git/hooks/pre-commit");
                g.file(hook);
                let other = g.inside("git/hooks/pre-commit");
                g.file(other);
                Act::Exchange {
                    from: g.inside("git"),
                    to: g.inside(".git"),
                }
            },
        )
        .reason("refer")
        .errno(libc::EXDEV)
        .twin(|g| {
            let (one, two) = (g.inside("one/f"), g.inside("two/f"));
            g.file(one);
            g.file(two);
            Act::Exchange {
                from: g.inside("one"),
                to: g.inside("two"),
            }
        })
        .places(),
        case("renames and leaves a whiteout behind", "file.create", |g| {
            let from = g.inside("f");
            Act::Whiteout {
                from: g.file(from),
                to: g.inside("g"),
            }
        })
        .reason("refer")
        .never()
        .ways(&[Way::Compiled])
        .twin(|g| {
            let from = g.inside("f");
            Act::Rename {
                from: g.file(from),
                to: g.inside("g"),
            }
        }),
        case(
            "renames a file to where it would be executable",
            "file.delete",
            |g| {
                let (from, to) = (g.dropbox("f"), g.inside("f"));
                moved(g, from, to)
            },
        )
        .twin(|g| {
            let (from, to) = (g.inside("f"), g.dropbox("f"));
            moved(g, from, to)
        }),
    ]
}
