//! Comparing and joining budgets.

use crate::model::{Budget, Limits, Then};

/// Names of the limits in which `a` is not within `b`.
pub(super) fn excess(a: &Limits, b: &Limits) -> Vec<&'static str> {
    let mut names = Vec::new();
    if let Some(most) = b.lifetime
        && a.lifetime.is_none_or(|own| own > most)
    {
        names.push("lifetime");
    }
    for ((name, own), (_, most)) in a.budgets().into_iter().zip(b.budgets()) {
        if !within(own, most) {
            names.push(name);
        }
    }
    if let Some(most) = b.refusals {
        let inside = a.refusals.is_some_and(|own| {
            own.max <= most.max && (own.then == most.then || own.then == Then::Kill)
        });
        if !inside {
            names.push("refusals");
        }
    }
    names
}

/// A budget over time is a token bucket, which holds `amount` and is filled again within `per`; one
/// over the whole session is never filled. Of two, one is within the other exactly if it holds no
/// more and is filled no faster.
fn within(own: Option<Budget>, most: Option<Budget>) -> bool {
    match (own, most) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(own), Some(most)) => own.amount <= most.amount && fills_no_faster(own, most),
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

/// The stricter of each limit. Where neither of two budgets is within the other there is none.
///
/// # Errors
/// The name of a limit that cannot be joined.
pub(super) fn stricter(a: &Limits, b: &Limits) -> Result<Limits, &'static str> {
    let join = |name: &'static str, a: Option<Budget>, b: Option<Budget>| {
        if within(a, b) {
            Ok(a)
        } else if within(b, a) {
            Ok(b)
        } else {
            Err(name)
        }
    };
    let refusals = match (a.refusals, b.refusals) {
        (Some(x), Some(y)) => {
            let then = if x.then == Then::Kill { x.then } else { y.then };
            Some(crate::model::Refusals {
                max: x.max.min(y.max),
                then,
            })
        }
        (one, other) => one.or(other),
    };
    Ok(Limits {
        lifetime: match (a.lifetime, b.lifetime) {
            (Some(x), Some(y)) => Some(x.min(y)),
            (one, other) => one.or(other),
        },
        processes: join("processes", a.processes, b.processes)?,
        deletes: join("deletes", a.deletes, b.deletes)?,
        bytes_written: join("bytes_written", a.bytes_written, b.bytes_written)?,
        bytes_out: join("bytes_out", a.bytes_out, b.bytes_out)?,
        connections: join("connections", a.connections, b.connections)?,
        refusals,
    })
}
