//! `bailiff doctor`

use std::process::ExitCode;

use clap::Args;

use super::{
    JsonArg,
    failure::is_from_inside,
    output::{block_on, print, print_json},
    self_test,
};
use crate::{
    api::{
        Enforcement, EnforcementState, SCHEMA, Status,
        doctor::{HookCoverage, HostCheck, HostReport, OtherHooks},
        routes,
    },
    client::{Client, ClientError},
    kernel::{Found, diagnose, other_hooks, rehearse},
    render::{
        Table, escape,
        style::{BAD, FAINT, GOOD, STRONG, WARN, paint},
        table::Cell,
    },
};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Try acts of each kind that must be refused, and twins that must not, in a session of its own.
    #[arg(long)]
    self_test: bool,
    #[command(flatten)]
    json: JsonArg,
}

pub(super) fn doctor(args: &DoctorArgs, client: &Client) -> anyhow::Result<ExitCode> {
    let mut checks = diagnose();
    let (daemon, hooks) = block_on(ask(client))?;
    let daemon = match daemon {
        // What is seen from inside of a session says nothing about the host.
        Err(error) if is_from_inside(&error) => return Err(error.into()),
        answer => answer,
    };
    let unreachable = matches!(daemon, Err(ClientError::Unreachable { .. }));
    if let (Err(error), true) = (&daemon, args.self_test && unreachable) {
        anyhow::bail!("the self-test is a session, and {error}");
    }
    match &daemon {
        Ok(status) => checks.push(HostCheck::new(
            "enforcement",
            enforcement(&status.enforcement),
        )),
        // Whatever keeps it from starting is found as it would find it.
        Err(_) if unreachable && checks.iter().all(|check| check.ok) => {
            checks.push(HostCheck::new("programs", programs()));
        }
        Err(_) => {}
    }
    let self_test = match args.self_test {
        true => Some(block_on(self_test::run(client))?),
        false => None,
    };
    if !unreachable {
        // Only the daemon needs them, and it runs.
        checks.retain(|check| check.ok || check.name != "privileges");
    }
    // What is wrong comes first.
    checks.sort_by_key(|check| check.ok);
    let findings = HostReport {
        schema: SCHEMA,
        ok: checks.iter().all(|check| check.ok)
            && self_test.as_ref().is_none_or(|self_test| self_test.ok),
        self_test,
        checks,
        daemon_error: daemon.as_ref().err().map(ToString::to_string),
        daemon: daemon.ok(),
        hooks,
        other_hooks: other_hooks().ok(),
    };
    if args.json.json {
        print_json(&findings)?;
    } else {
        print(&lines(&findings))?;
    }
    Ok(if findings.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn ask(client: &Client) -> (Result<Status, ClientError>, Vec<HookCoverage>) {
    let status = client.get(&routes::STATUS.place()).await;
    let hooks = client.get(&routes::COVERAGE.place()).await;
    (status, hooks.map_or_else(|_| Vec::new(), |page| page.items))
}

fn enforcement(enforcement: &Enforcement) -> Found {
    let remedy = "no session starts until then; `bailiff status` tells when it is in force again";
    let why = enforcement.because.as_deref().unwrap_or("");
    match enforcement.state.known() {
        Some(EnforcementState::InForce) => Ok("attached and pinned".into()),
        Some(EnforcementState::NotLasting) => Err((format!("NOT LASTING: {why}"), remedy.into())),
        Some(EnforcementState::Off) => Err((
            format!("NOT ENFORCED: {why}"),
            "end the sessions, and restart the daemon".into(),
        )),
        None => Err((
            format!(
                "`{}`, which this version does not know: {why}",
                enforcement.state
            ),
            "use the `bailiff` of the daemon's version".into(),
        )),
    }
}

fn programs() -> Found {
    let number = rehearse().map_err(|error| {
        let remedy = "the daemon does not start before that is put right; if nothing says how, please report it with `uname -r`";
        (error.to_string(), remedy.to_owned())
    })?;
    Ok(format!("the kernel takes all {number}"))
}

fn lines(findings: &HostReport) -> String {
    let mut checks = Table::new(&["", "CHECK", "FOUND"]);
    for check in &findings.checks {
        checks.row([
            if check.ok {
                Cell::styled("ok", GOOD)
            } else {
                Cell::styled("BAD", BAD)
            },
            check.name.as_str().into(),
            escape(&check.found).into(),
        ]);
        if let Some(remedy) = check.remedy.as_ref().filter(|_| !check.ok) {
            checks.row([
                "".into(),
                "".into(),
                Cell::styled(format!("-> {remedy}"), STRONG),
            ]);
        }
    }
    let mut text = checks.render();
    text += &match (&findings.daemon, &findings.daemon_error) {
        (Some(status), _) => format!(
            "\n{} pid {}, {} sessions, {} of {} hooks attached\n",
            paint("daemon", STRONG),
            status.pid,
            status.sessions,
            status.hooks_attached,
            status.hooks_known
        ),
        (None, error) => {
            let error = error.as_deref().unwrap_or("no answer");
            format!("\n{} {}\n", paint("daemon", STRONG), paint(error, WARN))
        }
    };
    let mut table = Table::new(&["", "HOOK", "FAMILY", "VERIFIED", "NOTE"]);
    for hook in &findings.hooks {
        table.row([
            if hook.attached {
                Cell::styled("ok", GOOD)
            } else {
                Cell::styled("off", WARN)
            },
            escape(&hook.hook).into(),
            escape(&hook.family).into(),
            hook.verified_instructions
                .map_or("-".into(), |n| Cell::styled(n.to_string(), FAINT)),
            escape(hook.note.as_deref().unwrap_or("")).into(),
        ]);
    }
    if !findings.hooks.is_empty() {
        text += "\n";
        text += &table.render();
    }
    if let Some(others) = &findings.other_hooks {
        text += &other_lines(others);
    }
    if let Some(self_test) = &findings.self_test {
        text += &self_test::lines(self_test);
    }
    text + if findings.ok {
        "\nThis host can enforce grants.\n"
    } else {
        "\nThis host cannot enforce grants until what is BAD is put right.\n"
    }
}

/// What the kernel's other hooks come to; each is in the JSON.
fn other_lines(others: &OtherHooks) -> String {
    let mut text = format!(
        "\n{} other LSM hooks of this kernel need not be attached, for reasons that `--json` gives.\n",
        others.unattached.len()
    );
    if !others.unknown.is_empty() {
        let names = others.unknown.join(", ");
        text += &paint(
            &format!(
                "This kernel has LSM hooks that this version does not know: {}. What they guard may \
                 go unjudged: upgrade Bailiff, or use an older kernel.",
                escape(&names)
            ),
            WARN,
        );
        text += "\n";
    }
    text
}
