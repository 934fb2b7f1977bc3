//! Programs that are replaced while both processors use them, as an upgrade does.

use std::{fs, time::Instant};

use super::{Context, Single, storm};
use crate::harness::{
    Check, Doing,
    daemon::Daemon,
    ensure,
    matrix::fixture_grant,
    process,
    session::Shell,
    world::{Place, World},
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "lifecycle",
            "another build's programs are replaced under load without a gap",
            replaced,
        )
        .once(),
    ]
}

const PINS: &str = "/sys/fs/bpf/bailiff";

/// The pins are renamed, so that the next daemon takes them for another build's: it attaches its
/// own and detaches those.
fn replaced(context: &mut Context) -> Check {
    let world = World::make(Place::Plain)?;
    let launch = world.launch("fixture", &fixture_grant())?;
    let secret = format!("{}/upgraded", world.outside);
    fs::write(&secret, "secret").doing("write a secret")?;
    let mut shell = Shell::start(&launch)?;
    let (own, tries) = (
        format!("{}/upgraded", world.workspace),
        format!("{}/tries", world.workspace),
    );
    shell.may(&format!("echo own > {own}"))?;
    let mut worker = storm::worker()?;
    // Both processors are used whenever the daemon leaves them; it is not kept from loading.
    process::shell(&format!("renice -n 15 {} {}", shell.pid, worker.pid()))?;
    // Each round: one read that is refused and one that is allowed; the exceptions are counted.
    shell.may(&format!(
        "(leaks=0; fails=0; rounds=0; while [ ! -e {own}.stop ]; do \
         read -r x 2>/dev/null < {secret} && leaks=$((leaks + 1)); \
         read -r x < {own} || fails=$((fails + 1)); rounds=$((rounds + 1)); done; \
         echo $leaks $fails $rounds > {tries}) & true"
    ))?;
    context.daemon()?.kill()?;
    process::shell(&format!(
        "for dir in {PINS}/programs-*; do mv $dir {PINS}/programs-0000; done"
    ))?;
    let began = Instant::now();
    context.daemon = Some(Daemon::start()?);
    println!("     replaced within {} s", began.elapsed().as_secs());
    let left = process::shell(&format!("ls -d {PINS}/programs-*"))?.stdout;
    ensure(left.lines().count() == 1 && !left.contains("0000"), || {
        format!("expected the programs of one build, saw {left}")
    })?;
    shell.may_not(&format!("cat {secret}"))?;
    shell.may(&format!("cat {own}"))?;
    shell.may(&format!("touch {own}.stop; wait"))?;
    let counted = shell.may(&format!("cat {tries}"))?;
    storm::work_done(&mut worker)?;
    let numbers = counted
        .split_whitespace()
        .map(|word| word.parse::<u64>().doing("read a number"))
        .collect::<Check<Vec<_>>>()?;
    println!("     leaks, failures, rounds: {}", counted.trim());
    ensure(
        matches!(numbers[..], [0, 0, rounds] if rounds > 100),
        || format!("expected no leak and no failure in many rounds, saw {counted}"),
    )
}
