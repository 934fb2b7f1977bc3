//! Mistakes in limits, and in what a grant asks of itself.

use agent_grant::{Source, load, load_for_tests, shipped_includes};

use super::{HEAD, check, errors_of};
use crate::common::inputs;

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
