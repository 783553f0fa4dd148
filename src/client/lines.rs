//! A stream of bytes as lines, with a bound on what is held.

/// A line of more bytes than this is not kept.
pub(super) const LONGEST: usize = 64 << 20;

/// A line of a stream, without its ending.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Its bytes.
    Kept(&'a [u8]),
    /// It was longer than [`LONGEST`]; this many bytes.
    TooLong(u64),
}

/// Cuts a stream into lines.
#[derive(Debug)]
pub(super) struct Lines {
    held: Vec<u8>,
    /// Bytes of the present line that were let go.
    dropped: u64,
    longest: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_longest(LONGEST)
    }
}

impl Lines {
    pub(super) fn with_longest(longest: usize) -> Self {
        Self {
            held: Vec::new(),
            dropped: 0,
            longest,
        }
    }

    /// Takes the next bytes; every line that ends in them is told.
    pub(super) fn push(&mut self, bytes: &[u8], mut tell: impl FnMut(Line<'_>)) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(at);
            rest = behind.get(1..).unwrap_or_default();
            if self.held.is_empty() && self.dropped == 0 && line.len() <= self.longest {
                tell(Line::Kept(without_return(line)));
            } else {
                self.hold(line);
                self.end(&mut tell);
            }
        }
        self.hold(rest);
    }

    /// The stream ends here, or begins anew: what is left is told as it is.
    pub(super) fn finish(&mut self, mut tell: impl FnMut(Line<'_>)) {
        if !self.held.is_empty() || self.dropped > 0 {
            self.end(&mut tell);
        }
    }

    /// Bytes of the line that has not ended yet.
    pub(super) fn held(&self) -> u64 {
        self.dropped + self.held.len() as u64
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.dropped == 0 && self.held.len() + bytes.len() <= self.longest {
            self.held.extend_from_slice(bytes);
        } else {
            self.dropped += (self.held.len() + bytes.len()) as u64;
            self.held = Vec::new();
        }
    }

    fn end(&mut self, tell: &mut impl FnMut(Line<'_>)) {
        if self.dropped > 0 {
            tell(Line::TooLong(self.dropped));
            self.dropped = 0;
        } else {
            tell(Line::Kept(without_return(&self.held)));
        }
        self.held.clear();
        // one large line does not keep its memory for the rest of the stream
        self.held.shrink_to(64 << 10);
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]], longest: usize) -> Vec<Result<Vec<u8>, u64>> {
        let mut found = Vec::new();
        let mut tell = |line: Line<'_>| {
            found.push(match line {
                Line::Kept(bytes) => Ok(bytes.to_vec()),
                Line::TooLong(bytes) => Err(bytes),
            });
        };
        let mut lines = Lines::with_longest(longest);
        for piece in pieces {
            lines.push(piece, &mut tell);
        }
        lines.finish(tell);
        found
    }

    #[test]
    fn a_line_is_told_when_it_ends_and_the_tail_at_the_end() {
        let found = lines(&[b"one\r\ntw", b"o", b"\n\nthr"], 100);
        let expected = ["one", "two", "", "thr"].map(|it| Ok(it.as_bytes().to_vec()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_by_its_length_and_those_behind_it_stand() {
        let found = lines(&[b"12345", b"67", b"89\nok\n123456\n"], 5);
        assert_eq!(found, [Err(9), Ok(b"ok".to_vec()), Err(6)]);
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_makes_no_difference(
            text in "[ab\r\n]{0,40}", cuts in prop::collection::vec(0_usize..40, 0..6), longest in 1_usize..8,
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(lines(&pieces, longest), lines(&[bytes], longest));
        }
    }
}
