//! Where an automaton's states lead. From most states most columns lead to one and the same, so of a row
//! that is kept, and what differs: a tenth of a table.

/// The rows of all states.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    most: Vec<u32>,
    /// Where the others of each state end.
    ends: Vec<u32>,
    others: Vec<Other>,
}

/// A column that leads elsewhere than most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Other(u32);

const HEAD_BITS: u32 = 24;

impl Other {
    pub(crate) fn new(column: u8, head: u32) -> Self {
        debug_assert!(head < 1 << HEAD_BITS);
        Self(u32::from(column) << HEAD_BITS | head)
    }

    /// By which column.
    #[must_use]
    pub fn column(self) -> u8 {
        (self.0 >> HEAD_BITS) as u8
    }

    /// Where it leads.
    #[must_use]
    pub fn head(self) -> u32 {
        self.0 & ((1 << HEAD_BITS) - 1)
    }
}

impl std::fmt::Debug for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.column(), self.head())
    }
}

/// Where one state leads.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    /// By every column that is not among the others: one at least, where compiling made the row.
    pub most: u32,
    /// Ascending by column.
    pub others: &'r [Other],
}

impl Row<'_> {
    /// Where a column leads.
    #[must_use]
    pub fn at(&self, column: u8) -> u32 {
        let found = self
            .others
            .binary_search_by_key(&column, |other| other.column());
        found.map_or(self.most, |index| self.others[index].head())
    }
}

impl Rows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.most.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.most.is_empty()
    }

    /// The row of a state; `None` where there is no such state.
    #[must_use]
    pub fn get(&self, state: u32) -> Option<Row<'_>> {
        let state = state as usize;
        let most = *self.most.get(state)?;
        let before = state.checked_sub(1).map_or(0, |before| self.ends[before]);
        let others = self.others.get(before as usize..self.ends[state] as usize);
        Some(Row {
            most,
            others: others.unwrap_or_default(),
        })
    }

    /// All, in the order of states.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len() as u32).filter_map(|state| self.get(state))
    }

    /// Adds the next state's; `others` in the order of columns, those included that lead where most do.
    pub(crate) fn push(&mut self, most: u32, others: impl IntoIterator<Item = Other>) {
        let others = others.into_iter().filter(|other| other.head() != most);
        self.others.extend(others);
        self.most.push(most);
        self.ends.push(self.others.len() as u32);
    }

    /// Adds one of which every column is told.
    pub(crate) fn push_whole(&mut self, row: &[Other]) {
        self.push(most_common(row), row.iter().copied());
    }

    /// Gives back what was kept for more.
    pub(crate) fn shrink(&mut self) {
        self.most.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.others.shrink_to_fit();
    }
}

/// Where most of a row lead. There are few different places.
fn most_common(row: &[Other]) -> u32 {
    let mut counts: Vec<(u32, usize)> = Vec::new();
    for other in row {
        match counts.iter_mut().find(|(known, _)| *known == other.head()) {
            Some((_, count)) => *count += 1,
            None => counts.push((other.head(), 1)),
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map_or(0, |(head, _)| head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_told_as_it_was_given() {
        let given: [&[u32]; 4] = [&[0, 0, 0], &[4, 1, 1], &[1, 2, 3], &[70_000, 5, 70_000]];
        let mut rows = Rows::default();
        for row in given {
            let others = (0..)
                .zip(row)
                .map(|(column, head)| Other::new(column, *head));
            rows.push_whole(&others.collect::<Vec<_>>());
        }
        for (state, row) in (0..).zip(given) {
            let kept = rows.get(state).unwrap();
            let told = (0..3).map(|column| kept.at(column)).collect::<Vec<_>>();
            assert_eq!(told, row);
            assert!(
                kept.others.len() < 3 && kept.others.iter().all(|other| other.head() != kept.most)
            );
        }
        assert!(rows.get(4).is_none());
    }
}
