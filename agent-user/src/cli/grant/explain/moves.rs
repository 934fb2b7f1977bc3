//! `bailiff grant explain GRANT PATH --to PATH`

use std::{fs, path::Path};

use agent_grant::{Manner, Move, MoveExplanation, explain::Bar, explain_move};
use anyhow::{Context, bail};
use clap::Args;

use super::{Here, place, rule_and_place};
use crate::{
    cli::grant::move_words::bar_in_words,
    render::{
        Table, escape,
        escape::escape_bytes,
        style::{BAD, FAINT, GOOD, paint},
        table::Cell,
    },
};

/// What a move is, besides the path of what is moved.
#[derive(Debug, Args)]
pub(super) struct MoveArgs {
    /// Whether what is at the path may be renamed to this one.
    #[arg(long, value_name = "PATH", conflicts_with = "right")]
    to: Option<String>,
    /// With `--to`: whether it may get a second name there, by a hard link.
    #[arg(long, requires = "to", conflicts_with = "exchange")]
    link: bool,
    /// With `--to`: whether it may change places with what is there.
    #[arg(long, requires = "to")]
    exchange: bool,
    /// With `--to`: a directory is moved, with all below it. Otherwise it is what is at the path now,
    /// and a file where nothing is.
    #[arg(long, requires = "to", conflicts_with = "link")]
    directory: bool,
}

/// The explanation of a move, if one is asked about.
pub(super) fn asked(
    here: &Here,
    args: &MoveArgs,
    object: &str,
) -> anyhow::Result<Option<MoveExplanation>> {
    let Some(to) = &args.to else {
        return Ok(None);
    };
    for path in [object, to] {
        if !path.starts_with('/') {
            bail!("`{}` is no absolute path", escape(path));
        }
        place::must_lead_somewhere(path)?;
    }
    let is_directory = |path: &str| fs::symlink_metadata(path).ok().map(|found| found.is_dir());
    let there = is_directory(to);
    let directory = args.directory || is_directory(object).unwrap_or(false);
    let manner = if args.link {
        Manner::Link
    } else if args.exchange {
        Manner::Exchange {
            other_is_directory: there.unwrap_or(directory),
        }
    } else {
        Manner::Rename {
            replaces: there.is_some(),
        }
    };
    let [old, new] = [object, to].map(|path| place::of_name(&here.view, Path::new(path)));
    let wanted = Move::new(old, new, directory, manner).with_context(|| {
        format!(
            "there is no {} of {} to {}",
            manner.name(),
            escape(object),
            escape(to)
        )
    })?;
    Ok(Some(explain_move(here.compiled.inner(), &wanted)))
}

/// What was taken for granted about what is not there.
pub(super) fn assumed(args: &MoveArgs, object: &str) -> Option<String> {
    let unknown = !args.directory && !args.link && fs::symlink_metadata(object).is_err();
    unknown.then(|| {
        format!(
            "\nNothing is at {}, so this is about a file. A directory takes all below it along: `--directory`.\n",
            escape(object)
        )
    })
}

/// Every right that is needed, and what forbids the move besides.
pub(super) fn in_words(found: &MoveExplanation) -> String {
    let verdict = if found.allowed {
        paint("allowed", GOOD)
    } else {
        paint("refused", BAD)
    };
    let mut text = format!("{}: {verdict}\n\n", escape(&found.wanted.to_string()));
    let mut table = Table::new(&["RIGHT", "PATH", "", "RULE", "REASON"]);
    for need in &found.needs {
        let rule = need.rule.as_ref();
        let reason = match rule {
            None => "no rule allows it",
            Some(rule) if !need.allowed => rule.reason.as_deref().unwrap_or(""),
            Some(_) => "",
        };
        table.row([
            need.right.name().into(),
            escape_bytes(&need.path).into(),
            super::verdict(need.allowed),
            rule.map_or_else(|| "-".to_owned(), |rule| rule_and_place(&rule.into()))
                .into(),
            Cell::styled(escape(reason), FAINT),
        ]);
    }
    text += &table.render();
    text.push('\n');
    let mut barred = false;
    for transfer in &found.transfers {
        if let Some((fact, because)) = bar_in_words(transfer) {
            barred = true;
            text += &format!("{}:\n    {because}.\n", capitalised(&fact));
        }
        if let Some(Bar::Rights {
            rule: Some(rule), ..
        }) = &transfer.bar
            && let Some(reason) = &rule.reason
        {
            text += &format!("    {}\n", paint(&escape(reason), FAINT));
        }
    }
    if !barred {
        text += "Neither it nor anything below it gains a right.\n";
    } else if found.needs.iter().all(|need| need.allowed) {
        text += "The kernel answers EXDEV (\"Invalid cross-device link\"), as it does between \
                 filesystems.\n`mv` and its like then copy, and the copy is judged by the rights of \
                 its new name.\n";
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}
