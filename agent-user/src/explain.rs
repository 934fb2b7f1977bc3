//! A refusal in words: what, why, whether to try again, what to ask for.

use std::path::{Path, PathBuf};

use agent_abi::{Reason, Right, right::FILE_RIGHTS};
use agent_grant::{glob::MAX_PATTERN, syntax::capabilities};

use crate::{
    api::{Event, Inputs, RuleRef, SCHEMA, Verdict, Why, Word},
    render::{escape::is_harmless, shell},
};

/// What the session of a refusal was started with.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The grant, as it was named on the command line.
    pub grant: &'a str,
    pub inputs: &'a Inputs,
}

/// The reason in a few words, for the end of an event line.
#[must_use]
pub fn short(event: &Event) -> &'static str {
    let Some(reason) = event.reason.known() else {
        return "";
    };
    match reason {
        Reason::Rule => "denied by a rule",
        Reason::NoRule => "no rule of the grant allows it",
        Reason::Refer => "what may be done with it would differ under the new name",
        Reason::UnknownMount => "not mounted where the session can see it",
        Reason::Unresolvable => "its path cannot be told",
        Reason::Unstable => "the tree was being renamed meanwhile",
        Reason::SessionEnded => "the session of this process has ended",
        Reason::OutsideSession => "the target is outside the session",
        Reason::SelfProtection => "it would change the session's own limits",
        Reason::NoMemory => "the kernel was short of memory",
        Reason::NotGranted if has_no_word(&event.right) => "no grant can open it",
        Reason::NotGranted => "the grant does not open it",
        Reason::PrivilegeGain if is_on_file(&event.right) => {
            "a set-user-id program gives its user to others"
        }
        Reason::PrivilegeGain => "the program would gain privileges",
        Reason::Ambiguous => "its name or address can mean several things",
    }
}

/// Everything that `bailiff why` says about a refusal, with the terms of its session where they are
/// known still.
#[must_use]
pub fn why(event: Event, terms: Option<Terms<'_>>) -> Why {
    let reason = event.reason.known();
    let retry_helps = matches!(reason, Some(Reason::Unstable | Reason::NoMemory));
    Why {
        schema: SCHEMA,
        what: what(&event),
        because: because(&event, reason),
        retry_helps,
        retry: if event.verdict != Verdict::Deny {
            "It was let through: the grant is in audit mode.".into()
        } else if retry_helps {
            "The cause was passing: trying again can succeed.".into()
        } else {
            "Trying again will be refused again while this grant is in force.".into()
        },
        ask: ask(&event, reason, terms),
        before: None,
        event,
    }
}

/// Whether a refusal followed from a crash and says nothing of its cause.
#[must_use]
pub fn is_crash(event: &Event) -> bool {
    event.right == Right::ProcessCore
}

/// The same of a crash, with what was refused before it.
#[must_use]
pub fn why_crashed(event: Event, before: Option<Event>, terms: Option<Terms<'_>>) -> Why {
    Why {
        before: before.map(|before| Box::new(why(before, terms))),
        ..why(event, terms)
    }
}

fn what(event: &Event) -> String {
    let process = format!("{}[{}]", event.process.comm, event.process.pid);
    let verb = if event.verdict == Verdict::Deny {
        "was refused"
    } else {
        "would be refused"
    };
    // What is about the process itself has no object.
    let on = match object(event).as_str() {
        "-" => String::new(),
        object => format!(" on {object}"),
    };
    format!(
        "{process} in session {} {verb} {}{on}.",
        event.session, event.right
    )
}

fn object(event: &Event) -> String {
    event
        .path
        .as_ref()
        .map_or_else(|| event.object.clone(), |path| path.text.clone())
}

fn because(event: &Event, reason: Option<Reason>) -> String {
    let rule = event.rule.as_ref();
    let id = rule.map_or("?", |rule| &rule.id);
    match reason {
        Some(Reason::Rule) => {
            let reason = rule.and_then(|rule| rule.reason.as_deref());
            let reason = reason.map_or_else(|| ".".into(), |text| format!(": {text}"));
            let built_in = rule.is_some_and(is_built_in);
            let note = if built_in {
                " It holds in every session, and no grant can lift it."
            } else {
                ""
            };
            format!("Rule `{id}` denies it{reason}{note}")
        }
        Some(Reason::NoRule) => {
            "No rule of the grant allows it, and what no rule allows is refused.".into()
        }
        Some(Reason::Refer) => "A rename or link must not give an object, or anything below a \
             directory, rights that it does not have under its present name, nor put into a place \
             what must not be made there, and this name would. The process was told EXDEV \
             (\"Invalid cross-device link\"), as between filesystems; `mv` and its like then copy, \
             and the copy is judged by the rights of its new name."
            .into(),
        Some(Reason::UnknownMount) => "The filesystem is not mounted where the session can see \
             it, so no path of the grant names it."
            .into(),
        Some(Reason::Unresolvable) => {
            "Its path is too deep, too long, or leads to no root, so no rule can be found for it."
                .into()
        }
        Some(Reason::Ambiguous) if event.right == Right::NetConnect => {
            "It leads to the socket's own address, which may change before the kernel looks. Name the \
             address that is meant, such as 127.0.0.1, or bind the socket before anything else."
                .into()
        }
        Some(Reason::Ambiguous) => {
            "Its directory takes several spellings for one name (it ignores case), so a rule that \
             names files there cannot be trusted. Grant the whole directory with `/**`, and deny \
             nothing in it, or use a directory that tells case apart."
                .into()
        }
        Some(Reason::Unstable) => {
            "The directories above it were renamed again and again during the decision.".into()
        }
        Some(Reason::SessionEnded) => {
            "The session that this process belongs to has ended; nothing is granted to it.".into()
        }
        Some(Reason::OutsideSession) if event.right == Right::KernelMount => {
            "`mount` is for mount namespaces of user namespaces that the session makes \
             (`unshare --user --mount`), not for those that it shares with others; and there for \
             binds and moves, and for new filesystems that hold nothing from elsewhere (tmpfs, \
             proc, sysfs, devpts, mqueue, cgroup2)."
                .into()
        }
        Some(Reason::OutsideSession) if is_on_file(&event.right) => {
            "It is a terminal that the session neither opened nor was started on. A session has its \
             own terminals and no other, whatever a grant says."
                .into()
        }
        Some(Reason::OutsideSession) => {
            "The target process is outside the session, and the grant reaches no further.".into()
        }
        Some(Reason::SelfProtection) if event.right == Right::FileIoctl => {
            "The command types into a terminal, or reaches further than the object that it is given \
             to: it takes blocks from one file to another, gives a tree other names, or changes the whole \
             filesystem. No grant can allow it."
                .into()
        }
        Some(Reason::SelfProtection) => {
            "It would let the session change its own limits, which no grant can allow.".into()
        }
        Some(Reason::NoMemory) => "The kernel had no memory for the decision.".into(),
        Some(Reason::NotGranted) if has_no_word(&event.right) => {
            format!("No grant can open `{}`.", event.right)
        }
        Some(Reason::NotGranted) if is_crash(event) => {
            "The program crashed, and no core was dumped, since the grant does not open \
             `process.core`. That is not what made it crash."
                .into()
        }
        Some(Reason::NotGranted) => {
            format!("The grant does not open `{}`.", event.right)
        }
        Some(Reason::PrivilegeGain) if is_on_file(&event.right) => {
            "A set-user-id or set-group-id program makes whoever runs it its owner or of its group, \
             outside of every grant. A session may not leave one. Without these bits (`chmod \
             u-s,g-s`) the file is judged like any other."
                .into()
        }
        Some(Reason::PrivilegeGain) => {
            "The program is set-user-id, set-group-id or has file capabilities; sessions gain \
             no privileges."
                .into()
        }
        None => format!("Reason: {}.", event.reason),
    }
}

/// Whether grants have no word for a right, so that it is always refused where no rule is asked.
fn has_no_word(right: &Word<Right>) -> bool {
    matches!(
        right.known(),
        Some(Right::NetSocket | Right::NetOption | Right::UnixConnect)
    )
}

fn is_on_file(right: &Word<Right>) -> bool {
    right
        .known()
        .is_some_and(|right| (right as usize) < FILE_RIGHTS)
}

/// A rule that is part of every grant.
fn is_built_in(rule: &RuleRef) -> bool {
    rule.id.starts_with("bailiff:")
}

/// What the operator could write; `None` where nothing can be asked for.
fn ask(event: &Event, reason: Option<Reason>, terms: Option<Terms<'_>>) -> Option<String> {
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
fn rule(event: &Event, right: Right) -> Result<String, Unproposed> {
    let object = quoted_object(event, right)?;
    if (right as usize) < FILE_RIGHTS {
        let verb = right.name().trim_start_matches("file.");
        return Ok(format!("[[file]]\nallow = [\"{verb}\"]\npath = [{object}]"));
    }
    Ok(format!("[[net]]\nallow = [\"connect\"]\nto = [{object}]"))
}

/// The object in a denial's `except`, which rules about files alone have.
fn exception(event: &Event, right: Right) -> Result<String, Unproposed> {
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
fn exact_name(event: &Event) -> Result<String, Unproposed> {
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
fn setting(event: &Event, right: Right, reason: Reason) -> Option<String> {
    let process = |line: &str| Some(format!("[process]\n{line}"));
    let kernel = |key: &str| Some(format!("[kernel]\n{key} = true"));
    match right {
        Right::ProcessSignal => process("signal = \"any\""),
        Right::ProcessControl => process("control = \"any\""),
        Right::ProcessIpc => process("ipc = \"any\""),
        // Of what is outside, no grant opens them.
        Right::ProcessPtrace | Right::KernelMount if reason == Reason::OutsideSession => None,
        Right::ProcessPtrace => process("ptrace = \"session\""),
        // The kernel may know of more than grants have words for.
        Right::ProcessCapability if !capabilities::NAMES.contains(&&*event.object) => None,
        Right::ProcessCapability => process(&format!("capabilities = [{}]", quoted(&event.object))),
        Right::ProcessJit => process("jit = true"),
        Right::ProcessCore => process("core = true"),
        Right::KernelMount => kernel("mount"),
        Right::KernelNamespace => kernel("namespaces"),
        Right::KernelBpf => kernel("bpf"),
        Right::KernelPerf => kernel("perf"),
        Right::KernelIoUring => kernel("io_uring"),
        Right::KernelUserfaultfd => kernel("userfaultfd"),
        Right::KernelKeyring => kernel("keyrings"),
        Right::KernelLoad => kernel("load"),
        Right::FileRead
        | Right::FileWrite
        | Right::FileCreate
        | Right::FileSymlink
        | Right::FileDelete
        | Right::FileList
        | Right::FileExec
        | Right::FileAttr
        | Right::FileIoctl
        | Right::FileConnect
        | Right::NetConnect
        | Right::NetSocket
        | Right::UnixConnect
        | Right::NetOption
        | Right::CgroupEnter => None,
    }
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::events_for_tests as event;

    #[test]
    fn every_reason_has_words() {
        for (_, name) in Reason::ALL {
            let event = Event {
                reason: name.into(),
                ..event("file.read", b"/x", "deny")
            };
            assert!(!short(&event).is_empty(), "{name}");
            let why = why(event, None);
            assert!(!why.because.starts_with("Reason:"), "{name}");
        }
    }

    #[test]
    fn a_denying_rule_is_named_with_its_reason() {
        let why = why(event("file.read", b"/w/.env", "deny"), None);
        assert_eq!(
            why.what,
            "cat[9] in session coder-1 was refused file.read on /w/.env."
        );
        assert_eq!(why.because, "Rule `secrets` denies it: Ask.");
        assert!(!why.retry_helps);
        assert!(why.ask.unwrap().contains("except = [\"/w/.env\"]"));
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
    fn passing_causes_can_be_tried_again_and_self_protection_cannot_be_asked_for() {
        let with = |reason: &str| {
            why(
                Event {
                    reason: reason.into(),
                    rule: None,
                    ..event("file.read", b"/x", "deny")
                },
                None,
            )
        };
        assert!(with("unstable").retry_helps);
        assert_eq!(with("self-protection").ask, None);
    }

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
            let source = agent_grant::Source::new("x", &text);
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

    fn asked(right: Right, reason: Reason, object: &[u8]) -> Option<String> {
        let event = Event {
            rule: None,
            reason: reason.into(),
            ..event(right.name(), object, "deny")
        };
        why(event, None).ask
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
    fn a_proposed_setting_is_one_that_grants_have() {
        let mut settings = 0;
        for (right, name) in Right::ALL {
            let Some(text) = proposed(right, Reason::NotGranted, "net_raw") else {
                continue;
            };
            let grant = format!("version = 1\nname = \"x\"\n{text}\n");
            let read = agent_grant::load(
                agent_grant::Source::new("x", &grant),
                &agent_grant::Inputs::default(),
                &agent_grant::shipped_includes,
            );
            assert!(read.is_ok(), "{name}: {text}");
            settings += 1;
        }
        assert_eq!(settings, 15);
    }

    #[test]
    fn what_no_grant_can_give_is_not_proposed() {
        for (right, reason) in [
            (Right::NetSocket, Reason::NotGranted),
            (Right::NetOption, Reason::NotGranted),
            (Right::UnixConnect, Reason::NotGranted),
            (Right::ProcessPtrace, Reason::OutsideSession),
            (Right::KernelMount, Reason::OutsideSession),
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

    #[test]
    fn a_crash_comes_with_what_was_refused_before_it() {
        let of = |right: &str, object: &str| Event {
            rule: None,
            reason: "not-granted".into(),
            object: object.into(),
            path: None,
            ..event(right, b"", "deny")
        };
        let crash = || of("process.core", "-");
        let before = of("process.jit", "anonymous memory");
        let told = why_crashed(crash(), Some(before), None);
        assert!(told.because.contains("not what made it crash"), "{told:?}");
        assert!(
            told.ask.unwrap().ends_with("[process]\ncore = true"),
            "the dump can be asked for still"
        );
        assert_eq!(
            told.what,
            "cat[9] in session coder-1 was refused process.core."
        );
        let before = told.before.unwrap();
        assert!(before.what.contains("refused process.jit"), "{before:?}");
        assert!(before.ask.unwrap().ends_with("[process]\njit = true"));
        assert!(why_crashed(crash(), None, None).before.is_none());
    }

    #[test]
    fn an_audited_act_was_let_through() {
        let event = event("file.read", b"/x", "would-deny");
        assert!(why(event, None).retry.contains("let through"));
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
