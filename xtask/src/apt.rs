//! A private apt root, for suites that the machine itself does not list.
//!
//! The mirror comes from the machine's own sources, the keys from its Debian keyring, and apt
//! checks signatures and hashes as always. Nothing of the machine's own apt state is touched.

use crate::{cache, exec, paths};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// After this long the package lists are fetched again.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// Suites and the packages installed against which apt resolves dependencies.
pub(crate) struct Apt {
    folder: PathBuf,
    scope: Scope,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Every suite that has kernels, and nothing installed: only for looking up and downloading.
    Kernels,
    /// This machine's own release with its backports, for installing on this machine.
    Machine,
}

impl Apt {
    /// For looking up and downloading kernels.
    pub(crate) fn for_kernels() -> Result<Apt> {
        let suites = [
            "bookworm",
            "trixie",
            "bookworm-backports",
            "trixie-backports",
        ];
        let security = ["bookworm-security", "trixie-security"];
        Apt::open("apt-kernels", Scope::Kernels, &suites, &security)
    }

    /// For installing from the backports to this machine's release, which it may not list.
    pub(crate) fn for_machine() -> Result<Apt> {
        let codename = codename()?;
        let (backports, security) = (backports()?, format!("{codename}-security"));
        let suites = [codename.as_str(), &backports];
        Apt::open("apt-machine", Scope::Machine, &suites, &[&security])
    }

    /// With package lists that are at most a day old where the mirror answers.
    fn open(name: &str, scope: Scope, suites: &[&str], security: &[&str]) -> Result<Apt> {
        let folder = paths::cache()?.join(name);
        let apt = Apt { folder, scope };
        let _lock = cache::lock(name)?;
        let stamp = apt.stamp();
        if cache::age(&stamp).is_some_and(|age| age < FRESH) {
            return Ok(apt);
        }
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.folder.join(folder))?;
        }
        fs::write(apt.sources(), sources(&mirror()?, suites, security))?;
        eprintln!("fetching Debian's package lists");
        match exec::read(apt.command("apt-get").arg("update")) {
            Ok(_) => fs::write(&stamp, "")?,
            Err(error) if stamp.exists() => {
                eprintln!("warning: package lists are old and cannot be renewed: {error:#}");
            }
            Err(error) => return Err(error),
        }
        Ok(apt)
    }

    /// When the package lists were last fetched, as a file whose time tells.
    pub(crate) fn stamp(&self) -> PathBuf {
        self.folder.join("updated")
    }

    /// `apt-get` or `apt-cache` with these suites only.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut option = |key: &str, value: &Path| {
            let mut text = std::ffi::OsString::from(key);
            text.push("=");
            text.push(value);
            command.arg("-o").arg(text);
        };
        option("Dir::Etc::sourcelist", &self.sources());
        option("Dir::Etc::sourceparts", Path::new("-"));
        if self.scope == Scope::Kernels {
            option("Dir::State", &self.folder);
            option("Dir::State::status", Path::new("/dev/null"));
        }
        option("Dir::State::lists", &self.folder.join("lists"));
        option("Dir::Cache", &self.folder.join("cache"));
        option("APT::Sandbox::User", Path::new("root"));
        option("Acquire::Languages", Path::new("none"));
        option(
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled",
            Path::new("false"),
        );
        command.env("LC_ALL", "C");
        command
    }

    /// Downloads packages into `folder`; apt checks their hashes against the signed lists.
    pub(crate) fn download(&self, packages: &[String], folder: &Path) -> Result<()> {
        let mut command = self.command("apt-get");
        command.arg("download").args(packages).current_dir(folder);
        exec::read(&mut command)?;
        Ok(())
    }

    fn sources(&self) -> PathBuf {
        self.folder.join("debian.sources")
    }
}

/// The suite with newer versions of some packages for this machine's release.
pub(crate) fn backports() -> Result<String> {
    Ok(format!("{}-backports", codename()?))
}

/// The name of this machine's Debian release.
fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(found
        .context("/etc/os-release names no release")?
        .trim_matches('"')
        .to_owned())
}

/// Deb822 sources for some suites, for this private root or for a root image.
pub(crate) fn sources(mirror: &Mirror, suites: &[&str], security: &[&str]) -> String {
    let stanza = |uri: &str, suites: &[&str]| {
        let suites = suites.join(" ");
        format!(
            "Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n\n"
        )
    };
    let mut text = stanza(&mirror.main, suites);
    if let (Some(uri), false) = (&mirror.security, security.is_empty()) {
        text += &stanza(uri, security);
    }
    text
}

pub(crate) struct Mirror {
    main: String,
    /// Security updates, where the machine knows a mirror that has them.
    security: Option<String>,
}

/// The Debian mirror that this machine uses.
pub(crate) fn mirror() -> Result<Mirror> {
    let targets = exec::read_text(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(CREATED_BY)\t$(REPO_URI)\t$(CODENAME)",
        "Created-By: Packages",
    ]))?;
    let uris: Vec<&str> = targets
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect();
    let ending = |end: &str| {
        let found = uris
            .iter()
            .map(|uri| uri.trim_end_matches('/'))
            .find(|uri| uri.ends_with(end));
        found.map(str::to_owned)
    };
    let Some(main) = ending("/debian") else {
        bail!("apt's sources on this machine name no Debian mirror (an address ending in /debian)");
    };
    if !Path::new(KEYRING).exists() {
        bail!("{KEYRING} is missing; install the package debian-archive-keyring");
    }
    Ok(Mirror {
        main,
        security: ending("/debian-security"),
    })
}

/// Fields of one stanza of `apt-cache show`.
pub(crate) fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

pub(crate) fn unpack(package: &Path, into: &Path) -> Result<()> {
    exec::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(into))
        .with_context(|| format!("unpack {}", package.display()))
}
