//! Properties of runs over recorded conversations.

use std::collections::BTreeSet;

use proptest::prelude::*;

use serde_json::Value;

use super::talk::{Answer, Ending, Fate, Mode, any_mode, any_round, any_world, talk};
use crate::check::{self, Rule, Severity};
use crate::contract::tests::naive;
use crate::contract::{Outcome, Policy, World};
use crate::session::Session;
use crate::strategy::{self, Options, Probe, Strategy, Verdict};
use crate::timeline;
use crate::wire::refusal::RefusalKind;

fn options(probe: bool) -> Options {
    let probe = if probe { Probe::Always } else { Probe::Auto };
    Options {
        probe,
        ..Options::default()
    }
}

/// Whether a fault is about calls and outputs that do not pair.
fn is_pairing(kind: RefusalKind) -> bool {
    matches!(kind, RefusalKind::MissingOutput | RefusalKind::OrphanOutput)
}

/// The call ids that nothing answers.
fn open_ids(items: &[Value]) -> BTreeSet<&str> {
    naive::open(items)
        .into_iter()
        .filter_map(|at| naive::owes(&items[at]))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_recording_of_one_world_never_disagrees_and_leaves_that_world(
        world in any_world(),
        mode in any_mode(),
        rounds in prop::collection::vec(any_round(), 1..8),
    ) {
        let told = talk(world, mode, &rounds);
        let recording = told.recording();
        prop_assert_eq!(recording.exchanges.len(), told.answers.len());
        let first: Vec<usize> = recording.exchanges.iter().map(|it| it.first_attempt as usize).collect();
        let session = Session::Recording(recording);
        let run = strategy::run(&session, Strategy::None, &Options::default());
        let show = || String::from_utf8_lossy(&told.text).into_owned();
        prop_assert!(run.worlds.contains(world), "{world:?} is gone\n{}", show());
        let mut refused = false;
        let mut left = false;
        let mut judged = run.requests.iter();
        for (at, _) in first.iter().enumerate().filter(|(at, first)| at == *first) {
            let request = judged.next().unwrap();
            let last = first.iter().rposition(|first| *first == at).unwrap();
            prop_assert_ne!(request.agrees, Some(false), "exchange {} {:?}\n{}", at + 1, request, show());
            let hidden = request.outcome == Outcome::Unknown && mode == Mode::Conversation;
            match told.answers[last] {
                _ if hidden => left = true,
                Answer::Accepted => prop_assert_eq!(&request.outcome, &Outcome::Accepted, "exchange {}\n{}", last + 1, show()),
                Answer::Refused => {
                    refused = true;
                    prop_assert!(request.is_refused(), "exchange {} {:?}\n{}", last + 1, request, show());
                }
                Answer::Nothing => left = true,
            }
        }
        prop_assert!(judged.next().is_none());
        if refused {
            // what the server kept and no line tells of: the refusal stands, and is not ours to repeat
            let on_record = mode == Mode::Conversation && run.requests.iter().any(strategy::Judged::is_refused_on_record);
            prop_assert_eq!((run.verdict, run.reproduced), (Verdict::Refused, Some(!on_record)), "{}", show());
        } else if !left {
            prop_assert_eq!(run.verdict, Verdict::Clean);
        }
        let again = strategy::run(&session, Strategy::None, &Options::default());
        prop_assert_eq!(format!("{run:?}"), format!("{again:?}"));
    }

    #[test]
    fn a_session_that_was_accepted_is_accepted_under_every_strategy(
        mode in any_mode(),
        rounds in prop::collection::vec(any_round(), 1..8),
    ) {
        // where no answer is on file, a strategy meets refusals of worlds that a later answer rules out; what a cut left
        // may be answered although the client that was recorded forgot it
        let mut rounds = rounds;
        for round in &mut rounds {
            round.ending = Ending::Whole;
            round.resends = false;
            for (_, fate) in &mut round.calls {
                if matches!(fate, Fate::Lost | Fate::WrongKind) {
                    *fate = Fate::Answered;
                }
            }
        }
        let told = talk(World::DEFAULT, mode, &rounds);
        let session = Session::Recording(told.recording());
        let none = strategy::run(&session, Strategy::None, &Options::default());
        prop_assume!(none.verdict == Verdict::Clean);
        for strategy in [Strategy::ErrorBody, Strategy::ErrorBody1610, Strategy::HistoryScan, Strategy::Normalize, Strategy::FullHistory] {
            let run = strategy::run(&session, strategy, &Options::default());
            let show = || format!("{strategy:?} {:?}\n{}", run.requests, String::from_utf8_lossy(&told.text));
            for request in &run.requests {
                let faults = request.refusal.filter(|fault| is_pairing(fault.kind));
                prop_assert_eq!(faults, None, "{}", show());
                prop_assert!(request.injected.is_empty() && request.removed.is_empty(), "{}", show());
            }
            prop_assert_eq!(run.score.false_statements, 0);
        }
    }

    #[test]
    fn strategies_keep_their_promises(
        world in any_world(),
        mode in any_mode(),
        rounds in prop::collection::vec(any_round(), 1..8),
        probe in any::<bool>(),
    ) {
        let told = talk(world, mode, &rounds);
        let session = Session::Recording(told.recording());
        let Session::Recording(recording) = &session else { unreachable!() };
        let options = options(probe);
        let calls = recording.items.iter().filter(|item| item.kind.is_call()).count() as u32;
        for strategy in Strategy::ALL {
            let run = strategy::run(&session, strategy, &options);
            let show = || format!("{strategy:?} {:?}\n{}", run.requests, String::from_utf8_lossy(&told.text));
            for request in &run.requests {
                match strategy {
                    Strategy::Normalize if !world.refuses(Policy::OutputBeforeCall) => {
                        let fault = match &request.outcome {
                            Outcome::Refused(fault) => Some(fault),
                            _ => None,
                        };
                        prop_assert!(!fault.is_some_and(|fault| is_pairing(fault.kind)), "{}", show());
                    }
                    Strategy::FullHistory if matches!(mode, Mode::Whole | Mode::WholeUnstored) => {
                        prop_assert!(!request.changed, "{}", show());
                    }
                    _ => {}
                }
                // sendings of one request count together
                let sendings = told.answers.len() as u32;
                prop_assert!(request.attempts <= (calls + 1) * sendings, "{}", show());
                prop_assert!(!request.loops || strategy == Strategy::ErrorBody1610);
            }
            let again = strategy::run(&session, strategy, &options);
            prop_assert_eq!(format!("{run:?}"), format!("{again:?}"));
        }
    }

    #[test]
    fn check_has_an_error_exactly_when_the_default_run_is_refused_or_disagrees(
        world in any_world(),
        mode in any_mode(),
        rounds in prop::collection::vec(any_round(), 1..8),
        probe in any::<bool>(),
    ) {
        let told = talk(world, mode, &rounds);
        let session = Session::Recording(told.recording());
        let checked = check::check(&session, &options(probe));
        let errors: Vec<_> = checked.findings.iter().filter(|it| it.severity == Severity::Error).collect();
        let bad = matches!(checked.run.verdict, Verdict::Refused | Verdict::Disagrees);
        prop_assert_eq!(!errors.is_empty(), bad);
        // an error says what it is about, unless what the request goes on from is not on file
        let on_record = checked.run.requests.iter().any(strategy::Judged::is_refused_on_record);
        prop_assert!(on_record || errors.iter().all(|it| it.rule != Rule::Refused), "{errors:?}");
        for request in checked.run.requests.iter().filter(|it| it.is_refused()) {
            let call = request.refusal.and_then(|fault| fault.call);
            prop_assert!(call.is_none() || errors.iter().any(|it| it.call == call), "{errors:?} {request:?}");
        }
        // the model never sees what was left open: independent of the ledger
        if matches!(mode, Mode::Whole | Mode::WholeUnstored | Mode::References) {
            let Session::Recording(recording) = &session else { unreachable!() };
            let open = timeline::open_calls(&session);
            let found: BTreeSet<&str> = open.iter().filter(|it| it.effective).map(|it| recording.items.call_id(it.call)).collect();
            prop_assert_eq!(found, open_ids(&told.last), "{}", String::from_utf8_lossy(&told.text));
        }
    }

    #[test]
    fn the_whole_history_gets_through_where_every_tool_answered(
        rounds in prop::collection::vec(any_round(), 1..8),
        socket in any::<bool>(),
    ) {
        let mut rounds = rounds;
        for round in &mut rounds {
            (round.keeps_cut, round.resends, round.reasoning) = (true, false, false);
            for (_, fate) in &mut round.calls {
                *fate = Fate::Answered;
            }
            if matches!(round.ending, Ending::Failed | Ending::Silent) {
                round.ending = Ending::Whole;
            }
        }
        let mode = if socket { Mode::Socket } else { Mode::Chained };
        let told = talk(World::DEFAULT, mode, &rounds);
        let session = Session::Recording(told.recording());
        let run = strategy::run(&session, Strategy::FullHistory, &Options::default());
        prop_assert!(run.score.accepted, "{:?}\n{}", run.requests, String::from_utf8_lossy(&told.text));
        prop_assert_eq!((run.score.items_lost, run.score.false_statements), (0, 0));
    }
}
