//! What is tried. A program of another kind gets an entry here, its packages in `vm/debian.rs`, and what it reads in
//! `xtask/agents/files`; what it keeps for itself is a rule of `xtask/agents/boxed.toml`.

/// Who starts the session.
const USERS: &[&str] = &["agent", "root"];

pub(super) struct Program {
    pub(super) name: &'static str,
    /// The package, and where that is from.
    pub(super) from: &'static str,
    /// The command that tells its version.
    pub(super) version: &'static str,
    pub(super) users: &'static [&'static str],
    pub(super) tries: &'static [Try],
}

pub(super) struct Try {
    /// What it does, in a few words.
    pub(super) does: &'static str,
    /// In a session, by bash, in a checkout.
    pub(super) command: &'static str,
    /// Outside of every session, by bash as the same user, before it: a server that it needs.
    pub(super) before: Option<&'static str>,
    pub(super) expected: Expected,
}

pub(super) enum Expected {
    /// It ends well, and says this.
    Works(&'static str),
    /// It does not get to say what is kept, and an event has this right, with this in its object.
    Refused {
        keeps: &'static str,
        right: &'static str,
        object: &'static str,
    },
}

impl Expected {
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Expected::Works(_) => "works",
            Expected::Refused { .. } => "refused",
        }
    }
}

const fn works(does: &'static str, command: &'static str, says: &'static str) -> Try {
    Try {
        does,
        command,
        before: None,
        expected: Expected::Works(says),
    }
}

/// The secret outside, which each program is made to read.
const fn reads_the_secret(command: &'static str) -> Try {
    Try {
        does: "reads a file outside the grant",
        command,
        before: None,
        expected: Expected::Refused {
            keeps: "a secret outside",
            right: "file.read",
            object: "/srv/outside/secret",
        },
    }
}

/// A write that the program's own sandbox would let pass.
const fn writes_outside(command: &'static str, object: &'static str) -> Try {
    Try {
        does: "writes outside the grant",
        command,
        before: None,
        expected: Expected::Refused {
            keeps: "written",
            right: "file.create",
            object,
        },
    }
}

pub(super) const PROGRAMS: &[Program] = &[
    Program {
        name: "unshare",
        from: "Debian's util-linux",
        version: "unshare --version",
        users: USERS,
        tries: &[
            works(
                "is process 1 and mounts",
                "unshare -Urmpf --mount-proc sh -c 'test $$ = 1 && mount -t tmpfs none /mnt && echo mine > /mnt/f && cat /mnt/f'",
                "mine",
            ),
            reads_the_secret("unshare -Urmpf --mount-proc cat /srv/outside/secret"),
        ],
    },
    Program {
        name: "bubblewrap",
        from: "Debian's bubblewrap",
        version: "bwrap --version",
        users: USERS,
        tries: &[
            works(
                "writes in the checkout",
                "bwrap --unshare-all --new-session --die-with-parent --ro-bind / / --bind $PWD $PWD --proc /proc \
                 --dev /dev --tmpfs /tmp sh -c 'echo mine > bwrap.txt && cat bwrap.txt'",
                "mine",
            ),
            reads_the_secret("bwrap --unshare-all --bind / / --dev /dev cat /srv/outside/secret"),
            writes_outside(
                "bwrap --unshare-all --bind / / --dev /dev sh -c 'echo x > /srv/made && echo written'",
                "/srv/made",
            ),
        ],
    },
    Program {
        name: "codex",
        from: "npm's @openai/codex",
        version: "codex --version",
        users: USERS,
        tries: &[
            works(
                "runs a command in its read-only sandbox",
                "codex sandbox -- cat page.html && ! codex sandbox -- sh -c 'echo x > x.txt' && echo held",
                "held",
            ),
            works(
                "lets a command work in the checkout",
                "codex sandbox -c 'sandbox_mode=\"workspace-write\"' -- \
                 sh -c 'echo mine > codex.txt && cat codex.txt'",
                "mine",
            ),
            reads_the_secret("codex sandbox -- cat /srv/outside/secret"),
            // It stops at what it mounts over there, which it would have to make first.
            writes_outside(
                "codex sandbox -c 'sandbox_mode=\"workspace-write\"' \
                 -c 'sandbox_workspace_write.writable_roots=[\"/srv/shared\"]' -- \
                 sh -c 'echo x > /srv/shared/made && echo written'",
                "/srv/shared/",
            ),
        ],
    },
    Program {
        name: "sandbox-runtime",
        from: "npm's @anthropic-ai/sandbox-runtime",
        version: "srt --version",
        users: USERS,
        tries: &[
            works(
                "lets a command work in the checkout",
                "srt --settings srt.json -c 'echo mine > srt.txt && cat srt.txt'",
                "mine",
            ),
            works(
                "keeps it from sockets and the network",
                "srt --settings srt.json -c 'python3 -c \"import socket; socket.socket(socket.AF_UNIX)\" || echo held'",
                "held",
            ),
            reads_the_secret("srt --settings srt.json -c 'cat /srv/outside/secret'"),
            writes_outside(
                "srt --settings wide.json -c 'echo x > /srv/shared/made && echo written'",
                "/srv/shared/made",
            ),
        ],
    },
    Program {
        name: "chromium",
        from: "Debian's chromium",
        version: "chromium --version",
        // It refuses to be root with a sandbox.
        users: &["agent"],
        tries: &[
            works(
                "runs the script of a page, in its own sandbox",
                "XDG_CONFIG_HOME=$PWD/settings chromium --headless --disable-gpu --user-data-dir=$PWD/profile --dump-dom \
                 file://$PWD/page.html",
                "six times seven is 42",
            ),
            reads_the_secret(
                "XDG_CONFIG_HOME=$PWD/settings chromium --headless --disable-gpu --user-data-dir=$PWD/profile --dump-dom \
                 file:///srv/outside/secret",
            ),
        ],
    },
];
