use super::unknown;
use bailiff_bench::{Condition, Results, Task, WORK_FILES, WORK_PATTERNS};
use std::fmt::Write;

/// What each condition adds, as parts of what the bare kernel takes.
pub(super) fn table(results: &Results) -> String {
    let mut text = format!(
        "Linux {}: whole commands over {WORK_FILES} files, with {WORK_PATTERNS} patterns; \
         added to the bare kernel's\n",
        results.release
    );
    let _ = writeln!(
        text,
        "{:<17} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "instructions", "floor", "untagged", "tagged", "Landlock", "AppArmor"
    );
    for task in Task::ALL {
        let bare = results.task(task, Condition::Bare);
        let _ = writeln!(
            text,
            "{task:<17} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9}",
            bare.map_or_else(unknown, |bare| bare.to_string()),
            added(results, task, Condition::Floor),
            added(results, task, Condition::Untagged),
            added(results, task, Condition::Tagged),
            added(results, task, Condition::Landlock),
            added(results, task, Condition::AppArmor),
        );
    }
    text
}

fn added(results: &Results, task: Task, condition: Condition) -> String {
    let percent = || {
        let bare = results.task(task, Condition::Bare)? as f64;
        let added = results.added_to(task, condition)? as f64;
        Some(format!("{:+.2} %", added * 100.0 / bare))
    };
    percent().unwrap_or_else(unknown)
}
