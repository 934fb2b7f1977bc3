//! The refer rule over whole histories: random trees, random sequences of moves, links, exchanges
//! and creations, each allowed or refused as the kernel does it.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use agent_abi::{FileRights, Image};
use agent_decide::{New, Old};
use agent_grant::{
    Authority, Interpreter, Manner, Move, compile::rights_permit_move, moves::Passage,
    naive::NaiveRule,
};
use common::{OfImage, arb_grant, compile_rules, plain_image};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestError, TestRng, TestRunner},
};

type Path = Vec<u8>;

/// What a move may do; the kernel's rule, and wrong ones that must be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReferRule {
    Kernel,
    /// Compares directories by their own rights alone.
    IgnoresWhatIsBelow,
    /// Lets files gain rights.
    IgnoresFiles,
    /// Lets directories move to where their contents could not have been made.
    IgnoresMaking,
    /// Asks only about one of two objects that are exchanged.
    IgnoresTheOther,
}

/// The grant as the kernel has it.
struct Kernel<'i> {
    image: OfImage<'i>,
    rule: ReferRule,
}

impl Kernel<'_> {
    fn has(&self, path: &[u8], rights: FileRights) -> bool {
        self.rights(path).contains(rights)
    }

    /// Whether a move happens, where the tree lets it.
    fn permits(&self, wanted: &Move) -> bool {
        if self.rule != ReferRule::IgnoresTheOther {
            return wanted.is_permitted(self);
        }
        let mut needs = wanted.needs().into_iter();
        needs.all(|(path, rights)| self.has(path, rights))
            && wanted
                .passages()
                .next()
                .is_some_and(|first| first.is_permitted(self))
    }
}

impl Authority for Kernel<'_> {
    fn rights(&self, path: &[u8]) -> FileRights {
        self.image.rights(path)
    }

    fn may_move(&self, is_directory: bool, old: Old<&[u8]>, new: New<&[u8]>) -> bool {
        match self.rule {
            ReferRule::IgnoresFiles if !is_directory => true,
            ReferRule::IgnoresWhatIsBelow if is_directory => {
                rights_permit_move(Old(self.rights(old.0)), New(self.rights(new.0)))
            }
            ReferRule::IgnoresMaking if is_directory => {
                common::all_paths_below().iter().all(|rest| {
                    let at = |base: &[u8]| self.rights(&[base, rest].concat());
                    at(old.0).contains(at(new.0))
                })
            }
            _ => self.image.may_move(is_directory, old, new),
        }
    }
}

/// An object: where it was first, and whether it holds others.
#[derive(Clone, Debug)]
struct Object {
    first: Path,
    children: Option<BTreeMap<Path, usize>>,
}

/// A tree whose files may have several names.
#[derive(Clone, Debug)]
struct Tree {
    objects: Vec<Object>,
}

const ROOT: usize = 0;
const NAMES: [&[u8]; 5] = [b"a", b"b", b"ab", b".a", b"c"];

/// Where something is or could be: the directory that holds it, its name there, its path.
struct Place {
    directory: usize,
    name: Path,
    path: Path,
    object: Option<usize>,
}

impl Tree {
    fn new() -> Self {
        Self {
            objects: vec![Object {
                first: Vec::new(),
                children: Some(BTreeMap::new()),
            }],
        }
    }

    /// Every path of every object but the root.
    fn paths(&self) -> Vec<(Path, usize)> {
        let mut found = vec![(Vec::new(), ROOT)];
        let mut at = 0;
        while let Some((path, object)) = found.get(at).cloned() {
            for (name, child) in self.objects[object].children.iter().flatten() {
                found.push(([path.as_slice(), b"/", name].concat(), *child));
            }
            at += 1;
        }
        found.split_off(1)
    }

    /// One of the places that are there or could be, by a number.
    fn place(&self, number: usize) -> Place {
        let mut directories = vec![(Vec::new(), ROOT)];
        let is_directory = |object: usize| self.objects[object].children.is_some();
        directories.extend(
            self.paths()
                .into_iter()
                .filter(|(_, object)| is_directory(*object)),
        );
        let (above, directory) = directories[number / NAMES.len() % directories.len()].clone();
        let name = NAMES[number % NAMES.len()].to_vec();
        let children = self.objects[directory]
            .children
            .as_ref()
            .expect("a directory");
        Place {
            directory,
            path: [above.as_slice(), b"/", &name].concat(),
            object: children.get(&name).copied(),
            name,
        }
    }

    /// An occupied place, if there is one.
    fn occupied(&self, number: usize) -> Option<Place> {
        (0..NAMES.len() * 8)
            .map(|more| self.place(number + more))
            .find(|place| place.object.is_some())
    }

    fn set(&mut self, place: &Place, object: Option<usize>) {
        let children = self.objects[place.directory]
            .children
            .as_mut()
            .expect("a directory");
        match object {
            Some(object) => children.insert(place.name.clone(), object),
            None => children.remove(&place.name),
        };
    }

    fn is_directory(&self, object: usize) -> bool {
        self.objects[object].children.is_some()
    }

    fn make(&mut self, place: &Place, is_directory: bool) {
        let object = self.objects.len();
        self.objects.push(Object {
            first: place.path.clone(),
            children: is_directory.then(BTreeMap::new),
        });
        self.set(place, Some(object));
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    /// Before the session: whatever the grant says.
    Given {
        directory: bool,
        at: usize,
    },
    Make {
        directory: bool,
        at: usize,
    },
    Rename {
        from: usize,
        to: usize,
    },
    Exchange {
        one: usize,
        other: usize,
    },
    Link {
        from: usize,
        to: usize,
    },
}

/// Does what the kernel lets happen; whether it did.
fn act(tree: &mut Tree, kernel: &Kernel<'_>, act: Act) -> Option<()> {
    match act {
        Act::Given { directory, at } => {
            let place = Some(tree.place(at)).filter(|place| place.object.is_none())?;
            tree.make(&place, directory);
        }
        Act::Make { directory, at } => {
            let place = Some(tree.place(at)).filter(|place| place.object.is_none())?;
            kernel.has(&place.path, FileRights::CREATE).then_some(())?;
            tree.make(&place, directory);
        }
        Act::Rename { from, to } => {
            let (from, to) = (tree.occupied(from)?, tree.place(to));
            let object = from.object?;
            let is_directory = tree.is_directory(object);
            // What is replaced must be of the same kind, and empty.
            let replaceable = to.object.is_none_or(|there| {
                tree.is_directory(there) == is_directory
                    && tree.objects[there]
                        .children
                        .as_ref()
                        .is_none_or(BTreeMap::is_empty)
            });
            let manner = Manner::Rename {
                replaces: to.object.is_some(),
            };
            let wanted = Move::new(from.path.clone(), to.path.clone(), is_directory, manner);
            let allowed = replaceable && to.object != from.object && kernel.permits(&wanted.ok()?);
            allowed.then_some(())?;
            tree.set(&from, None);
            tree.set(&to, Some(object));
        }
        Act::Exchange { one, other } => {
            let (one, other) = (tree.occupied(one)?, tree.occupied(other)?);
            let (first, second) = (one.object?, other.object?);
            let manner = Manner::Exchange {
                other_is_directory: tree.is_directory(second),
            };
            let (old, new) = (one.path.clone(), other.path.clone());
            let wanted = Move::new(old, new, tree.is_directory(first), manner);
            kernel.permits(&wanted.ok()?).then_some(())?;
            tree.set(&one, Some(second));
            tree.set(&other, Some(first));
        }
        Act::Link { from, to } => {
            let (from, to) = (tree.occupied(from)?, tree.place(to));
            let object = from.object.filter(|object| !tree.is_directory(*object))?;
            let wanted = Move::new(from.path, to.path.clone(), false, Manner::Link);
            let allowed = to.object.is_none() && kernel.permits(&wanted.ok()?);
            allowed.then_some(())?;
            tree.set(&to, Some(object));
        }
    }
    Some(())
}

/// What must hold of every object at every path that it ever has.
fn check(tree: &Tree, kernel: &Kernel<'_>) -> Result<(), TestCaseError> {
    for (path, object) in tree.paths() {
        let object = &tree.objects[object];
        let (first, now) = (kernel.rights(&object.first), kernel.rights(&path));
        // Of what is no directory, `symlink` says nothing.
        let counted = if object.children.is_some() {
            now
        } else {
            now.without(FileRights::SYMLINK)
        };
        prop_assert!(
            first.contains(counted),
            "gained a right: {} -> {}",
            object.first.escape_ascii(),
            path.escape_ascii()
        );
        prop_assert!(
            now.contains(FileRights(first.0 & FileRights::CREATE.0)),
            "was planted: {} -> {}",
            object.first.escape_ascii(),
            path.escape_ascii()
        );
        // However it came here, the same in one step is allowed: sequences agree.
        let passage = Passage {
            is_directory: object.children.is_some(),
            old: Old(&object.first),
            new: New(&path),
        };
        let in_one = path == object.first || passage.is_permitted(kernel);
        prop_assert!(
            in_one,
            "not allowed in one step: {} -> {}",
            object.first.escape_ascii(),
            path.escape_ascii()
        );
    }
    Ok(())
}

/// Lives through a history; how many of its moves were allowed.
fn history(rules: &[NaiveRule], acts: &[Act], rule: ReferRule) -> Result<usize, TestCaseError> {
    let image: Box<Image> = plain_image(&compile_rules(rules));
    let kernel = Kernel {
        image: OfImage(Interpreter::new(&image).expect("an image")),
        rule,
    };
    let mut tree = Tree::new();
    let mut moves = 0;
    for step in acts {
        let done = act(&mut tree, &kernel, *step).is_some();
        if done && !matches!(step, Act::Given { .. } | Act::Make { .. }) {
            moves += 1;
            check(&tree, &kernel)?;
        }
    }
    Ok(moves)
}

fn arb_history() -> impl Strategy<Value = Vec<Act>> {
    let n = || 0..1000_usize;
    let given = (any::<bool>(), n()).prop_map(|(directory, at)| Act::Given { directory, at });
    let later = prop_oneof![
        2 => (any::<bool>(), n()).prop_map(|(directory, at)| Act::Make { directory, at }),
        4 => (n(), n()).prop_map(|(from, to)| Act::Rename { from, to }),
        2 => (n(), n()).prop_map(|(one, other)| Act::Exchange { one, other }),
        2 => (n(), n()).prop_map(|(from, to)| Act::Link { from, to }),
    ];
    let acts = (
        prop::collection::vec(given, 2..12),
        prop::collection::vec(later, 1..25),
    );
    acts.prop_map(|(given, later)| [given, later].concat())
}

/// Histories under a rule, always the same ones; the moves that were allowed in all of them.
fn try_histories(cases: u32, rule: ReferRule) -> Result<usize, String> {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let moves = std::cell::Cell::new(0);
    let outcome = runner.run(&(arb_grant(), arb_history()), |(rules, acts)| {
        moves.set(moves.get() + history(&rules, &acts, rule)?);
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(moves.get()),
        Err(TestError::Fail(why, (rules, acts))) => {
            Err(format!("{why}\n{}\n{acts:?}", common::grant_text(&rules)))
        }
        Err(error) => panic!("{error}"),
    }
}

const BOTH: FileRights = FileRights(FileRights::CREATE.0 | FileRights::DELETE.0);

#[test]
fn no_object_ever_gains_a_right_and_sequences_agree() {
    let moves = try_histories(1500, ReferRule::Kernel).unwrap_or_else(|why| panic!("{why}"));
    assert!(
        moves > 3000,
        "only {moves} moves were allowed: too few to show anything"
    );
}

#[test]
fn wrong_rules_are_caught() {
    for (rule, sign) in [
        (ReferRule::IgnoresWhatIsBelow, ""),
        (ReferRule::IgnoresFiles, "gained a right"),
        (ReferRule::IgnoresMaking, "was planted"),
        (ReferRule::IgnoresTheOther, ""),
    ] {
        let why = try_histories(1500, rule).expect_err(&format!("{rule:?} was not caught"));
        assert!(why.contains(sign), "{rule:?}: {why}");
    }
}

/// An exchange is allowed exactly if the same can be done by moves through a third name that is as
/// good as the first.
#[test]
fn an_exchange_is_three_moves() {
    let mut seen = BTreeSet::new();
    let config = ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let seen_by_test = std::cell::RefCell::new(&mut seen);
    let paths = || prop::collection::vec(common::arb_path(), 3..12);
    let outcome =
        TestRunner::new_with_rng(config, rng).run(&(arb_grant(), paths()), |(rules, paths)| {
            let image = plain_image(&compile_rules(&rules));
            let kernel = Kernel {
                image: OfImage(Interpreter::new(&image).expect("an image")),
                rule: ReferRule::Kernel,
            };
            let may = |is_directory: bool, old: &Path, new: &Path, manner: Manner| {
                Move::new(old.clone(), new.clone(), is_directory, manner)
                    .is_ok_and(|wanted| wanted.is_permitted(&kernel))
            };
            let rename = Manner::Rename { replaces: false };
            for (a, b, third) in paths
                .iter()
                .zip(&paths[1..])
                .zip(&paths[2..])
                .map(|((a, b), c)| (a, b, c))
            {
                for is_directory in [false, true] {
                    let free =
                        may(is_directory, a, third, rename) && may(is_directory, third, a, rename);
                    let possible = [a, third].into_iter().all(|other| {
                        Move::new(other.clone(), b.clone(), is_directory, rename).is_ok()
                    });
                    if !free || !possible {
                        continue;
                    }
                    let manner = Manner::Exchange {
                        other_is_directory: is_directory,
                    };
                    let exchange = may(is_directory, a, b, manner);
                    let moves = may(is_directory, a, third, rename)
                        && may(is_directory, b, a, rename)
                        && may(is_directory, third, b, rename)
                        && kernel.has(a, BOTH)
                        && kernel.has(b, BOTH);
                    prop_assert_eq!(
                        exchange,
                        moves,
                        "{} {} {}",
                        a.escape_ascii(),
                        b.escape_ascii(),
                        third.escape_ascii()
                    );
                    seen_by_test.borrow_mut().insert(exchange);
                }
            }
            Ok(())
        });
    outcome.unwrap();
    assert_eq!(seen.len(), 2, "both answers must have occurred");
}
