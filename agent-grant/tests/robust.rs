//! Damaged grants: whatever the text is, an answer and no panic.
//!
//! `BAILIFF_FUZZ_SECONDS=60 cargo test --test robust` looks longer.

mod common;

use std::time::{Duration, Instant};

use agent_grant::{
    CompileOptions, Interpreter, Source, compile, explain, glob, lint, load, naive, shipped,
    shipped_includes,
};
use common::{inputs, plain_image};

const SIXTY: &str = include_str!("../benches/sixty.toml");

/// Small and repeatable; quality does not matter here.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
}

const PIECES: [&str; 40] = [
    "[", "]", "[[file]]", "[[net]]", "\"", "'", "{", "}", ",", "*", "**", "/", "//", "\\", "?",
    "!", "-", "~/", "${", "${home}", "${cwd}", "=", "\n", "#", "allow", "deny", "path", "except",
    "all", "read", "é", "\u{0}", "\u{feff}", "\r\n", "0", "-1", "/8:443", "[::]", ":*", "\"\"\"",
];

fn damage(text: &str, random: &mut Random) -> String {
    let mut text = text.to_owned();
    for _ in 0..=random.below(4) {
        let mut at = random.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let mut end = (at + random.below(12)).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let piece = random.pick(&PIECES);
        match random.below(3) {
            0 => text.insert_str(at, piece),
            1 => text.replace_range(at..end.max(at), ""),
            _ => text.replace_range(at..end.max(at), piece),
        }
    }
    text
}

fn until() -> Instant {
    let seconds = std::env::var("BAILIFF_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok());
    Instant::now() + Duration::from_secs(seconds.unwrap_or(2))
}

#[test]
fn damaged_grants() {
    let coder = shipped("coder").expect("ships").text;
    let base = shipped("base").expect("ships").text;
    let mut random = Random(1);
    let until = until();
    let mut valid = 0;
    while Instant::now() < until {
        let original = [coder.as_str(), base.as_str(), SIXTY][random.below(3)];
        let text = damage(original, &mut random);
        match load(
            Source::new("damaged.toml", text),
            &inputs(),
            &shipped_includes,
        ) {
            Err(errors) => {
                assert!(!errors.0.is_empty());
                assert!(!errors.render(true).is_empty() && !errors.render(false).is_empty());
            }
            // Compiling takes its time; a few will do.
            Ok(grant) if random.below(20) == 0 => {
                if let Ok(compiled) = compile(&grant, &CompileOptions::default()) {
                    valid += 1;
                    let _ = lint(&compiled);
                    let _ = explain(&compiled, b"/w/x", agent_abi::Right::FileRead);
                    assert!(Interpreter::new(&plain_image(&compiled)).is_some());
                }
            }
            Ok(_) => {}
        }
    }
    println!("{valid} damaged grants were still valid");
}

/// Whatever parses as a pattern means the same to the naive matcher.
#[test]
fn random_patterns() {
    const PARTS: [&str; 22] = [
        "/", "/", "/", "a", "b", "ab", "*", "**", "?", "[", "]", "[a-b]", "[!a]", "!", "-", "{",
        "}", ",", "\\", ".", "é", "/**/",
    ];
    const PATHS: [&str; 12] = [
        "", "/a", "/b", "/ab", "/a/b", "/a/a/b", "/.a", "/a,b", "/a]", "/é", "/{a}", "/a/b/a/b",
    ];
    let mut random = Random(7);
    let until = until();
    let mut valid = 0;
    while Instant::now() < until {
        let pattern: String = std::iter::once("/")
            .chain((0..random.below(9)).map(|_| random.pick(&PARTS)))
            .collect();
        let Ok(globs) = glob::parse(&pattern, &|_| Err(String::new())) else {
            continue;
        };
        valid += 1;
        for path in PATHS {
            let found = globs.iter().any(|glob| glob.matches(path.as_bytes()));
            assert_eq!(
                found,
                naive::matches(&pattern, path.as_bytes()),
                "{pattern} on {path}"
            );
        }
    }
    assert!(valid > 100, "{valid}");
}
