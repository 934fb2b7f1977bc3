use super::Target;
use bailiff_bench::{Condition, Results, Task};

pub(super) fn targets(results: &Results) -> Vec<Target> {
    vec![Target {
        promise: "whole commands: a session adds at most half of what Landlock adds",
        misses: half(results),
    }]
}

/// With what empty programs add, below which nothing on the same hooks can be.
fn half(results: &Results) -> Vec<String> {
    let miss = |task| {
        let tagged = results.added_to(task, Condition::Tagged)?;
        let landlock = results.added_to(task, Condition::Landlock)?;
        let noise = results.task(task, Condition::Bare)?.cast_signed() / Task::NOISE;
        if tagged * 2 <= landlock.max(0) + noise {
            return None;
        }
        let floor = results.added_to(task, Condition::Floor);
        let floor = floor.map_or_else(String::new, |floor| format!(" (empty programs: {floor})"));
        Some(format!("{task}: {tagged} against {}{floor}", landlock / 2))
    };
    Task::ALL.into_iter().filter_map(miss).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiff_bench::WorkCell;

    fn missed(tagged: u64) -> Vec<String> {
        let cell = |condition, instructions| WorkCell {
            task: Task::Grep,
            condition,
            instructions,
        };
        half(&Results {
            work: vec![
                cell(Condition::Bare, 10_000),
                cell(Condition::Floor, 10_010),
                cell(Condition::Tagged, tagged),
                cell(Condition::Landlock, 10_200),
            ],
            ..Results::default()
        })
    }

    #[test]
    fn half_of_landlock_is_kept_and_more_is_not() {
        // Both differ by 20 from run to run.
        assert!(missed(10_110).is_empty());
        assert_eq!(
            missed(10_111),
            ["grep -r: 111 against 100 (empty programs: 10)"]
        );
    }
}
