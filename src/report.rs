//! Results as text for people and as JSON for programs.
//!
//! Draws only: everything that is said was found elsewhere. Text from sessions is hostile; it passes [`safe`] on its way to
//! a screen.

mod cells;
pub mod check;
pub mod ci;
pub mod diff;
pub mod inspect;
pub mod json;
mod lazy;
mod live;
pub mod picture;
pub mod probe;
pub mod recover;
pub mod share;
pub mod shrink;
pub mod story;
pub mod style;
pub mod sweep;
pub mod text;

pub use cells::cells;

use std::fmt::Write as _;

/// A text with everything that a terminal could take for a command made visible.
///
/// Control characters become their symbols (`␛` for escape), line ends a return arrow, and characters that turn the
/// direction of writing are named. What is left may be printed anywhere.
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('⏎'),
            '\t' => out.push(' '),
            '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('�')),
            '\u{7f}' => out.push('␡'),
            '\u{80}'..='\u{9f}' => out.push('�'),
            '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{61c}'
            | '\u{feff}' => {
                let _ = write!(out, "<U+{:04X}>", c as u32);
            }
            _ => out.push(c),
        }
    }
    out
}

/// A number and the word for it: "1 request", "2 requests".
pub fn counted(count: impl TryInto<u64>, word: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {word}{}", plural(count))
}

/// The end of a word for so many.
pub(crate) fn plural(count: impl TryInto<u64>) -> &'static str {
    if count.try_into().is_ok_and(|count| count == 1) {
        ""
    } else {
        "s"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_reaches_the_screen() {
        let text = safe("a\u{1b}[31mred\u{202e}x\u{9b}\u{7f}\nb\u{0}");
        assert_eq!(text, "a␛[31mred<U+202E>x�␡⏎b␀");
        assert!(!text.chars().any(char::is_control));
    }
}
