//! What was decided, and why.

use crate::words;

words! {
    /// What became of an action.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(u8)]
    pub enum Verdict {
        Allow = 0 => "allow",
        Deny = 1 => "deny",
        /// The session is in audit mode: a deny that was recorded and not carried out.
        WouldDeny = 2 => "would-deny",
    }
}

impl Verdict {
    /// The verdict with this number, as it stands in an event.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(v, _)| *v as u8 == number)
            .map(|(v, _)| *v)
    }
}

words! {
    /// Why an action was refused. With [`Event::rule`](crate::Event::rule) it is the whole story.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(u8)]
    pub enum Reason {
        /// A rule of the grant decided; the event names it.
        Rule = 0 => "rule",
        /// No rule of the grant allows it.
        NoRule = 1 => "no-rule",
        /// The new name would give a right that the object does not have now.
        Refer = 2 => "refer",
        /// The filesystem is not mounted where the session can see it.
        UnknownMount = 3 => "unknown-mount",
        /// The object is nested too deeply, or has no path up to a root.
        Unresolvable = 4 => "unresolvable",
        /// The tree was being renamed during the decision, too often to tell the path.
        Unstable = 5 => "unstable",
        /// The session that this process belongs to has ended.
        SessionEnded = 6 => "session-ended",
        /// The target process is outside the session, or the terminal is not the session's own.
        OutsideSession = 7 => "outside-session",
        /// Never grantable: it would let the session change its own limits.
        SelfProtection = 8 => "self-protection",
        /// The kernel had no memory for the decision.
        NoMemory = 9 => "no-memory",
        /// Not in the grant's `[process]` or `[kernel]` table.
        NotGranted = 10 => "not-granted",
        /// A set-user-id, set-group-id or file-capability program.
        PrivilegeGain = 11 => "privilege-gain",
        /// The directory takes several spellings for one name, so patterns cannot be held against it.
        Ambiguous = 12 => "ambiguous",
    }
}

impl Reason {
    /// The reason with this number, as it stands in an event.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(r, _)| *r as u8 == number)
            .map(|(r, _)| *r)
    }
}
