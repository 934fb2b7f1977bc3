//! The smallest automaton: partition refinement after Valmari ("Fast brief practical DFA
//! minimization", 2012). Transitions into the sink are left out, so that its cost is that of the
//! transitions that matter.

use std::collections::VecDeque;

use agent_abi::image::SINK;

use super::dfa::Dfa;

/// A refinable partition of `0..n`.
struct Refinable {
    elements: Vec<u32>,
    location: Vec<u32>,
    set_of: Vec<u32>,
    first: Vec<u32>,
    past: Vec<u32>,
    marked: Vec<u32>,
    touched: Vec<u32>,
}

impl Refinable {
    /// Elements with equal keys start in one set. Keys are `0..keys`.
    fn by_key(key: &[u32], keys: usize) -> Self {
        let mut counts = vec![0_u32; keys + 1];
        key.iter().for_each(|k| counts[*k as usize + 1] += 1);
        for i in 0..keys {
            counts[i + 1] += counts[i];
        }
        let mut set_number = vec![u32::MAX; keys];
        let (mut first, mut past) = (Vec::new(), Vec::new());
        for k in 0..keys {
            if counts[k + 1] > counts[k] {
                set_number[k] = first.len() as u32;
                first.push(counts[k]);
                past.push(counts[k + 1]);
            }
        }
        let mut fill = counts;
        let mut elements = vec![0; key.len()];
        let mut location = vec![0; key.len()];
        for (element, k) in key.iter().enumerate() {
            let at = fill[*k as usize];
            fill[*k as usize] += 1;
            elements[at as usize] = element as u32;
            location[element] = at;
        }
        let set_of = key.iter().map(|k| set_number[*k as usize]).collect();
        let marked = vec![0; first.len()];
        Self {
            elements,
            location,
            set_of,
            first,
            past,
            marked,
            touched: Vec::new(),
        }
    }

    fn sets(&self) -> usize {
        self.first.len()
    }

    fn range(&self, set: usize) -> std::ops::Range<usize> {
        self.first[set] as usize..self.past[set] as usize
    }

    fn mark(&mut self, element: u32) {
        let set = self.set_of[element as usize] as usize;
        let from = self.location[element as usize];
        let to = self.first[set] + self.marked[set];
        if from < to {
            return;
        }
        let other = self.elements[to as usize];
        self.elements[from as usize] = other;
        self.location[other as usize] = from;
        self.elements[to as usize] = element;
        self.location[element as usize] = to;
        if self.marked[set] == 0 {
            self.touched.push(set as u32);
        }
        self.marked[set] += 1;
    }

    /// Parts marked from unmarked elements; the smaller part becomes the new set.
    fn split(&mut self) {
        while let Some(set) = self.touched.pop() {
            let s = set as usize;
            let middle = self.first[s] + self.marked[s];
            let marked = std::mem::take(&mut self.marked[s]);
            if middle == self.past[s] {
                continue;
            }
            let new = if marked <= self.past[s] - middle {
                let new = (self.first[s], middle);
                self.first[s] = middle;
                new
            } else {
                let new = (middle, self.past[s]);
                self.past[s] = middle;
                new
            };
            let number = self.first.len() as u32;
            self.first.push(new.0);
            self.past.push(new.1);
            self.marked.push(0);
            for at in new.0..new.1 {
                self.set_of[self.elements[at as usize] as usize] = number;
            }
        }
    }
}

/// The coarsest partition of states that keeps `key` and is respected by every transition: the
/// block of each state, and the number of blocks. The sink and all that equal it are block 0.
pub(crate) fn partition(dfa: &Dfa, key: &[u32]) -> (Vec<u32>, usize) {
    let states = dfa.states();
    let columns = dfa.columns;
    let live = can_leave(dfa, key);
    // Transitions between live states, ordered by column.
    let (mut tails, mut heads, mut column_of) = (Vec::new(), Vec::new(), Vec::new());
    for column in 0..columns {
        for state in (0..states).filter(|state| live[*state]) {
            let head = dfa.next[state * columns + column];
            if live[head as usize] {
                tails.push(state as u32);
                heads.push(head);
                column_of.push(column as u32);
            }
        }
    }
    let mut into_start = vec![0_u32; states + 1];
    heads
        .iter()
        .for_each(|head| into_start[*head as usize + 1] += 1);
    for i in 0..states {
        into_start[i + 1] += into_start[i];
    }
    let mut into = vec![0_u32; heads.len()];
    let mut fill = into_start.clone();
    for (transition, head) in heads.iter().enumerate() {
        into[fill[*head as usize] as usize] = transition as u32;
        fill[*head as usize] += 1;
    }
    // Dead states have a key of their own: alone of all they have no transitions.
    let keys = key.iter().max().map_or(1, |k| *k as usize + 2);
    let live_key: Vec<u32> = key
        .iter()
        .zip(&live)
        .map(|(key, live)| if *live { key + 1 } else { 0 })
        .collect();
    let mut blocks = Refinable::by_key(&live_key, keys);
    let mut cords = Refinable::by_key(&column_of, columns);
    let (mut block, mut cord) = (1, 0);
    // Every initial block but the first splits the cords; one may be left out.
    while cord < cords.sets() {
        for at in cords.range(cord) {
            blocks.mark(tails[cords.elements[at] as usize]);
        }
        blocks.split();
        cord += 1;
        while block < blocks.sets() {
            for at in blocks.range(block) {
                let state = blocks.elements[at] as usize;
                for incoming in into_start[state]..into_start[state + 1] {
                    cords.mark(into[incoming as usize]);
                }
            }
            cords.split();
            block += 1;
        }
    }
    let count = blocks.sets();
    let mut block_of = blocks.set_of;
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

/// States from which a state with another key than the sink's can be reached.
fn can_leave(dfa: &Dfa, key: &[u32]) -> Vec<bool> {
    let states = dfa.states();
    let sink_key = key.get(usize::from(SINK)).copied().unwrap_or(0);
    let mut before: Vec<Vec<u32>> = vec![Vec::new(); states];
    for (state, row) in dfa.next.chunks_exact(dfa.columns).enumerate() {
        let mut last = None;
        for head in row {
            if last != Some(head) && *head as usize != state {
                before[*head as usize].push(state as u32);
            }
            last = Some(head);
        }
    }
    let mut live: Vec<bool> = key.iter().map(|key| *key != sink_key).collect();
    let mut queue: VecDeque<u32> = (0..states as u32)
        .filter(|state| live[*state as usize])
        .collect();
    while let Some(state) = queue.pop_front() {
        for previous in &before[state as usize] {
            if !std::mem::replace(&mut live[*previous as usize], true) {
                queue.push_back(*previous);
            }
        }
    }
    live
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
    let mut next = Vec::new();
    let mut at = 0;
    while at < order.len() {
        let state = member[order[at] as usize] as usize;
        for head in &dfa.next[state * dfa.columns..(state + 1) * dfa.columns] {
            next.push(reach(block_of[*head as usize], &mut order));
        }
        at += 1;
    }
    let label_of = order
        .iter()
        .map(|block| dfa.label_of[member[*block as usize] as usize])
        .collect();
    let mut minimal = Dfa {
        classes: dfa.classes,
        columns: dfa.columns,
        next,
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
