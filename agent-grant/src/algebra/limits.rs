//! Comparing and joining limits.

use std::time::Duration;

use crate::{
    model::{Budget, Bytes, Count, Limits, Refusals, Then},
    syntax::limits::for_each_limit,
};

/// Values of a limit, of which one can be within another.
trait Bound: Copy {
    /// Whether what stays within `self` stays within `most`.
    fn is_within(self, most: Self) -> bool;

    /// Stays within both. Where neither is within the other there may be none.
    fn stricter(self, other: Self) -> Option<Self> {
        if self.is_within(other) {
            Some(self)
        } else {
            other.is_within(self).then_some(other)
        }
    }
}

impl Bound for Duration {
    fn is_within(self, most: Self) -> bool {
        self <= most
    }
}

/// A budget over time is a token bucket, which holds `amount` and is filled again within `per`; one
/// over the whole session is never filled. Of two, one is within the other exactly if it holds no
/// more and is filled no faster.
impl Bound for Budget {
    fn is_within(self, most: Self) -> bool {
        self.amount <= most.amount && fills_no_faster(self, most)
    }
}

fn fills_no_faster(own: Budget, most: Budget) -> bool {
    match (own.per, most.per) {
        (None, _) => true,
        (Some(_), None) => own.amount == 0,
        (Some(own_per), Some(most_per)) => {
            // Both times are whole seconds of 64 bits, so neither product overflows.
            u128::from(own.amount) * u128::from(most_per.as_secs())
                <= u128::from(most.amount) * u128::from(own_per.as_secs())
        }
    }
}

impl Bound for Count {
    fn is_within(self, most: Self) -> bool {
        self.0.is_within(most.0)
    }
}

impl Bound for Bytes {
    fn is_within(self, most: Self) -> bool {
        self.0.is_within(most.0)
    }
}

impl Bound for Refusals {
    fn is_within(self, most: Self) -> bool {
        self.max <= most.max && (self.then == most.then || self.then == Then::Kill)
    }

    fn stricter(self, other: Self) -> Option<Self> {
        let then = if self.then == Then::Kill {
            self.then
        } else {
            other.then
        };
        Some(Self {
            max: self.max.min(other.max),
            then,
        })
    }
}

fn is_within<B: Bound>(own: Option<B>, most: Option<B>) -> bool {
    match (own, most) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(own), Some(most)) => own.is_within(most),
    }
}

fn join<B: Bound>(
    name: &'static str,
    a: Option<B>,
    b: Option<B>,
) -> Result<Option<B>, &'static str> {
    match (a, b) {
        (Some(a), Some(b)) => a.stricter(b).map(Some).ok_or(name),
        (one, other) => Ok(one.or(other)),
    }
}

macro_rules! define {
    ($($(#[$doc:meta])* $name:ident: $value:ty, enforced = $enforced:literal;)*) => {
        /// Names of the limits in which `a` is not within `b`.
        pub(super) fn excess(a: &Limits, b: &Limits) -> Vec<&'static str> {
            let all = [$((stringify!($name), is_within(a.$name, b.$name)),)*];
            all.into_iter().filter(|(_, within)| !within).map(|(name, _)| name).collect()
        }

        /// The stricter of each limit.
        ///
        /// # Errors
        /// The name of a limit that cannot be joined: neither of its values is within the other.
        pub(super) fn stricter(a: &Limits, b: &Limits) -> Result<Limits, &'static str> {
            Ok(Limits { $($name: join(stringify!($name), a.$name, b.$name)?,)* })
        }
    };
}

for_each_limit!(define);
