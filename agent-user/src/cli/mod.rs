//! The command line: one file per command.

mod attach;
mod attachments;
mod checkout;
mod daemon;
mod doctor;
mod event_groups;
mod event_line;
mod events;
mod exec;
mod failure;
mod grant;
mod grant_args;
mod init;
mod journal;
mod oci;
mod output;
mod ps;
mod report;
mod run;
mod self_test;
mod status;
mod stop;
mod tag;
mod trust;
mod why;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{api::DEFAULT_SOCKET, client::Client};

/// Enforces, in the kernel, the authority that you granted to an AI agent.
///
/// `bailiff run -- COMMAND` runs COMMAND so that it, and all that it starts, can do what the grant
/// allows that is called as the program (else `coder`) and nothing else. `bailiff events` shows what was refused, and
/// `bailiff why` explains it.
#[derive(Debug, Parser)]
#[command(
    name = "bailiff",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct Cli {
    /// Where the daemon listens.
    #[arg(long, global = true, value_name = "PATH", env = "BAILIFF_SOCKET",
          default_value = DEFAULT_SOCKET, hide_env_values = true)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command in a new session.
    ///
    /// The session has a cgroup of its own: below this process's where that is delegated (`Delegate=yes` of
    /// a service), so that limits there hold for it, else /sys/fs/cgroup/bailiff/SESSION.
    Run(run::RunArgs),
    /// Write a grant for the checkout in which you stand, `bailiff.toml`.
    ///
    /// With what its languages need, and reasons, in comments. `bailiff run` finds it by itself.
    Init(init::InitArgs),
    /// Use the grant that a checkout brings with it, `bailiff.toml`, from now on.
    ///
    /// Shows what it allows, and asks. `bailiff run` takes it while it is what was shown, for you alone; where it
    /// has changed, it is to be looked at again.
    Trust(trust::TrustArgs),
    /// Become a command in a new session, with the same pid and in the same cgroup.
    ///
    /// For services and schedulers: `ExecStart=bailiff exec --grant coder -- COMMAND`. What limits and
    /// watches the process goes on to do so. The session is this process and all that it starts,
    /// wherever that goes, and ends with the last of them.
    Exec(exec::ExecArgs),
    /// Put a running cgroup, with all its processes, under a grant.
    Tag(tag::TagArgs),
    /// Free the processes of a tagged cgroup from their session.
    Untag(tag::UntagArgs),
    /// Put whatever starts as a unit, or in cgroups of a pattern, under a grant, from now on.
    ///
    /// Written down in /etc/bailiff/attach.d, it lasts over restarts of the unit, of Bailiff and of the host, and
    /// holds while no daemon runs. Each process is limited from its first program on: what systemd or a
    /// container's runtime sets up before is not. A unit gets a drop-in, so that it starts under its grant or
    /// not at all.
    Attach(attach::AttachArgs),
    /// Take an attachment back. What runs stays under its grant until it is started anew.
    Detach(attach::DetachArgs),
    /// List attachments, and what is wrong with them. Exits with 1 if anything is.
    Attachments(attachments::AttachmentsArgs),
    /// List sessions.
    Ps(ps::PsArgs),
    /// Show one session, or how the daemon is.
    Status(status::StatusArgs),
    /// Kill every process of a session.
    Stop(stop::StopArgs),
    /// Halt every process of a session, or let them go on.
    Freeze(stop::FreezeArgs),
    /// Show what sessions did beyond their grants.
    Events(events::EventsArgs),
    /// Explain a refusal: which rule, whether to try again, what to ask for.
    Why(why::WhyArgs),
    /// Compare what a session did with what it was granted.
    Report(report::ReportArgs),
    /// Work on grants; needs neither daemon nor root.
    #[command(subcommand)]
    Grant(GrantCommand),
    /// See whether this host can enforce grants, and what it cannot see.
    Doctor(doctor::DoctorArgs),
    /// Try what the self-test tries; for `doctor` and the daemon.
    #[command(name = crate::self_test::COMMAND, hide = true)]
    SelfTestActs {
        place: PathBuf,
        program: PathBuf,
        #[command(flatten)]
        others: crate::self_test::Others,
    },
    /// What runtimes run for each container, before it starts: it comes under the grant that is attached to it.
    #[command(hide = true)]
    OciHook,
    /// Be Docker's or containerd's runtime: runc, with attachments to containers
    ///
    /// Adds the hook for attached containers to each that is created, and leaves the rest to runc, or to what
    /// /etc/bailiff/oci-runtime says. `bailiff-runc` is another name for it.
    #[command(disable_help_flag = true)]
    OciRuntime {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run the daemon, as root.
    Daemon(daemon::DaemonArgs),
}

#[derive(Debug, Subcommand)]
enum GrantCommand {
    /// List the grants that are known by a name: those of /etc/bailiff/grants, and those that ship.
    List(grant::list::ListArgs),
    /// Look for mistakes.
    ///
    /// Remarks are about this host, directory and user; the grant's tests are run as in
    /// `bailiff grant test`.
    Check(grant::check::CheckArgs),
    /// Show what a grant says, includes and variables filled in.
    Show(grant::show::ShowArgs),
    /// Say what a grant allows on a path or destination, which rule decides, and what would have to
    /// change; with `--to`, whether a path may be moved, and what forbids it.
    ///
    /// Exits with 0 whatever the answer is (`--json` has it for programs), 1 if what is asked about is neither a
    /// path nor a destination, 2 if the grant has mistakes.
    Explain(grant::explain::ExplainArgs),
    /// Compare what two grants allow, exactly. Exits with 0 if they are equal, 1 if they differ, 2
    /// on errors.
    Diff(grant::diff::DiffArgs),
    /// Run the tests of a grant. Exits with 1 if one fails, 2 if they cannot be run.
    ///
    /// The answer depends on the grant alone: in tests `${cwd}` is /home/agent/project, `${home}` is
    /// /home/agent and `${user}` is agent, whoever runs them and wherever.
    /// `--set cwd=/home/agent` and its like give other values.
    Test(grant::test::TestArgs),
    /// Draw the automaton of a grant's file rules, for Graphviz.
    Graph(grant::graph::GraphArgs),
}

/// Printing of whatever a command answers.
#[derive(Debug, Clone, Copy, Args)]
struct JsonArg {
    /// Print JSON (schema 1).
    #[arg(long)]
    json: bool,
}

/// The program's entry: parses, does, reports.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = env::args_os();
    let called = words.next().map(PathBuf::from);
    if called.is_some_and(|called| called.file_name() == Some(OsStr::new(oci::runtime::NAME))) {
        return oci::runtime::runtime(&words.collect::<Vec<_>>());
    }
    let cli = Cli::parse();
    let client = Client::new(&cli.socket);
    let result = match cli.command {
        Command::Run(args) => run::run(&args, &client),
        Command::Init(args) => init::init(&args, &client),
        Command::Trust(args) => trust::trust(&args, &client),
        Command::Exec(args) => Ok(exec::exec(&args, &client)),
        Command::Tag(args) => tag::tag(&args, &client),
        Command::Untag(args) => tag::untag(&args, &client),
        Command::Attach(args) => attach::attach(&args, &client),
        Command::Detach(args) => attach::detach(&args, &client),
        Command::Attachments(args) => attachments::attachments(&args, &client),
        Command::Ps(args) => ps::ps(&args, &client),
        Command::Status(args) => status::status(&args, &client),
        Command::Stop(args) => stop::stop(&args, &client),
        Command::Freeze(args) => stop::freeze(&args, &client),
        Command::Events(args) => events::events(args, &client),
        Command::Why(args) => why::why(&args, &client),
        Command::Report(args) => report::report(&args, &client),
        Command::Grant(GrantCommand::List(args)) => grant::list::list(&args),
        Command::Grant(GrantCommand::Check(args)) => grant::check::check(&args),
        Command::Grant(GrantCommand::Show(args)) => grant::show::show(&args),
        Command::Grant(GrantCommand::Explain(args)) => grant::explain::explain(&args),
        Command::Grant(GrantCommand::Diff(args)) => grant::diff::diff(&args),
        Command::Grant(GrantCommand::Test(args)) => grant::test::test(&args),
        Command::Grant(GrantCommand::Graph(args)) => grant::graph::graph(&args),
        Command::Doctor(args) => doctor::doctor(&args, &client),
        Command::SelfTestActs {
            place,
            program,
            others,
        } => crate::self_test::main(&place, &program, &others).map_err(Into::into),
        Command::OciHook => Ok(oci::hook::hook(&client)),
        Command::OciRuntime { args } => Ok(oci::runtime::runtime(&args)),
        Command::Daemon(args) => daemon::daemon(args, cli.socket),
    };
    result.unwrap_or_else(|error| failure::report(&error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// Commands that print JSON, by their words: `grant check`.
    fn with_json(command: &clap::Command, words: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for below in command.get_subcommands() {
            let words = format!("{words} {}", below.get_name());
            if below
                .get_arguments()
                .any(|option| option.get_id() == "json")
            {
                found.insert(words.trim().to_owned());
            }
            found.extend(with_json(below, &words));
        }
        found
    }

    #[test]
    fn what_each_command_prints_as_json_is_described() {
        let document = include_str!("../../../docs/api-schema.json");
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        // `status SESSION` and `events --follow` are of `status` and `events`.
        let is_word = |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase());
        let command = |key: &String| {
            let words = key.split(' ').take_while(is_word);
            words.collect::<Vec<_>>().join(" ")
        };
        let described = document["commands"].as_object().unwrap();
        let described = described.keys().map(command).collect::<BTreeSet<_>>();
        assert_eq!(
            with_json(&super::Cli::command(), ""),
            described,
            "on the left what the command line has, on the right what `commands` in api/schema.rs has"
        );
    }
}
