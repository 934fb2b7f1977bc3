//! `bailiff daemon`

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    daemon::{self, Settings},
    grants::DEFAULT_STATE,
    store::Retention,
};

#[derive(Debug, Args)]
pub(super) struct DaemonArgs {
    /// Where sessions and events are kept.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE)]
    state: PathBuf,
    /// Days for which events, and sessions that have ended, are kept.
    #[arg(long, value_name = "DAYS", default_value_t = Retention::default().days)]
    keep_days: u32,
    /// Megabytes that events and ended sessions may take together; the oldest go first.
    #[arg(long, value_name = "MB", default_value_t = Retention::default().megabytes)]
    keep_megabytes: u32,
}

pub(super) fn daemon(args: DaemonArgs, socket: PathBuf) -> anyhow::Result<ExitCode> {
    daemon::main(&Settings {
        socket,
        state: args.state,
        retention: Retention {
            days: args.keep_days,
            megabytes: args.keep_megabytes,
        },
    })?;
    Ok(ExitCode::SUCCESS)
}
