//! Where the lines of a file begin.

use crate::ids::LineNo;

/// The places of a file's lines, in the text as it is read (decompressed).
#[derive(Clone, Debug, Default)]
pub struct LineIndex {
    /// The byte at which each line begins.
    starts: Vec<u64>,
    /// The byte behind the last line.
    end: u64,
}

impl LineIndex {
    /// Takes the next line.
    pub fn push(&mut self, offset: u64, length: u64, ended: bool) {
        self.starts.push(offset);
        self.end = offset + length + u64::from(ended);
    }

    /// The bytes of a line, its end not included where there is one; `None` if there is no such line.
    pub fn range(&self, line: LineNo) -> Option<std::ops::Range<u64>> {
        let at = (line as usize).checked_sub(1)?;
        let start = *self.starts.get(at)?;
        let end = match self.starts.get(at + 1) {
            Some(next) => next - 1,
            None => self.end,
        };
        Some(start..end.max(start))
    }

    /// The line that a byte belongs to; 0 if there is no line.
    pub fn line_at(&self, byte: u64) -> LineNo {
        self.starts.partition_point(|start| *start <= byte) as LineNo
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// How many bytes they have together.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Makes room for so many lines.
    pub(super) fn reserve(&mut self, lines: usize) {
        self.starts.reserve_exact(lines);
    }

    /// Gives up memory that is not needed.
    pub(super) fn shrink(&mut self) {
        self.starts.shrink_to_fit();
    }
}

/// What the beginning of a rollout line says: its time, `type`, and the `type` of its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) time: Option<&'a str>,
    pub(super) kind: Option<&'a str>,
    pub(super) payload: Option<&'a str>,
}

/// Reads the members of an envelope as Codex writes them: `timestamp`, `ordinal`, `type`, `payload` with its `type`
/// first. `None` if the line does not begin so; then it has to be read as a whole.
pub(super) fn head(text: &str) -> Option<Head<'_>> {
    let mut head = Head::default();
    let mut rest = text.strip_prefix('{')?;
    loop {
        let (key, behind) = word(rest)?;
        rest = behind.strip_prefix(':')?;
        match key {
            "timestamp" => {
                let (value, behind) = word(rest)?;
                head.time = Some(value);
                rest = behind;
            }
            "ordinal" => {
                rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            }
            "type" => {
                let (value, behind) = word(rest)?;
                head.kind = Some(value);
                rest = behind;
            }
            "payload" if head.kind.is_some() => {
                let Some(inner) = rest.strip_prefix("{\"type\":") else {
                    // meta lines, contexts and compactions have no type of their own
                    let whole = matches!(
                        head.kind,
                        Some(
                            "session_meta"
                                | "turn_context"
                                | "compacted"
                                | "token_usage_record"
                                | "world_state"
                        )
                    );
                    return whole.then_some(head);
                };
                head.payload = Some(word(inner)?.0);
                return Some(head);
            }
            _ => return None,
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// A JSON string without escapes at the beginning of a text, and what stands behind it.
fn word(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('"')?;
    let end = rest.find(['"', '\\'])?;
    let (word, behind) = rest.split_at_checked(end)?;
    Some((word, behind.strip_prefix('"')?))
}

pub(super) use crate::wire::when::micros;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_number_and_by_byte() {
        let mut index = LineIndex::default();
        index.push(0, 3, true);
        index.push(4, 0, true);
        index.push(5, 7, false);
        assert_eq!(index.range(1), Some(0..3));
        assert_eq!(index.range(2), Some(4..4));
        assert_eq!(index.range(3), Some(5..12));
        assert_eq!((index.range(0), index.range(4)), (None, None));
        assert_eq!(
            (
                index.line_at(0),
                index.line_at(3),
                index.line_at(4),
                index.line_at(99)
            ),
            (1, 1, 2, 3)
        );
    }

    #[test]
    fn the_beginning_of_a_line_is_read_or_left_to_others() {
        let line = r#"{"timestamp":"2026-01-01T00:00:00.000Z","ordinal":3,"type":"response_item","payload":{"type":"function_call","x":1}}"#;
        let found = head(line).unwrap();
        assert_eq!(found.time, Some("2026-01-01T00:00:00.000Z"));
        assert_eq!(
            (found.kind, found.payload),
            (Some("response_item"), Some("function_call"))
        );
        for odd in [
            r#"{"payload":{"type":"message"},"type":"response_item"}"#,
            r#"{"timestamp":"a\"b","type":"x"}"#,
            r#"{ "timestamp":"t"}"#,
            r#"{"timestamp":"t","type":"response_item","payload":{"id":"x","type":"message"}}"#,
            "",
            "{",
        ] {
            assert_eq!(head(odd), None, "{odd}");
        }
    }
}
