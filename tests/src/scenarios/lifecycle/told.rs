//! What a session, and who starts one, are told.

use std::fs;

use super::{Scene, scene, why_says};
use crate::{
    acts::SECRET,
    harness::{Check, Doing, ensure, process, report::skip, session::Shell},
    scenarios::Context,
};

pub(super) fn ask_why(_: &mut Context) -> Check {
    let Scene {
        launch,
        secret,
        world,
    } = scene("why")?;
    let mut shell = Shell::start(&launch)?;
    shell.may_not(&format!("cat {secret}"))?;
    why_says(&mut shell, &[&secret, "file.read"])?;
    let env = format!("{}/why/.env", world.workspace);
    fs::write(&env, SECRET).doing("write")?;
    shell.may_not(&format!("cat {env}"))?;
    why_says(
        &mut shell,
        &["secrets", "Credentials are outside this grant."],
    )
    .map(drop)
}

/// The command that `bailiff why` names finds what the kernel found.
pub(super) fn explain_move(_: &mut Context) -> Check {
    let Scene { launch, world, .. } = scene("why-move")?;
    let above = format!("{}/why-move", world.workspace);
    let (git, moved) = (format!("{above}/.git"), format!("{above}/git"));
    process::shell(&format!(
        "mkdir -p {git}/hooks && touch {git}/hooks/commit-msg"
    ))?;
    let mut shell = Shell::start(&launch)?;
    let (code, said) = shell.run(&format!("mv --no-copy {git} {moved}"))?;
    ensure(
        code != 0 && said.contains("Invalid cross-device link"),
        || said,
    )?;
    let said = why_says(&mut shell, &["Invalid cross-device link", &moved])?;
    let mut lines = said.lines().map(str::trim);
    let command = lines.find(|line| line.starts_with("bailiff grant explain"));
    let command = command.ok_or(format!("expected a command, saw {said}"))?;
    let told = process::shell(&command.replace("PRESENT-NAME", &git))?.stdout;
    let expected = format!("{git}/hooks would gain");
    ensure(told.contains("refused") && told.contains(&expected), || {
        format!("expected `{expected}`, saw {told}")
    })?;
    ensure(fs::exists(&git).doing("look")?, || format!("{git} is gone"))
}

pub(super) fn exit_codes(_: &mut Context) -> Check {
    let Scene { launch, .. } = scene("codes")?;
    let code = |script: &str| Ok::<_, String>(launch.run(&["bash", "-c", script])?.code);
    for (script, expected) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)] {
        let seen = code(script)?;
        ensure(seen == expected, || {
            format!("`{script}`: expected exit code {expected}, saw {seen}")
        })?;
    }
    if launch.run(&["/nonexistent"])?.code == 127 {
        return Ok(());
    }
    skip("a command that is not there has another exit code")
}
