//! `[environment]`: what is kept, set and dropped, merged, compared and intersected.

mod common;

use agent_grant::{
    Compiled, IncludeError, LintKind, Relation, Source, Witness, compare, compile,
    environment::Fate, intersect, lint, load, shipped, shipped_includes,
};
use common::{compile_text, inputs, load_text};
use proptest::prelude::*;

fn grant(environment: &str) -> Compiled {
    compile_text(&format!(
        "version = 1\nname = \"x\"\n[environment]\n{environment}\n"
    ))
}

fn fate<'g>(grant: &'g Compiled, name: &str) -> Fate<'g> {
    grant.environment.fate(name.as_bytes())
}

#[test]
fn what_programs_need_is_kept_and_secrets_are_not() {
    let grant =
        grant("keep = [\"GIT_*\", \"*_HOME\"]\nset = { CI = \"1\", PATH = \"${home}/bin\" }");
    for name in [
        "HOME",
        "LC_ALL",
        "XDG_RUNTIME_DIR",
        "GIT_DIR",
        "CARGO_HOME",
        "GIT_",
    ] {
        assert_eq!(fate(&grant, name), Fate::Kept, "{name}");
    }
    for name in [
        "",
        "LC",
        "home",
        "GITHUB_TOKEN",
        "LD_PRELOAD",
        "CARGO_HOMES",
        "PATH2",
    ] {
        assert_eq!(fate(&grant, name), Fate::Dropped, "{name}");
    }
    assert_eq!(fate(&grant, "CI"), Fate::Set("1"));
    assert_eq!(fate(&grant, "PATH"), Fate::Set("/home/u/bin"));
    let none = load_text("version = 1\nname = \"x\"\n");
    assert_eq!(none.environment.fate(b"TERM"), Fate::Kept);
    let bare = self::grant("default = false\nkeep = [\"TERM\"]");
    assert_eq!(fate(&bare, "TERM"), Fate::Kept);
    assert_eq!(fate(&bare, "PATH"), Fate::Dropped);
}

#[test]
fn what_included_grants_keep_adds_up() {
    let inner = "version = 1\nname = \"i\"\n[environment]\ndefault = false\nkeep = [\"A\"]\n\
                 set = { X = \"1\", Y = \"1\" }\n";
    let find = |_: &str| -> Result<Source, IncludeError> { Ok(Source::new("i", inner)) };
    let outer = "version = 1\nname = \"o\"\ninclude = [\"i\"]\n\
                 [environment]\nkeep = [\"B\"]\nset = { Y = \"2\" }\n";
    let merged = load(Source::new("o", outer), &inputs(), &find).unwrap();
    let fate = |name: &str| merged.environment.fate(name.as_bytes());
    assert_eq!((fate("A"), fate("B")), (Fate::Kept, Fate::Kept));
    assert_eq!((fate("X"), fate("Y")), (Fate::Set("1"), Fate::Set("2")));
    assert_eq!(fate("PATH"), Fate::Dropped);
}

#[test]
fn grants_are_compared_by_names() {
    let plain = grant("");
    let more = grant("keep = [\"A_*\"]");
    let comparison = compare(&plain, &more);
    assert_eq!(comparison.relation, Relation::Narrower);
    assert_eq!(
        comparison.only_second,
        [Witness::Environment(b"A_".to_vec())]
    );
    let relation = |a: &str, b: &str| compare(&grant(a), &grant(b)).relation;
    for (a, b, expected) in [
        ("keep = [\"LC_ALL\"]", "", Relation::Equal),
        (
            "keep = [\"A*\", \"AB\"]",
            "keep = [\"A*\"]",
            Relation::Equal,
        ),
        ("default = false", "", Relation::Narrower),
        (
            "default = false",
            "default = false\nkeep = [\"*\"]",
            Relation::Narrower,
        ),
        ("keep = [\"A\"]", "keep = [\"B\"]", Relation::Incomparable),
        ("set = { A = \"1\" }", "", Relation::Wider),
        ("set = { A = \"1\" }", "keep = [\"A\"]", Relation::Narrower),
        ("set = { A = \"1\" }", "keep = [\"A*\"]", Relation::Narrower),
        (
            "set = { A = \"1\" }",
            "set = { A = \"2\" }",
            Relation::Incomparable,
        ),
        ("set = { PATH = \"/bin\" }", "", Relation::Narrower),
        (
            "keep = [\"*\"]",
            "keep = [\"A*\", \"LD_PRELOAD\"]",
            Relation::Wider,
        ),
    ] {
        assert_eq!(relation(a, b), expected, "{a} and {b}");
    }
}

#[test]
fn what_may_be_a_secret_is_remarked_on() {
    let kinds = |environment: &str| {
        let lints = lint(&grant(environment)).into_iter();
        lints.map(|lint| lint.kind).collect::<Vec<_>>()
    };
    for name in [
        "MY_TOKEN",
        "AWS_*",
        "*",
        "DB_PASSWORD",
        "*_KEY",
        "npm_config_*",
    ] {
        let found = kinds(&format!("keep = [\"{name}\"]"));
        assert!(found.contains(&LintKind::KeepsSecret), "{name}: {found:?}");
    }
    for name in ["LD_*", "LD_PRELOAD", "*", "BASH_ENV"] {
        let found = kinds(&format!("keep = [\"{name}\"]"));
        assert!(found.contains(&LintKind::KeepsLoader), "{name}: {found:?}");
    }
    assert_eq!(
        kinds("keep = [\"GIT_AUTHOR_NAME\", \"CARGO_HOME\", \"KEYBOARD\"]"),
        []
    );
    for name in ["base", "coder"] {
        let grant = load(shipped(name).unwrap(), &inputs(), &shipped_includes).unwrap();
        let lints = lint(&compile(&grant, &Default::default()).unwrap());
        let about = |kind| matches!(kind, LintKind::KeepsSecret | LintKind::KeepsLoader);
        assert!(!lints.iter().any(|lint| about(lint.kind)), "{name}");
    }
}

fn pattern() -> impl Strategy<Value = String> {
    "[AB*]{1,4}"
}

fn environment() -> impl Strategy<Value = String> {
    let keep = prop::collection::vec(pattern(), 0..4);
    let set = prop::collection::btree_map("[AB]{1,2}", "[12]", 0..3);
    (any::<bool>(), keep, set).prop_map(|(default, keep, set)| {
        let set: Vec<_> = set
            .iter()
            .map(|(name, v)| format!("{name} = \"{v}\""))
            .collect();
        format!(
            "default = {default}\nkeep = {keep:?}\nset = {{ {} }}",
            set.join(", ")
        )
    })
}

/// Every name of up to five of the letters of these patterns and one that is in none; the default.
fn names() -> Vec<String> {
    let default = agent_grant::environment::DEFAULT.iter();
    let mut names: Vec<_> = default.map(|name| name.replace('*', "")).collect();
    let mut last = vec![String::new()];
    for _ in 0..5 {
        let longer = |name: &String| ["A", "B", "C"].map(|letter| format!("{name}{letter}"));
        last = last.iter().flat_map(longer).collect();
        names.extend(last.clone());
    }
    names
}

fn rank(fate: Fate<'_>) -> u8 {
    match fate {
        Fate::Dropped => 0,
        Fate::Set(_) => 1,
        Fate::Kept => 2,
    }
}

fn within(a: Fate<'_>, b: Fate<'_>) -> bool {
    a == b || rank(a) < rank(b)
}

proptest! {
    #[test]
    fn comparison_is_exact_and_its_witnesses_are_true(a in environment(), b in environment()) {
        let (first, second) = (grant(&a), grant(&b));
        let comparison = compare(&first, &second);
        let all = |inner: &Compiled, outer: &Compiled| {
            names().iter().all(|name| within(fate(inner, name), fate(outer, name)))
        };
        let expected = match (all(&first, &second), all(&second, &first)) {
            (true, true) => Relation::Equal,
            (true, false) => Relation::Narrower,
            (false, true) => Relation::Wider,
            (false, false) => Relation::Incomparable,
        };
        prop_assert_eq!(comparison.relation, expected);
        for (wider, narrower, witnesses) in [
            (&first, &second, &comparison.only_first),
            (&second, &first, &comparison.only_second),
        ] {
            for witness in witnesses {
                let Witness::Environment(name) = witness else {
                    return Err(TestCaseError::fail("not about the environment"));
                };
                let fates = (wider.environment.fate(name), narrower.environment.fate(name));
                prop_assert!(!within(fates.0, fates.1), "{:?} {:?}", witness, fates);
            }
        }
    }

    #[test]
    fn an_intersection_gives_what_both_give(a in environment(), b in environment()) {
        let (first, second) = (grant(&a), grant(&b));
        let both = intersect(&first, &second).unwrap();
        for name in names() {
            let (x, y) = (fate(&first, &name), fate(&second, &name));
            let expected = if within(x, y) { x } else if within(y, x) { y } else { Fate::Dropped };
            prop_assert_eq!(fate(&both, &name), expected, "{}", name);
        }
        for one in [&first, &second] {
            let relation = compare(&both, one).relation;
            prop_assert!(matches!(relation, Relation::Equal | Relation::Narrower));
        }
    }
}

#[test]
fn a_directory_of_its_own_for_temporary_files_is_more_than_none() {
    let (private, shared) = (grant("tmp = \"private\""), grant(""));
    assert!(private.environment.has_private_tmp() && !shared.environment.has_private_tmp());
    let compared = compare(&private, &shared);
    assert_eq!(compared.relation, Relation::Wider);
    let own = Witness::Environment(b"TMPDIR".to_vec());
    assert_eq!(
        (compared.only_first, compared.only_second),
        (vec![own], vec![])
    );
    assert_eq!(compare(&shared, &private).relation, Relation::Narrower);
    // Who names the directory has it.
    let named = grant("tmp = \"private\"\nset = { TMPDIR = \"/srv/t\" }");
    assert!(!named.environment.has_private_tmp());
    // An including grant takes it back.
    let find = |_: &str| -> Result<Source, IncludeError> {
        let inner = "version = 1\nname = \"i\"\n[environment]\ntmp = \"private\"\n";
        Ok(Source::new("i", inner))
    };
    let including = |environment: &str| {
        let outer = format!("version = 1\nname = \"o\"\ninclude = [\"i\"]\n{environment}\n");
        load(Source::new("o", outer), &inputs(), &find)
            .unwrap()
            .environment
    };
    assert!(including("").has_private_tmp());
    assert!(!including("[environment]\ntmp = \"shared\"").has_private_tmp());
}
