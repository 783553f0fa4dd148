//! An answer, ready to be sent: its frames, when each of them goes, and where it is cut.

use std::time::Duration;

use super::fault::Stop;
use super::stream::Frames;
use crate::wire::failure::StreamError;

/// The most that is put into one write when nothing holds it back: 64 KiB.
const WRITE: usize = 64 << 10;

/// When the parts of an answer are sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Pace {
    /// At once.
    #[default]
    Free,
    /// With a pause before each event, and another before the first.
    Each {
        /// Before the first.
        first: Duration,
        /// Before each.
        each: Duration,
    },
    /// As it was recorded: where each chunk ends, and what passed before it.
    Recorded(Vec<(u32, Duration)>),
}

/// A part of an answer that is sent in one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where it ends.
    pub end: usize,
    /// What passes before it.
    pub wait: Duration,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The request it answers, by its number in the journal.
    pub number: u32,
    /// The status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Whether it is an event stream.
    pub stream: bool,
    /// What is sent.
    pub frames: Frames,
    /// When.
    pub pace: Pace,
    /// Where it is cut.
    pub stop: Option<Stop>,
    /// How an error inside of it is spelled.
    pub stream_error: StreamError,
    /// Whether chunks keep their limits also where nothing passes between them.
    pub exact: bool,
}

impl Planned {
    /// How many bytes are sent.
    pub fn length(&self) -> usize {
        let whole = self.frames.bytes.len();
        self.stop.map_or(whole, |stop| stop.bytes.min(whole))
    }

    /// How many frames arrive whole.
    pub fn whole_frames(&self) -> usize {
        let all = self.frames.ends.len();
        self.stop.map_or(all, |stop| stop.frames.min(all))
    }

    /// The writes, in order. Each ends where a frame ends, unless it is the last of a cut answer or the recording had it
    /// otherwise.
    pub fn writes(&self) -> Vec<Write> {
        let length = self.length();
        let mut found = Vec::new();
        let mut push = |end: usize, wait: Duration| {
            let end = end.min(length);
            let start = found.last().map_or(0, |it: &Write| it.end);
            if end > start {
                found.push(Write { end, wait });
            }
        };
        match &self.pace {
            Pace::Free if self.exact => {
                for end in &self.frames.ends {
                    push(*end as usize, Duration::ZERO);
                }
            }
            Pace::Free => {
                let (mut start, mut last) = (0, 0);
                for end in &self.frames.ends {
                    let end = *end as usize;
                    if end - start > WRITE && last > start {
                        push(last, Duration::ZERO);
                        start = last;
                    }
                    last = end;
                }
            }
            Pace::Each { first, each } => {
                let mut wait = *first;
                for end in &self.frames.ends {
                    push(*end as usize, wait + *each);
                    wait = Duration::ZERO;
                }
            }
            Pace::Recorded(chunks) => {
                for (end, wait) in chunks {
                    push(*end as usize, *wait);
                }
            }
        }
        push(length, Duration::ZERO);
        found
    }

    /// What passes before each frame, for a transport that sends them one by one.
    pub fn waits(&self) -> Vec<Duration> {
        let count = self.frames.ends.len();
        match &self.pace {
            Pace::Free => vec![Duration::ZERO; count],
            Pace::Each { first, each } => (0..count)
                .map(|at| if at == 0 { *first + *each } else { *each })
                .collect(),
            Pace::Recorded(chunks) => {
                let mut waits = vec![Duration::ZERO; count];
                let mut before = 0;
                for (end, wait) in chunks {
                    let first = self.frames.ends.partition_point(|it| *it <= before);
                    if let Some(slot) = waits.get_mut(first) {
                        *slot += *wait;
                    }
                    before = *end;
                }
                waits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::Cut;
    use super::super::stream::push_frame;
    use super::*;

    fn planned(count: usize, pace: Pace) -> Planned {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..count {
            push_frame(&mut bytes, &mut ends, "x", &[b'1'; 1000]);
        }
        Planned {
            number: 1,
            status: 200,
            headers: Vec::new(),
            stream: true,
            frames: Frames {
                bytes: bytes.into(),
                ends,
                ..Frames::default()
            },
            pace,
            stop: None,
            stream_error: StreamError::Nested,
            exact: false,
        }
    }

    #[test]
    fn free_frames_share_writes_that_hold_whole_frames_only() {
        let plan = planned(200, Pace::Free);
        let writes = plan.writes();
        assert!(writes.len() > 2 && writes.len() < 6, "{}", writes.len());
        let mut start = 0;
        for write in &writes {
            assert!(write.end - start <= WRITE);
            assert!(plan.frames.ends.contains(&(write.end as u32)));
            start = write.end;
        }
        assert_eq!(start, plan.frames.bytes.len());
        let exact = Planned {
            exact: true,
            ..plan
        };
        assert_eq!(exact.writes().len(), 200);
    }

    #[test]
    fn paced_and_cut_answers() {
        let each = Duration::from_millis(5);
        let pace = Pace::Each { first: each, each };
        let mut plan = planned(3, pace);
        let waits: Vec<Duration> = plan.writes().iter().map(|it| it.wait).collect();
        assert_eq!(waits, [2 * each, each, each]);
        assert_eq!(plan.waits(), waits);
        plan.stop = Cut::parse("1=half-line").unwrap().find(&plan.frames);
        let writes = plan.writes();
        assert_eq!(writes.len(), 2);
        assert!(writes[1].end < plan.frames.ends[1] as usize);
        assert_eq!(plan.whole_frames(), 1);

        let recorded = planned(
            3,
            Pace::Recorded(vec![(10, each), (2030, each), (9999, each)]),
        );
        assert_eq!(recorded.writes().len(), 3);
        // the second frame is whole with the third chunk
        assert_eq!(recorded.waits(), [2 * each, each, Duration::ZERO]);
        let empty = planned(0, Pace::Free);
        assert!(empty.writes().is_empty());
    }
}
