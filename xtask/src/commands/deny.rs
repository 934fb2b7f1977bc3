use crate::{build, paths, tools};
use anyhow::{Context, Result};
use clap::Args;
use std::process::ExitCode;

/// Check the licences and the sources of every crate that Bailiff is built from.
///
/// `deny.toml` says what may be. Installs `cargo-deny` where it is missing, which takes minutes; known
/// vulnerabilities are not looked up, since their list is fetched from the network.
#[derive(Args)]
pub(crate) struct Deny;

/// Each is a workspace of its own.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "agent-ebpf/Cargo.toml", "fuzz/Cargo.toml"];

impl Deny {
    pub(crate) fn run(self) -> Result<ExitCode> {
        tools::need_cargo("deny")?;
        let mut all_hold = true;
        for manifest in MANIFESTS {
            eprintln!("checking what {manifest} depends on");
            let status = build::cargo()
                .args(["deny", "--manifest-path", manifest])
                .args(["--config", "deny.toml"])
                .args(["check", "--hide-inclusion-graph"])
                .args(["bans", "licenses", "sources"])
                .current_dir(paths::workspace())
                .status()
                .context("run cargo deny")?;
            all_hold &= status.success();
        }
        Ok(if all_hold {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
