//! What `bailiff events --json` says.

use serde::Deserialize;

use super::{Check, Doing, daemon::BAILIFF, process};

/// The part of an event that scenarios look at.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) verdict: String,
    pub(crate) right: String,
    pub(crate) reason: String,
    pub(crate) rule: Option<Rule>,
    pub(crate) object: String,
    pub(crate) path: Option<Path>,
    pub(crate) process: Process,
    pub(crate) truncated: bool,
    pub(crate) moved: bool,
    pub(crate) device: Option<String>,
    pub(crate) inode: Option<u64>,
    /// How many alike it stands for.
    pub(crate) count: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Path {
    pub(crate) text: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) parent: u32,
    pub(crate) uid: u32,
    pub(crate) comm: String,
    pub(crate) cgroup: u64,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Event>,
}

impl Event {
    pub(crate) fn rule_id(&self) -> Option<&str> {
        self.rule.as_ref().map(|rule| rule.id.as_str())
    }

    /// In a few words, for messages.
    pub(crate) fn brief(&self) -> String {
        let rule = self.rule_id().unwrap_or("-");
        let Self {
            verdict,
            right,
            reason,
            object,
            ..
        } = self;
        format!("{verdict} {right} {object} ({reason}, rule {rule})")
    }

    /// Whether `text` stands in its object or path.
    pub(crate) fn names(&self, text: &str) -> bool {
        self.object.contains(text)
            || self
                .path
                .as_ref()
                .is_some_and(|path| path.text.contains(text))
    }
}

/// The events of a session, oldest first.
pub(crate) fn of(session: &str) -> Check<Vec<Event>> {
    query(&["--session", session])
}

pub(crate) fn query(filter: &[&str]) -> Check<Vec<Event>> {
    let mut words = vec![BAILIFF, "events", "--json", "--limit", "100000"];
    words.extend(filter);
    let ended = process::must(&words)?;
    let page: Page = serde_json::from_str(&ended.stdout).doing("read `bailiff events --json`")?;
    Ok(page.items)
}
