//! Columns that line up, whatever the width of a character.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::style::{PLAIN, STRONG};

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

    #[must_use]
    pub fn render(&self) -> String {
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
        lines
            .map(|line| render_line(line, &widths) + "\n")
            .collect()
    }
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
    fn empty_cells_leave_no_blanks_at_the_end() {
        let empty = Cell::styled("", STRONG);
        assert_eq!(render_line(&["a".into(), empty], &[5, 5]), "a");
    }
}
