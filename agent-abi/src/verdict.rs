//! What was decided, and why.

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    Allow = 0,
    Deny = 1,
    /// The session is in audit mode: a deny that was recorded and not carried out.
    WouldDeny = 2,
}

impl Verdict {
    pub const ALL: [(Verdict, &'static str); 3] = [
        (Verdict::Allow, "allow"),
        (Verdict::Deny, "deny"),
        (Verdict::WouldDeny, "would-deny"),
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(v, _)| *v == self)
            .map_or("unknown", |(_, name)| name)
    }

    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(v, _)| *v as u8 == number)
            .map(|(v, _)| *v)
    }
}

/// Why an action was refused. With [`Event::rule`](crate::Event::rule) it is the whole story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// A rule of the grant decided; the event names it.
    Rule = 0,
    /// No rule of the grant allows it.
    NoRule = 1,
    /// The new name would give a right that the object does not have now.
    Refer = 2,
    /// The filesystem is not mounted where the session can see it.
    UnknownMount = 3,
    /// The object is nested too deeply, or has no path up to a root.
    Unresolvable = 4,
    /// The tree was being renamed during the decision, too often to tell the path.
    Unstable = 5,
    /// The session that this process belongs to has ended.
    SessionEnded = 6,
    /// The target process is outside the session, or the terminal is not the session's own.
    OutsideSession = 7,
    /// Never grantable: it would let the session change its own limits.
    SelfProtection = 8,
    /// The kernel had no memory for the decision.
    NoMemory = 9,
    /// Not in the grant's `[process]` or `[kernel]` table.
    NotGranted = 10,
    /// A set-user-id, set-group-id or file-capability program.
    PrivilegeGain = 11,
    /// The directory takes several spellings for one name, so patterns cannot be held against it.
    Ambiguous = 12,
}

impl Reason {
    pub const ALL: [(Reason, &'static str); 13] = [
        (Reason::Rule, "rule"),
        (Reason::NoRule, "no-rule"),
        (Reason::Refer, "refer"),
        (Reason::UnknownMount, "unknown-mount"),
        (Reason::Unresolvable, "unresolvable"),
        (Reason::Unstable, "unstable"),
        (Reason::SessionEnded, "session-ended"),
        (Reason::OutsideSession, "outside-session"),
        (Reason::SelfProtection, "self-protection"),
        (Reason::NoMemory, "no-memory"),
        (Reason::NotGranted, "not-granted"),
        (Reason::PrivilegeGain, "privilege-gain"),
        (Reason::Ambiguous, "ambiguous"),
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(r, _)| *r == self)
            .map_or("unknown", |(_, name)| name)
    }

    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(r, _)| *r as u8 == number)
            .map(|(r, _)| *r)
    }
}
