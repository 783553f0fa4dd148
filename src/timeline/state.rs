//! The state of the calls as of any entry, forwards and backwards.
//!
//! A timeline keeps what happened to each call as a list of [`Change`]s in the order of the entries, and the whole state
//! every so often. The state at an entry is the last one kept before it and the changes in between, so it costs the same
//! in both directions and no file is read again.

use std::collections::BTreeMap;

use super::entry::NONE;

/// What happened to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Its item was begun and is not finished yet: it is half.
    Begun,
    /// It was made, or it is open again.
    Opened,
    /// Its output came, or it was taken back.
    Closed(Closing),
    /// What would be sent next leaves it out.
    Hidden,
    /// What would be sent next carries it.
    Shown,
    /// Its tool began to run.
    ToolBegan,
    /// Its tool finished.
    ToolEnded,
    /// Its output stands on the client's disk.
    OnDisk,
}

/// What closed a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// A request carried its output.
    Sent,
    /// The line with its output appeared.
    Written,
    /// The stream ended before the item was whole.
    Broken,
    /// The conversation goes on without the call.
    Gone,
}

impl Closing {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Written => "written",
            Self::Broken => "broken",
            Self::Gone => "gone",
        }
    }
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The entry at which it happened.
    pub entry: u32,
    /// The call.
    pub call: u32,
    /// What happened.
    pub what: Happened,
}

/// A call that is open, or half, at some entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The call, an index into [`super::Timeline::calls`].
    pub call: u32,
    /// The entry since which it is open.
    pub since: u32,
    /// Whether it is only begun.
    pub half: bool,
    /// Whether what would be sent next carries it.
    pub effective: bool,
    /// The entry at which its tool began, or [`NONE`].
    pub began: u32,
    /// The entry at which its tool ended, or [`NONE`].
    pub ended: u32,
    /// The entry at which its output appeared on disk, or [`NONE`].
    pub on_disk: u32,
}

impl Pending {
    /// What the tool was doing, in the words of JSON.
    pub fn tool(&self) -> &'static str {
        if self.half {
            "not_started"
        } else if self.ended != NONE || self.on_disk != NONE {
            "finished"
        } else if self.began != NONE {
            "started"
        } else {
            "unknown"
        }
    }
}

/// The changes, and the state every so often.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    all: Vec<Change>,
    /// For each kept state the number of changes before it, and the state.
    kept: Vec<(u32, Box<[Pending]>)>,
}

/// At least so many changes lie between two kept states; more where many calls are open, so that all kept states
/// together grow with the number of changes alone.
const APART: usize = 256;

impl Changes {
    /// Takes all changes, in the order of their entries.
    pub fn new(all: Vec<Change>) -> Self {
        let mut kept = Vec::new();
        let mut state = State::new();
        let mut last = 0;
        for (at, change) in all.iter().enumerate() {
            if at - last >= APART.max(state.len()) {
                kept.push((at as u32, state.values().copied().collect()));
                last = at;
            }
            apply(&mut state, change);
        }
        Self { all, kept }
    }

    /// All of them.
    pub fn all(&self) -> &[Change] {
        &self.all
    }

    /// The changes at one entry.
    pub fn at(&self, entry: u32) -> &[Change] {
        let from = self.all.partition_point(|change| change.entry < entry);
        let to = self.all.partition_point(|change| change.entry <= entry);
        self.all.get(from..to).unwrap_or(&[])
    }

    /// The calls that are open or half behind an entry, in the order in which they were opened.
    pub fn state_at(&self, entry: u32) -> Vec<Pending> {
        let end = self.all.partition_point(|change| change.entry <= entry);
        let kept = self.kept.partition_point(|(at, _)| *at as usize <= end);
        let (from, mut state) = match kept.checked_sub(1).and_then(|at| self.kept.get(at)) {
            Some((at, state)) => (
                *at as usize,
                state.iter().map(|it| (it.call, *it)).collect(),
            ),
            None => (0, State::new()),
        };
        for change in self.all.get(from..end).unwrap_or(&[]) {
            apply(&mut state, change);
        }
        state.into_values().collect()
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        let kept: usize = self.kept.iter().map(|(_, state)| state.len()).sum();
        self.all.capacity() * size_of::<Change>() + kept * size_of::<Pending>()
    }
}

/// The open calls by their number, which follows the order in which they were first opened.
pub type State = BTreeMap<u32, Pending>;

/// Takes one change into a state.
pub fn apply(state: &mut State, change: &Change) {
    let fresh = |half| Pending {
        call: change.call,
        since: change.entry,
        half,
        effective: true,
        began: NONE,
        ended: NONE,
        on_disk: NONE,
    };
    match change.what {
        Happened::Begun => {
            state.entry(change.call).or_insert_with(|| fresh(true));
        }
        Happened::Opened => {
            // a half item is whole now; it is open from here on
            let pending = state.entry(change.call).or_insert_with(|| fresh(false));
            (pending.half, pending.since) = (false, change.entry);
        }
        Happened::Closed(_) => {
            state.remove(&change.call);
        }
        what => {
            let Some(pending) = state.get_mut(&change.call) else {
                return;
            };
            match what {
                Happened::Hidden => pending.effective = false,
                Happened::Shown => pending.effective = true,
                Happened::ToolBegan => pending.began = change.entry,
                Happened::ToolEnded => pending.ended = change.entry,
                Happened::OnDisk => pending.on_disk = change.entry,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn happened() -> impl Strategy<Value = Happened> {
        prop_oneof![
            Just(Happened::Begun),
            Just(Happened::Opened),
            Just(Happened::Opened),
            Just(Happened::Closed(Closing::Sent)),
            Just(Happened::Hidden),
            Just(Happened::Shown),
            Just(Happened::ToolBegan),
            Just(Happened::ToolEnded),
            Just(Happened::OnDisk),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_state_at_any_entry_is_that_of_all_changes_before_it(
            steps in proptest::collection::vec((0_u32..3, 0_u32..400, happened()), 0..2000),
            ask in proptest::collection::vec(0_u32..4000, 1..40),
        ) {
            let mut entry = 0;
            let all: Vec<Change> = steps.into_iter().map(|(more, call, what)| {
                entry += more;
                Change { entry, call, what }
            }).collect();
            let changes = Changes::new(all.clone());
            // asked in any order, backwards as well as forwards
            for at in ask {
                let mut naive = State::new();
                for change in all.iter().filter(|change| change.entry <= at) {
                    apply(&mut naive, change);
                }
                let naive: Vec<Pending> = naive.into_values().collect();
                prop_assert_eq!(changes.state_at(at), naive);
            }
        }
    }

    #[test]
    fn what_is_kept_grows_with_the_changes_alone() {
        let all: Vec<Change> = (0..100_000)
            .map(|call| Change {
                entry: call,
                call,
                what: Happened::Opened,
            })
            .collect();
        let changes = Changes::new(all);
        assert!(changes.bytes() < 100_000 * (size_of::<Change>() + 2 * size_of::<Pending>()));
        assert_eq!(changes.state_at(99_999).len(), 100_000);
    }
}
