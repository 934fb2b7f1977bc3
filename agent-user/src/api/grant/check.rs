//! `bailiff grant check`

use agent_grant::{Diagnostic, Lint, LintKind, Severity};
use serde::{Deserialize, Serialize};

use super::TestResult;
use crate::api::{PathText, Word};

/// What came out for one grant; `bailiff grant check --json` prints a list of these.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GrantCheck {
    /// Version of the document.
    pub schema: u32,
    /// The grant, as it was named on the command line.
    pub grant: String,
    /// Whether it can be used, and none of its tests failed.
    pub ok: bool,
    /// Why it cannot be used, as text for people.
    pub error: Option<String>,
    /// The same as data, where it is the grant's text that is wrong.
    pub mistakes: Vec<Mistake>,
    /// How many rules it has.
    pub rules: usize,
    /// Bytes of its tables in the kernel.
    pub table_bytes: usize,
    /// How many tests it has.
    pub tests: usize,
    /// Those that failed.
    pub failed_tests: Vec<TestResult>,
    /// What is valid and may not be meant.
    pub remarks: Vec<Remark>,
    /// Limits that this version does not enforce, by name.
    pub unenforced: Vec<String>,
}

/// Something in a grant's text by which it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mistake {
    /// What is wrong, in one line.
    pub message: String,
    /// Where it is: `file:line:column`.
    pub place: Option<String>,
    /// What the text at that place is to be, mostly.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Something that is valid and may not mean what its author wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Remark {
    /// What kind of remark; docs/grants.md has the list.
    pub kind: Word<LintKind>,
    /// How likely it is that something else is meant.
    pub severity: Word<Severity>,
    /// The remark, in one line.
    pub message: String,
    /// Where it is: `file:line:column`.
    pub place: Option<String>,
    /// A path that shows it.
    pub path: Option<PathText>,
    /// What to do about it, or what it means.
    pub help: Option<String>,
}

impl From<&Diagnostic> for Mistake {
    fn from(diagnostic: &Diagnostic) -> Self {
        let label = &diagnostic.label;
        Self {
            message: diagnostic.message.clone(),
            place: diagnostic.location.as_ref().map(ToString::to_string),
            label: (!label.is_empty()).then(|| label.clone()),
            help: diagnostic.help.clone(),
        }
    }
}

impl From<&Lint> for Remark {
    fn from(lint: &Lint) -> Self {
        let diagnostic = &lint.diagnostic;
        Self {
            kind: lint.kind.into(),
            severity: diagnostic.severity.into(),
            message: diagnostic.message.clone(),
            place: diagnostic.location.as_ref().map(ToString::to_string),
            path: lint.path.as_deref().map(PathText::new),
            help: diagnostic.help.clone(),
        }
    }
}
