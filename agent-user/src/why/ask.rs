//! What to ask the operator for.

use std::path::{Path, PathBuf};

use agent_abi::Reason;

use super::{
    Terms, is_crash,
    proposal::{exact_name, exception, rule, setting},
    reason::{is_built_in, is_on_file},
};
use crate::{api::Event, render::shell};

/// What the operator could write; `None` where nothing can be asked for.
pub(super) fn ask(
    event: &Event,
    reason: Option<Reason>,
    terms: Option<Terms<'_>>,
) -> Option<String> {
    let right = event.right.known();
    match reason? {
        Reason::Rule => {
            let rule = event.rule.as_ref().filter(|rule| !is_built_in(rule))?;
            let id = &rule.id;
            Some(match exception(event, right?) {
                Ok(object) => format!(
                    "A deny wins over every allow. Ask the operator for an `except` in rule `{id}`:\n\
                     except = [{object}]"
                ),
                Err(because) => format!(
                    "A deny wins over every allow. Ask the operator about rule `{id}`. No rule is \
                     proposed: {because}"
                ),
            })
        }
        Reason::NoRule => Some(match rule(event, right?) {
            Ok(rule) => format!("Ask the operator for this rule:\n{rule}"),
            Err(because) => format!(
                "Ask the operator to grant `{}`. No rule is proposed: {because}",
                event.right
            ),
        }),
        Reason::NotGranted if is_crash(event) => Some(format!(
            "Ask the operator for this in the grant, if a dump is needed; it keeps nothing from \
             crashing:\n{}",
            setting(event, right?, reason?)?
        )),
        Reason::NotGranted | Reason::OutsideSession => Some(format!(
            "Ask the operator for this in the grant, if the work needs it:\n{}",
            setting(event, right?, reason?)?
        )),
        Reason::Refer => Some(format!(
            "Copy the content to the new name and delete the old one, if the grant allows both. \
             This says which path and which rule stand against it:\n{}",
            explain_command(event, terms)
        )),
        Reason::PrivilegeGain if is_on_file(&event.right) => Some(
            "Ask the operator for this in the grant, if the work needs it:\n[process]\n\
             capabilities = [\"fsetid\"]"
                .into(),
        ),
        Reason::UnknownMount => {
            Some("Ask the operator to mount it where the session starts.".into())
        }
        Reason::Unresolvable
        | Reason::Unstable
        | Reason::SessionEnded
        | Reason::SelfProtection
        | Reason::NoMemory
        | Reason::PrivilegeGain
        | Reason::Ambiguous => None,
    }
}

/// A command that explains a refused move; the event does not know the object's present name.
fn explain_command(event: &Event, terms: Option<Terms<'_>>) -> String {
    let grant = terms.map_or_else(|| "GRANT".to_owned(), |terms| shell::word(&file_of(terms)));
    let mut command = format!(
        "bailiff grant explain {grant} PRESENT-NAME --to {}",
        // What cannot be written in the command so that it names just that is to be filled in.
        exact_name(event).map_or_else(|_| "NEW-NAME".to_owned(), |name| shell::word(&name))
    );
    let variables = terms.map(|terms| terms.inputs.all()).unwrap_or_default();
    for (name, value) in variables {
        command += &format!(" --set {}", shell::word(&format!("{name}={value}")));
    }
    command
}

/// A grant by its name, or its file from wherever the command is run.
fn file_of(terms: Terms<'_>) -> String {
    let is_file = terms.grant.contains('/') || terms.grant.ends_with(".toml");
    match &terms.inputs.cwd {
        Some(cwd) if is_file => {
            let path = Path::new(cwd).join(terms.grant);
            // `.` is left out.
            let path: PathBuf = path.components().collect();
            path.to_string_lossy().into_owned()
        }
        _ => terms.grant.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use agent_abi::Right;

    use super::{
        super::{examples::asked, why},
        *,
    };
    use crate::{api::Inputs, store::events_for_tests as event};

    #[test]
    fn a_command_names_just_what_was_refused_or_leaves_it_to_be_filled_in() {
        let of = |name: &[u8]| {
            let ask = asked(Right::FileCreate, Reason::Refer, name).unwrap();
            ask.rsplit_once(" --to ").unwrap().1.to_owned()
        };
        assert_eq!(of(br"/w/a\b"), r"'/w/a\b'");
        assert_eq!(of(b"/w/it's $(x)"), r"'/w/it'\''s $(x)'");
        for name in [
            b"/w/\xff".as_slice(),
            b"/w/a\nb",
            b"/w/\x1b[2J",
            b"?dev=8:1/x",
        ] {
            assert_eq!(of(name), "NEW-NAME");
        }
    }

    #[test]
    fn a_refused_move_says_what_mv_saw_and_how_to_look_into_it() {
        let event = || Event {
            rule: None,
            reason: "refer".into(),
            ..event("file.create", b"/w/my hooks", "deny")
        };
        let inputs = Inputs {
            cwd: Some("/w".into()),
            set: [("out".into(), "/w/out".into())].into(),
            ..Inputs::default()
        };
        let terms = |grant| {
            Some(Terms {
                grant,
                inputs: &inputs,
            })
        };
        let told = why(event(), terms("coder"));
        assert!(
            told.because.contains("Invalid cross-device link"),
            "{}",
            told.because
        );
        let ask = told.ask.unwrap();
        let command = "bailiff grant explain coder PRESENT-NAME --to '/w/my hooks' \
                       --set cwd=/w --set out=/w/out";
        assert_eq!(ask.lines().last(), Some(command));
        let ask = why(event(), terms("./mine.toml")).ask.unwrap();
        assert!(ask.contains("explain /w/mine.toml PRESENT-NAME"), "{ask}");
        let ask = why(event(), None).ask.unwrap();
        assert!(
            ask.ends_with("explain GRANT PRESENT-NAME --to '/w/my hooks'"),
            "{ask}"
        );
    }
}
