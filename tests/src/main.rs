//! Acceptance scenarios: what sessions must not be able to do, tried on a real kernel as root.
//!
//! `bailiff-scenarios [--list] [WORD]…` runs the scenarios whose names hold every word, prints a
//! line for each as it ends, and last `N passed, N failed, N skipped`.

mod acts;
mod driver;
mod harness;
mod scenarios;

use std::process::ExitCode;

use crate::{
    acts::{Way, random_calls},
    harness::{
        Check,
        matrix::{self, Case},
        report::Report,
        world::{Place, World},
    },
    scenarios::{
        Context, Single, asked_moves, bounds, evidence, failures, filtered, lifecycle, network,
        patterns, podman, storm, stress, systemd, turmoil, who,
    },
};

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let words = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    match inside(&words) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        None => {
            let list = words.contains(&"--list");
            let filter = words
                .iter()
                .copied()
                .filter(|word| *word != "--list")
                .collect::<Vec<_>>();
            run(&filter, list)
        }
    }
}

/// The parts of this program that run inside sessions.
fn inside(words: &[&str]) -> Option<anyhow::Result<()>> {
    Some(match words {
        ["drive", way, plan] => driver::drive(way, plan),
        ["toil", secret, threads] => lifecycle::tagged::toil(secret, threads).map_err(Into::into),
        ["exec-by-thread", command @ ..] if !command.is_empty() => {
            lifecycle::tagged::execute_by_thread(command).map_err(Into::into)
        }
        ["who-forks", flags, cgroup, secret] => {
            who::births::fork_on(flags, cgroup, secret).map_err(Into::into)
        }
        ["who-is-born-to-execute", cgroup, secret] => {
            scenarios::armed::bear_to_execute(cgroup, secret).map_err(Into::into)
        }
        ["box", kind, cgroup, command @ ..] if !command.is_empty() => {
            scenarios::boxes::become_box(kind, cgroup, command).map_err(Into::into)
        }
        ["who-is-born", cgroup, secret] => {
            who::births::bear_into(cgroup, secret).map_err(Into::into)
        }
        ["turmoil", kind] => turmoil::rage(kind).map_err(Into::into),
        ["who-executes", flags, command @ ..] if !command.is_empty() => {
            who::executions::execute_on(flags, command).map_err(Into::into)
        }
        ["who-fails-to-fork", way, secret] => {
            who::failed_forks::fail_to_fork(way, secret).map_err(Into::into)
        }
        ["who-fails-to-fork-and-executes", flags, secret] => {
            who::failed_forks::fail_and_execute(flags, secret).map_err(Into::into)
        }
        ["truncate-input"] => {
            lifecycle::truncate_standard_input();
            Ok(())
        }
        ["personalities"] => {
            filtered::personalities();
            Ok(())
        }
        ["evidence", words @ ..] => evidence::inside(words).map_err(Into::into),
        ["do-all", list] => bounds::do_all(list).map_err(Into::into),
        ["move-all", list] => asked_moves::move_all(list).map_err(Into::into),
        ["open-all", list] => patterns::open_all(list).map_err(Into::into),
        ["outside-work"] => storm::outside_work(),
        ["random-calls", seconds, seed, outsiders @ ..] => {
            random_calls::run(seconds, seed, outsiders).map_err(Into::into)
        }
        ["stress", seconds, processes] => stress::confined(seconds, processes).map_err(Into::into),
        _ => return None,
    })
}

const PLACES: [Place; 5] = [
    Place::Plain,
    Place::Overlay,
    Place::Bind,
    Place::Chroot,
    Place::Nested,
];

fn run(filter: &[&str], list: bool) -> ExitCode {
    let holds = |name: &str, word: &str| word.split('|').any(|part| name.contains(part));
    let wanted = |name: &str| filter.iter().all(|word| holds(name, word));
    let mut report = Report::default();
    let mut context = Context { daemon: None };
    let asked = |family: &str| {
        filter
            .iter()
            .any(|word| word.trim_end_matches(':') == family)
    };
    let is_for_here = |single: &Single| {
        let elsewhere = single.once && !list && !matrix::runs_everything();
        !single.long && !elsewhere
    };
    if !list && let Some(mut singles) = of_this_boot() {
        singles.retain(|single| is_for_here(single) || asked(single.family));
        run_singles(singles, &wanted, list, &mut context, &mut report);
        return finish(&report);
    }
    if !list {
        let begun = network::prepare().and_then(|()| context.daemon().map(drop));
        if let Err(error) = begun {
            report.add("the daemon starts", Err(error).into());
            report.finish();
            return ExitCode::FAILURE;
        }
    }
    let cases = cases();
    for place in PLACES {
        let outcome = in_place(place, &cases, &wanted, list, &mut report);
        if let Err(error) = outcome {
            report.add(&format!("scenarios{}", place.words()), Err(error).into());
        }
    }
    let mut singles = scenarios::singles();
    singles.retain(|single| is_for_here(single) || asked(single.family));
    run_singles(singles, &wanted, list, &mut context, &mut report);
    // Last: what a session could have written is trusted less afterwards, and these could write everything.
    let ready = if list {
        Ok(())
    } else {
        context.daemon().map(drop)
    };
    match ready {
        Ok(()) => under_everything(&cases, &wanted, list, &mut report),
        Err(error) => report.add("the daemon starts again", Err(error).into()),
    }
    if list {
        return ExitCode::SUCCESS;
    }
    finish(&report)
}

/// What alone is tried where the machine was started for it.
fn of_this_boot() -> Option<Vec<Single>> {
    if failures::boots_without_bpf() || failures::boots_locked_down() {
        return Some(failures::refusing());
    }
    systemd::is_process_one().then(|| {
        let mut scenarios = systemd::scenarios();
        scenarios.extend(podman::scenarios());
        scenarios
    })
}

fn finish(report: &Report) -> ExitCode {
    if report.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run_singles(
    singles: Vec<Single>,
    wanted: &dyn Fn(&str) -> bool,
    list: bool,
    context: &mut Context,
    report: &mut Report,
) {
    for single in singles {
        let name = format!("{}: {}", single.family, single.name);
        if !wanted(&name) {
            continue;
        }
        if list {
            println!("{name}");
            continue;
        }
        let ready = if single.alone {
            context.daemon = None;
            Ok(())
        } else {
            context.daemon().map(drop)
        };
        report.add(&name, ready.and_then(|()| (single.run)(context)).into());
    }
}

/// Non-interference: what must be refused under the fixture must succeed under everything.
fn under_everything(
    cases: &[Case],
    wanted: &dyn Fn(&str) -> bool,
    list: bool,
    report: &mut Report,
) {
    let name = |case: &Case| format!("everything: {}", case.name);
    let tried = |case: &&Case| {
        let belongs = case.grantable && case.belongs(Place::Plain);
        belongs && case.has(Way::Compiled) && wanted(&name(case))
    };
    let cases = cases.iter().filter(tried).collect::<Vec<_>>();
    if list || cases.is_empty() {
        cases.iter().for_each(|case| println!("{}", name(case)));
        return;
    }
    let verdicts = World::make(Place::Plain)
        .map(|world| matrix::run_under_everything(&world, &cases))
        .unwrap_or_else(|error| cases.iter().map(|_| Err(error.clone())).collect());
    for (case, verdict) in cases.iter().zip(verdicts) {
        report.add(&name(case), verdict.into());
    }
}

fn cases() -> Vec<Case> {
    let mut cases = scenarios::files::cases();
    cases.extend(scenarios::attributes::cases());
    cases.extend(scenarios::descriptors::cases());
    cases.extend(scenarios::set_id::cases());
    cases.extend(scenarios::moves::cases());
    cases.extend(scenarios::exec::cases());
    cases.extend(scenarios::network::cases());
    cases.extend(scenarios::processes::cases());
    cases.extend(scenarios::locks::cases());
    cases.extend(scenarios::surface::cases());
    cases
}

fn name_of(case: &Case, place: Place, way: Way) -> String {
    format!(
        "{}: {}{} ({})",
        case.family,
        case.name,
        place.words(),
        way.name()
    )
}

fn in_place(
    place: Place,
    cases: &[Case],
    wanted: &dyn Fn(&str) -> bool,
    list: bool,
    report: &mut Report,
) -> Check {
    for way in matrix::ways_of(place) {
        let tried = |case: &&Case| {
            case.belongs(place) && wanted(&name_of(case, place, *way)) && case.has(*way)
        };
        let cases = cases.iter().filter(tried).collect::<Vec<_>>();
        if list {
            cases
                .iter()
                .for_each(|case| println!("{}", name_of(case, place, *way)));
            continue;
        }
        if cases.is_empty() {
            continue;
        }
        let world = World::make(place)?;
        let verdicts = matrix::run(&world, &cases, *way);
        let left = world.leave();
        for (case, verdict) in cases.iter().zip(verdicts) {
            report.add(&name_of(case, place, *way), verdict.into());
        }
        left?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each fault of `tests/faults` is for a scenario to notice; a name that no scenario has would be found after
    /// minutes in a VM.
    #[test]
    fn every_fault_names_a_scenario() {
        let cases = cases();
        let in_places = PLACES.iter().flat_map(|place| {
            let ways = matrix::ways_of(*place).iter();
            let named = ways.flat_map(|way| cases.iter().map(|case| name_of(case, *place, *way)));
            named.collect::<Vec<_>>()
        });
        let singles = scenarios::singles();
        let singles = singles
            .iter()
            .map(|single| format!("{}: {}", single.family, single.name));
        let names = in_places.chain(singles).collect::<Vec<_>>();
        let mut faults = 0;
        for entry in std::fs::read_dir("faults").unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let named = text
                .lines()
                .find_map(|line| line.strip_prefix("Scenario: "));
            let named = named.unwrap_or_default();
            assert!(
                !named.is_empty() && names.iter().any(|name| name.contains(named)),
                "{}: {named}",
                path.display()
            );
            faults += 1;
        }
        assert!(faults > 0);
    }
}
