//! A row of the matrix.

use super::{Prepare, kernel_is_at_least};
use crate::{
    acts::{Act, Way},
    harness::{
        ground::Ground,
        world::{Place, World},
    },
};

/// One thing that a session must not do.
pub(crate) struct Case {
    pub(crate) family: &'static str,
    pub(crate) name: &'static str,
    pub(super) ways: Vec<Way>,
    pub(super) places: bool,
    /// It crosses from the workspace to elsewhere.
    pub(super) across: bool,
    pub(super) nameless: bool,
    /// The first version of the kernel that has it.
    pub(super) since: (u32, u32),
    pub(super) refused: Prepare,
    pub(super) twin: Option<Prepare>,
    /// The unconfined act, where it differs from the refused one.
    pub(super) free: Option<Prepare>,
    pub(crate) without_free: bool,
    pub(crate) grantable: bool,
    pub(super) rights: Vec<&'static str>,
    pub(super) reasons: Vec<&'static str>,
    pub(super) rule: Option<&'static str>,
    pub(super) errnos: Vec<i32>,
    /// What a tool says that fails by the refusal without telling its error.
    pub(super) says: Vec<&'static str>,
    pub(super) nested: Nested,
}

/// What becomes of it in a user and a mount namespace that the session makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nested {
    /// It is refused as elsewhere.
    Refused,
    /// The kernel answers EINVAL before it asks anybody.
    Invalid,
    /// It is done to what is the session's own, and nothing outside is different.
    Own,
}

impl Case {
    /// A case that is refused by `right`. A twin, or the reason why there is none, must follow.
    pub(crate) fn new(
        family: &'static str,
        name: &'static str,
        right: &'static str,
        refused: impl Fn(&mut Ground<'_>) -> Act + 'static,
    ) -> Self {
        Self {
            family,
            name,
            ways: Way::ALL.into(),
            places: false,
            across: false,
            nameless: false,
            since: (0, 0),
            refused: Box::new(refused),
            twin: None,
            free: None,
            without_free: false,
            grantable: true,
            rights: vec![right],
            reasons: vec!["no-rule"],
            rule: None,
            errnos: vec![libc::EACCES, libc::EPERM],
            says: Vec::new(),
            nested: Nested::Refused,
        }
    }

    /// The act that must succeed in the same session.
    pub(crate) fn twin(mut self, twin: impl Fn(&mut Ground<'_>) -> Act + 'static) -> Self {
        self.twin = Some(Box::new(twin));
        self
    }

    /// What must succeed unconfined, where it is not the refused act itself.
    pub(crate) fn free(mut self, free: impl Fn(&mut Ground<'_>) -> Act + 'static) -> Self {
        self.free = Some(Box::new(free));
        self
    }

    /// Unconfined it cannot succeed, or must not be tried.
    pub(crate) fn without_free(mut self) -> Self {
        self.without_free = true;
        self.grantable = false;
        self
    }

    /// No grant can allow it.
    pub(crate) fn never(mut self) -> Self {
        self.grantable = false;
        self
    }

    /// Also on an overlay, below a bind mount and after chroot.
    pub(crate) fn places(mut self) -> Self {
        self.places = true;
        self
    }

    /// The same, but not across a bind mount, where the kernel itself answers EXDEV.
    pub(crate) fn places_but_bind(mut self) -> Self {
        self.places = true;
        self.across = true;
        self
    }

    /// Needs `O_TMPFILE`, which overlayfs has from 6.3 on.
    pub(crate) fn nameless(mut self) -> Self {
        self.nameless = true;
        self
    }

    /// Kernels have it from this version on.
    pub(crate) fn since(mut self, major: u32, minor: u32) -> Self {
        self.since = (major, minor);
        self
    }

    /// Whether it is tried in this place, on this kernel.
    pub(crate) fn belongs(&self, place: Place) -> bool {
        if !kernel_is_at_least(self.since.0, self.since.1) {
            return false;
        }
        match place {
            Place::Plain | Place::Nested => true,
            Place::Bind => self.places && !self.across,
            Place::Overlay => self.places && (!self.nameless || kernel_is_at_least(6, 3)),
            Place::Chroot => self.places,
        }
    }

    /// In namespaces of its own a session may do it.
    pub(crate) fn own_when_nested(mut self) -> Self {
        self.nested = Nested::Own;
        self
    }

    /// In a user namespace with one user, or with mounts that came with it, it is invalid.
    pub(crate) fn invalid_when_nested(mut self) -> Self {
        self.nested = Nested::Invalid;
        self
    }

    /// Whether the kernel asks for a capability of the host first: in a user namespace nobody has one, and the
    /// kernel refuses without asking further.
    pub(super) fn is_refused_unasked_when_nested(&self) -> bool {
        let asks = ["process.capability", "process.ptrace"];
        self.rights.iter().any(|right| asks.contains(right))
    }

    pub(crate) fn ways(mut self, ways: &[Way]) -> Self {
        self.ways = ways.into();
        self
    }

    /// Another right whose refusal may come first.
    pub(crate) fn or_right(mut self, right: &'static str) -> Self {
        self.rights.push(right);
        self
    }

    pub(crate) fn reason(mut self, reason: &'static str) -> Self {
        self.reasons = vec![reason];
        self
    }

    pub(crate) fn or_reason(mut self, reason: &'static str) -> Self {
        self.reasons.push(reason);
        self
    }

    /// The rule that decides.
    pub(crate) fn rule(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self.reasons = vec!["rule"];
        self
    }

    pub(crate) fn errno(mut self, errno: i32) -> Self {
        self.errnos = vec![errno];
        self
    }

    pub(crate) fn errnos(mut self, errnos: &[i32]) -> Self {
        self.errnos = errnos.into();
        self
    }

    pub(crate) fn says(mut self, text: &'static str) -> Self {
        self.says = vec![text];
        self
    }

    pub(crate) fn says_also(mut self, text: &'static str) -> Self {
        self.says.push(text);
        self
    }

    /// Whether this way has words for it.
    pub(crate) fn has(&self, way: Way) -> bool {
        let world = World::describe(Place::Plain);
        let act = (self.refused)(&mut Ground::imagined(&world));
        self.ways.contains(&way) && act.has(way)
    }
}
