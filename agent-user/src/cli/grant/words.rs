//! What a grant allows, in a few lines, for who is about to use it.

use agent_grant::{
    Mode,
    algebra::{Side, differences},
};

use super::{diff::rows, here, here_of};
use crate::{
    api::{GrantSource, Inputs, grant::Difference},
    render::{escape, escape::escape_bytes},
};

/// What everybody knows, and others are told by.
const MEASURE: &str = "coder";
/// Differences that are shown.
const SHOWN: usize = 12;

/// The grant's name and purpose, and what it allows more than `coder` and less.
pub(in crate::cli) fn in_short(
    source: &GrantSource,
    inputs: &Inputs,
) -> anyhow::Result<Vec<String>> {
    let own = here_of(source, inputs)?;
    let measure = here(MEASURE, inputs)?;
    let grant = &own.grant;
    let purpose = grant
        .purpose
        .as_deref()
        .unwrap_or("it does not say what for");
    let mut lines = vec![format!(
        "grant `{}`: {}",
        escape(&grant.name),
        escape(purpose)
    )];
    if grant.mode == Mode::Audit {
        lines.push("It refuses nothing and only records: `mode = \"audit\"`.".into());
    }
    let found = rows(&differences(own.compiled.inner(), measure.compiled.inner()));
    let (more, less): (Vec<_>, Vec<_>) = found.iter().partition(|row| row.wider == Side::First);
    lines.extend(listed("more", &more));
    lines.extend(listed("less", &less));
    Ok(lines)
}

fn listed(what: &str, rows: &[&Difference]) -> Vec<String> {
    if rows.is_empty() {
        return vec![format!("It allows nothing {what} than `{MEASURE}`.")];
    }
    let mut lines = vec![format!("It allows {what} than `{MEASURE}`, such as:")];
    lines.extend(rows.iter().take(SHOWN).map(|row| shown(row)));
    let rest = rows.len().saturating_sub(SHOWN);
    if rest > 0 {
        lines.push(format!(
            "  and {rest} more (`bailiff grant diff FILE {MEASURE}`)"
        ));
    }
    lines
}

/// `file.read,list /srv/data/x`
fn shown(row: &Difference) -> String {
    let dot = if row.rights.is_empty() { "" } else { "." };
    let object = row.object.as_ref();
    let object = object.map_or_else(String::new, |object| {
        format!(" {}", escape_bytes(&object.bytes()))
    });
    let value = match &row.object {
        Some(_) => String::new(),
        None => format!(" = {}", escape(&row.first.value)),
    };
    let rule = row.first.rule.as_ref();
    let rule = rule.map_or_else(String::new, |rule| format!(" ({})", escape(&rule.id)));
    format!(
        "  {}{dot}{}{object}{value}{rule}",
        row.kind,
        row.rights.join(",")
    )
}
