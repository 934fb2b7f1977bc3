//! The kernels in Debian's package index, oldest first.

use crate::apt::{self, Apt};
use crate::{cache, exec, paths};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;

const FLAVOUR: &str = "-cloud-amd64";

/// One kernel that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Available {
    /// The upstream version, such as 6.12.117.
    pub(crate) version: Vec<u32>,
    /// Debian's own counters, to tell builds of one upstream version apart.
    build: Vec<u32>,
    /// What `uname -r` prints.
    pub(crate) release: String,
    /// The packages that hold the image and the modules.
    pub(crate) packages: Vec<String>,
}

impl Available {
    /// The upstream version as text.
    pub(crate) fn version_text(&self) -> String {
        let parts: Vec<String> = self.version.iter().map(u32::to_string).collect();
        parts.join(".")
    }

    /// The upstream series, such as 6.12.
    pub(crate) fn series(&self) -> String {
        self.version_text()
            .split('.')
            .take(2)
            .collect::<Vec<_>>()
            .join(".")
    }

    /// Whether `wanted`, such as `6.12` or `6.12.117`, names this kernel.
    pub(crate) fn is_of(&self, wanted: &str) -> bool {
        wanted == self.release || self.version.starts_with(&numbers(wanted))
    }
}

/// Every cloud kernel in the index, oldest first.
pub(crate) fn available() -> Result<Vec<Available>> {
    let apt = Apt::for_kernels()?;
    let saved = paths::cache()?.join("kernels.json");
    let lists_are_newer = match (cache::age(&saved), cache::age(&apt.stamp())) {
        (Some(saved), Some(lists)) => lists < saved,
        _ => true,
    };
    if !lists_are_newer && let Ok(kernels) = serde_json::from_slice(&fs::read(&saved)?) {
        return Ok(kernels);
    }
    let kernels = read_index(&apt)?;
    let _lock = cache::lock("kernels.json")?;
    cache::make(&saved, |path| {
        Ok(fs::write(path, serde_json::to_vec_pretty(&kernels)?)?)
    })?;
    Ok(kernels)
}

fn read_index(apt: &Apt) -> Result<Vec<Available>> {
    let pattern = format!("^linux-(image|binary|modules)-[0-9].*{FLAVOUR}$");
    let found =
        exec::read_text(
            apt.command("apt-cache")
                .args(["search", "--names-only", &pattern]),
        )?;
    let names: Vec<&str> = found
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    ensure!(
        !names.is_empty(),
        "no {FLAVOUR} kernel in Debian's package index"
    );
    let mut show = apt.command("apt-cache");
    show.args(["show", "--no-all-versions"]).args(&names);
    parse(&exec::read_text(&mut show)?)
}

fn parse(stanzas: &str) -> Result<Vec<Available>> {
    // From 7.0 on linux-image-X is empty and depends on linux-binary-X and linux-modules-X.
    let mut packages: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for stanza in stanzas
        .split("\n\n")
        .filter(|stanza| !stanza.trim().is_empty())
    {
        let name = apt::field(stanza, "Package").context("stanza without a name")?;
        let version = apt::field(stanza, "Version").context("stanza without a version")?;
        let Some((kind, release)) = name
            .strip_prefix("linux-")
            .and_then(|name| name.split_once('-'))
        else {
            continue;
        };
        packages.entry(release).or_default().insert(kind, version);
    }
    let mut kernels: Vec<Available> = packages.iter().filter_map(kernel).collect();
    kernels.sort();
    Ok(kernels)
}

fn kernel((release, kinds): (&&str, &BTreeMap<&str, &str>)) -> Option<Available> {
    let (first, rest) = match (kinds.get("binary"), kinds.get("image")) {
        (Some(version), _) => ("binary", version),
        (None, Some(version)) => ("image", version),
        (None, None) => return None,
    };
    let (upstream, build) = rest.split_once('-').unwrap_or((rest, ""));
    // `6.12-cloud-amd64` is a meta-package, and `~rc` a kernel that is not released yet.
    let is_meta = numbers(release).len() < 3;
    if is_meta || upstream.contains('~') {
        return None;
    }
    let mut holders = vec![format!("linux-{first}-{release}")];
    if kinds.contains_key("modules") {
        holders.push(format!("linux-modules-{release}"));
    }
    // A rebuild for an older release of Debian (`~bpo`, `~deb12u1`) comes before its original.
    let is_original = u32::from(!build.contains('~'));
    Some(Available {
        version: numbers(upstream),
        build: [vec![is_original], numbers(build)].concat(),
        release: (*release).to_owned(),
        packages: holders,
    })
}

/// The numbers at the start of a version: `6.12.95+deb13` gives 6, 12 and 95.
fn numbers(text: &str) -> Vec<u32> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text[..end]
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
Package: linux-image-6.1.0-56-cloud-amd64
Version: 6.1.192-2

Package: linux-image-6.12-cloud-amd64
Version: 6.12.117-1

Package: linux-image-6.12.117+deb12-cloud-amd64
Version: 6.12.117-1~deb12u1

Package: linux-image-6.12.117+deb13-cloud-amd64
Version: 6.12.117-1

Package: linux-image-6.12.95+deb13-cloud-amd64
Version: 6.12.95-1

Package: linux-binary-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1

Package: linux-modules-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1

Package: linux-image-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1
";

    #[test]
    fn kernels_come_oldest_first_with_the_packages_that_hold_them() {
        let kernels = parse(INDEX).unwrap();
        let releases: Vec<&str> = kernels
            .iter()
            .map(|kernel| kernel.release.as_str())
            .collect();
        assert_eq!(
            releases,
            [
                "6.1.0-56-cloud-amd64",
                "6.12.95+deb13-cloud-amd64",
                "6.12.117+deb12-cloud-amd64",
                "6.12.117+deb13-cloud-amd64",
                "7.3.4+deb13-cloud-amd64",
            ]
        );
        assert_eq!(kernels[4].packages.len(), 2);
        assert!(kernels[4].packages[0].starts_with("linux-binary-7.3.4"));
    }

    #[test]
    fn a_series_is_not_a_prefix_of_digits() {
        let kernels = parse(INDEX).unwrap();
        assert!(kernels[0].is_of("6.1"));
        assert!(kernels[0].is_of("6.1.192"));
        assert!(!kernels[1].is_of("6.1"));
        assert!(kernels[3].is_of("6.12.117+deb13-cloud-amd64"));
    }
}
