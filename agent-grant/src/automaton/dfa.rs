//! The labelled automaton.

use agent_abi::{FileRights, Right, image::SINK, ledger::NO_RULE, right::FILE_RIGHTS};

use super::rows::{Other, Rows};

/// What a state says of the path that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    pub allowed: FileRights,
    /// Per right, the rule that decided; [`NO_RULE`] where none matches.
    pub deciding: [u16; FILE_RIGHTS],
}

impl Label {
    /// No right, no rule.
    pub const NONE: Self = Self {
        allowed: FileRights::NONE,
        deciding: [NO_RULE; FILE_RIGHTS],
    };

    /// Whether a file right is allowed, and the rule that decided.
    #[must_use]
    pub fn decide(&self, right: Right) -> (bool, u16) {
        let number = right as usize;
        match self.deciding.get(number) {
            Some(rule) => (self.allowed.0 & (1 << number) != 0, *rule),
            None => (false, NO_RULE),
        }
    }
}

/// A complete deterministic automaton over byte classes. State [`SINK`] has [`Label::NONE`] and
/// leads to itself only.
#[derive(Clone, Debug)]
pub struct Dfa {
    /// Byte to column. NUL, which is in no name, shares the column of another byte.
    pub classes: [u8; 256],
    pub columns: usize,
    /// Where each state leads.
    pub rows: Rows,
    /// State to index into `labels`.
    pub label_of: Vec<u32>,
    pub labels: Vec<Label>,
    /// The state of the empty path, the root directory.
    pub start: u32,
}

impl Dfa {
    /// How many states there are.
    #[must_use]
    pub fn states(&self) -> usize {
        self.label_of.len()
    }

    /// Where a byte leads.
    #[must_use]
    pub fn step(&self, state: u32, byte: u8) -> u32 {
        self.by_class(state, self.classes[usize::from(byte)])
    }

    /// Where a column leads.
    #[must_use]
    pub fn by_class(&self, state: u32, class: u8) -> u32 {
        let row = self.rows.get(state);
        row.map_or(u32::from(SINK), |row| row.at(class))
    }

    /// Where a path leads: empty for the root, else `/` and a name for each component.
    #[must_use]
    pub fn run(&self, from: u32, path: &[u8]) -> u32 {
        path.iter()
            .fold(from, |state, byte| self.step(state, *byte))
    }

    /// The label of a state.
    #[must_use]
    pub fn label(&self, state: u32) -> &Label {
        let index = self.label_of.get(state as usize).copied().unwrap_or(0);
        self.labels.get(index as usize).unwrap_or(&Label::NONE)
    }

    /// One byte for each column, a readable one where there is any.
    #[must_use]
    pub fn representatives(&self) -> Vec<u8> {
        let mut found = vec![None; self.columns];
        let readable = (b'a'..=b'z')
            .chain(b'0'..=b'9')
            .chain(b'A'..=b'Z')
            .chain(b'!'..=b'~');
        for byte in readable.chain(1..=255) {
            if let Some(slot) = found.get_mut(usize::from(self.classes[usize::from(byte)])) {
                slot.get_or_insert(byte);
            }
        }
        found.into_iter().map(|byte| byte.unwrap_or(b'a')).collect()
    }

    /// Merges columns that are equal in every state.
    pub(crate) fn merge_columns(&mut self) {
        // Where each leads elsewhere than most do: the same for columns that are equal.
        let mut apart: Vec<Vec<(u32, u32)>> = vec![Vec::new(); self.columns];
        for (state, row) in (0..).zip(self.rows.iter()) {
            for other in row.others {
                apart[usize::from(other.column())].push((state, other.head()));
            }
        }
        let mut kept: Vec<usize> = Vec::new();
        let mut map = vec![0_u8; self.columns];
        for column in 0..self.columns {
            let same = kept.iter().position(|k| apart[*k] == apart[column]);
            let to = same.unwrap_or_else(|| {
                kept.push(column);
                kept.len() - 1
            });
            map[column] = to as u8;
        }
        let mut rows = Rows::default();
        for row in self.rows.iter() {
            let others = row.others.iter().filter_map(|other| {
                let column = usize::from(other.column());
                let to = map[column];
                (kept[usize::from(to)] == column).then(|| Other::new(to, other.head()))
            });
            rows.push(row.most, others);
        }
        rows.shrink();
        self.rows = rows;
        self.columns = kept.len();
        for class in &mut self.classes {
            *class = map[usize::from(*class)];
        }
    }
}
