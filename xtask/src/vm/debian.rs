//! The Debian roots: built once, and again when the lists below change.

use crate::apt::{mirror, sources};
use crate::{cache, exec, paths, tools};
use anyhow::{Context, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

const SUITE: &str = "trixie";
const SECURITY_SUITE: &str = "trixie-security";

/// What agents use and what scenarios need; a VM has no network to fetch more.
const PACKAGES: &[&str] = &[
    "acl",
    "bpftool",
    "bubblewrap",
    "file",
    "fuse3",
    "jq",
    "patch",
    "ripgrep",
    "runc",
    "uidmap",
    "xz-utils",
    "apparmor",
    "attr",
    "bash",
    "busybox-static",
    "ca-certificates",
    "catatonit",
    "crun",
    "curl",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "gcc",
    "git",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libc6-dev",
    "libcap2-bin",
    "make",
    "mount",
    "netcat-openbsd",
    "nodejs",
    "openssh-client",
    "podman",
    "procps",
    "psmisc",
    "python3",
    "socat",
    "sqlite3",
    "strace",
    "stress-ng",
    "sudo",
    "systemd",
    "util-linux",
    "xfsprogs",
];

/// Documentation and translations, which nothing in a test reads.
const LEFT_OUT: &[&str] = &[
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
];

/// Made inside the image once its packages are there.
const FINISH: &str = "
set -e
useradd --root \"$1\" --create-home --shell /bin/bash --uid 1000 agent
echo vm > \"$1/etc/hostname\"
# Without an identity it would be a first boot, which asks questions.
echo 0123456789abcdef0123456789abcdef > \"$1/etc/machine-id\"
printf '127.0.0.1 localhost vm\\n::1 localhost\\n' > \"$1/etc/hosts\"
# Containers are started by scenarios, and by nothing at the boot.
rm -f \"$1\"/etc/systemd/system/*.wants/podman*
rm -rf \"$1\"/var/lib/apt/lists/* \"$1\"/var/cache/apt/* \"$1\"/etc/resolv.conf
mkdir -p \"$1/usr/lib/modules\"
";

const MEBIBYTES: u32 = 4096;

/// Programs that put others into sandboxes or are agents, besides: from Debian, and from npm's registry.
const AGENTS_PACKAGES: &[&str] = &["chromium", "chromium-sandbox"];
const AGENTS_NPM: &[&str] = &[
    "@anthropic-ai/claude-code",
    "@anthropic-ai/sandbox-runtime",
    "@google/gemini-cli",
    "@openai/codex",
    "opencode-ai",
];

/// What is on a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// What scenarios need.
    Plain,
    /// And programs of other people's that are to work in a session.
    Agents,
}

impl Contents {
    fn packages(self) -> Vec<&'static str> {
        let more: &[&str] = match self {
            Contents::Plain => &[],
            Contents::Agents => AGENTS_PACKAGES,
        };
        [PACKAGES, more].concat()
    }

    fn image(self) -> Result<PathBuf> {
        let name = match self {
            Contents::Plain => format!("{SUITE}-{:016x}.ext4", self.key()),
            Contents::Agents => format!("{SUITE}-agents-{:016x}.ext4", self.key()),
        };
        Ok(paths::cache()?.join("roots").join(name))
    }

    fn key(self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (SUITE, self.packages(), LEFT_OUT, FINISH, MEBIBYTES).hash(&mut hasher);
        if self == Contents::Agents {
            AGENTS_NPM.hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The image, built if there is none for this list of packages.
pub(crate) fn image(contents: Contents) -> Result<PathBuf> {
    let image = contents.image()?;
    let _lock = cache::lock("debian-root")?;
    if !image.exists() {
        tools::need(tools::VM)?;
        tools::need(tools::DEBIAN_ROOT)?;
        if contents == Contents::Agents {
            tools::need(tools::NPM)?;
        }
        eprintln!("building the Debian root ({SUITE}); this takes a few minutes, once");
        cache::make(&image, |path| build(path, contents))?;
        remove_unused(&image)?;
    }
    // Its age is the time since it was last used.
    fs::File::open(&image)?.set_modified(SystemTime::now())?;
    Ok(image)
}

/// Has the next run fetch what is newest of the programs of other people's.
pub(crate) fn forget_agents() -> Result<()> {
    cache::remove(&Contents::Agents.image()?)
}

fn build(image: &Path, contents: Contents) -> Result<()> {
    let list = cache::with_suffix(image, ".sources");
    fs::write(&list, sources(&mirror()?, &[SUITE], &[SECURITY_SUITE]))?;
    let mke2fs = tools::find("mke2fs").context("mke2fs is missing")?;
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=apt", "--format=null"]);
    command.arg(format!("--include={}", contents.packages().join(",")));
    command.args(["--aptopt=Apt::Install-Recommends false"]);
    for path in LEFT_OUT {
        command.arg(format!("--dpkgopt=path-exclude={path}"));
    }
    command.arg(format!("--customize-hook={FINISH}"));
    if contents == Contents::Agents {
        command.arg(format!("--customize-hook={}", fetch_from_npm()));
    }
    command.arg(format!("--customize-hook={}", pack(&mke2fs, image)));
    command.args([SUITE, "/dev/null"]).arg(&list);
    let built = exec::read(&mut command);
    fs::remove_file(&list)?;
    built.map(|_| ())
}

/// Where `npm install --global` puts them. Without their scripts, two of which only put Claude Code's and opencode's
/// programs where their commands look for them.
fn fetch_from_npm() -> String {
    format!(
        "set -e; prefix=\"$1/usr/local\"; \
         npm install --global --no-audit --no-fund --silent --ignore-scripts --prefix \"$prefix\" {} >&2; \
         claude=$(find \"$prefix/lib/node_modules\" -path '*/claude-code-linux-x64/claude'); \
         ln -sf \"${{claude#\"$1\"}}\" \"$prefix/bin/claude\"; \
         opencode=$(find \"$prefix/lib/node_modules\" -path '*/opencode-linux-x64/bin/opencode'); \
         ln -sf \"${{opencode#\"$1\"}}\" \"$prefix/bin/opencode\"",
        AGENTS_NPM.join(" ")
    )
}

/// Makes the image in a hook, since only there a caller who is not root sees the files as root's.
/// The bind mount shows them without the /proc, /sys and /dev that hooks have below the root.
fn pack(mke2fs: &Path, image: &Path) -> String {
    format!(
        "set -e; bare=$(mktemp -d); mount --bind \"$1\" \"$bare\"; \
         {} -q -F -t ext4 -m 0 -d \"$bare\" '{}' {MEBIBYTES}M; \
         umount \"$bare\"; rmdir \"$bare\"",
        mke2fs.display(),
        image.display()
    )
}

/// Roots for other lists of packages that no checkout has used for long.
fn remove_unused(image: &Path) -> Result<()> {
    const LONG: Duration = Duration::from_secs(14 * 24 * 3600);
    for entry in fs::read_dir(image.parent().context("image without a folder")?)? {
        let path = entry?.path();
        if path != image && cache::age(&path).is_none_or(|age| age > LONG) {
            cache::remove(&path)?;
        }
    }
    Ok(())
}
