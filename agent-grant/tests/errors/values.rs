//! Includes, variables and the environment.

use agent_grant::{IncludeError, Inputs, Source, load, shipped_includes};

use super::{HEAD, check};
use crate::common::inputs;

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
