//! `bailiff init` without a daemon: what it writes, and where it writes nothing.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Run, bailiff_as};

/// A home directory with a checkout in it; not below /tmp, where a grant for all of these places grows large.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let ground = Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
        for directory in ["home/w/.git", "home/w/src", "path"] {
            fs::create_dir_all(ground.at(directory)).unwrap();
        }
        ground
    }

    fn at(&self, path: &str) -> PathBuf {
        fs::canonicalize(self.0.path()).unwrap().join(path)
    }

    fn run_with(&self, directory: &str, more: &[(&str, &str)], args: &[&str]) -> Run {
        let (home, path) = (self.at("home"), self.at("path"));
        let mut variables = vec![
            ("HOME", home.to_str().unwrap()),
            ("PATH", path.to_str().unwrap()),
            ("USER", "agent"),
        ];
        variables.extend(more);
        bailiff_as(&self.at(directory), &variables, args)
    }

    fn run(&self, directory: &str, args: &[&str]) -> Run {
        self.run_with(directory, &[], args)
    }

    /// Nothing is to be said of what was written.
    fn is_clean(&self) {
        let run = self.run("home/w", &["grant", "check", "bailiff.toml"]);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        assert_eq!(run.out.lines().count(), 1, "{}", run.out);
        assert!(run.out.contains("bailiff.toml: ok"), "{}", run.out);
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path.join("bailiff.toml")).unwrap()
}

#[test]
fn what_it_writes_is_a_grant_without_mistakes_and_remarks() {
    let ground = Ground::new();
    let run = ground.run("home/w/src", &["init"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("no language that it knows"), "{}", run.out);
    assert!(run.err.contains("not trusted yet"), "{}", run.err);
    let plain = text(&ground.at("home/w"));
    assert!(plain.contains("include = [\"coder\"]"), "{plain}");
    assert_eq!(plain.matches("[[test]]").count(), 5, "{plain}");
    ground.is_clean();
    // Of everything that it knows, with what each needs.
    for (mark, need) in [
        ("Cargo.toml", None),
        ("package.json", Some(".npm/_cacache")),
        ("setup.py", Some("miniconda3")),
        ("go.mod", Some("go/pkg/mod")),
        ("pom.xml", Some(".m2/repository")),
        ("Gemfile", Some(".gem")),
        ("composer.json", Some(".cache/composer")),
        ("x.sln", Some(".nuget/packages")),
        ("mix.exs", Some(".mix")),
        ("stack.yaml", Some(".ghcup")),
        ("Makefile", None),
    ] {
        fs::write(ground.at("home/w").join(mark), "").unwrap();
        if let Some(need) = need {
            fs::create_dir_all(ground.at("home").join(need)).unwrap();
        }
    }
    let run = ground.run("home/w", &["init", "--force"]);
    assert!(
        run.out.contains("Rust, JavaScript, Python, Go, Java"),
        "{}",
        run.out
    );
    let all = text(&ground.at("home/w"));
    assert_eq!(all.matches("[[file]]").count(), 9, "{all}");
    ground.is_clean();
}

#[test]
fn another_grant_is_named_and_tests_that_it_fails_are_left_out() {
    let ground = Ground::new();
    let run = ground.run("home/w", &["init", "--grant", "reviewer"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let text = text(&ground.at("home/w"));
    assert!(text.contains("include = [\"reviewer\"]"), "{text}");
    assert_eq!(text.matches("[[test]]").count(), 4, "{text}");
    ground.is_clean();
    let run = ground.run("home/w", &["init", "--force", "--grant", "./x.toml"]);
    assert!(
        run.code == 1 && run.err.contains("grant list"),
        "{}",
        run.err
    );
}

#[test]
fn it_writes_nothing_where_it_should_not() {
    let ground = Ground::new();
    let there = |path: &str| ground.at(path).join("bailiff.toml").exists();
    let refused = |run: Run, why: &str| {
        assert!(run.code == 1 && run.err.contains(why), "{}", run.err);
    };
    refused(ground.run("home", &["init"]), "no checkout");
    refused(bailiff_as(Path::new("/"), &[], &["init"]), "no checkout");
    let inside = [("BAILIFF_SESSION", "coder-1")];
    refused(
        ground.run_with("home/w", &inside, &["init"]),
        "in a session",
    );
    let printed = ground.run("home/w", &["init", "--print"]);
    assert!(printed.out.contains("version = 1"), "{}", printed.out);
    assert!(!there("home") && !there("home/w"));
    fs::write(ground.at("home/w/bailiff.toml"), "mine").unwrap();
    refused(ground.run("home/w", &["init"]), "is there already");
    assert_eq!(text(&ground.at("home/w")), "mine");
}

#[test]
fn a_command_is_for_the_checkout_from_wherever_in_it() {
    let ground = Ground::new();
    ground.run("home/w", &["init"]);
    let args = [
        "run",
        "--allow",
        "file.read:x",
        "--print-grant",
        "--",
        "make",
    ];
    let run = ground.run("home/w/src", &args);
    assert_eq!(run.code, 0, "{}", run.err);
    let file = ground.at("home/w/bailiff.toml");
    assert!(run.out.contains(file.to_str().unwrap()), "{}", run.out);
    assert!(run.out.contains("${cwd}/src/x"), "{}", run.out);
    // Who names one has that.
    let args = ["run", "--grant", "offline", "--print-grant", "--", "make"];
    let run = ground.run("home/w/src", &args);
    assert!(!run.out.contains("bailiff.toml"), "{}", run.out);
}
