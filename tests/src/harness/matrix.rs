//! The matrix: every case in every way that has words for it, in few sessions.
//!
//! For each way all cases of a world run in one session: the act that must be refused, and its
//! twin inside the grant that must succeed. Then all the refused acts run again on copies of their
//! fixtures, unconfined, where they must succeed. A case passes if all three hold, no refused act
//! left a trace, and each refusal is an event with the right, the reason and the rule.

mod case;
mod judge;

pub(crate) use case::Case;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    Check, Doing, ensure,
    events::{self, Event},
    ground::{Ground, Listener},
    process,
    report::skip,
    world::{Place, World, nests_all},
};
use crate::{
    acts::{Act, Way, Witness},
    driver::{self, Step, Told, Transcript},
};

type Prepare = Box<dyn Fn(&mut Ground<'_>) -> Act>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Refused,
    Twin,
    Free,
    Everything,
}

struct Planned<'a> {
    case: usize,
    role: Role,
    act: Act,
    ground: Ground<'a>,
    before: Vec<Witness>,
}

impl Planned<'_> {
    /// What changed since before, in words.
    fn traces(&self) -> Vec<String> {
        let mut traces = Vec::new();
        for witness in &self.before {
            let now = witness.now(&self.ground.world.root);
            if now != *witness {
                traces.push(format!("{witness:?} became {now:?}"));
            }
        }
        if self.ground.listeners.iter().any(Listener::heard) {
            traces.push("the listener heard it".into());
        }
        traces
    }

    fn has_witness(&self) -> bool {
        !self.before.is_empty() || !self.ground.listeners.is_empty()
    }
}

static NUMBER: AtomicU32 = AtomicU32::new(1);

fn plan<'a>(world: &'a World, case: usize, role: Role, prepare: &Prepare) -> Check<Planned<'a>> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut ground = Ground::new(world, number);
    let act = prepare(&mut ground);
    if let Some(error) = ground.error.take() {
        return Err(format!("the fixture cannot be made: {error}"));
    }
    Ok(Planned {
        case,
        role,
        act,
        ground,
        before: Vec::new(),
    })
}

const DRIVER: &str = ".scenarios";

/// What one run of a driver told.
struct Run {
    told: BTreeMap<u32, Told>,
    events: Vec<Event>,
}

/// Writes the plan in all its forms where the session can read it.
fn write_plan(world: &World, way: Way, steps: &[Step]) -> Check<Vec<String>> {
    let files = format!("{}/{DRIVER}", world.workspace);
    let real = world.seen(&files);
    fs::create_dir_all(&real).doing("make the driver's directory")?;
    let driver = format!("{files}/driver");
    if !real.join("driver").exists() {
        fs::copy("/proc/self/exe", real.join("driver")).doing("copy the driver")?;
    }
    let json = serde_json::to_vec(steps).doing("write the plan")?;
    fs::write(real.join("plan.json"), json).doing("write the plan")?;
    fs::write(real.join("script.sh"), driver::bash_script(steps)).doing("write the script")?;
    fs::write(real.join("program.py"), driver::python_program(steps)).doing("write the program")?;
    let mut words = driver::command(way, &driver, &files);
    if way == Way::Bash {
        // As agents do it: the script is an argument.
        words = vec!["bash".into(), "-c".into(), driver::bash_script(steps)];
    }
    Ok(words)
}

fn steps<'b>(planned: impl Iterator<Item = &'b Planned<'b>>) -> Vec<Step> {
    planned
        .map(|planned| Step {
            number: planned.ground.number,
            act: planned.act.clone(),
        })
        .collect()
}

fn confined(world: &World, way: Way, grant: (&str, &str), steps: &[Step]) -> Check<Run> {
    let words = write_plan(world, way, steps)?;
    let ended = world.launch(grant.0, grant.1)?.run(&words)?;
    let transcript = Transcript::parse(&ended.stdout);
    let Some(session) = transcript.session else {
        return Err(format!(
            "the session did not start: exit code {}: {}",
            ended.code,
            ended.tail()
        ));
    };
    if transcript.told.len() < steps.len() {
        let told = transcript.told.len();
        let tail = ended.tail();
        return Err(format!(
            "the driver told of {told} acts of {}: {tail}",
            steps.len()
        ));
    }
    Ok(Run {
        told: transcript.told,
        events: events::of(&session)?,
    })
}

/// The same acts by the same driver, in no session, and in a mount namespace that nobody sees.
fn unconfined(world: &World, way: Way, steps: &[Step]) -> Check<Run> {
    let words = write_plan(world, way, steps)?;
    let mut whole = vec!["unshare".to_owned(), "--mount".into(), "--uts".into()];
    if world.root != Path::new("/") {
        whole.extend(["chroot".into(), world.root.display().to_string()]);
    }
    whole.extend(words);
    let ended = process::run_with(&whole, &mut |command| {
        command.env("HOME", &world.home);
    })?;
    let transcript = Transcript::parse(&ended.stdout);
    if transcript.told.len() < steps.len() {
        let told = transcript.told.len();
        let tail = ended.tail();
        return Err(format!(
            "the driver told of {told} acts of {}: {tail}",
            steps.len()
        ));
    }
    Ok(Run {
        told: transcript.told,
        events: Vec::new(),
    })
}

/// Runs these cases in one way; the verdicts come in the same order.
pub(crate) fn run(world: &World, cases: &[&Case], way: Way) -> Vec<Check> {
    match attempt(world, cases, way) {
        Ok(verdicts) => verdicts,
        Err(error) => cases.iter().map(|_| Err(error.clone())).collect(),
    }
}

fn attempt(world: &World, cases: &[&Case], way: Way) -> Check<Vec<Check>> {
    let mut planned = Vec::new();
    let mut broken = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        let free = case.free.as_ref().unwrap_or(&case.refused);
        let roles = [
            (Role::Refused, Some(&case.refused)),
            (Role::Twin, case.twin.as_ref()),
            (Role::Free, (!case.without_free).then_some(free)),
        ];
        for (role, prepare) in roles {
            let Some(prepare) = prepare else { continue };
            match plan(world, index, role, prepare) {
                Ok(act) => planned.push(act),
                Err(error) => {
                    broken.insert(index, error);
                }
            }
        }
    }
    planned.retain(|act| act.act.has(way) && !broken.contains_key(&act.case));
    world.finish()?;
    look(&mut planned);
    let mounts = mounts();
    let in_session = steps(planned.iter().filter(|act| act.role != Role::Free));
    let session = confined(world, way, ("fixture", &fixture_grant()), &in_session)?;
    // Before the unconfined acts, which leave traces of their own.
    let mut verdicts = BTreeMap::new();
    for act in planned.iter().filter(|act| act.role != Role::Free) {
        let told = session.told.get(&act.ground.number);
        let check = match act.role {
            Role::Refused => judge::judge_refused(cases[act.case], way, act, told, &session.events),
            _ => judge::judge_done("the twin inside the grant", act, told, &session.events),
        };
        judge::keep_first(&mut verdicts, act.case, check);
    }
    let changed = mounts != self::mounts();
    let free = steps(planned.iter().filter(|act| act.role == Role::Free));
    let free_run = unconfined(world, way, &free)?;
    for act in planned.iter().filter(|act| act.role == Role::Free) {
        let told = free_run.told.get(&act.ground.number);
        let check = judge::judge_done("unconfined", act, told, &[]);
        if judge::is_unsupported(told) {
            verdicts.insert(act.case, skip("nobody can do it here on this kernel"));
        } else {
            judge::keep_first(&mut verdicts, act.case, check);
        }
    }
    for (case, error) in broken {
        verdicts.insert(case, Err(error));
    }
    ensure(!changed, || "the session changed the host's mounts".into())?;
    (0..cases.len())
        .map(|case| {
            verdicts
                .remove(&case)
                .ok_or_else(|| "the case was not tried".to_owned())
        })
        .collect::<Check<Vec<Check>>>()
}

/// Runs the refused acts of these cases under a grant of everything and unconfined: the results
/// must be the same.
pub(crate) fn run_under_everything(world: &World, cases: &[&Case]) -> Vec<Check> {
    let attempt = || -> Check<Vec<Check>> {
        let mut planned = Vec::new();
        for (index, case) in cases.iter().enumerate() {
            let act = case.free.as_ref().unwrap_or(&case.refused);
            planned.push(plan(world, index, Role::Everything, act)?);
        }
        look(&mut planned);
        let steps = steps(planned.iter());
        let grant = everything_grant();
        let words = write_plan(world, Way::Compiled, &steps)?;
        let mut launch = world.launch("everything", &grant)?;
        // Before the session begins: in namespaces that it shares with others it mounts nothing.
        let private = ["unshare", "--mount", "--uts"].map(str::to_owned);
        launch.before.splice(0..0, private);
        let ended = with_perf_for_users(|| launch.run(&words))?;
        let transcript = Transcript::parse(&ended.stdout);
        let session = transcript
            .session
            .ok_or_else(|| format!("the session did not start: {}", ended.tail()))?;
        let events = events::of(&session)?;
        Ok(planned
            .iter()
            .map(|act| {
                let told = transcript.told.get(&act.ground.number);
                judge::judge_done("under a grant of everything", act, told, &events)
            })
            .collect())
    };
    match attempt() {
        Ok(verdicts) => verdicts,
        Err(error) => cases.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// As the kernel's own default is: what a session may watch, every user may. Distributions that say 3 or more
/// leave it to capabilities alone, which no grant gives there.
fn with_perf_for_users<T>(act: impl FnOnce() -> Check<T>) -> Check<T> {
    let path = "/proc/sys/kernel/perf_event_paranoid";
    let was = fs::read_to_string(path).doing("read who may watch processes")?;
    fs::write(path, "2").doing("let users watch their processes")?;
    let done = act();
    fs::write(path, was).doing("set who may watch processes")?;
    done
}

/// Notes what every witness shows now.
fn look(planned: &mut [Planned<'_>]) {
    for act in planned {
        let mut witnesses = act.act.witnesses();
        witnesses.append(&mut act.ground.witnesses);
        act.before = witnesses
            .iter()
            .map(|witness| witness.now(&act.ground.world.root))
            .collect();
    }
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// The fixture of the scenarios: a checkout to work in, `base`, and a few rules to be refused by.
pub(crate) fn fixture_grant() -> String {
    include_str!("../grants/fixture.toml").into()
}

pub(crate) fn everything_grant() -> String {
    include_str!("../grants/everything.toml").into()
}

/// Which ways a place is tried in. What programs make of an act does not differ by kernel.
pub(crate) fn ways_of(place: Place) -> &'static [Way] {
    if nests_all() {
        return match place {
            // The first is the last again, and whoever is chrooted makes no user namespace.
            Place::Plain | Place::Chroot => &[],
            Place::Overlay | Place::Bind | Place::Nested => &[Way::Compiled],
        };
    }
    match (place, runs_everything()) {
        (Place::Plain, true) => &Way::ALL,
        (Place::Plain, false) => &[Way::Direct, Way::Compiled],
        (Place::Nested, true) => &[Way::Compiled],
        (Place::Nested, false) => &[],
        (_, true) => &[Way::Python, Way::Compiled],
        (_, false) => &[Way::Compiled],
    }
}

/// Whether this is the kernel on which what does not differ by kernel is tried.
pub(crate) fn runs_everything() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .is_ok_and(|release| release.starts_with("6.12."))
}

/// Whether the running kernel is of this version or a later one.
pub(crate) fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}
