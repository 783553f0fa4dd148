//! Every capture: what the wire shows, what the recording says of it, and what the rollout alone says (issue 2, point 6).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use responses_replay::replay::replay;
use responses_replay::session::Session;
use responses_replay::session::exchange::{Purpose, Recording};
use responses_replay::strategy::{Options, Verdict};

use crate::support::{capture, capture_names, read};

/// Captures whose endpoint was told to refuse without a reason.
fn is_forced(name: &str) -> bool {
    name.starts_with("g_") || name.starts_with("g2_")
}

fn recording(name: &str) -> Recording {
    match read(&capture(name, "session").unwrap()).unwrap() {
        Session::Recording(recording) => recording,
        Session::Rollout(_) => panic!("{name} is a rollout"),
    }
}

/// The requests whose last attempt was answered by a refusal.
fn refused(recording: &Recording) -> BTreeSet<u32> {
    let mut refused = BTreeSet::new();
    for exchange in &recording.exchanges {
        if exchange.purpose == Purpose::NotJudged {
            continue;
        }
        // a later attempt overrules an earlier one
        let status = exchange
            .answer
            .refusal
            .as_ref()
            .map(|refusal| refusal.status);
        if matches!(status, Some(400 | 404)) {
            refused.insert(exchange.first_attempt);
        } else {
            refused.remove(&exchange.first_attempt);
        }
    }
    refused
}

#[test]
fn verdicts_are_true_to_the_wire() {
    let options = Options::default();
    let mut table = String::new();
    let mut off = Vec::new();
    let (mut wires, mut rollouts, mut wires_refused, mut told, mut cannot_tell) = (0, 0, 0, 0, 0);
    for name in capture_names() {
        let recording = recording(&name);
        assert!(
            recording.problems.is_empty(),
            "{name}: {:?}",
            recording.problems
        );
        let was_refused = !refused(&recording).is_empty();
        wires += 1;
        wires_refused += usize::from(was_refused);
        let wire = replay(&name, Session::Recording(recording), &[], &options);
        let verdict = wire.verdict();
        let disagreeing = wire.runs[0]
            .requests
            .iter()
            .filter(|request| request.agrees == Some(false))
            .count();
        let expected = match (is_forced(&name), was_refused) {
            (true, _) => Verdict::Disagrees,
            (false, true) => Verdict::Refused,
            (false, false) => Verdict::Clean,
        };
        if verdict != expected || (disagreeing > 0) != is_forced(&name) {
            off.push(format!(
                "{name}: the recording is {}, not {}; {disagreeing} answers disagree",
                verdict.name(),
                expected.name()
            ));
        }
        if expected == Verdict::Refused && wire.runs[0].reproduced != Some(true) {
            off.push(format!("{name}: the refusal is not reproduced"));
        }
        let mut said = "-";
        if let Some(bytes) = capture(&name, "rollout") {
            rollouts += 1;
            let rolled = replay(&name, read(&bytes).unwrap(), &[], &options);
            let rolled = rolled.verdict();
            said = rolled.name();
            told += usize::from(was_refused && rolled == Verdict::Refused);
            cannot_tell += usize::from(rolled == Verdict::CannotTell);
            let green = matches!(rolled, Verdict::Clean | Verdict::Recovered);
            if was_refused && green {
                off.push(format!(
                    "{name}: refused on the wire, the rollout is {said}"
                ));
            }
            if !was_refused && rolled == Verdict::Refused {
                off.push(format!(
                    "{name}: accepted on the wire, the rollout is {said}"
                ));
            }
        }
        let _written = writeln!(
            table,
            "{name:<46} {:<9} {:<10} {said}",
            if was_refused { "refused" } else { "accepted" },
            verdict.name(),
        );
    }
    println!(
        "{:<46} {:<9} {:<10} rollout says",
        "capture", "wire", "recording"
    );
    println!("{table}");
    println!(
        "{wires} wires, {wires_refused} of them refused; {rollouts} rollouts: {told} tell of the refusal, {cannot_tell} cannot tell"
    );
    assert!(off.is_empty(), "{}", off.join("\n"));
    assert!(wires > 100, "{wires} wires");
    assert!(rollouts > 80, "{rollouts} rollouts");
    assert!(wires_refused > 20, "{wires_refused} refused");
    assert!(told >= 4, "{told} told");
}
