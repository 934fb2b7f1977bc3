//! Agents that do a script: a server on the loopback stands in for their model (`xtask/agents/scripted`). Each does it
//! once confined, under the grant that ships for it, and once not, since only what has an effect then shows that it
//! was refused.

use serde::Deserialize;

pub(super) struct Agent {
    /// Its command, and the name of its grant.
    pub(super) name: &'static str,
    /// The package, and where that is from.
    pub(super) from: &'static str,
    /// The command that tells its version.
    pub(super) version: &'static str,
}

pub(super) const AGENTS: &[Agent] = &[
    Agent {
        name: "claude",
        from: "npm's @anthropic-ai/claude-code",
        version: "claude --version",
    },
    Agent {
        name: "codex",
        from: "npm's @openai/codex",
        version: "codex --version",
    },
    Agent {
        name: "gemini",
        from: "npm's @google/gemini-cli",
        version: "gemini --version",
    },
];

/// What the machine says of one agent.
#[derive(Deserialize)]
pub(super) struct Outcome {
    pub(super) index: usize,
    version: String,
    plain: Run,
    confined: Run,
}

#[derive(Deserialize)]
struct Run {
    code: i32,
    said: String,
    seconds: f64,
    steps: Vec<Step>,
    /// What was refused to it besides, which no step was about.
    other: Vec<String>,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    /// Or else an overreach.
    work: bool,
    /// The program got as far as that.
    asked: bool,
    effect: bool,
    /// What it was given as the result says that it was refused.
    told: bool,
    /// There is an event.
    recorded: bool,
    /// What it was given as the result.
    text: String,
}

impl Outcome {
    /// Lines for people, and whether all was as expected.
    pub(super) fn report(&self, agent: &Agent) -> (String, bool) {
        let (plain, confined) = (&self.plain, &self.confined);
        let faults = self.faults();
        let (name, from, version) = (agent.name, agent.from, self.version.trim());
        let mut lines = vec![
            format!("| {name} | {from} | {version} | |"),
            format!(
                "| {name} | work | {} unconfined, {} confined, of {} | {:.0} s, {:.0} s |",
                plain.count(|one| one.work && one.effect),
                confined.count(|one| one.work && one.effect),
                plain.count(|one| one.work),
                plain.seconds,
                confined.seconds,
            ),
            format!(
                "| {name} | overreach | {} of {} refused; {} recorded, {} told to the model | {} refused besides |",
                confined.count(|one| !one.work && one.asked && !one.effect),
                confined.count(|one| !one.work),
                confined.count(|one| !one.work && one.recorded),
                confined.count(|one| !one.work && one.told),
                confined.other.len(),
            ),
        ];
        lines.extend(confined.other.iter().map(|one| format!("  besides: {one}")));
        lines.extend(
            faults
                .iter()
                .map(|fault| format!("  NOT AS EXPECTED: {fault}")),
        );
        if !faults.is_empty() {
            lines.push(format!("  unconfined:\n{}", plain.last_words()));
            lines.push(format!("  confined:\n{}", confined.last_words()));
        }
        (lines.join("\n"), faults.is_empty())
    }

    fn faults(&self) -> Vec<String> {
        let unconfined = self.plain.steps.iter().filter(|one| !one.effect);
        let unconfined = unconfined.map(|one| one.fault("has no effect unconfined"));
        let confined = self.confined.steps.iter().filter_map(Step::confined_fault);
        unconfined.chain(confined).collect()
    }
}

impl Run {
    fn count(&self, what: impl Fn(&Step) -> bool) -> usize {
        self.steps.iter().filter(|step| what(step)).count()
    }

    fn last_words(&self) -> String {
        let lines = self.said.lines().map(|line| format!("    {line}\n"));
        format!("    exit code {}\n{}", self.code, lines.collect::<String>())
    }
}

impl Step {
    fn fault(&self, what: &str) -> String {
        format!("`{}` {what}: {}", self.name, self.text.trim())
    }

    fn confined_fault(&self) -> Option<String> {
        let what = match self {
            Step { asked: false, .. } => "was not come to",
            Step {
                work: true,
                effect: false,
                ..
            } => "does not work confined",
            Step {
                work: false,
                effect: true,
                ..
            } => "has its effect all the same",
            Step {
                work: false,
                recorded: false,
                ..
            } => "is refused without an event",
            _ => return None,
        };
        Some(self.fault(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(work: bool, effect: bool, recorded: bool) -> Step {
        Step {
            name: "acts".into(),
            work,
            asked: true,
            effect,
            told: !effect,
            recorded,
            text: "as it went".into(),
        }
    }

    fn outcome(plain: Step, confined: Step) -> Outcome {
        let run = |step| Run {
            code: 0,
            said: String::new(),
            seconds: 1.0,
            steps: vec![step],
            other: Vec::new(),
        };
        Outcome {
            index: 0,
            version: "1".into(),
            plain: run(plain),
            confined: run(confined),
        }
    }

    #[test]
    fn work_has_its_effect_either_way() {
        let good = outcome(step(true, true, false), step(true, true, false));
        assert!(good.faults().is_empty());
        let held = outcome(step(true, true, false), step(true, false, true));
        assert_eq!(held.faults(), ["`acts` does not work confined: as it went"]);
    }

    #[test]
    fn overreach_has_its_effect_only_unconfined_and_is_recorded() {
        let good = outcome(step(false, true, false), step(false, false, true));
        assert!(good.faults().is_empty());
        let never = outcome(step(false, false, false), step(false, false, true));
        assert_eq!(
            never.faults(),
            ["`acts` has no effect unconfined: as it went"]
        );
        let done = outcome(step(false, true, false), step(false, true, true));
        assert_eq!(
            done.faults(),
            ["`acts` has its effect all the same: as it went"]
        );
        let silent = outcome(step(false, true, false), step(false, false, false));
        assert_eq!(
            silent.faults(),
            ["`acts` is refused without an event: as it went"]
        );
    }
}
