//! Every mistake gets a message with its place, what was expected, and the nearest word.

mod common;

use agent_grant::{IncludeError, Inputs, Source, load, load_for_tests, shipped_includes};
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
    let text = format!("{HEAD}[[file]]\nallow = [\"raed\"]\npath = [\"/x\"]\n");
    assert_eq!(
        errors_of(&text),
        "\
error: `raed` is no right of `[[file]]`
 --> g.toml:4:10
  | expected `read`, `write`, `create`, `delete`, `list`, `exec`, `attr`, `ioctl`, `connect`, `symlink` or `all`
  = help: did you mean `read`?"
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
    check_path("*.c", &["not absolute"]);
    check_path("", &["not absolute"]);
    check_path("~user/a", &["not absolute"]);
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

#[test]
fn limits_and_tests() {
    check(
        "[limits]\nlifetime = \"8x\"",
        &["`8x` is no duration", "\"8h\""],
    );
    check("[limits]\nlifetime = 8", &["`lifetime` has the wrong type"]);
    check(
        "[limits]\nbytes_out = \"2GiBB\"",
        &["is no budget", "\"2GiB\""],
    );
    check(
        "[limits]\nconnections = \"100/fortnight\"",
        &["is no budget", "100/min"],
    );
    check("[limits]\ndeletes = -1", &["out of range"]);
    check("[limits]\ndeletes = \"+5\"", &["`+5` is no budget"]);
    check("[limits]\ndeletes = \"5kB\"", &["`5kB` is no budget"]);
    check(
        "[limits]\nbytes_out = \"99999999999TiB\"",
        &["is no budget"],
    );
    check(
        "[limits]\nrefusals = { max = 1, then = \"stop\" }",
        &["`freeze` or `kill`"],
    );
    check(
        "[limits]\nrefusals = { then = \"kill\" }",
        &["`max` is missing"],
    );
    check("[limits]\nprocceses = 1", &["did you mean `processes`"]);
    check(
        "[[test]]\npath = \"/x\"\nexpect = \"allow\"",
        &["`right` is missing"],
    );
    check(
        "[[test]]\nexpect = \"allow\"",
        &["a test asks one question"],
    );
    check(
        "[[test]]\nconnect = \"1.2.3.4/8:1\"\nexpect = \"deny\"",
        &["bits beyond"],
    );
    check(
        "[[test]]\nconnect = \"10.0.0.0/8:1\"\nexpect = \"deny\"",
        &["more than one destination"],
    );
    check(
        "[[test]]\npath = \"x\"\nright = \"read\"\nexpect = \"deny\"",
        &["expected an absolute path"],
    );
    check(
        "[[test]]\npath = \"/x\"\nright = \"raed\"\nexpect = \"deny\"",
        &["did you mean `read`"],
    );
    check(
        "[[test]]\npath = \"/x\"\nright = \"read\"\nexpect = \"denied\"",
        &["`allow` or `deny`"],
    );
}

#[test]
fn tests_of_moves() {
    let test = |keys: &str, expected: &[&str]| {
        let text = format!("[[test]]\nexpect = \"deny\"\n{keys}");
        check(&text, expected);
        let message = errors_of(&format!("{HEAD}{text}\n"));
        assert_eq!(message.matches("error:").count(), 1, "{message}");
    };
    test(
        "renam = \"/a\"\nto = \"/b\"",
        &["did you mean `rename`", "g.toml:5:1"],
    );
    test(
        "rename = \"/a\"",
        &[
            "`to` is missing",
            "expected `to = \"/a/path\"`",
            "g.toml:3:1",
        ],
    );
    test(
        "to = \"/a\"",
        &[
            "a test asks one question",
            "`link` or `exchange`",
            "g.toml:3:1",
        ],
    );
    test(
        "rename = \"/a\"\nto = \"/b\"\nexchange = \"/c\"",
        &[
            "a test asks one question",
            "`rename` asks one already",
            "g.toml:7:1",
        ],
    );
    test(
        "path = \"/a\"\nright = \"read\"\nrename = \"/b\"\nto = \"/c\"",
        &["`path` asks one already", "g.toml:7:1"],
    );
    test(
        "connect = \"1.2.3.4:5\"\nto = \"/a\"",
        &[
            "a test with `connect` has no `to`",
            "goes with `rename`, `link` or `exchange`",
            "g.toml:6:1",
        ],
    );
    test(
        "rename = \"/a\"\nto = \"/b\"\nright = \"read\"",
        &[
            "a test with `rename` has no `right`",
            "goes with `path`",
            "g.toml:7:1",
        ],
    );
    test(
        "link = \"/a\"\nto = \"/b\"\ndirectory = true",
        &["a test with `link` has no `directory`"],
    );
    test(
        "exchange = \"/a\"\nto = \"/b\"\nreplaces = true",
        &[
            "a test with `exchange` has no `replaces`",
            "goes with `rename`",
        ],
    );
    test(
        "rename = \"/a\"\nto = \"/b\"\nto_directory = true",
        &[
            "a test with `rename` has no `to_directory`",
            "goes with `exchange`",
        ],
    );
    test(
        "rename = \"/a\"\nto = \"/b\"\ndirectory = \"yes\"",
        &["expected `true` or `false`, found string", "g.toml:7:13"],
    );
    test(
        "rename = 1\nto = \"/b\"",
        &["expected a path, found integer", "g.toml:5:10"],
    );
    test(
        "rename = \"/a\"\nto = [\"/b\"]",
        &["expected a path, found array", "g.toml:6:6"],
    );
    test(
        "rename = \"a\"\nto = \"/b\"",
        &["expected an absolute path", "g.toml:5:10"],
    );
    test(
        "rename = \"/a\"\nto = \"/b/../c\"",
        &["is not a plain path", "g.toml:6:6"],
    );
    test(
        "rename = \"/a\"\nto = \"${hme}\"",
        &["did you mean `home`", "g.toml:6:6"],
    );
    test(
        "link = \"/a\"\nto = \"/a\"",
        &[
            "both paths are the same",
            "the other path is `/a`",
            "g.toml:6:6",
        ],
    );
    for (old, new) in [("/a", "/a/b"), ("/a/b", "/a"), ("/", "/a"), ("/a", "/")] {
        test(
            &format!("rename = \"{old}\"\nto = \"{new}\"\ndirectory = true"),
            &["one path is within the other", "g.toml:6:6"],
        );
    }
}

#[test]
fn what_tests_ask_keeps_nobody_from_using_a_grant() {
    let text = format!(
        "{HEAD}[[test]]\nrename = \"${{cwd}}/x\"\nto = \"/w/x\"\nexpect = \"deny\"\n\
         [[test]]\npath = \"${{nonesuch}}\"\nright = \"read\"\nexpect = \"deny\"\n"
    );
    let source = || Source::new("g.toml", text.as_str());
    let grant = load(source(), &inputs(), &shipped_includes).expect("it can be used");
    assert!(grant.tests.is_empty());
    let set = |cwd: &str| [("cwd".to_owned(), cwd.to_owned())].into();
    let errors = |cwd| {
        let loaded = load_for_tests(source(), None, set(cwd), &shipped_includes);
        loaded.expect_err("a mistake in a test").to_string()
    };
    assert!(errors("/w").contains("both paths are the same"));
    let elsewhere = errors("/elsewhere");
    assert!(
        elsewhere.contains("`nonesuch`") || elsewhere.contains("there is none"),
        "{elsewhere}"
    );
    assert!(!elsewhere.contains("both paths"), "{elsewhere}");
}

#[test]
fn includes_and_variables() {
    check(
        "include = [\"bsae\"]",
        &["cannot include `bsae`", "did you mean `base`"],
    );
    check(
        "[variables]\na = \"${b}\"\nb = \"${a}\"",
        &["depends on itself"],
    );
    check(
        "[variables]\na = \"${cwdd}\"",
        &["did you mean `cwd`", "g.toml:4:5"],
    );
    let include = |name: &str| match name {
        "a" => Ok(Source::new("a.toml", format!("{HEAD}include = [\"b\"]"))),
        "b" => Ok(Source::new("b.toml", format!("{HEAD}include = [\"a\"]"))),
        "bad" => Ok(Source::new(
            "bad.toml",
            format!("{HEAD}mode = 1\npurpose = 1"),
        )),
        _ => Err(IncludeError {
            message: "no such file".to_owned(),
            known: vec![],
        }),
    };
    let errors = |text: &str, inputs: &Inputs| {
        load(
            Source::new("g.toml", format!("{HEAD}{text}")),
            inputs,
            &include,
        )
        .expect_err("an error")
        .to_string()
    };
    let cycle = errors("include = [\"a\"]", &inputs());
    assert!(
        cycle.contains("`a` includes itself") && cycle.contains("b.toml:3:12"),
        "{cycle}"
    );
    let bad = errors("include = [\"bad\", \"none\"]", &inputs());
    for part in [
        "bad.toml:3:8",
        "bad.toml:4:11",
        "cannot include `none`: no such file",
    ] {
        assert!(bad.contains(part), "{bad}");
    }
    let set = |name: &str, value: &str| Inputs {
        set: [(name.to_owned(), value.to_owned())].into(),
        ..inputs()
    };
    let text =
        "[variables]\nroot = \"/r\"\n[[file]]\nallow = [\"read\"]\npath = [\"${root}/**\"]\n";
    assert!(errors(text, &set("rot", "/x")).contains("did you mean `root`"));
    assert!(errors(text, &set("root", "x")).contains("`${root}` is not absolute"));
    assert!(errors(text, &set("root", "/x/../y")).contains("no `.` or `..`"));
    assert!(errors(text, &set("root", "/x//y")).contains("a component is empty"));
    let nowhere = Inputs::default();
    let text = "[[file]]\nallow = [\"read\"]\npath = [\"~/x\"]\n";
    assert!(errors(text, &nowhere).contains("variable `home`: it is not known here"));
}

#[test]
fn values_are_literal_text() {
    let text = format!(
        "{HEAD}[variables]\nroot = \"/r\"\n[[file]]\nallow = [\"read\"]\npath = [\"${{root}}/*.c\"]\n"
    );
    let inputs = Inputs {
        set: [("root".to_owned(), "/odd [dir]*{a,b}?/".to_owned())].into(),
        ..inputs()
    };
    let grant = load(Source::new("g.toml", text), &inputs, &shipped_includes).expect("valid");
    let grant =
        agent_grant::compile(&grant, &agent_grant::CompileOptions::default()).expect("fits");
    let reads = |path: &str| grant.decide(path.as_bytes(), agent_abi::Right::FileRead).0;
    assert!(reads("/odd [dir]*{a,b}?/x.c"));
    assert!(!reads("/odd dax/x.c") && !reads("/odd [dir]*ax/x.c") && !reads("/odd d/x.c"));
}

#[test]
fn environment() {
    let of = |text: &str, expected: &[&str]| check(&format!("[environment]\n{text}"), expected);
    of(
        "kepe = []",
        &[
            "unknown key `kepe` in `[environment]`",
            "did you mean `keep`?",
        ],
    );
    of(
        "keep = [\"A B\"]",
        &[
            "`A B` is no name of a variable",
            "`*` for any",
            "g.toml:4:9",
        ],
    );
    of("keep = [\"\"]", &["is no name of a variable"]);
    of("keep = [\"A=1\"]", &["is no name of a variable"]);
    of("keep = 1", &["expected an array of strings, found integer"]);
    of(
        "default = \"no\"",
        &["expected `true` or `false`, found string"],
    );
    of("set = [\"A=1\"]", &["expected a table `[environment.set]`"]);
    of(
        "set = { \"A*\" = \"1\" }",
        &["`A*` is no name of a variable"],
    );
    of(
        "set = { A = 1 }",
        &["`A` has the wrong type", "expected a string"],
    );
    of(
        "set = { A = \"${nope}\" }",
        &["no value", "there is none of this name"],
    );
    of("set = { A = \"\\u0000\" }", &["the value holds a NUL byte"]);
    of(
        "keep = [\"BAILIFF_SESSION\"]",
        &["`BAILIFF_SESSION` is given"],
    );
    of(
        "set = { BAILIFF_SESSION = \"x\" }",
        &["every session has its own name in it"],
    );
    check(
        "[[test]]\nenvironment = \"A\"\nright = \"read\"\nexpect = \"deny\"",
        &["a test with `environment` has no `right`"],
    );
}
