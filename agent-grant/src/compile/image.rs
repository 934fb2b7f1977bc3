//! The [`Image`]: tables in the layout that `agent_abi::image` describes.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

use agent_abi::{
    Image, ImageHeader, Surface,
    image::{IMAGE_MAGIC, LABEL_WORDS, SINK},
    limits::{IMAGE_WORDS, MAX_STATES},
};

use super::{Compiled, roots::place};
use crate::{
    automaton::{Dfa, Row},
    model::Mode,
};

/// A mount of a filesystem that the session can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleMount {
    /// The mount's root inside the filesystem; empty or `/` for the whole of it.
    pub root: Vec<u8>,
    /// Where the session sees it; empty or `/` for the root directory.
    pub at: Vec<u8>,
}

/// A filesystem with all of its mounts that the session can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleFilesystem {
    /// Value of the `SUPERBLOCKS` map.
    pub number: u32,
    pub mounts: Vec<VisibleMount>,
}

/// What an image needs besides the grant.
#[derive(Clone, Copy, Debug)]
pub struct ImageParams<'v> {
    pub generation: u32,
    pub policy: u32,
    pub epoch: u32,
    pub superblocks: &'v [VisibleFilesystem],
}

/// Why there is no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("the automaton has {0} states, {MAX_STATES} fit")]
    States(usize),
    #[error("the tables take {0} words, {IMAGE_WORDS} fit")]
    Words(usize),
    #[error("the automaton has {0} different labels, {MAX_LABELS} fit")]
    Labels(usize),
    #[error("superblock number {0} is out of range")]
    SuperblockNumber(u32),
    #[error("a mount: {0}")]
    Path(String),
}

/// Labels are found by a 16-bit word index.
const MAX_LABELS: usize = (1 << 16) / LABEL_WORDS;

/// Room that is kept for the states and columns of partly visible filesystems.
const RESERVE_WORDS: usize = IMAGE_WORDS / 16;

/// Whether an automaton fits into an image, the refer relation left aside.
pub(crate) fn fits(dfa: &Dfa) -> bool {
    dfa.states() + 1024 <= MAX_STATES
        && dfa.labels.len() < MAX_LABELS
        && table_words(dfa) <= IMAGE_WORDS - RESERVE_WORDS
}

fn table_words(dfa: &Dfa) -> usize {
    dfa.states() * (dfa.columns + 2) + dfa.labels.len() * LABEL_WORDS
}

impl Compiled {
    /// The image of a session under this grant.
    ///
    /// # Errors
    /// What does not fit, or a mount that makes no sense.
    pub fn image(&self, params: &ImageParams<'_>) -> Result<Box<Image>, ImageError> {
        let mut placed = place(&self.dfa, params.superblocks)?;
        placed.add_own(self.surface & Surface::Jit.bit() != 0);
        let dfa = &placed.dfa;
        if dfa.states() > MAX_STATES {
            return Err(ImageError::States(dfa.states()));
        }
        if dfa.labels.len() > MAX_LABELS {
            return Err(ImageError::Labels(dfa.labels.len()));
        }
        let words = table_words(dfa);
        if words > IMAGE_WORDS {
            return Err(ImageError::Words(words));
        }
        let mut image = zeroed();
        image.classes = dfa.classes;
        let numbering = Numbering::of(dfa);
        for (number, state) in &placed.roots {
            if let Some(root) = image.roots.get_mut(*number) {
                *root = numbering.number(*state);
            }
        }
        for (kind, state) in &placed.kinds {
            if let Some(root) = image.kinds.get_mut(*kind) {
                *root = numbering.number(*state);
            }
        }
        let mut writer = Writer {
            image: &mut image,
            at: 0,
        };
        for state in &numbering.order {
            if let Some(row) = dfa.rows.get(*state) {
                writer.put_row(dfa.columns, row, &numbering);
            }
        }
        let label_of = |state: &u32| dfa.label_of.get(*state as usize).copied().unwrap_or(0);
        let state_labels = writer.put(
            numbering
                .order
                .iter()
                .map(|state| (label_of(state) as usize * LABEL_WORDS) as u16),
        );
        let labels = writer.put(
            dfa.labels
                .iter()
                .flat_map(|label| std::iter::once(label.allowed.0).chain(label.deciding)),
        );
        let class = |state: &u32| {
            let added = (*state as usize).checked_sub(self.dfa.states());
            let like = added.map_or(Some(state), |added| placed.classes_like.get(added));
            like.and_then(|like| self.refer.class_of.get(*like as usize))
                .copied()
                .unwrap_or(SINK)
        };
        let refer_classes = writer.put(numbering.order.iter().map(class));
        let (refer, refer_count) = self.write_refer(&mut writer);
        image.header = ImageHeader {
            magic: IMAGE_MAGIC,
            generation: params.generation,
            policy: params.policy,
            audit: u32::from(self.mode == Mode::Audit),
            columns: dfa.columns as u32,
            states: dfa.states() as u32,
            settled: numbering.settled,
            state_labels,
            labels,
            refer_classes,
            refer,
            refer_count,
            capabilities: self.capabilities,
            surface: self.surface,
            epoch: params.epoch,
        };
        Ok(image)
    }

    /// Bytes of tables in an image, without roots and padding: what a session takes of caches.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        let relation = self
            .refer
            .allowed
            .as_ref()
            .map_or(0, |bits| bits.len().div_ceil(16));
        2 * (table_words(&self.dfa) + relation)
    }

    fn write_refer(&self, writer: &mut Writer<'_>) -> (u32, u32) {
        let start = writer.at as u32;
        let Some(allowed) = &self.refer.allowed else {
            return (start, 0);
        };
        let count = self.refer.classes;
        if writer.at + allowed.len().div_ceil(16) > IMAGE_WORDS {
            return (start, 0);
        }
        let bits = allowed.chunks(16).map(|chunk| {
            chunk
                .iter()
                .enumerate()
                .fold(0, |word, (bit, on)| word | u16::from(*on) << bit)
        });
        (writer.put(bits), count as u32)
    }
}

/// The order of states in an image: the sink, then those in which a name has to be read on, then
/// the settled ones.
struct Numbering {
    /// States of the automaton in the image's order.
    order: Vec<u32>,
    /// State of the automaton to its place in `order`.
    place: Vec<u32>,
    /// The first settled state.
    settled: u32,
}

impl Numbering {
    fn of(dfa: &Dfa) -> Self {
        // The slash has a column of its own, and what is in names has the others.
        let slash = dfa.classes[usize::from(b'/')];
        let is_settled = |state: &u32| {
            dfa.rows.get(*state).is_some_and(|row| {
                let mut in_names = row.others.iter().filter(|other| other.column() != slash);
                in_names.clone().all(|other| other.head() == *state)
                    && (row.most == *state || in_names.by_ref().count() + 1 == dfa.columns)
            })
        };
        let states = 1..dfa.states() as u32;
        let (settled, mut order): (Vec<u32>, Vec<u32>) = states.partition(is_settled);
        order.insert(0, u32::from(SINK));
        let first_settled = order.len() as u32;
        order.extend(settled);
        let mut place = vec![0; order.len()];
        for (number, state) in order.iter().enumerate() {
            if let Some(slot) = place.get_mut(*state as usize) {
                *slot = number as u32;
            }
        }
        Self {
            order,
            place,
            settled: first_settled,
        }
    }

    fn number(&self, state: u32) -> u16 {
        self.place
            .get(state as usize)
            .map_or(SINK, |place| *place as u16)
    }
}

struct Writer<'i> {
    image: &'i mut Image,
    at: usize,
}

impl Writer<'_> {
    /// Writes where a state leads.
    fn put_row(&mut self, columns: usize, row: Row<'_>, numbering: &Numbering) {
        let end = self.at + columns;
        if let Some(words) = self.image.words.get_mut(self.at..end) {
            words.fill(numbering.number(row.most));
            for other in row.others {
                if let Some(word) = words.get_mut(usize::from(other.column())) {
                    *word = numbering.number(other.head());
                }
            }
        }
        self.at = end;
    }

    /// Writes words one after the other; returns where they begin.
    fn put(&mut self, words: impl Iterator<Item = u16>) -> u32 {
        let start = self.at;
        let mut room = self.image.words.iter_mut().skip(start);
        words.for_each(|word| {
            if let Some(slot) = room.next() {
                *slot = word;
            }
            self.at += 1;
        });
        start as u32
    }
}

/// An empty image, made on the heap: it is too large for a stack.
fn zeroed() -> Box<Image> {
    let layout = Layout::new::<Image>();
    // SAFETY: the layout is not empty; an image is integers only, so zeroes are a valid one; the
    // pointer comes from the global allocator with the layout that the box will free it with.
    unsafe {
        let pointer = alloc_zeroed(layout);
        if pointer.is_null() {
            handle_alloc_error(layout);
        }
        Box::from_raw(pointer.cast::<Image>())
    }
}
