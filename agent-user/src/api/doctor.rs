//! What `bailiff doctor` finds.

use agent_abi::Right;
use serde::{Deserialize, Serialize};

use super::{Status, Word, word::vocabulary};

/// `bailiff doctor`: whether this host can enforce grants, and what it cannot see.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostReport {
    /// Version of the document.
    pub schema: u32,
    /// Whether this host can enforce grants.
    pub ok: bool,
    /// What was looked at, what is wrong first.
    pub checks: Vec<HostCheck>,
    /// `None` where no daemon answers; `daemon_error` says why.
    pub daemon: Option<Status>,
    /// Why no daemon answers, as text for people.
    pub daemon_error: Option<String>,
    /// With `--self-test`.
    pub self_test: Option<SelfTest>,
    /// Hooks as the daemon attached them.
    pub hooks: Vec<HookCoverage>,
    /// Hooks of the running kernel that are not attached, and why; `None` where its type information
    /// cannot be read.
    pub other_hooks: Option<OtherHooks>,
}

/// One thing that a host must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostCheck {
    /// What was looked at: `kernel`, `BPF LSM`, …
    pub name: String,
    /// Whether it is as it must be.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do about it, where `ok` is false.
    pub remedy: Option<String>,
}

/// One hook of the kernel side on this kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HookCoverage {
    /// Kind and name of the hook, as in `lsm/file_open`.
    pub hook: String,
    /// `files`, `exec`, `network`, `processes`, `locks`, `ipc`, `kernel surface`, `labels`.
    pub family: String,
    /// Whether a program is attached to it.
    pub attached: bool,
    /// Whether something goes unseen where it is not attached. Not so where this kernel has another
    /// hook for the same.
    pub needed: bool,
    /// Why it is not attached, or what it cannot see on this kernel.
    pub note: Option<String>,
    /// Instructions that the verifier walked, where the kernel tells (5.16+).
    pub verified_instructions: Option<u32>,
}

/// What is known of the hooks of a kernel that no program attaches to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OtherHooks {
    /// Added by a kernel that this version has not seen.
    pub unknown: Vec<String>,
    /// The others, with the reason why they need not be attached.
    pub unattached: Vec<UnattachedHook>,
}

/// A hook that need not be attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnattachedHook {
    /// Its name.
    pub hook: String,
    /// Why it need not be attached.
    pub because: String,
    /// Whether something goes unjudged for want of it.
    pub open: bool,
}

/// `bailiff doctor --self-test`: what came of acts that must be refused, and of their twins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SelfTest {
    /// Nothing is bad, and something was tried.
    pub ok: bool,
    /// Every act.
    pub acts: Vec<TriedAct>,
    /// Why nothing could be tried.
    pub error: Option<String>,
}

/// What came of a family's acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TriedAct {
    /// The family of hooks, as in [`HookCoverage::family`], or `system calls`.
    pub family: String,
    /// What was tried.
    pub what: String,
    /// The right that the refusal names; `None`: it is recorded nowhere.
    pub right: Option<Word<Right>>,
    /// What came of it.
    pub result: Word<ActResult>,
    /// What went wrong, for people.
    pub note: Option<String>,
}

/// What came of an act and its twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActResult {
    /// Refused, and the twin was not.
    Good,
    /// Something else kept the act from being tried.
    Untried,
    /// Not refused, or its twin was.
    Bad,
}

vocabulary! { ActResult:
    Good = "good",
    Untried = "untried",
    Bad = "bad",
}
