use super::unknown;
use bailiff_bench::{Condition, Operation, PATTERNS, Results};
use std::fmt::Write;

/// Instructions above the bare kernel's, a line for each operation.
pub(super) fn table(results: &Results) -> String {
    let mut text = format!(
        "Linux {}: instructions above the bare kernel's, with {} patterns\n",
        results.release,
        PATTERNS.map(|count| count.to_string()).join(" / ")
    );
    let _ = writeln!(
        text,
        "{:<23} {:>8} {:>6} {:>7} {:>9} {:>21} {:>24} {:>24}",
        "", "bare", "hooks", "floor", "untagged", "tagged", "Landlock", "AppArmor"
    );
    for operation in Operation::all() {
        let bare = results.instructions(operation, Condition::Bare, None);
        let calls = results.calls(operation);
        let _ = writeln!(
            text,
            "{operation:<23} {:>8} {:>6} {:>7} {:>9} {:>21} {:>24} {:>24}",
            bare.map_or_else(unknown, |bare| bare.to_string()),
            calls.map_or_else(unknown, |calls| calls.to_string()),
            added(results, operation, Condition::Floor),
            added(results, operation, Condition::Untagged),
            added(results, operation, Condition::Tagged),
            added(results, operation, Condition::Landlock),
            added(results, operation, Condition::AppArmor),
        );
    }
    text
}

fn added(results: &Results, operation: Operation, condition: Condition) -> String {
    let one = |patterns| {
        results
            .added(operation, condition, patterns)
            .map_or_else(unknown, |added| format!("{added:+}"))
    };
    if condition.has_patterns() {
        PATTERNS.map(|count| one(Some(count))).join(" ")
    } else {
        one(None)
    }
}
