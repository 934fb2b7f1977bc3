//! Lines that are as wide as the terminal, where output goes to one. What goes to a file or a program is left
//! as it is.

use std::{
    io::{self, IsTerminal as _},
    os::fd::AsRawFd as _,
};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns of the terminal that standard output goes to.
#[must_use]
pub fn of_output() -> Option<usize> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: a live structure that the call fills in.
    let asked = unsafe { libc::ioctl(out.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (asked == 0 && size.ws_col > 0).then_some(size.ws_col.into())
}

/// `text` in pieces that are no wider than `columns`: between words or parts of paths where that leaves no piece
/// short, else within them.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.width() > columns {
        let cut = cut(rest, columns.max(1));
        pieces.push(rest[..cut].trim_end_matches(' '));
        rest = rest[cut..].trim_start_matches(' ');
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// How much of it, in bytes, is the first piece: one character at least.
fn cut(text: &str, columns: usize) -> usize {
    let mut taken = 0;
    let mut end = text.chars().next().map_or(0, char::len_utf8);
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(0);
        if taken > columns {
            break;
        }
        end = at + c.len_utf8();
    }
    // A blank right behind is as good.
    if text[end..].starts_with(' ') {
        return end;
    }
    let after = |separators: &[char]| {
        let found = text[..end].rfind(separators).map(|at| at + 1);
        found.filter(|at| *at > end / 2)
    };
    after(&[' ']).or_else(|| after(&['/', ','])).unwrap_or(end)
}

/// The widths of columns that together take no more than `columns`, with two blanks between them: the widest
/// give way, and none below `least`. `None`: they do not fit all the same.
#[must_use]
pub fn share(wanted: &[usize], columns: usize, least: usize) -> Option<Vec<usize>> {
    let mut widths = wanted.to_vec();
    let blanks = 2 * wanted.len().saturating_sub(1);
    loop {
        let sum: usize = widths.iter().sum::<usize>() + blanks;
        let over = sum.saturating_sub(columns);
        if over == 0 {
            return Some(widths);
        }
        let widest = *widths.iter().max()?;
        if widest <= least {
            return None;
        }
        // Down to the next one, or as far as is needed.
        let next = widths.iter().filter(|width| **width < widest).max();
        let floor = next.copied().unwrap_or(0).max(least);
        let count = widths.iter().filter(|width| **width == widest).count();
        let each = over.div_ceil(count).min(widest - floor);
        for width in widths.iter_mut().filter(|width| **width == widest) {
            *width -= each;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_broken_between_words_and_long_words_within() {
        assert_eq!(wrap("one two three", 20), ["one two three"]);
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("/a/very/long/path", 8), ["/a/very/", "long/", "path"]);
        assert_eq!(
            wrap("x /a/very/long/path", 8),
            ["x /a/", "very/", "long/", "path"]
        );
        assert_eq!(wrap("longest-word", 8), ["longest-", "word"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("日本語", 1), ["日", "本", "語"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn the_widest_gives_way() {
        assert_eq!(share(&[5, 10], 20, 4), Some(vec![5, 10]));
        assert_eq!(share(&[5, 30, 8], 30, 4), Some(vec![5, 13, 8]));
        assert_eq!(share(&[30, 30], 42, 4), Some(vec![20, 20]));
        assert_eq!(share(&[30, 30], 8, 4), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_too_wide(text in "[a-z 日]{0,60}", columns in 2_usize..30) {
            let pieces = wrap(&text, columns);
            prop_assert!(pieces.iter().all(|piece| piece.width() <= columns));
            let bare = |text: &str| text.replace(' ', "");
            prop_assert_eq!(bare(&pieces.concat()), bare(&text));
        }

        #[test]
        fn what_is_shared_fits(wanted in prop::collection::vec(0_usize..90, 1..9), columns in 20_usize..120) {
            if let Some(widths) = share(&wanted, columns, 6) {
                let sum = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
                prop_assert!(sum <= columns);
                prop_assert!(widths.iter().zip(&wanted).all(|(width, wanted)| width <= wanted));
            }
        }
    }
}
