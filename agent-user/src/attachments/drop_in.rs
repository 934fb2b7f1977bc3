//! The drop-in by which a unit starts under its attachment or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Subject, UnitFacts};

/// Where an operator's units are.
const UNITS: &str = "/etc/systemd/system";
const NAME: &str = "50-bailiff.conf";
/// How one begins that `bailiff attach` wrote.
const HEADER: &str = "# Written by `bailiff attach`";

/// A drop-in for a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIn {
    unit: String,
    text: String,
}

/// Why it was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DropInError {
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("systemd does not accept the unit with it:\n{0}")]
    Refused(String),
    #[error("cannot run `systemd-analyze verify`: {0}")]
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
        let mut text = format!(
            "{HEADER}, removed by `bailiff detach`: {unit} starts under its grant or not at all.\n\
             [Unit]\nWants=bailiff.service\nAfter=bailiff.service\n"
        );
        if unit.ends_with(".service") {
            // With 255 the unit fails; less would only leave it out.
            text.push_str(&format!(
                "\n[Service]\nExecCondition=+{} attachments --held\n",
                program.display()
            ));
        }
        Some(Self {
            unit: unit.clone(),
            text,
        })
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
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(&unit)
            .output()
            .map_err(DropInError::NotVerified)?;
        if output.status.success() {
            return Ok(());
        }
        Err(DropInError::Refused(
            String::from_utf8_lossy(&output.stderr).trim().into(),
        ))
    }

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<(), DropInError> {
        let path = self.path();
        let directory = path.parent().unwrap_or(Path::new(UNITS));
        fs::create_dir_all(directory)
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

/// A directory that goes with the value.
struct Place(PathBuf);

impl Place {
    fn make() -> io::Result<Self> {
        nix::unistd::mkdtemp(&std::env::temp_dir().join("bailiff-verify-XXXXXX"))
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
                .contains("\nExecCondition=+/usr/bin/bailiff attachments --held\n")
        );
        let slice = drop_in("agents.slice").unwrap();
        assert!(slice.text().contains("After=bailiff.service") && !slice.text().contains("Exec"));
        assert!(drop_in("agent@.service").is_some());
        for none in ["agent-*.service", "/agents.slice/*", "run-1.scope"] {
            assert_eq!(drop_in(none), None, "{none}");
        }
    }
}
