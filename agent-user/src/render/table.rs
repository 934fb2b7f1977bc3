//! Columns that line up, whatever the width of a character.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::{
    columns,
    style::{PLAIN, STRONG},
};

/// A cell: text that is safe to show, and its style.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    #[must_use]
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, PLAIN)
    }
}

/// A table with a head. The last column is not padded.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    #[must_use]
    pub fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// On a terminal no wider than that, where columns can give way.
    #[must_use]
    pub fn render(&self) -> String {
        self.render_in(columns::of_output())
    }

    fn render_in(&self, terminal: Option<usize>) -> String {
        let head = self
            .head
            .iter()
            .map(|text| Cell::styled(*text, STRONG))
            .collect::<Vec<_>>();
        let lines = std::iter::once(&head).chain(&self.rows);
        let mut widths = vec![0; self.head.len()];
        for line in lines.clone() {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.text.width());
            }
        }
        let shared = terminal.and_then(|terminal| columns::share(&widths, terminal, LEAST));
        match shared.filter(|shared| *shared != widths) {
            Some(shared) => lines.map(|line| render_wrapped(line, &shared)).collect(),
            None => lines
                .map(|line| render_line(line, &widths) + "\n")
                .collect(),
        }
    }
}

/// Columns that none gives away.
const LEAST: usize = 8;

/// Cells in columns of these widths, on as many lines as the longest needs.
fn render_wrapped(cells: &[Cell], widths: &[usize]) -> String {
    let pieces = cells.iter().zip(widths);
    let pieces: Vec<_> = pieces
        .map(|(cell, width)| columns::wrap(&cell.text, *width))
        .collect();
    let height = pieces.iter().map(Vec::len).max().unwrap_or(0);
    let line = |number: usize| {
        let cells = cells.iter().zip(&pieces);
        let cells = cells.map(|(cell, pieces)| {
            let text = pieces.get(number).copied().unwrap_or_default();
            Cell::styled(text, cell.style)
        });
        render_line(&cells.collect::<Vec<_>>(), widths) + "\n"
    };
    (0..height).map(line).collect()
}

/// Cells one after the other, two blanks apart; what does not fit into this many columns goes on in a line of
/// its own, further in.
#[must_use]
pub fn flow(cells: &[Cell], terminal: usize) -> String {
    const INDENT: usize = 4;
    let mut out = String::new();
    let mut taken = 0;
    for cell in cells.iter().filter(|cell| !cell.text.is_empty()) {
        let width = cell.width();
        if taken > 0 && taken + 2 + width <= terminal {
            let _ = write!(out, "  {}{}{:#}", cell.style, cell.text, cell.style);
            taken += 2 + width;
            continue;
        }
        let indent = if out.is_empty() { 0 } else { INDENT };
        for piece in columns::wrap(&cell.text, terminal.saturating_sub(indent).max(LEAST)) {
            let indent = if out.is_empty() { 0 } else { INDENT };
            if indent > 0 {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
            }
            let _ = write!(out, "{}{piece}{:#}", cell.style, cell.style);
            taken = indent + piece.width();
        }
    }
    out
}

/// Cells in columns of at least these widths, two blanks apart.
#[must_use]
pub fn render_line(cells: &[Cell], widths: &[usize]) -> String {
    let mut out = String::new();
    for (i, Cell { text, style }) in cells.iter().enumerate() {
        if !text.is_empty() {
            let _ = write!(out, "{style}{text}{style:#}");
        }
        if i + 1 < cells.len() {
            let width = widths.get(i).copied().unwrap_or(0);
            let blanks = width.saturating_sub(text.width()) + 2;
            out.extend(std::iter::repeat_n(' ', blanks));
        }
    }
    out.truncate(out.trim_end_matches(' ').len());
    out
}

/// The columns that `text` takes on a terminal.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

impl Cell {
    #[must_use]
    pub fn width(&self) -> usize {
        self.text.width()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_for_wide_characters_too() {
        let mut table = Table::new(&["NAME", "N", "REST"]);
        table.row(["日本".into(), "1".into(), "x".into()]);
        table.row(["ab".into(), "1000".into(), "".into()]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain, "NAME  N     REST\n日本  1     x\nab    1000\n");
    }

    #[test]
    fn what_is_wider_than_the_terminal_goes_on_below() {
        let mut table = Table::new(&["NAME", "N", "REST"]);
        table.row([
            "one".into(),
            "1".into(),
            "what there is to say of it".into(),
        ]);
        let in_columns = |columns| {
            let text = table.render_in(Some(columns));
            anstream::adapter::strip_str(&text).to_string()
        };
        assert_eq!(
            in_columns(24),
            "NAME  N  REST\none   1  what there is\n         to say of it\n"
        );
        let one_line = "NAME  N  REST\none   1  what there is to say of it\n";
        for columns in [35, 80, 5] {
            assert_eq!(in_columns(columns), one_line);
        }
    }

    #[test]
    fn cells_flow_on_further_in() {
        let cells = [
            "#1",
            "12:00:00",
            "DENIED",
            "/a/long/path/to",
            "why it is so",
        ]
        .map(Cell::from);
        let flowing = |columns| {
            let text = flow(&cells, columns);
            anstream::adapter::strip_str(&text).to_string()
        };
        assert_eq!(
            flowing(80),
            "#1  12:00:00  DENIED  /a/long/path/to  why it is so"
        );
        assert_eq!(
            flowing(24),
            "#1  12:00:00  DENIED\n    /a/long/path/to\n    why it is so"
        );
    }

    #[test]
    fn empty_cells_leave_no_blanks_at_the_end() {
        let empty = Cell::styled("", STRONG);
        assert_eq!(render_line(&["a".into(), empty], &[5, 5]), "a");
    }
}
