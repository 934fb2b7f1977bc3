use super::Target;
use bailiff_bench::{Action, Condition, Operation, PATTERNS, Results};

/// Instructions that a hook may take above an empty program for a process in no session.
const UNTAGGED: i64 = 20;

pub(super) fn targets(results: &Results) -> Vec<Target> {
    vec![
        Target {
            promise: "untagged: at most 20 instructions for each hook above an empty program",
            misses: untagged(results),
        },
        Target {
            promise: "tagged: cheaper than Landlock and AppArmor; open+close from 6.12 on at most \
                      half of the cheaper at depth 6, a third at depth 12",
            misses: tagged(results),
        },
        Target {
            promise: "500 patterns cost at most 10 % more than 5",
            misses: patterns(results),
        },
    ]
}

fn untagged(results: &Results) -> Vec<String> {
    Operation::all()
        .filter_map(|operation| {
            let floor = results.added(operation, Condition::Floor, None)?;
            let untagged = results.added(operation, Condition::Untagged, None)?;
            let calls = results.calls(operation)?.cast_signed();
            let above = untagged - floor;
            (above > UNTAGGED * calls + spread(operation))
                .then(|| format!("{operation}: {above} in {calls} hooks"))
        })
        .collect()
}

fn tagged(results: &Results) -> Vec<String> {
    let mut misses = Vec::new();
    for operation in Operation::all() {
        for patterns in PATTERNS.map(Some) {
            let of = |condition| results.added(operation, condition, patterns);
            let Some(tagged) = of(Condition::Tagged) else {
                continue;
            };
            let others = [Condition::Landlock, Condition::AppArmor].map(of);
            let Some(cheaper) = cheaper(operation, others) else {
                continue;
            };
            let share = share(results, operation);
            if tagged * share > cheaper {
                misses.push(miss(results, operation, patterns, tagged, cheaper / share));
            }
        }
    }
    misses
}

/// Says so, too, where no LSM program at all could keep the promise.
fn miss(
    results: &Results,
    operation: Operation,
    patterns: Option<u32>,
    tagged: i64,
    allowed: i64,
) -> String {
    let mut text = format!(
        "{operation}, {} patterns: {tagged} against {allowed}",
        patterns.unwrap_or_default()
    );
    if let Some(floor) = results.added(operation, Condition::Floor, None)
        && floor > allowed
    {
        text += &format!(" (empty programs: {floor})");
    }
    text
}

/// Of the two that limit the operation at all: who refuses nothing costs nothing.
fn cheaper(operation: Operation, others: [Option<i64>; 2]) -> Option<i64> {
    const NOTHING: i64 = 150;
    let nothing = match operation.action {
        Action::Fork => operation.action.noise(),
        _ => NOTHING,
    };
    let others = others.into_iter().flatten();
    others.filter(|added| *added > nothing).min()
}

/// The part of the others' cost that an operation may have: one of so many.
fn share(results: &Results, operation: Operation) -> i64 {
    let is_old = results.release.starts_with("6.1.");
    match (operation.action, operation.depth) {
        (Action::Open, Some(6)) if !is_old => 2,
        (Action::Open, Some(12)) if !is_old => 3,
        _ => 1,
    }
}

/// What a new process's figures may differ by; those of other operations repeat.
fn spread(operation: Operation) -> i64 {
    match operation.action {
        Action::Execve | Action::Fork => operation.action.noise(),
        _ => 0,
    }
}

fn patterns(results: &Results) -> Vec<String> {
    let (fewest, most) = (PATTERNS[0], PATTERNS[PATTERNS.len() - 1]);
    Operation::all()
        .filter_map(|operation| {
            let few = results.added(operation, Condition::Tagged, Some(fewest))?;
            let many = results.added(operation, Condition::Tagged, Some(most))?;
            (many * 10 > few * 11 + 10 * spread(operation))
                .then(|| format!("{operation}: {few} and {many}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiff_bench::{Cell, HookCalls};

    const OPEN: Operation = Operation {
        action: Action::Open,
        depth: Some(12),
    };

    /// Open at depth 12: bare 1000, floor 1180, Landlock 4000, AppArmor 5000.
    fn results(untagged: u64, tagged: [u64; 3]) -> Results {
        let cell = |condition, patterns, instructions| Cell {
            operation: OPEN,
            condition,
            patterns,
            instructions,
        };
        let mut cells = vec![
            cell(Condition::Bare, None, 1000),
            cell(Condition::Floor, None, 1180),
            cell(Condition::Untagged, None, untagged),
        ];
        for (count, tagged) in PATTERNS.into_iter().zip(tagged) {
            cells.push(cell(Condition::Tagged, Some(count), tagged));
            cells.push(cell(Condition::Landlock, Some(count), 4000));
            cells.push(cell(Condition::AppArmor, Some(count), 5000));
        }
        Results {
            release: "6.12.0".into(),
            cells,
            hook_calls: vec![HookCalls {
                operation: OPEN,
                calls: 1,
            }],
            ..Results::default()
        }
    }

    #[test]
    fn a_third_of_the_cheaper_is_kept_and_more_is_not() {
        assert!(tagged(&results(1200, [2000; 3])).is_empty());
        assert_eq!(tagged(&results(1200, [2000, 2001, 2000])).len(), 1);
    }

    #[test]
    fn twenty_instructions_for_a_hook_are_kept_and_more_are_not() {
        assert!(untagged(&results(1200, [2000; 3])).is_empty());
        assert_eq!(untagged(&results(1201, [2000; 3])).len(), 1);
    }

    #[test]
    fn patterns_may_cost_a_tenth() {
        assert!(patterns(&results(1200, [2000, 2000, 2100])).is_empty());
        assert_eq!(patterns(&results(1200, [2000, 2000, 2101])).len(), 1);
    }
}
