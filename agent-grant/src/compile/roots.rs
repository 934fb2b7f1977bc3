//! Where each filesystem's root stands in the automaton.
//!
//! A filesystem that the session sees whole begins at the state after its mount point. One of
//! which it sees directories only begins in a trie over the paths of those directories: at the
//! end of each the automaton goes on as at the mount point, everything beside them is the sink.

use std::collections::BTreeMap;

use agent_abi::{
    FileRights, KernelFilesystem, filesystem::OWN_KIND, image::SINK, limits::MAX_SUPERBLOCKS,
};

use super::image::{ImageError, VisibleFilesystem};
use crate::automaton::{Dfa, Label, Other, Rows};

/// The automaton with the states that roots need.
pub(super) struct Placed {
    pub(super) dfa: Dfa,
    pub(super) roots: Vec<(usize, u32)>,
    /// State at the root of each of the kernel's own filesystems, by its number.
    pub(super) kinds: Vec<(usize, u32)>,
    /// For each added state the state of the automaton whose refer class it has.
    pub(super) classes_like: Vec<u32>,
}

pub(super) fn place(dfa: &Dfa, superblocks: &[VisibleFilesystem]) -> Result<Placed, ImageError> {
    let mut roots = Vec::with_capacity(superblocks.len());
    let mut tries = Vec::new();
    for view in superblocks {
        let number = view.number as usize;
        if number >= MAX_SUPERBLOCKS {
            return Err(ImageError::SuperblockNumber(view.number));
        }
        let mut mounts = Vec::with_capacity(view.mounts.len());
        for mount in &view.mounts {
            mounts.push((plain(&mount.root)?, plain(&mount.at)?));
        }
        // Topmost first: the root nearest to the filesystem's, then the nearest mount point.
        mounts.sort_by_key(|(root, at)| (depth(root), depth(at)));
        match mounts.first() {
            None => {}
            Some((b"", at)) => roots.push((number, dfa.run(dfa.start, at))),
            Some(_) => {
                let mut trie = Trie::default();
                for (root, at) in mounts {
                    trie.insert(root, dfa.run(dfa.start, at));
                }
                tries.push((number, trie));
            }
        }
    }
    let mut placed = Placed {
        dfa: dfa.clone(),
        roots,
        kinds: KernelFilesystem::ALL
            .iter()
            .map(|kind| (*kind as usize, dfa.run(dfa.start, kind.path())))
            .collect(),
        classes_like: Vec::new(),
    };
    for (_, trie) in &tries {
        trie.nodes
            .iter()
            .flat_map(|node| node.children.keys())
            .for_each(|byte| {
                placed.dfa.isolate(*byte);
            });
    }
    for (number, trie) in &tries {
        placed.add(*number, trie);
    }
    Ok(placed)
}

fn depth(path: &[u8]) -> usize {
    path.iter().filter(|byte| **byte == b'/').count()
}

/// The path without a closing slash; the root is empty.
fn plain(path: &[u8]) -> Result<&[u8], ImageError> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    match crate::glob::literal_components(path) {
        Ok(_) => Ok(path),
        Err(why) => Err(ImageError::Path(why)),
    }
}

#[derive(Default)]
struct Node {
    children: BTreeMap<u8, usize>,
    /// The automaton's state at the mount point, where a visible directory ends here.
    end: Option<u32>,
}

struct Trie {
    nodes: Vec<Node>,
}

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

impl Trie {
    /// Roots come topmost first; what lies inside one that is there already is left out.
    fn insert(&mut self, root: &[u8], state: u32) {
        let mut at = 0;
        for byte in root {
            if *byte == b'/' && self.nodes[at].end.is_some() {
                return;
            }
            at = match self.nodes[at].children.get(byte) {
                Some(child) => *child,
                None => {
                    self.nodes.push(Node::default());
                    let child = self.nodes.len() - 1;
                    self.nodes[at].children.insert(*byte, child);
                    child
                }
            };
        }
        self.nodes[at].end.get_or_insert(state);
    }
}

impl Placed {
    fn add(&mut self, number: usize, trie: &Trie) {
        let base = self.dfa.states() as u32;
        for node in &trie.nodes {
            let like = node.end.unwrap_or(u32::from(SINK));
            let slash = self.dfa.classes[usize::from(b'/')];
            let mut row = BTreeMap::from([(slash, self.dfa.by_class(like, slash))]);
            for (byte, child) in &node.children {
                // Below an end the automaton goes on; the trie has no slash there.
                row.insert(self.dfa.classes[usize::from(*byte)], base + *child as u32);
            }
            let others = row
                .into_iter()
                .map(|(column, head)| Other::new(column, head));
            self.dfa.rows.push(u32::from(SINK), others);
            self.dfa.label_of.push(self.dfa.label_of[like as usize]);
            self.classes_like.push(like);
        }
        self.roots.push((number, base));
    }
}

impl Placed {
    /// The state of everything in a filesystem that the session mounted for itself: whoever may make
    /// anonymous memory executable may execute what he wrote, and nobody else.
    pub(super) fn add_own(&mut self, executes: bool) {
        let state = self.dfa.states() as u32;
        let allowed = if executes {
            FileRights::ALL
        } else {
            FileRights::ALL.without(FileRights::EXEC)
        };
        self.dfa.rows.push(state, []);
        self.dfa.label_of.push(self.dfa.labels.len() as u32);
        self.dfa.labels.push(Label {
            allowed,
            ..Label::NONE
        });
        // A move leads to no other filesystem.
        self.classes_like.push(u32::from(SINK));
        self.kinds.push((OWN_KIND as usize, state));
    }
}

impl Dfa {
    /// Gives a byte a column of its own.
    fn isolate(&mut self, byte: u8) {
        let class = self.classes[usize::from(byte)];
        let shared = (1..=255_u8).any(|b| b != byte && self.classes[usize::from(b)] == class);
        if !shared {
            return;
        }
        let old = self.columns;
        let mut rows = Rows::default();
        for row in self.rows.iter() {
            let others = row.others.iter().copied();
            rows.push(
                row.most,
                others.chain([Other::new(old as u8, row.at(class))]),
            );
        }
        self.rows = rows;
        self.columns = old + 1;
        // At most 255 bytes share at most 255 columns before the last is isolated.
        self.classes[usize::from(byte)] = old as u8;
        if byte == 1 {
            self.classes[0] = old as u8;
        }
    }
}
