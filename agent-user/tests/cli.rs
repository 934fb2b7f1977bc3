//! What the command line says when something is wrong. Needs neither root nor a kernel that
//! enforces.

mod common;

use std::{
    fs,
    process::{Command, Stdio},
};

use common::{Run, bailiff, finish};

/// Commands that need no daemon, or end otherwise without one.
const NOT_ASKING: [&str; 8] = [
    "run",
    "init",
    "exec",
    "detach",
    "grant",
    "doctor",
    "oci-runtime",
    "daemon",
];

/// The least that can be given to each command that asks the daemon.
fn asking() -> Vec<Vec<String>> {
    let help = bailiff(&["--help"]).out;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    // What goes on is indented further.
    let names = commands.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| !NOT_ASKING.contains(name));
    names.map(least).collect()
}

fn least(command: &str) -> Vec<String> {
    let tries = [
        &[command][..],
        &[command, "coder-1"],
        &[command, "coder-1", "--grant", "base"],
    ];
    let complete = |args: &&[&str]| bailiff(args).code != 2;
    let args = tries.into_iter().find(complete);
    let args = args.unwrap_or_else(|| panic!("what does `{command}` take?"));
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

#[test]
fn without_a_daemon_every_command_says_how_to_start_it() {
    let asking = asking();
    assert!(asking.len() >= 9, "{asking:?}");
    for args in asking {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let run = bailiff(&args);
        assert_eq!(run.code, 1, "{args:?}: {}", run.err);
        assert!(
            run.err.contains("/nonexistent/bailiff.sock"),
            "{args:?}: {}",
            run.err
        );
        assert!(
            run.err.contains("systemctl start bailiff"),
            "{args:?}: {}",
            run.err
        );
        assert_eq!(run.out, "");
    }
}

#[test]
fn an_output_that_takes_nothing_ends_no_command_otherwise() {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let ends = |args: &[&str], out: Stdio, err: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiff"));
        command.args(args).stdout(out).stderr(err);
        command.env("BAILIFF_SOCKET", "/nonexistent/bailiff.sock");
        command.status().unwrap().code()
    };
    for (args, code) in [
        (&["status"][..], 1),
        (&["grant", "show", "no-such-grant"], 2),
        (&["run", "--grant", "base", "--", "/bin/true"], 125),
        (&["exec", "--grant", "base", "--", "/bin/true"], 125),
        (&["no-such-command"], 2),
    ] {
        assert_eq!(
            ends(args, Stdio::null(), full().into()),
            Some(code),
            "{args:?}"
        );
        assert_eq!(
            ends(args, Stdio::null(), closed().into()),
            Some(code),
            "{args:?}"
        );
    }
    let show = &["grant", "show", "base"];
    assert_eq!(ends(show, closed().into(), closed().into()), Some(0));
    assert_eq!(ends(show, full().into(), full().into()), Some(1));
}

#[test]
fn run_and_exec_use_the_exit_codes_of_a_shell() {
    for start in ["run", "exec"] {
        let with = |command: &str| bailiff(&[start, "--grant", "base", "--", command]);
        let run = with("/bin/true");
        assert_eq!(run.code, 125, "{}", run.err);
        assert!(run.err.contains("systemctl start bailiff"), "{}", run.err);
        let run = with("no-such-command");
        assert_eq!(run.code, 127, "{}", run.err);
        assert!(
            run.err.contains("`no-such-command` is not found"),
            "{}",
            run.err
        );
        let run = with("/etc/passwd");
        assert_eq!(run.code, 126, "{}", run.err);
        assert!(run.err.contains("not executable"), "{}", run.err);
    }
}

#[test]
fn an_unknown_grant_names_those_that_there_are() {
    let run = bailiff(&["run", "--grant", "codr", "--", "/bin/true"]);
    assert_eq!(run.code, 125);
    assert!(
        run.err.contains("`codr`") && run.err.contains("coder"),
        "{}",
        run.err
    );
}

#[test]
fn the_daemon_must_be_root() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiff"));
    command.args(["daemon"]);
    if nix::unistd::geteuid().is_root() {
        // Files of root's build need not be readable to others: a copy is. `cp` makes it, since what
        // another test starts meanwhile would inherit this process's descriptor, and a program that
        // is open for writing cannot be run.
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("bailiff");
        let mut cp = Command::new("cp");
        cp.arg(env!("CARGO_BIN_EXE_bailiff")).arg(&copy);
        assert!(cp.status().unwrap().success());
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), open).unwrap();
        command = Command::new(copy);
        std::os::unix::process::CommandExt::uid(command.arg("daemon"), 65534);
        let run = finish(command.output().unwrap());
        assert_not_root(&run);
    } else {
        assert_not_root(&finish(command.output().unwrap()));
    }
}

fn assert_not_root(run: &Run) {
    assert_eq!(run.code, 1);
    assert!(
        run.err.contains("must run as root") && run.err.contains("sudo"),
        "{}",
        run.err
    );
}

#[test]
fn options_say_what_they_take() {
    let run = bailiff(&["events", "--right", "file.wirte"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("file.write"), "{}", run.err);
    let run = bailiff(&["events", "--since", "soon"]);
    assert!(run.err.contains("1h"), "{}", run.err);
    let run = bailiff(&["why", "x"]);
    assert!(run.err.contains("#12"), "{}", run.err);
}

#[test]
fn doctor_answers_in_json() {
    let run = bailiff(&["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(json["schema"], 1);
    assert!(
        json["checks"]
            .as_array()
            .is_some_and(|checks| !checks.is_empty())
    );
    assert_eq!(json["ok"].as_bool().unwrap(), run.code == 0);
    assert!(json["daemon_error"].as_str().unwrap().contains("systemctl"));
}

/// In a directory of its own, with its home in another.
fn at_work(args: &[&str]) -> Run {
    let home = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let variables = [("HOME", home.path().to_str().unwrap()), ("PATH", "/bin")];
    common::bailiff_as(work.path(), &variables, args)
}

#[test]
fn what_the_command_line_adds_is_a_grant_that_check_accepts() {
    let run = at_work(&[
        "run",
        "--allow",
        "file.read,file.list:/etc/ssl",
        "--net",
        "127.0.0.1:8080",
        "--deny",
        "file.all:notes/**",
        "--audit",
        "--print-grant",
        "--",
        "true",
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
    for part in [
        "include = [\"coder\"]",
        "mode = \"audit\"",
        "path = [\"/etc/ssl\", \"/etc/ssl/**\"]",
        "to = [\"127.0.0.1:8080\"]",
        "deny = [\"all\"]\npath = [\"${cwd}/notes/**\"]",
    ] {
        assert!(run.out.contains(part), "no `{part}` in\n{}", run.out);
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("printed.toml");
    fs::write(&file, &run.out).unwrap();
    let check = at_work(&["grant", "check", file.to_str().unwrap()]);
    assert_eq!(check.code, 0, "{}{}", check.out, check.err);
    // Another step from there.
    let more = ["--grant", file.to_str().unwrap(), "--net", "127.0.0.1:8081"];
    let more = at_work(&[&["run"][..], &more, &["--print-grant", "true"]].concat());
    assert_eq!(more.code, 0, "{}", more.err);
    assert!(more.out.contains("id = \"command-line-4\""), "{}", more.out);
    assert!(more.out.contains("name = \"coder+"), "{}", more.out);
}

#[test]
fn a_printed_grant_has_what_was_filled_in() {
    let run = at_work(&["run", "--workspace", "/srv/w", "--print-grant", "true"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(
        run.out.contains("[variables]\nworkspace = \"/srv/w\""),
        "{}",
        run.out
    );
    assert!(run.out.contains("name = \"coder\""), "{}", run.out);
}

#[test]
fn what_is_wrong_on_the_command_line_is_said_in_its_words() {
    for (args, said) in [
        (
            &["--allow", "/data"][..],
            "--allow /data: write it as RIGHT:OBJECT",
        ),
        (&["--allow", "file.raed:/x"], "raed"),
        (&["--net", "api.example.org"], "api.example.org"),
        (&["--grant", "codr"], "there is no grant `codr`"),
        (
            &["--grant", "base", "--workspace", "/w"],
            "the grant has no such variable",
        ),
    ] {
        let args = [&["run"][..], args, &["--print-grant", "true"]].concat();
        let run = at_work(&args);
        assert_eq!(run.code, 125, "{args:?}: {}{}", run.out, run.err);
        assert!(run.err.contains(said), "{args:?}: {}", run.err);
    }
}

#[test]
fn an_unknown_option_is_no_command() {
    for command in ["run", "exec"] {
        let run = at_work(&[command, "--grant", "base", "--quite", "true"]);
        assert_eq!(run.code, 2, "{}", run.err);
        assert!(run.err.contains("'--quite'"), "{}", run.err);
        // What comes behind the command is the command's.
        let run = at_work(&[command, "--grant", "base", "true", "--quite"]);
        assert!(run.err.contains("/nonexistent/bailiff.sock"), "{}", run.err);
    }
}

#[test]
fn nobody_grants_his_home_directory_by_standing_in_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().to_str().unwrap();
    let run =
        |args: &[&str]| common::bailiff_as(home.path(), &[("HOME", path), ("PATH", "/bin")], args);
    let refused = run(&["run", "--print-grant", "true"]);
    assert_eq!(refused.code, 125, "{}", refused.out);
    assert!(
        refused.err.contains("is no directory to work in"),
        "{}",
        refused.err
    );
    for meant in [
        &["run", "--workspace", path, "--print-grant", "true"][..],
        &["run", "--grant", "base", "--print-grant", "true"],
        &[
            "run",
            "--grant",
            "tool-server",
            "--set",
            "data=/srv",
            "--print-grant",
            "true",
        ],
    ] {
        let run = run(meant);
        assert_eq!(run.code, 0, "{}", run.err);
    }
}
