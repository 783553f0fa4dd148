//! Faults aimed at an event: where a stream is cut, and how; which requests fail.
//!
//! The grammar, on the command line and in headers:
//!
//! ```text
//! CUT   = EXCHANGE ":" EVENT ["=" HOW]     --cut 2:response.output_item.done#2=reset
//! EXCHANGE = number from 1 | "*"
//! EVENT = number from 0 | TYPE ["#" number from 1] | "byte:" number
//! HOW   = "close" | "reset" | "stall" | "half-line" | "error" | "eof"
//! FAIL  = EXCHANGE "=" STATUS              --fail 3=503
//! ```
//!
//! The event that is named is the last one that arrives whole; with `half-line` it is the one that arrives by half.

use super::stream::Frames;

/// Where a stream is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// Behind the event with this number, from 0.
    Index(usize),
    /// Behind the n-th event of this type, from 1.
    Kind(String, usize),
    /// Behind this many bytes.
    Byte(usize),
}

/// How it is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// The connection is closed in the middle of the body.
    #[default]
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more comes; the connection stays.
    Stall,
    /// Half of the event comes, then the connection is closed.
    HalfLine,
    /// An `error` event comes, then the body ends as it should.
    Error,
    /// The body ends as it should, without a terminal event.
    Eof,
}

impl How {
    /// All ways with their names.
    pub const ALL: [(&'static str, Self); 6] = [
        ("close", Self::Close),
        ("reset", Self::Reset),
        ("stall", Self::Stall),
        ("half-line", Self::HalfLine),
        ("error", Self::Error),
        ("eof", Self::Eof),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, how)| *how == self)
            .map_or("close", |(name, _)| *name)
    }
}

/// A cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where.
    pub at: At,
    /// How.
    pub how: How,
}

/// A rule for the requests of a run: the n-th one (`None`: every one) and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<T> {
    /// The request, from 1.
    pub exchange: Option<u32>,
    /// What happens.
    pub what: T,
}

impl<T> Rule<T> {
    /// Whether it is about this request.
    pub fn is_for(&self, number: u32) -> bool {
        self.exchange.is_none_or(|it| it == number)
    }
}

/// A cut, found in the frames of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// How many frames arrive whole.
    pub frames: usize,
    /// How many bytes of the answer arrive.
    pub bytes: usize,
    /// How it ends.
    pub how: How,
}

impl Cut {
    /// Reads `EVENT[=HOW]`.
    ///
    /// # Errors
    /// A sentence that says what is possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (event, how) = match text.rsplit_once('=') {
            Some((event, name)) => {
                let how = How::ALL.iter().find(|(known, _)| *known == name);
                let known = How::ALL.map(|(name, _)| name).join(", ");
                let (_, how) =
                    how.ok_or_else(|| format!("'{name}' is no way to cut; ways are {known}"))?;
                (event, *how)
            }
            None => (text, How::default()),
        };
        let number = |text: &str| {
            text.parse::<usize>()
                .map_err(|_not_shown| format!("'{text}' is no number"))
        };
        let at = if let Some(byte) = event.strip_prefix("byte:") {
            At::Byte(number(byte)?)
        } else if event.starts_with(|c: char| c.is_ascii_digit()) {
            At::Index(number(event)?)
        } else if event.is_empty() {
            return Err("an event is its number, its type or byte:N".to_owned());
        } else {
            match event.split_once('#') {
                Some((_, "0")) => return Err("occurrences count from 1".to_owned()),
                Some((kind, nth)) => At::Kind(kind.to_owned(), number(nth)?),
                None => At::Kind(event.to_owned(), 1),
            }
        };
        Ok(Self { at, how })
    }

    /// Finds the place in an answer; `None` if the answer does not get there.
    pub fn find(&self, frames: &Frames) -> Option<Stop> {
        let place = match &self.at {
            At::Byte(bytes) => {
                let bytes = (*bytes).min(frames.bytes.len());
                let whole = frames.ends.partition_point(|end| *end as usize <= bytes);
                return Some(Stop {
                    frames: whole,
                    bytes,
                    how: self.how,
                });
            }
            At::Index(index) => (*index < frames.ends.len()).then_some(*index)?,
            At::Kind(kind, nth) => (0..frames.ends.len())
                .filter(|index| frames.kind(*index) == *kind)
                .nth(nth.saturating_sub(1))?,
        };
        let end_of = |index: usize| frames.ends.get(index).map_or(0, |end| *end as usize);
        let (whole, bytes) = if self.how == How::HalfLine {
            let start = place.checked_sub(1).map_or(0, end_of);
            (place, start + (end_of(place) - start) / 2)
        } else {
            (place + 1, end_of(place))
        };
        Some(Stop {
            frames: whole,
            bytes,
            how: self.how,
        })
    }
}

impl Rule<Cut> {
    /// Reads `EXCHANGE:EVENT[=HOW]`.
    ///
    /// # Errors
    /// A sentence that says what is possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (exchange, cut) = text
            .split_once(':')
            .ok_or_else(|| format!("'{text}' is not of the form EXCHANGE:EVENT[=HOW]"))?;
        Ok(Self {
            exchange: exchange_of(exchange)?,
            what: Cut::parse(cut)?,
        })
    }
}

impl Rule<u16> {
    /// Reads `EXCHANGE=STATUS`.
    ///
    /// # Errors
    /// A sentence that says what is possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (exchange, status) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' is not of the form EXCHANGE=STATUS"))?;
        Ok(Self {
            exchange: exchange_of(exchange)?,
            what: status_of(status)?,
        })
    }
}

/// Reads the status of a failure.
///
/// # Errors
/// If it is no status of an error.
pub fn status_of(text: &str) -> Result<u16, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|status| (400..600).contains(status))
        .ok_or_else(|| format!("'{text}' is no status from 400 to 599"))
}

fn exchange_of(text: &str) -> Result<Option<u32>, String> {
    if text == "*" {
        return Ok(None);
    }
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .map(Some)
        .ok_or_else(|| format!("'{text}' is neither a request's number from 1 nor *"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn frames() -> Frames {
        let mut found = Frames::default();
        let mut bytes = Vec::new();
        for kind in ["a", "b", "a"] {
            super::super::stream::push_frame(&mut bytes, &mut found.ends, kind, b"{}");
        }
        found.bytes = Bytes::from(bytes);
        found
    }

    #[test]
    fn cuts_are_read_and_found() {
        let frames = frames();
        let stop = |text: &str| {
            let stop = Cut::parse(text).unwrap().find(&frames)?;
            Some((stop.frames, stop.bytes, stop.how))
        };
        let size = frames.ends[0] as usize;
        assert_eq!(stop("0"), Some((1, size, How::Close)));
        assert_eq!(stop("a#2=reset"), Some((3, 3 * size, How::Reset)));
        assert_eq!(
            stop("b=half-line"),
            Some((1, size + size / 2, How::HalfLine))
        );
        assert_eq!(stop("byte:5=eof"), Some((0, 5, How::Eof)));
        assert_eq!(stop("byte:5000=eof"), Some((3, 3 * size, How::Eof)));
        assert_eq!(stop("3"), None);
        assert_eq!(stop("c"), None);
        for wrong in ["", "a=boom", "a#0", "a#x", "byte:x"] {
            assert!(Cut::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_name_requests() {
        let rule = Rule::<Cut>::parse("2:response.created=stall").unwrap();
        assert!(rule.is_for(2) && !rule.is_for(1));
        assert!(Rule::<Cut>::parse("*:3").unwrap().is_for(9));
        assert_eq!(Rule::<u16>::parse("3=503").unwrap().what, 503);
        for wrong in ["0=500", "x=500", "1=200", "1"] {
            assert!(Rule::<u16>::parse(wrong).is_err(), "{wrong}");
        }
    }
}
