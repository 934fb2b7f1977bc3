//! Every mistake gets a message with its place, what was expected, and the nearest word.

#[path = "../common/mod.rs"]
mod common;
mod own_tests;
mod values;

use agent_grant::{Source, load, load_for_tests, shipped_includes};
use common::inputs;

const HEAD: &str = "version = 1\nname = \"x\"\n";

fn errors_of(text: &str) -> String {
    let source = || Source::new("g.toml", text);
    let used = load(source(), &inputs(), &shipped_includes);
    match used.and_then(|_| load_for_tests(source(), None, [].into(), &shipped_includes)) {
        Ok(_) => panic!("no error in:\n{text}"),
        Err(errors) => errors.to_string(),
    }
}

/// A line below the head, or a whole `[[file]]` pattern, and what the message must hold.
fn check(text: &str, expected: &[&str]) {
    let message = errors_of(&format!("{HEAD}{text}\n"));
    for part in expected {
        assert!(
            message.contains(part),
            "`{part}` is not in:\n{message}\nfor:\n{text}"
        );
    }
}

fn check_path(pattern: &str, expected: &[&str]) {
    check(
        &format!("[[file]]\nallow = [\"read\"]\npath = ['{pattern}']"),
        expected,
    );
    // The same pattern is wrong in `except` too.
    check(
        &format!("[[file]]\nallow = [\"read\"]\npath = [\"/\"]\nexcept = ['{pattern}']"),
        expected,
    );
}

fn check_to(to: &str, expected: &[&str]) {
    check(
        &format!("[[net]]\nallow = [\"connect\"]\nto = [\"{to}\"]"),
        expected,
    );
}

#[test]
fn a_message_in_full() {
    let text = format!("{HEAD}[[net]]\nallow = [\"conect\"]\nto = [\"10.0.0.1:443\"]\n");
    assert_eq!(
        errors_of(&text),
        "\
error: `conect` is no right of `[[net]]`
 --> g.toml:4:10
  | expected `connect` or `all`
  = help: did you mean `connect`?"
    );
}

#[test]
fn keys_and_types() {
    check(
        "mod = \"audit\"",
        &["unknown key `mod`", "g.toml:3:1", "did you mean `mode`"],
    );
    check(
        "mode = \"audited\"",
        &["expected `enforce` or `audit`", "did you mean `audit`"],
    );
    check("mode = 3", &["`mode` has the wrong type", "found integer"]);
    check(
        "purpose = []",
        &["`purpose` has the wrong type", "expected a string"],
    );
    check("include = 7", &["expected an array of strings"]);
    check("process = 1", &["expected a table `[process]`"]);
    check("file = 1", &["tables, each written `[[file]]`"]);
    check(
        "[process]\njit = \"yes\"",
        &["expected `true` or `false`, found string", "g.toml:4:7"],
    );
    check("[process]\nsingal = \"any\"", &["did you mean `signal`"]);
    check(
        "[process]\nptrace = \"any\"",
        &["expected `none` or `session`"],
    );
    check(
        "[process]\ncapabilities = [\"net_bind\"]",
        &["`net_bind` is no capability"],
    );
    check("[kernel]\niouring = true", &["did you mean `io_uring`"]);
    check("[kernel]\nbpf = 1", &["`bpf` has the wrong type"]);
    check("[variables]\nhome = \"/x\"", &["`home` is given"]);
    check(
        "[variables]\na-b = \"/x\"",
        &["no valid name of a variable"],
    );
    check("name = \"y\"", &["not TOML", "duplicate key"]);
    let message = errors_of("name = 1\nversoin = 1\n");
    assert!(errors_of("name = \"x\"\n").contains("`version` is missing"));
    for part in ["did you mean `version`", "`name` has the wrong type"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(errors_of("version = 2\nname = \"x\"").contains("expected `1`, the only one"));
    assert!(errors_of("version = \"1\"\nname = \"x\"").contains("expected the number 1"));
    assert!(errors_of("version = 1\nname = \"\"").contains("not a usable name"));
    assert!(errors_of("version = 1\nname = \"x\ny = 2\n").contains("g.toml:2:10"));
}

#[test]
fn rules() {
    check(
        "[[file]]\npath = [\"/\"]",
        &["neither allows nor denies", "g.toml:3:1"],
    );
    check(
        "[[file]]\nallow = [\"read\"]\ndeny = [\"read\"]\npath = [\"/\"]",
        &["`allow` or `deny`, not both", "g.toml:5:8"],
    );
    check("[[file]]\nallow = [\"read\"]", &["`path` is missing"]);
    check(
        "[[file]]\nallow = [\"read\"]\npath = []",
        &["`path` is empty"],
    );
    check("[[file]]\nallow = []\npath = [\"/\"]", &["names no right"]);
    check(
        "[[file]]\nallow = [\"read\"]\npaths = [\"/\"]",
        &["did you mean `path`"],
    );
    check(
        "[[net]]\nallow = [\"conect\"]\nto = [\"*:1\"]",
        &["did you mean `connect`"],
    );
    check(
        "[[net]]\nallow = [\"connect\"]\nto = [\"*:1\"]\nexcept = []",
        &["unknown key `except`"],
    );
    check(
        "[[unix]]\nallow = [\"connect\"]\nname = [\"dbus\"]",
        &["begins with `@`"],
    );
    check(
        "[[unix]]\nallow = [\"connect\"]\nname = [\"@\"]",
        &["the name is empty"],
    );
    check(
        "[[unix]]\nallow = [\"connect\"]\nname = [\"@[a\"]",
        &["class is not closed"],
    );
    let rule = |id: &str| format!("[[file]]\nid = \"{id}\"\nallow = [\"read\"]\npath = [\"/\"]\n");
    check(
        &rule("bailiff:x"),
        &["ids that begin with `bailiff:` are reserved"],
    );
    check(&rule("a b"), &["`a b` is no valid id"]);
    check(
        &(rule("a") + &rule("a")),
        &["two rules have the id `a`", "g.toml:8:6", "g.toml:4:6"],
    );
    check(
        "[[file]]\nallow = [\"read\"]\npath = [\"/\"]\n[[net]]\nid = \"file-1\"\nallow = [\"connect\"]\nto = [\"*:1\"]",
        &["two rules have the id `file-1`"],
    );
}

#[test]
fn patterns() {
    check_path("/w/[abc", &["the class is not closed", "expected `]`"]);
    check_path("/w/[", &["the class is not closed"]);
    check_path("/w/[a-", &["the class is not closed"]);
    check_path("/w/[a/b]", &["a class cannot match `/`"]);
    check_path("/w/[z-a]", &["the range is reversed", "expected `a-z`"]);
    check_path("/w/[^a]", &["`[^` is ambiguous", "[!"]);
    check_path("/w/[ä]", &["more than one byte", "{ä,ö}"]);
    check_path("/w/**.c", &["`**` is not alone"]);
    check_path("/w/a**", &["`**` is not alone"]);
    check_path("/w/***", &["too many stars"]);
    check_path(
        "w/a",
        &["not absolute", "`/**/w/a` matches it in every directory"],
    );
    check_path("*.c", &["not absolute", "`/**/*.c` matches it"]);
    check_path("", &["not absolute"]);
    check_path(
        "./tmp/**",
        &["`${cwd}/tmp/**` is where the session starts; `/**/tmp/**`"],
    );
    check_path("tmp", &["`${cwd}/tmp` is where the session starts"]);
    check_path("**/.env", &["`/**/.env` matches it in every directory"]);
    check_path("$HOME/x", &["write `~/x`"]);
    check_path("$work/x", &["a variable of the grant is written `${work}`"]);
    check_path("~user/a", &["not absolute", "write another's in full"]);
    check_path("../a", &["write the directory in full"]);
    check_path("{a,/b}", &["not absolute"]);
    check_path("/w//a", &["a component is empty"]);
    check_path(
        "/w/",
        &["a component is empty", "`/w/**` also what is below"],
    );
    check_path("/w/{a,}", &["a component is empty"]);
    check_path("/w/./a", &["no `.` or `..`"]);
    check_path("/w/../a", &["no `.` or `..`"]);
    check_path("/w/{a", &["`{` is not closed"]);
    check_path("/w/a}", &["`}` closes nothing"]);
    check_path("/w/a\\", &["escapes nothing"]);
    check_path("/w\\/a", &["a slash cannot be escaped"]);
    check_path(
        "${worspace}/a",
        &["variable `worspace`", "there is none of this name"],
    );
    check_path("${hoem}/a", &["did you mean `home`"]);
    check_path("${home/a", &["`${` is not closed"]);
    check_path("${user}/a", &["`${user}` is not absolute"]);
    check_path(
        "/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}",
        &["too many patterns"],
    );
    check_path(
        &format!("/{}", "a".repeat(5000)),
        &["the pattern is too long"],
    );
    check(
        "[[file]]\nallow = [\"read\"]\npath = [\"/a\\u0000\"]",
        &["NUL"],
    );
}

#[test]
fn destinations() {
    check_to(
        "10.0.0.1/8:443",
        &["bits beyond the prefix", "did you mean `10.0.0.0/8`"],
    );
    check_to(
        "[2001:db8::1]/32:443",
        &["bits beyond the prefix", "`[2001:db8::]/32`"],
    );
    check_to(
        "10.0.0.0/33:443",
        &["`33` is no prefix length", "expected 0 to 32"],
    );
    check_to("[::]/129:1", &["expected 0 to 128"]);
    check_to("10.0.0.0/x:443", &["no prefix length"]);
    check_to("10.0.0:443", &["no IPv4 address"]);
    check_to("300.0.0.1:443", &["no IPv4 address"]);
    check_to(
        "example.com:443",
        &["is a host name", "the kernel decides on addresses"],
    );
    check_to("localhost:80", &["is a host name"]);
    check_to("10.0.0.1", &["no port is given", "`:443`"]);
    check_to("10.0.0.1:", &["no port"]);
    check_to("10.0.0.1:70000", &["`70000` is no port"]);
    check_to("10.0.0.1:http", &["`http` is no port"]);
    check_to(
        "10.0.0.1:90-80",
        &["the port range is reversed", "expected `80-90`"],
    );
    check_to(
        "10.0.0.1:80/sctp",
        &["unknown protocol `sctp`", "`tcp` or `udp`"],
    );
    check_to("2001:db8::1:443", &["stands in brackets"]);
    check_to("[2001:db8::1:443", &["the bracket is not closed"]);
    check_to("[::g]:1", &["no IPv6 address"]);
    check_to("[::ffff:10.0.0.1]:443", &["write `10.0.0.1`"]);
    check_to("", &["no IPv4 address"]);
    check_to(":443", &["no IPv4 address"]);
}
