//! Random grants and paths over an alphabet so small that they meet.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use agent_abi::{FileRights, Image};
use agent_decide::{New, Old};
use agent_grant::{
    Authority, CompileOptions, Compiled, Grant, ImageParams, Inputs, Interpreter, Source,
    VisibleFilesystem, VisibleMount, compile, load, naive::NaiveRule, shipped_includes,
};
use proptest::prelude::*;

pub fn inputs() -> Inputs {
    Inputs {
        cwd: Some("/w".to_owned()),
        home: Some("/home/u".to_owned()),
        user: Some("u".to_owned()),
        ..Inputs::default()
    }
}

pub fn load_text(text: &str) -> Grant {
    match load(Source::new("test.toml", text), &inputs(), &shipped_includes) {
        Ok(grant) => grant,
        Err(errors) => panic!("{text}\n{errors}"),
    }
}

pub fn compile_text(text: &str) -> Compiled {
    compile(&load_text(text), &CompileOptions::default()).expect("compiles")
}

pub fn whole(number: u32) -> VisibleFilesystem {
    VisibleFilesystem {
        number,
        mounts: vec![VisibleMount {
            root: vec![],
            at: vec![],
        }],
    }
}

pub fn plain_image(compiled: &Compiled) -> Box<Image> {
    compiled
        .image(&ImageParams {
            generation: 1,
            policy: 1,
            epoch: 1,
            superblocks: &[whole(0)],
        })
        .expect("fits")
}

/// A grant as the kernel has it, on a filesystem that is its whole tree.
pub struct OfImage<'i>(pub Interpreter<'i>);

impl OfImage<'_> {
    fn state(&self, path: &[u8]) -> u16 {
        self.0.walk(self.0.root(0), path)
    }
}

impl Authority for OfImage<'_> {
    fn rights(&self, path: &[u8]) -> FileRights {
        self.0.rights(self.state(path))
    }

    fn may_move(&self, is_directory: bool, old: Old<&[u8]>, new: New<&[u8]>) -> bool {
        let (old, new) = (self.state(old.0), self.state(new.0));
        self.0.may_move(is_directory, Old(old), New(new))
    }
}

fn quote(texts: &[String]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| format!("'{text}'")).collect();
    quoted.join(", ")
}

pub fn grant_text(rules: &[NaiveRule]) -> String {
    let mut text = "version = 1\nname = \"random\"\n".to_owned();
    for rule in rules {
        let effect = if rule.allow { "allow" } else { "deny" };
        let rights: Vec<_> = agent_grant::model::right_words(rule.rights)
            .iter()
            .map(|r| format!("'{r}'"))
            .collect();
        text += &format!(
            "[[file]]\n{effect} = [{}]\npath = [{}]\nexcept = [{}]\n",
            rights.join(", "),
            quote(&rule.paths),
            quote(&rule.except)
        );
    }
    text
}

pub fn compile_rules(rules: &[NaiveRule]) -> Compiled {
    compile_text(&grant_text(rules))
}

fn arb_component() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab]{1,2}",
        2 => Just("**".to_owned()),
        2 => Just("*".to_owned()),
        1 => "[ab*?]{1,3}".prop_map(|text| {
            let mut text = text;
            while text.contains("**") {
                text = text.replace("**", "*");
            }
            text
        }),
        1 => "(\\[a\\]|\\[!a\\]|\\[a-b\\]|\\[!b\\.\\])[ab*]?",
        1 => "\\{a,b\\}[ab]?",
        1 => "\\{a,\\{b,\\*\\}a\\}",
        1 => "\\.[ab]",
        1 => "\\\\[*?a]",
    ]
}

pub fn arb_pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => prop::collection::vec(arb_component(), 1..5)
            .prop_map(|components| format!("/{}", components.join("/"))),
        1 => Just("/".to_owned()),
        1 => Just("/**".to_owned()),
        1 => Just("/a{/b,/a/b}/**".to_owned()),
    ]
}

/// As a rule can say it: whoever may create may create symbolic links.
fn in_words(bits: u16) -> FileRights {
    let rights = FileRights(bits);
    if rights.contains(FileRights::CREATE) {
        rights.union(FileRights::SYMLINK)
    } else {
        rights
    }
}

pub fn arb_rules(most: usize) -> impl Strategy<Value = Vec<NaiveRule>> {
    let rights = prop_oneof![
        3 => (1..=FileRights::ALL.0).prop_map(in_words),
        2 => Just(FileRights::ALL),
        2 => Just(FileRights::READ),
        2 => Just(FileRights(FileRights::READ.0 | FileRights::WRITE.0)),
    ];
    let patterns = |least, most| prop::collection::vec(arb_pattern(), least..most);
    let rule = (
        prop::bool::weighted(0.6),
        rights,
        patterns(1, 4),
        patterns(0, 3),
    );
    prop::collection::vec(rule, 1..=most).prop_map(|rules| {
        rules
            .into_iter()
            .enumerate()
            .map(|(number, (allow, rights, paths, except))| NaiveRule {
                number: number as u16,
                allow,
                rights,
                paths,
                except,
            })
            .collect()
    })
}

/// Rules under which much can be moved: everything is allowed, and some of it denied again.
pub fn arb_grant() -> impl Strategy<Value = Vec<NaiveRule>> {
    arb_rules(5).prop_map(|mut rules| {
        let everything = NaiveRule {
            number: 0,
            allow: true,
            rights: FileRights::ALL,
            paths: vec!["/**".to_owned()],
            except: vec![],
        };
        rules.insert(0, everything);
        for (number, rule) in rules.iter_mut().enumerate() {
            rule.number = number as u16;
        }
        rules
    })
}

pub fn arb_path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        8 => "[ab]{1,3}".prop_map(String::into_bytes),
        1 => "[ab.*?]{1,3}".prop_map(String::into_bytes),
        1 => Just(vec![0xff, b'a']),
    ]
    .prop_filter("no dot names", |name| name != b"." && name != b"..");
    prop::collection::vec(name, 0..5).prop_map(|names| {
        names
            .iter()
            .flat_map(|name| [b"/", name.as_slice()].concat())
            .collect()
    })
}

/// The empty path, and every path of up to three short names.
pub fn all_paths_below() -> Vec<Vec<u8>> {
    let names: [&[u8]; 8] = [b"a", b"b", b"c", b"aa", b"ab", b"ba", b"bb", b".a"];
    let mut all: Vec<Vec<u8>> = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..3 {
        let end = all.len();
        for at in from..end {
            for name in names {
                all.push([all[at].as_slice(), b"/", name].concat());
            }
        }
        from = end;
    }
    all
}
