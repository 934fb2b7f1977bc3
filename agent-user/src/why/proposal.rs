//! What a grant would have to say, written so that it opens that one thing and nothing else.

use agent_abi::{Reason, Right, Surface, right::FILE_RIGHTS};
use agent_grant::{
    glob::MAX_PATTERN,
    syntax::{
        capabilities,
        settings::{SettingTable, settings},
    },
};

use crate::{api::Event, render::escape::is_harmless};

const UNSAFE_NAME: &str = "the name holds what cannot be copied into a grant safely.";
const LONG_NAME: &str = "the name is longer than a pattern may be. Grant a directory above it.";
const CUT_NAME: &str = "the path was too long to be recorded whole.";
const NO_PROTOCOL: &str =
    "grants have words for tcp and udp only, and no grant can open another protocol.";
const NO_EXCEPT: &str = "rules of this kind have no `except`, so it would have to deny less.";
const NO_RULE_FOR_IT: &str = "no rule of a grant is about this right.";

/// Why nothing is proposed, for people.
type Unproposed = &'static str;

/// The rule that allows just what was refused.
pub(super) fn rule(event: &Event, right: Right) -> Result<String, Unproposed> {
    let object = quoted_object(event, right)?;
    if (right as usize) < FILE_RIGHTS {
        let verb = right.name().trim_start_matches("file.");
        return Ok(format!("[[file]]\nallow = [\"{verb}\"]\npath = [{object}]"));
    }
    Ok(format!("[[net]]\nallow = [\"connect\"]\nto = [{object}]"))
}

/// The object in a denial's `except`, which rules about files alone have.
pub(super) fn exception(event: &Event, right: Right) -> Result<String, Unproposed> {
    if (right as usize) < FILE_RIGHTS {
        quoted_object(event, right)
    } else {
        Err(NO_EXCEPT)
    }
}

/// The object as a grant writes it, for TOML. The session chose a file's name, so it stands for that one
/// file, whatever it looks like.
fn quoted_object(event: &Event, right: Right) -> Result<String, Unproposed> {
    if (right as usize) >= FILE_RIGHTS {
        // What reads as a destination is nothing that anybody chose the letters of.
        return match agent_grant::net::parse_endpoint(&event.object) {
            Ok(_) if right == Right::NetConnect => Ok(quoted(&event.object)),
            Err(_) if right == Right::NetConnect => Err(NO_PROTOCOL),
            _ => Err(NO_RULE_FOR_IT),
        };
    }
    let name = exact_name(event)?;
    let mut pattern = String::new();
    for c in name.chars() {
        if r"*?[]{},\$~".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    if pattern.len() > MAX_PATTERN {
        return Err(LONG_NAME);
    }
    Ok(quoted(&pattern))
}

/// The object's whole path, where people see what it is when it is written out as it is.
pub(super) fn exact_name(event: &Event) -> Result<String, Unproposed> {
    if event.truncated {
        return Err(CUT_NAME);
    }
    let bytes = event.path.as_ref().ok_or(UNSAFE_NAME)?.bytes();
    let name = String::from_utf8(bytes).map_err(|_| UNSAFE_NAME)?;
    if !name.starts_with('/') || !is_harmless(&name) {
        return Err(UNSAFE_NAME);
    }
    Ok(name)
}

/// The setting of a grant that opens what was refused; `None` where there is none.
pub(super) fn setting(event: &Event, right: Right, reason: Reason) -> Option<String> {
    match right {
        // Of what is outside, no grant opens them.
        Right::ProcessPtrace | Right::KernelMount | Right::KernelPerf
            if reason == Reason::OutsideSession =>
        {
            None
        }
        // The kernel may know of more than grants have words for.
        Right::ProcessCapability if !capabilities::NAMES.contains(&&*event.object) => None,
        Right::ProcessCapability => Some(format!(
            "[{}]\ncapabilities = [{}]",
            SettingTable::Process,
            quoted(&event.object)
        )),
        right => {
            let switch = match right {
                // What makes one makes a sandbox, for which `namespaces` alone is too little.
                Right::KernelNamespace => Surface::Containers,
                right => right.switch()?,
            };
            let setting = settings().find(|setting| setting.switch == switch)?;
            Some(format!("[{}]\n{}", setting.table, setting.turned_on()))
        }
    }
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{examples::asked, why},
        *,
    };
    use crate::store::events_for_tests as event;

    /// What is proposed for a refusal of this right.
    fn proposed(right: Right, reason: Reason, object: &str) -> Option<String> {
        let event = Event {
            rule: None,
            right: right.into(),
            reason: reason.into(),
            object: object.into(),
            path: None,
            ..event("file.read", b"/x", "deny")
        };
        let ask = why(event, None).ask?;
        Some(ask.split_once('\n')?.1.to_owned())
    }

    #[test]
    fn a_missing_rule_is_written_out() {
        let event = Event {
            rule: None,
            reason: "no-rule".into(),
            ..event("file.write", b"/etc/a\"b", "deny")
        };
        let ask = why(event, None).ask.unwrap();
        assert!(
            ask.contains("allow = [\"write\"]\npath = [\"/etc/a\\\"b\"]"),
            "{ask}"
        );
    }

    #[test]
    fn a_proposed_rule_allows_that_one_file() {
        for name in [
            "/home/u/**",
            "/w/a*b",
            "/w/a?b",
            "/w/[ab]",
            "/w/{a,b}",
            "/w/${home}",
            "/w/~",
            r"/w/a\b",
            "/w/a\"b'c",
            "/w/plain file",
        ] {
            let event = Event {
                rule: None,
                reason: "no-rule".into(),
                ..event("file.read", name.as_bytes(), "deny")
            };
            let ask = why(event, None).ask.unwrap();
            let rule = ask.split_once('\n').unwrap().1;
            let text = format!("version = 1\nname = \"x\"\n{rule}\n");
            let inputs = agent_grant::Inputs::default();
            let source = agent_grant::Source::new("x", text.as_str());
            let grant = agent_grant::load(source, &inputs, &agent_grant::shipped_includes).unwrap();
            let compiled = agent_grant::compile(&grant, &Default::default()).unwrap();
            let allowed = |path: &str| compiled.decide(path.as_bytes(), Right::FileRead).0;
            assert!(allowed(name), "{name}: {rule}");
            for other in ["/home/u/x", "/w/axb", "/w/a", "/w/b", "/w/", "/w/x"] {
                assert!(!allowed(other), "{name} opens {other}");
            }
        }
    }

    /// Only rules about files have `except`; and a socket's name is its maker's to choose.
    #[test]
    fn no_exception_is_proposed_where_rules_have_none() {
        for (right, object) in [
            ("unix.connect", "@\x1b[2J"),
            ("unix.connect", "@a\"]\n[kernel]"),
            ("net.connect", "10.0.0.1:80/tcp"),
        ] {
            let refused = Event {
                reason: "rule".into(),
                path: None,
                object: object.into(),
                ..event(right, b"/", "deny")
            };
            let ask = why(refused, None).ask.unwrap();
            assert!(ask.ends_with(NO_EXCEPT), "{ask}");
            assert!(!ask.contains('\x1b') && !ask.contains("kernel"), "{ask}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_not_proposed() {
        for name in [
            b"/w/a\xffb".as_slice(),
            b"/w/a\nb",
            b"/w/\x1b[2J",
            "/w/\u{202e}x".as_bytes(),
            b"?dev=8:1/x",
        ] {
            for (rule, reason) in [
                (None, "no-rule"),
                (event("file.read", b"/", "deny").rule, "rule"),
            ] {
                let event = Event {
                    rule,
                    reason: reason.into(),
                    ..event("file.read", name, "deny")
                };
                let ask = why(event, None).ask.unwrap();
                assert!(ask.ends_with(UNSAFE_NAME), "{ask}");
            }
        }
    }

    #[test]
    fn a_name_that_no_pattern_is_long_enough_for_is_not_proposed() {
        let named = |length: usize| format!("/{}", "*".repeat(length));
        // Each `*` takes two bytes of a pattern.
        let fits = asked(Right::FileRead, Reason::NoRule, named(2047).as_bytes()).unwrap();
        assert!(fits.contains("path = ["), "{fits}");
        let long = asked(Right::FileRead, Reason::NoRule, named(2048).as_bytes()).unwrap();
        assert!(long.ends_with(LONG_NAME), "{long}");
    }

    #[test]
    fn only_destinations_that_grants_can_name_are_proposed() {
        let of = |to: &str| asked(Right::NetConnect, Reason::NoRule, to.as_bytes()).unwrap();
        assert!(of("10.0.0.1:443/tcp").ends_with("to = [\"10.0.0.1:443/tcp\"]"));
        assert!(of("[::1]:53/udp").ends_with("to = [\"[::1]:53/udp\"]"));
        for protocol in ["0", "132", "136"] {
            let ask = of(&format!("10.0.0.1:443/{protocol}"));
            assert!(ask.ends_with(NO_PROTOCOL), "{ask}");
        }
    }

    #[test]
    fn a_capability_that_grants_have_no_word_for_is_not_proposed() {
        let of = |name: &str| proposed(Right::ProcessCapability, Reason::NotGranted, name);
        assert!(of("net_raw").is_some());
        assert_eq!(of("capability 63"), None);
    }

    #[test]
    fn a_proposed_setting_is_one_that_grants_have() {
        let mut proposals = 0;
        for (right, name) in Right::ALL {
            let Some(text) = proposed(right, Reason::NotGranted, "net_raw") else {
                continue;
            };
            let grant = format!("version = 1\nname = \"x\"\n{text}\n");
            let read = agent_grant::load(
                agent_grant::Source::new("x", grant.as_str()),
                &agent_grant::Inputs::default(),
                &agent_grant::shipped_includes,
            );
            assert!(read.is_ok(), "{name}: {text}");
            proposals += 1;
        }
        // Each switch, and capabilities; `containers` instead of `namespaces`.
        assert_eq!(proposals, settings().count());
    }

    #[test]
    fn what_no_grant_can_give_is_not_proposed() {
        for (right, reason) in [
            (Right::NetSocket, Reason::NotGranted),
            (Right::NetOption, Reason::NotGranted),
            (Right::UnixConnect, Reason::NotGranted),
            (Right::ProcessPtrace, Reason::OutsideSession),
            (Right::KernelMount, Reason::OutsideSession),
            (Right::KernelPerf, Reason::OutsideSession),
            (Right::FileRead, Reason::OutsideSession),
        ] {
            assert_eq!(proposed(right, reason, "-"), None, "{}", right.name());
        }
        let mut event = event("file.delete", b"/w/first.toml", "deny");
        if let Some(rule) = &mut event.rule {
            rule.id = "bailiff:program".into();
        }
        let why = why(event, None);
        assert_eq!(why.ask, None);
        assert!(
            why.because.contains("no grant can lift it"),
            "{}",
            why.because
        );
    }
}
