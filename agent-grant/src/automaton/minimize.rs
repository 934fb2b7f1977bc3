//! The smallest automaton: states are told apart by what is after them, block by block (Hopcroft 1971).
//!
//! From most states most bytes lead to one and the same, so transitions are kept as sets of columns: a
//! block that is looked at tells by which columns each state comes into it, and states of one block that
//! come into it by different ones are parted.

use std::ops::Range;

use agent_abi::image::SINK;

use super::{
    dfa::Dfa,
    rows::{Other, Rows},
};

/// A set of columns.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Columns([u64; 4]);

impl Columns {
    const EMPTY: Self = Self([0; 4]);

    fn insert(&mut self, column: usize) {
        self.0[column / 64] |= 1 << (column % 64);
    }

    /// All of so many.
    fn all(count: usize) -> Self {
        let mut all = Self::EMPTY;
        (0..count).for_each(|column| all.insert(column));
        all
    }

    fn remove(&mut self, column: usize) {
        self.0[column / 64] &= !(1 << (column % 64));
    }

    fn add(&mut self, others: Self) {
        for (word, other) in self.0.iter_mut().zip(others.0) {
            *word |= other;
        }
    }
}

/// By which columns a state is come into.
struct Incoming {
    /// Of each state, where its own begin; and the end.
    starts: Vec<u32>,
    /// Where from, and by what.
    from: Vec<(u32, Columns)>,
}

impl Incoming {
    fn of(dfa: &Dfa) -> Self {
        let mut out: Vec<(u32, u32, Columns)> = Vec::with_capacity(dfa.states() * 4);
        let all = Columns::all(dfa.columns);
        for (state, row) in (0..).zip(dfa.rows.iter()) {
            let own = out.len();
            let mut most = all;
            for other in row.others {
                let (column, head) = (usize::from(other.column()), other.head());
                most.remove(column);
                let known = out[own..].iter_mut().find(|known| known.0 == head);
                let columns = match known {
                    Some(known) => &mut known.2,
                    None => {
                        out.push((head, state, Columns::EMPTY));
                        let last = out.len() - 1;
                        &mut out[last].2
                    }
                };
                columns.insert(column);
            }
            out.push((row.most, state, most));
        }
        let mut starts = vec![0; dfa.states() + 1];
        for (head, ..) in &out {
            starts[*head as usize + 1] += 1;
        }
        for state in 0..dfa.states() {
            starts[state + 1] += starts[state];
        }
        let mut free = starts.clone();
        let mut from = vec![(0, Columns::EMPTY); out.len()];
        for (head, tail, columns) in out {
            let place = &mut free[head as usize];
            from[*place as usize] = (tail, columns);
            *place += 1;
        }
        Self { starts, from }
    }

    fn of_state(&self, state: u32) -> &[(u32, Columns)] {
        let state = state as usize;
        &self.from[self.starts[state] as usize..self.starts[state + 1] as usize]
    }
}

/// States in blocks, each a range of `states`.
struct Blocks {
    states: Vec<u32>,
    place_of: Vec<u32>,
    block_of: Vec<u32>,
    ranges: Vec<Range<u32>>,
}

impl Blocks {
    /// States with equal keys are in one block.
    fn by_key(key: &[u32]) -> Self {
        let mut states = (0..key.len() as u32).collect::<Vec<_>>();
        states.sort_by_key(|state| key[*state as usize]);
        let mut blocks = Self {
            place_of: vec![0; key.len()],
            block_of: vec![0; key.len()],
            ranges: Vec::new(),
            states: Vec::new(),
        };
        let mut begin = 0;
        for block in states.chunk_by(|one, other| key[*one as usize] == key[*other as usize]) {
            let range = begin..begin + block.len() as u32;
            for (place, state) in range.clone().zip(block) {
                blocks.place_of[*state as usize] = place;
                blocks.block_of[*state as usize] = blocks.ranges.len() as u32;
            }
            begin = range.end;
            blocks.ranges.push(range);
        }
        blocks.states = states;
        blocks
    }

    fn members(&self, block: u32) -> &[u32] {
        let range = &self.ranges[block as usize];
        &self.states[range.start as usize..range.end as usize]
    }

    fn largest(&self) -> u32 {
        let sizes = (0..).zip(&self.ranges);
        sizes
            .max_by_key(|(_, range)| range.len())
            .map_or(0, |(block, _)| block)
    }

    /// Parts `block`: these parts of it, and what is left. The largest stays it; the others are new, and
    /// returned.
    fn part<'p>(&mut self, block: u32, parts: impl Iterator<Item = &'p [u32]>) -> Range<u32> {
        let Range { start, end } = self.ranges[block as usize];
        let mut ranges = Vec::new();
        let mut place = start;
        for part in parts {
            ranges.push(place..place + part.len() as u32);
            for state in part {
                self.swap(place, self.place_of[*state as usize]);
                place += 1;
            }
        }
        if place < end {
            ranges.push(place..end);
        }
        let sizes = ranges.iter().enumerate();
        let largest = sizes.max_by_key(|(_, range)| range.len());
        let largest = largest.map_or(0, |(index, _)| index);
        self.ranges[block as usize] = ranges.swap_remove(largest);
        let first = self.ranges.len() as u32;
        for range in ranges {
            let number = self.ranges.len() as u32;
            for place in range.clone() {
                self.block_of[self.states[place as usize] as usize] = number;
            }
            self.ranges.push(range);
        }
        first..self.ranges.len() as u32
    }

    fn swap(&mut self, one: u32, other: u32) {
        self.states.swap(one as usize, other as usize);
        for place in [one, other] {
            self.place_of[self.states[place as usize] as usize] = place;
        }
    }
}

/// The coarsest partition of states that keeps `key` and is respected by every transition: the
/// block of each state, and the number of blocks. The sink and all that equal it are block 0.
///
/// Whatever block was looked at, or is one of those that wait: states of one block come into it by the same
/// columns. Of the parts of a block that was looked at, one need not be: into it lead the columns that led
/// into the whole and lead into none of the others.
pub(crate) fn partition(dfa: &Dfa, key: &[u32]) -> (Vec<u32>, usize) {
    let incoming = Incoming::of(dfa);
    let mut blocks = Blocks::by_key(key);
    let largest = blocks.largest();
    let all = 0..blocks.ranges.len() as u32;
    let mut waiting = all.filter(|block| *block != largest).collect::<Vec<_>>();
    let mut into = vec![Columns::EMPTY; dfa.states()];
    let mut tails: Vec<u32> = Vec::new();
    while let Some(block) = waiting.pop() {
        for state in blocks.members(block) {
            for (tail, columns) in incoming.of_state(*state) {
                let found = &mut into[*tail as usize];
                if *found == Columns::EMPTY {
                    tails.push(*tail);
                }
                found.add(*columns);
            }
        }
        let block_of = &blocks.block_of;
        tails.sort_unstable_by_key(|tail| (block_of[*tail as usize], into[*tail as usize]));
        let mut rest = tails.as_slice();
        while let Some(first) = rest.first() {
            let parted = blocks.block_of[*first as usize];
            let count = rest
                .iter()
                .take_while(|tail| blocks.block_of[**tail as usize] == parted)
                .count();
            let (here, others) = rest.split_at(count);
            rest = others;
            let parts = here.chunk_by(|a, b| into[*a as usize] == into[*b as usize]);
            waiting.extend(blocks.part(parted, parts));
        }
        for tail in tails.drain(..) {
            into[tail as usize] = Columns::EMPTY;
        }
    }
    let count = blocks.ranges.len();
    let mut block_of = blocks.block_of;
    let sink_block = block_of.get(usize::from(SINK)).copied().unwrap_or(0);
    for block in &mut block_of {
        if *block == sink_block {
            *block = 0;
        } else if *block == 0 {
            *block = sink_block;
        }
    }
    (block_of, count)
}

/// The minimal automaton with equal labels for all paths; states numbered breadth first.
pub(crate) fn minimize(dfa: &Dfa) -> Dfa {
    let (block_of, count) = partition(dfa, &dfa.label_of);
    let mut member = vec![u32::MAX; count];
    for (state, block) in block_of.iter().enumerate() {
        if member[*block as usize] == u32::MAX {
            member[*block as usize] = state as u32;
        }
    }
    let mut number = vec![u32::MAX; count];
    let sink = u32::from(SINK);
    number[sink as usize] = 0;
    let mut order = vec![sink];
    let mut reach = |block: u32, order: &mut Vec<u32>| {
        let slot = &mut number[block as usize];
        if *slot == u32::MAX {
            *slot = order.len() as u32;
            order.push(block);
        }
        *slot
    };
    let start = reach(block_of[dfa.start as usize], &mut order);
    let mut rows = Rows::default();
    let mut others = Vec::new();
    let mut at = 0;
    while let Some(row) = order
        .get(at)
        .and_then(|block| dfa.rows.get(member[*block as usize]))
    {
        at += 1;
        let block = |head: u32| block_of[head as usize];
        let mut most = None;
        for (column, other) in (0..).zip(row.others) {
            // The first column that is not among the others comes before those after it.
            if other.column() != column && most.is_none() {
                most = Some(reach(block(row.most), &mut order));
            }
            let head = reach(block(other.head()), &mut order);
            others.push(Other::new(other.column(), head));
        }
        let most = most.unwrap_or_else(|| reach(block(row.most), &mut order));
        rows.push(most, others.drain(..));
    }
    let label_of = order
        .iter()
        .map(|block| dfa.label_of[member[*block as usize] as usize])
        .collect();
    let mut minimal = Dfa {
        classes: dfa.classes,
        columns: dfa.columns,
        rows,
        label_of,
        labels: dfa.labels.clone(),
        start,
    };
    minimal.drop_unused_labels();
    minimal.merge_columns();
    minimal
}

impl Dfa {
    fn drop_unused_labels(&mut self) {
        let mut number = vec![u32::MAX; self.labels.len()];
        let mut kept = Vec::new();
        for label in &mut self.label_of {
            let slot = &mut number[*label as usize];
            if *slot == u32::MAX {
                *slot = kept.len() as u32;
                kept.push(self.labels[*label as usize]);
            }
            *label = *slot;
        }
        self.labels = kept;
    }
}
