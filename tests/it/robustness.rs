//! Damaged sessions: nothing panics, every problem has its line, whatever is left is judged.

use proptest::prelude::*;
use responses_replay::check::check;
use responses_replay::replay::replay;
use responses_replay::report::style::Paint;
use responses_replay::report::{json, text};
use responses_replay::strategy::{Options, Strategy as Way};

use crate::support::{read, stories};

/// Sessions and rollouts of the stories, the small ones.
fn sessions() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for folder in stories() {
        for name in ["session.jsonl", "rollout.jsonl"] {
            if let Ok(bytes) = std::fs::read(folder.join(name))
                && bytes.len() < 40_000
            {
                found.push(bytes);
            }
        }
    }
    assert!(found.len() > 10);
    found
}

fn any_session() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::select(sessions())
}

/// Reads, checks and runs; what is printed is safe and the problems are numbered.
fn hold_up(bytes: &[u8]) {
    let Ok(session) = read(bytes) else { return };
    let lines = session.lines();
    for problem in session.problems() {
        assert!(problem.line <= lines, "{problem:?} of {lines} lines");
    }
    let options = Options::default();
    let checked = check(&session, &options);
    let report = replay(
        "-",
        session,
        &[Way::None, Way::AsClient, Way::Normalize],
        &options,
    );
    let drawn = text::session(&report, &[], Paint::Plain, true);
    assert!(!drawn.chars().any(|c| c.is_control() && c != '\n'));
    let document = json::sessions(&[report]).to_string();
    serde_json::from_str::<serde_json::Value>(&document).unwrap();
    drop(checked);
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cut_at_any_byte(bytes in any_session(), at in any::<prop::sample::Index>()) {
        let whole = read(&bytes).unwrap();
        let cut = &bytes[..at.index(bytes.len())];
        hold_up(cut);
        // every whole line before the cut stands
        if let Ok(session) = read(cut) {
            let count = cut.iter().filter(|byte| **byte == b'\n').count();
            prop_assert!(session.lines() as usize >= count);
            prop_assert!(session.problems().len() <= whole.problems().len() + 1, "{:?}", session.problems());
        }
    }

    #[test]
    fn doubled_lines(bytes in any_session(), which in any::<prop::sample::Index>(), all in any::<bool>()) {
        let lines = lines(&bytes);
        let which = which.index(lines.len());
        let doubled: Vec<u8> = lines
            .iter()
            .enumerate()
            .flat_map(|(n, line)| vec![*line; if all || n == which { 2 } else { 1 }])
            .flatten()
            .copied()
            .collect();
        hold_up(&doubled);
    }

    #[test]
    fn shuffled_lines((_, lines) in any_session().prop_flat_map(|bytes| {
        let owned: Vec<Vec<u8>> = lines(&bytes).into_iter().map(<[u8]>::to_vec).collect();
        (Just(bytes), Just(owned).prop_shuffle())
    })) {
        hold_up(&lines.concat());
    }

    #[test]
    fn flipped_bits(bytes in any_session(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..20)) {
        let mut bytes = bytes;
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        hold_up(&bytes);
    }

    #[test]
    fn lines_gone(bytes in any_session(), keep in prop::collection::vec(any::<bool>(), 200)) {
        let kept: Vec<u8> = lines(&bytes)
            .into_iter()
            .zip(keep.iter().cycle())
            .filter(|(_, keep)| **keep)
            .flat_map(|(line, _)| line)
            .copied()
            .collect();
        hold_up(&kept);
    }
}

#[test]
fn odd_encodings_hide_no_good_line() {
    for bytes in sessions().into_iter().take(12) {
        let whole = read(&bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let bom = format!("\u{feff}{text}");
        let dos = text.replace('\n', "\r\n");
        let noisy = text.replacen('\n', "\nnot json\u{0}\n", 1);
        for odd in [bom, dos, noisy] {
            hold_up(odd.as_bytes());
            let session = read(odd.as_bytes()).unwrap();
            let verdict = |session| replay("-", session, &[], &Options::default()).verdict();
            let again = read(text.as_bytes()).unwrap();
            assert_eq!(verdict(session), verdict(again));
        }
        drop(whole);
    }
    hold_up(&[0xff; 300]);
    hold_up("[".repeat(100_000).as_bytes());
    hold_up("{\"input\":".repeat(50_000).as_bytes());
}
