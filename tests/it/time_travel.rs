//! The state of the calls at any point of a file is what a fresh reading of the file up to that point says.

use std::io::Read;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use responses_replay::rollout::reader::maybe_zstd;
use responses_replay::rollout::{NoLibrary, reader as rollouts};
use responses_replay::session::{Kind, Session, reader, sniff};
use responses_replay::timeline::{self, NONE, Timeline, open_calls};

use crate::support::root;

/// A call that is open: its id, its kind, its lane, and whether the next request would carry it.
type Open = (String, &'static str, String, bool);

fn session(bytes: &[u8]) -> Option<Session> {
    match sniff(bytes) {
        Kind::Recording => reader::read(bytes).ok().map(Session::Recording),
        _ => rollouts::read(bytes, &NoLibrary).ok().map(Session::Rollout),
    }
}

/// What a fresh reading of `bytes` says is open at their end.
fn naive(bytes: &[u8]) -> Option<Vec<Open>> {
    let session = session(bytes)?;
    let mut found: Vec<Open> = open_calls(&session)
        .iter()
        .map(|call| {
            let (items, lane) = match &session {
                Session::Rollout(rollout) => (&rollout.items, String::new()),
                Session::Recording(recording) => {
                    let lane = recording.lanes.get(call.lane as usize);
                    (
                        &recording.items,
                        lane.map(|it| it.name.clone()).unwrap_or_default(),
                    )
                }
            };
            (
                items.call_id(call.call).to_owned(),
                call.kind.name(),
                lane,
                call.effective,
            )
        })
        .collect();
    found.sort();
    Some(found)
}

fn travelled(timeline: &Timeline, entry: u32) -> Vec<Open> {
    let recorded = timeline.files[0].is_recording();
    let mut found: Vec<Open> = timeline
        .state_at(entry)
        .iter()
        .filter(|pending| !pending.half)
        .map(|pending| {
            let call = timeline.calls[pending.call as usize];
            let lane = if recorded {
                timeline.lane_name(call.lane).to_owned()
            } else {
                String::new()
            };
            (
                timeline.call_id(pending.call).to_owned(),
                call.kind.name(),
                lane,
                pending.effective,
            )
        })
        .collect();
    found.sort();
    found
}

/// Compares at `points` of the file's lines; what differs, as text.
/// The second number counts the points at which a call was open.
fn differences(bytes: &[u8], points: &[usize]) -> (Vec<String>, usize) {
    let Some(whole) = session(bytes) else {
        return (Vec::new(), 0);
    };
    let timeline = timeline::read("x", whole, bytes).unwrap();
    let ends: Vec<usize> = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    let (mut off, mut told) = (Vec::new(), 0);
    for &point in points {
        let line = point % ends.len().max(1);
        let Some(&end) = ends.get(line) else { continue };
        let number = line as u32 + 1;
        let Some(entry) = timeline
            .entries
            .iter()
            .rposition(|entry| entry.line <= number && entry.line > 0)
        else {
            continue;
        };
        let Some(naive) = naive(&bytes[..end]) else {
            continue;
        };
        let travelled = travelled(&timeline, entry as u32);
        told += usize::from(!naive.is_empty());
        if naive != travelled {
            off.push(format!(
                "line {number}: fresh {naive:?}, travelled {travelled:?}"
            ));
        }
    }
    (off, told)
}

fn decompressed(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).unwrap();
    maybe_zstd(file).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn sessions(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.contains("session.jsonl") || name.contains("rollout.jsonl") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn at_every_line_of_every_story() {
    let mut off = Vec::new();
    let (mut seen, mut open) = (0, 0);
    for path in sessions("rollouts") {
        let bytes = decompressed(&path);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let apart = lines.div_ceil(120).max(1);
        let points: Vec<usize> = (0..lines)
            .step_by(apart)
            .chain(lines.checked_sub(1))
            .collect();
        seen += points.len();
        let (differs, told) = differences(&bytes, &points);
        open += told;
        for what in differs {
            off.push(format!("{}: {what}", path.display()));
        }
    }
    assert!(
        off.is_empty(),
        "{} of {seen}\n{}",
        off.len(),
        off.join("\n")
    );
    assert!(seen > 500 && open > 100, "{seen}, {open} with an open call");
}

#[test]
fn at_some_lines_of_every_capture() {
    let mut off = Vec::new();
    let (mut seen, mut open) = (0, 0);
    for path in sessions("tests/captures") {
        let bytes = decompressed(&path);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let apart = lines.div_ceil(6).max(1);
        let points: Vec<usize> = (1..lines)
            .step_by(apart)
            .chain(lines.checked_sub(1))
            .collect();
        seen += points.len();
        let (differs, told) = differences(&bytes, &points);
        open += told;
        for what in differs {
            off.push(format!("{}: {what}", path.display()));
        }
    }
    assert!(
        off.is_empty(),
        "{} of {seen}\n{}",
        off.len(),
        off.join("\n")
    );
    assert!(
        seen > 1000 && open > 300,
        "{seen}, {open} with an open call"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn in_files_that_lost_doubled_or_swapped_lines(
        which in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..3), 1..8),
        points in proptest::collection::vec(0_usize..1000, 1..5),
    ) {
        let all = sessions("rollouts");
        let bytes = decompressed(&all[which.index(all.len())]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines: Vec<&str> = text.lines().collect();
        for (at, edit) in edits {
            if lines.len() < 3 {
                break;
            }
            // the first line says what the file is
            let at = 1 + at.index(lines.len() - 2);
            match edit {
                0 => { lines.remove(at); }
                1 => lines.insert(at, lines[at]),
                _ => lines.swap(at, at + 1),
            }
        }
        let bytes = format!("{}\n", lines.join("\n")).into_bytes();
        let (off, _) = differences(&bytes, &points);
        prop_assert!(off.is_empty(), "{}", off.join("\n"));
        // every change names an entry and a call
        if let Some(session) = session(&bytes) {
            let timeline = timeline::read("x", session, bytes.as_slice()).unwrap();
            for change in timeline.changes() {
                prop_assert!((change.entry as usize) < timeline.entries.len());
                prop_assert!(change.call != NONE && (change.call as usize) < timeline.calls.len());
            }
        }
    }
}
