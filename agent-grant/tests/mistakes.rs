//! A grant is told all its mistakes at once, and nothing that only follows from one of them.

mod common;

use agent_grant::{Inputs, Source, examine, load, shipped_includes};
use common::inputs;

const HEAD: &str = "version = 1\nname = \"x\"\n";

/// The line and the message of each mistake.
fn mistakes_with(text: &str, inputs: &Inputs) -> Vec<(usize, String)> {
    let source = || Source::new("g.toml", text);
    let (_, mistakes) = examine(source(), inputs, &shipped_includes);
    assert_eq!(
        mistakes.is_empty(),
        agent_grant::load_for_tests(source(), None, inputs.set.clone(), &shipped_includes)
            .and(load(source(), inputs, &shipped_includes))
            .is_ok(),
        "{mistakes:?}"
    );
    let mut told: Vec<_> = mistakes
        .iter()
        .map(|mistake| {
            let place = mistake.location.as_ref();
            let line = place.map_or(0, |place| place.line_and_column().0);
            (line, mistake.message.clone())
        })
        .collect();
    told.sort();
    told
}

fn mistakes(text: &str) -> Vec<(usize, String)> {
    mistakes_with(text, &inputs())
}

/// That these lines have one mistake each and no other has any.
#[track_caller]
fn only(text: &str, lines: &[usize]) {
    let told = mistakes(text);
    let found: Vec<_> = told.iter().map(|(line, _)| *line).collect();
    assert_eq!(found, lines, "{text}\n{told:#?}");
}

#[test]
fn mistakes_of_every_kind_are_told_at_once() {
    let text = r#"version = 1
name = "x"
include = ["bsae"]
[[file]]
id = "broken"
allow = ["read]
path = ["/a"]
[[file]]
id = "twice"
allow = ["raed"]
path = ["/w/[a"]
except = ["relative"]
[[file]]
id = "twice"
allow = ["read"]
path = ["/w/../x"]
[[net]]
allow = ["connect"]
to = ["10.0.0.0/99:1"]
[kernel]
iouring = true
[environment]
set = { A = "${nonesuch}" }
[limits]
lifetime = "long"
[[test]]
path = "relative"
right = "read"
expect = "denied"
"#;
    // A variable may come from what could not be included.
    only(text, &[3, 6, 10, 11, 12, 14, 16, 19, 21, 25, 27, 29]);
    let included = text.replace("bsae", "base");
    only(&included, &[6, 10, 11, 12, 14, 16, 19, 21, 23, 25, 27, 29]);
}

#[test]
fn a_table_that_is_not_toml_hides_no_other() {
    let table = |path: &str| format!("[[file]]\nallow = [\"read\"]\npath = [{path}]\n");
    // Some of them would swallow what follows, or be taken for something else.
    for broken in [
        "path = [\"/a\", \"/b",
        "path = [\"/a\"",
        "path = [\"/a\" \"/b\"]",
        "path = [/a]",
        "path = /a",
        "path",
        "path = {",
    ] {
        let before = table("\"a\"");
        let after = table("\"b\"");
        let text = format!("{HEAD}{before}[[file]]\nallow = [\"read\"]\n{broken}\n{after}");
        let told = mistakes(&text);
        let lines: Vec<_> = told.iter().map(|(line, _)| *line).collect();
        // What is not closed is noticed at its end.
        let [5, 8..=9, 11] = lines[..] else {
            panic!("{text}\n{told:#?}");
        };
    }
    let text = format!("{HEAD}[[file]\nallow = 3\n{}", table("\"a\""));
    only(&text, &[3, 7]);
    // What was in the broken head is not missed.
    only(
        "version = 1\nname = x\n[[file]]\nallow = [\"read\"]\npath = [\"a\"]\n",
        &[2, 5],
    );
    // Nor are variables that could be there.
    let uses = table("\"${a}/x\", \"/[\"");
    only(&format!("{HEAD}[variables]\na = /x\n{uses}"), &[4, 7]);
    only(&format!("{HEAD}[[net]]\nto = *\n{uses}"), &[4, 7, 7]);
    // Tables that do not go together, and text of several lines.
    only(
        &format!("{HEAD}[process]\njit = true\n[process]\njit = false\n{uses}"),
        &[5],
    );
    let several = format!("{HEAD}purpose = \"\"\"\n[[file]]\n\"\"\"\nmode =\n{uses}");
    let told = mistakes(&several);
    assert!(
        told.iter()
            .all(|(_, message)| message.starts_with("not TOML"))
            && !told.is_empty(),
        "{told:#?}"
    );
}

#[test]
fn what_follows_from_a_mistake_is_not_told() {
    let file = "[[file]]\nallow = [\"read\"]\n";
    // A mistyped key is not missing too.
    only(&format!("{HEAD}{file}paths = [\"/\"]\n"), &[5]);
    only(
        &format!("{HEAD}[[file]]\nalow = [\"read\"]\npath = [\"/\"]\n"),
        &[4],
    );
    only("versoin = 1\nnaem = \"x\"\n", &[1, 2]);
    only(
        &format!("{HEAD}[[test]]\npath = \"/\"\nrihgt = \"read\"\nexpcet = \"deny\"\n"),
        &[5, 6],
    );
    // A variable that is wrong is wrong where it is set, and not wherever it is used.
    let uses = format!("{file}path = [\"${{a}}/x\", \"${{a}}/y\"]\nexcept = [\"/z/${{a}}\"]\n");
    for (variables, lines) in [
        ("[variables]\na = 3\n", &[4][..]),
        (
            "[variables]\na = \"${b}\"\nb = \"${c}\"\nc = \"${a}\"\n",
            &[6],
        ),
        ("[variables]\na = \"${b}\"\nb = \"${none}\"\n", &[5]),
        ("[variables]\na-b = \"/x\"\na = \"${a-b}\"\n", &[4]),
        ("variables = 3\n", &[3]),
        ("[variable]\na = \"/x\"\n", &[3]),
        ("include = [3]\n", &[3]),
        ("inclde = [\"base\"]\n", &[3]),
    ] {
        only(&format!("{HEAD}{variables}{uses}"), lines);
    }
    // What is not there is a mistake wherever it is used.
    only(&format!("{HEAD}{uses}"), &[5, 5, 6]);
    let relative =
        format!("{HEAD}[variables]\na = \"x\"\n{file}path = [\"${{a}}/x\", \"${{a}}/y\"]\n");
    only(&relative, &[7]);
}

#[test]
fn a_value_that_nobody_knows_is_told_once() {
    let text = format!(
        "{HEAD}[variables]\na = \"${{cwd}}/a\"\nb = \"${{a}}/b\"\n[[file]]\nallow = [\"read\"]\n\
         path = [\"${{cwd}}/x\", \"${{a}}/x\", \"${{b}}/x\", \"~/x\", \"~/y\"]\nexcept = [\"${{b}}/y\"]\n\
         [environment]\nset = {{ A = \"${{cwd}}\" }}\n"
    );
    let told = mistakes_with(&text, &Inputs::default());
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].1.contains("current directory was removed"),
        "{told:#?}"
    );
    assert!(told[1].1.contains("variable `home`"), "{told:#?}");
    let root = Inputs {
        cwd: Some("/".to_owned()),
        ..inputs()
    };
    let told = mistakes_with(&text, &root);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].1.contains("current directory is `/`"), "{told:#?}");
}
