//! The drop-in by which a unit starts under its attachment or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Subject, UnitFacts};
use crate::api::DEFAULT_SOCKET;

/// Where an operator's units are.
const UNITS: &str = "/etc/systemd/system";
const NAME: &str = "50-bailiff.conf";
const ASKING: &str = "bailiff-held@.service";
/// How one begins that `bailiff attach` wrote.
const HEADER: &str = "# Written by `bailiff attach`";

/// A drop-in for a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIn {
    unit: String,
    text: String,
    asks: String,
}

/// Why it was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DropInError {
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("systemd does not accept the unit with it:\n{0}")]
    Refused(String),
    #[error("cannot have systemd look at the unit (as root, while the daemon runs?): {0}")]
    NotVerified(io::Error),
}

impl DropIn {
    /// For a unit that one file can be about. `None`: it is no unit, or several by a pattern.
    #[must_use]
    pub fn of(subject: &Subject, program: &Path) -> Option<Self> {
        let Subject::Unit(unit) = subject else {
            return None;
        };
        // A transient unit has no file that outlasts it.
        if unit.contains(['*', '?', '[', '{']) || unit.ends_with(".scope") {
            return None;
        }
        let text = format!(
            "{HEADER}, removed by `bailiff detach`: {unit} starts under its grant or not at all.\n\
             [Unit]\nRequires=bailiff-held@%n.service\nAfter=bailiff-held@%n.service\n"
        );
        let asks = format!(
            "{HEADER}: fails where what starts as the unit would come under no grant.\n\
             [Unit]\nDescription=Whether %i comes under its grant\nWants=bailiff.service\n\
             After=bailiff.service\nStartLimitIntervalSec=0\n\n[Service]\nType=oneshot\n\
             ExecStart={} attachments --held %i\n",
            program.display()
        );
        Some(Self {
            unit: unit.clone(),
            text,
            asks,
        })
    }

    /// The unit that asks, for all that have such a drop-in: its file, and what is in it. Not the unit itself
    /// asks, which may have a root of its own, and in it another program in Bailiff's place.
    #[must_use]
    pub fn asking(&self) -> (PathBuf, &str) {
        (Path::new(UNITS).join(ASKING), &self.asks)
    }

    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(UNITS).join(format!("{}.d", self.unit)).join(NAME)
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Has systemd read the unit with it, somewhere else.
    ///
    /// # Errors
    /// systemd finds fault, or cannot be asked.
    pub fn verify(&self, facts: &UnitFacts) -> Result<(), DropInError> {
        let Some(fragment) = &facts.fragment else {
            return Ok(());
        };
        let place = Place::make().map_err(DropInError::NotVerified)?;
        // Of a template an instance is looked at.
        let name = self.unit.replace("@.", "@bailiff.");
        let unit = place.0.join(&name);
        let copied = fs::copy(fragment, &unit)
            .and_then(|_| fs::create_dir(place.0.join(format!("{name}.d"))))
            .and_then(|()| fs::write(place.0.join(format!("{name}.d")).join(NAME), &self.text));
        copied.map_err(DropInError::NotVerified)?;
        let asking = place.0.join(format!("bailiff-held@{name}.service"));
        fs::write(asking, &self.asks).map_err(DropInError::NotVerified)?;
        let Err(fault) = accepts(&unit)? else {
            return Ok(());
        };
        // What it says of the unit as it is, is not the drop-in's.
        let was_at_fault = fs::remove_dir_all(place.0.join(format!("{name}.d")))
            .map_err(DropInError::NotVerified)
            .and_then(|()| accepts(&unit))?
            .is_err();
        if was_at_fault {
            return Ok(());
        }
        Err(DropInError::Refused(fault))
    }

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<(), DropInError> {
        let path = self.path();
        let directory = path.parent().unwrap_or(Path::new(UNITS));
        let (asking, asks) = self.asking();
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&asking, asks))
            .and_then(|()| fs::write(&path, &self.text))
            .map_err(|source| DropInError::Write { path, source })
    }

    /// Removes what [`Self::write`] wrote; false where nothing of it is there.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(&self) -> Result<bool, DropInError> {
        let path = self.path();
        let is_own = fs::read_to_string(&path).is_ok_and(|text| text.starts_with(HEADER));
        if !is_own {
            return Ok(false);
        }
        fs::remove_file(&path).map_err(|source| DropInError::Write {
            path: path.clone(),
            source,
        })?;
        // Others may have theirs there.
        let _ = fs::remove_dir(path.parent().unwrap_or(&path));
        Ok(true)
    }
}

/// Whether systemd finds nothing wrong with a unit's file; else what.
fn accepts(unit: &Path) -> Result<Result<(), String>, DropInError> {
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(unit)
        .output()
        .map_err(DropInError::NotVerified)?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(output.status.success().then_some(()).ok_or(said))
}

/// A directory that goes with the value.
struct Place(PathBuf);

impl Place {
    /// Beside the daemon's socket, where no session may write: in a directory that it may write to it could have
    /// root write through a link.
    fn make() -> io::Result<Self> {
        let below = Path::new(DEFAULT_SOCKET).parent().unwrap_or(Path::new("/"));
        nix::unistd::mkdtemp(&below.join("verify-XXXXXX"))
            .map(Self)
            .map_err(io::Error::from)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drop_in(subject: &str) -> Option<DropIn> {
        DropIn::of(&Subject::of(subject), Path::new("/usr/bin/bailiff"))
    }

    #[test]
    fn a_service_asks_before_it_starts() {
        let service = drop_in("agent").unwrap();
        assert!(
            service
                .path()
                .ends_with("system/agent.service.d/50-bailiff.conf")
        );
        assert!(
            service
                .text()
                .contains("\nRequires=bailiff-held@%n.service\n")
        );
        assert!(
            !service.text().contains("Exec"),
            "nothing of it runs as the unit"
        );
        let (path, text) = service.asking();
        assert!(path.ends_with("system/bailiff-held@.service"));
        assert!(text.contains("\nExecStart=/usr/bin/bailiff attachments --held %i\n"));
        assert!(drop_in("agents.slice").is_some());
        assert!(drop_in("agent@.service").is_some());
        for none in ["agent-*.service", "/agents.slice/*", "run-1.scope"] {
            assert_eq!(drop_in(none), None, "{none}");
        }
    }
}
