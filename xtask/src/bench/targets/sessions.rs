use super::Target;
use bailiff_bench::{Results, SessionFigure};

pub(super) fn targets(results: &Results) -> Vec<Target> {
    vec![
        Target {
            promise: "a session by a known grant: less than 40 million instructions",
            misses: below(results, SessionFigure::KnownGrant, 40_000_000),
        },
        Target {
            promise: "a session by a new grant: less than 120 million instructions",
            misses: below(results, SessionFigure::NewGrant, 120_000_000),
        },
        Target {
            promise: "each session takes at most 1 MB of the daemon's memory",
            misses: [
                SessionFigure::MemoryOfOneMore,
                SessionFigure::MemoryOfAnotherPlace,
            ]
            .into_iter()
            .flat_map(|figure| below(results, figure, 1025))
            .collect(),
        },
        Target {
            promise: "the daemon restarts five times quicker than it first starts",
            misses: restart(results),
        },
    ]
}

fn below(results: &Results, figure: SessionFigure, limit: u64) -> Vec<String> {
    let value = results.session(figure);
    let miss = value.filter(|value| *value >= limit);
    miss.map(|value| format!("{figure}: {value} {}", figure.unit()))
        .into_iter()
        .collect()
}

fn restart(results: &Results) -> Vec<String> {
    let times = || {
        let first = results.session(SessionFigure::FirstStart)?;
        let restart = results.session(SessionFigure::Restart)?;
        (restart * 5 > first).then(|| format!("{first} and {restart} instructions"))
    };
    times().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiff_bench::SessionCell;

    fn missed(cells: &[(SessionFigure, u64)]) -> usize {
        let cells = cells
            .iter()
            .map(|&(figure, value)| SessionCell { figure, value });
        let results = Results {
            sessions: cells.collect(),
            ..Results::default()
        };
        targets(&results)
            .iter()
            .map(|target| target.misses.len())
            .sum()
    }

    #[test]
    fn limits_are_kept_up_to_themselves() {
        use SessionFigure::*;
        assert_eq!(
            missed(&[(KnownGrant, 39_999_999), (NewGrant, 119_999_999)]),
            0
        );
        assert_eq!(
            missed(&[(KnownGrant, 40_000_000), (NewGrant, 120_000_000)]),
            2
        );
        assert_eq!(
            missed(&[(MemoryOfOneMore, 1024), (MemoryOfAnotherPlace, 1025)]),
            1
        );
        assert_eq!(missed(&[(FirstStart, 500), (Restart, 100)]), 0);
        assert_eq!(missed(&[(FirstStart, 499), (Restart, 100)]), 1);
    }
}
