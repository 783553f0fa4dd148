//! Text for a screen of cells.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

use super::safe;

/// Marks on one character beyond these are left out.
const MAX_MARKS: usize = 2;

/// A text that takes exactly the cells its characters say: beside what [`safe`] makes visible, characters without a width
/// of their own (joiners, selectors, tags, fillers) are named, piles of combining marks are cut, and characters that fonts
/// draw far wider than a cell are named.
pub fn cells(text: &str) -> String {
    let text = safe(text);
    if text.is_ascii() {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    for c in text.chars() {
        if is_odd(c) {
            let _ = write!(out, "<U+{:04X}>", u32::from(c));
            marks = 0;
            continue;
        }
        match c.width() {
            Some(0) => {
                marks += 1;
                if marks > MAX_MARKS {
                    continue;
                }
                if out.is_empty() {
                    // a mark needs something to stand on
                    out.push('◌');
                }
                out.push(c);
            }
            Some(_) => {
                marks = 0;
                out.push(c);
            }
            None => out.push('�'),
        }
    }
    out
}

/// Characters that take part in no text a person reads, or that break the grid.
fn is_odd(c: char) -> bool {
    matches!(
        u32::from(c),
        0xad | 0x34f
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x206f
            | 0x2e3a..=0x2e3b
            | 0x3164
            | 0xfdfd
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0xffa0
            | 0xfff0..=0xfffb
            | 0x12031
            | 0xa9c5
            | 0xe0000..=0xe0fff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_has_no_width_is_named() {
        assert_eq!(cells("a\u{200d}b"), "a<U+200D>b");
        assert_eq!(cells("\u{fdfd}"), "<U+FDFD>");
        assert_eq!(cells("e\u{301}"), "e\u{301}");
        assert_eq!(
            cells(&format!("e{}x", "\u{301}".repeat(50))),
            "e\u{301}\u{301}x"
        );
        assert_eq!(cells("日本\u{1b}[31m"), "日本␛[31m");
    }

    proptest! {
        #[test]
        fn nothing_is_a_command(text in any::<String>()) {
            let shown = cells(&text);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(!shown.contains(is_odd));
        }
    }
}
