//! What is said of a point is what is said of the session that is really cut there.
//!
//! The session is cut off behind the point, the next request is put behind it, and all of it is walked from the start: as
//! slow as can be, and nothing is taken back. Every strategy, every way to cut, every base, recordings, rollouts and
//! chains rebuilt from rollouts; random ones, and all files of this repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use serde_json::{Value, json};

use super::rollouts::{any_op, write};
use super::talk::{any_mode, any_round, any_world, talk};
use crate::contract::{Outcome, Policy, WorldSet};
use crate::rollout::{NoLibrary, Rollout, reader};
use crate::session::exchange::Recording;
use crate::session::tree::Node;
use crate::session::{Session, reader as recordings};
use crate::strategy::interrupt::{self, Base, Next, Point, Told, Who};
use crate::strategy::run::Run;
use crate::strategy::script::{Ask, Script};
use crate::strategy::{Keep, Options, Probe, Strategy, chained, full, wire};

const NEXTS: [Next; 9] = {
    const fn next(who: Who, base: Option<Base>) -> Next {
        Next { who, base }
    }
    [
        next(Who::Client, None),
        next(Who::Upstream, None),
        next(Who::Kill, None),
        next(Who::Client, Some(Base::Whole)),
        next(Who::Kill, Some(Base::Complete)),
        next(Who::Client, Some(Base::Complete)),
        next(Who::Client, Some(Base::Seen)),
        next(Who::Upstream, Some(Base::Seen)),
        next(Who::Upstream, Some(Base::Whole)),
    ]
};

/// What was compared, by what was said of it.
#[derive(Debug, Default)]
struct Compared(BTreeMap<&'static str, u32>);

impl Compared {
    fn count(&mut self, told: &Told, next: Next) {
        let outcome = match told.outcome {
            Outcome::Accepted => "accepted",
            Outcome::Refused(_) => "refused",
            Outcome::Depends { .. } => "depends",
            Outcome::Unknown => "unknown",
        };
        let mut add = |what, holds| *self.0.entry(what).or_default() += u32::from(holds);
        add(outcome, true);
        add(next.who.name(), true);
        add("with a base", next.base.is_some());
        add("made up", !told.made_up.is_empty());
        add("false", told.false_statements > 0);
        add("lost", told.lost > 0);
        add("loops", told.loops);
        add("several requests", told.sends > 1);
    }
}

/// The session, really cut; `None` where it does not hold what the client would send.
fn naive(
    session: &Session,
    strategy: Strategy,
    policies: &[(Policy, usize)],
    point: &Point,
    next: Next,
) -> Option<Run> {
    let resolved = interrupt::resolve(session, strategy);
    let own = strategy == Strategy::AsClient;
    let worlds = WorldSet::fixed(policies);
    let options = |probe| Options {
        policies: policies.to_vec(),
        probe,
    };
    match session {
        Session::Recording(recording) => {
            let script = of_recording(recording, point, next, own)?;
            Some(wire::run_script(&script, resolved, own, worlds))
        }
        Session::Rollout(rollout) if chained::is_chained(rollout) => {
            let script = of_chain(rollout, point, next)?;
            Some(wire::run_script(&script, resolved, own, worlds))
        }
        Session::Rollout(_) => {
            let Session::Rollout(cut) = interrupt::cut(session, point, next, own)? else {
                return None;
            };
            let own = own && !cut.meta.recovered;
            let options = options(Probe::Auto);
            Some(full::run(&cut, resolved, worlds, &options, own, Keep::All))
        }
    }
}

fn of_recording(recording: &Recording, point: &Point, next: Next, client: bool) -> Option<Script> {
    let cut = interrupt::cut_recording(recording, point, next, client)?;
    let never = Options {
        policies: Vec::new(),
        probe: Probe::Never,
    };
    let mut script = Script::of(&cut, &never);
    // what led to what is known of the whole recording
    script.led = Script::of(recording, &never).led;
    let last = script.asks.last_mut()?;
    last.apart = true;
    last.exact = last.attempt_of.is_some();
    last.restarted = next.who == Who::Kill;
    Some(script)
}

/// A chain that was rebuilt: the user's message goes on from the last response that was complete.
fn of_chain(rollout: &Rollout, point: &Point, next: Next) -> Option<Script> {
    let never = Options {
        policies: Vec::new(),
        probe: Probe::Never,
    };
    if !matches!(next.base, None | Some(Base::Complete)) {
        return None;
    }
    let mut script = chained::rebuild(rollout, &never);
    script.asks.truncate(point.at as usize + 1);
    let ask = script.asks.last_mut()?;
    ask.done.truncate(point.state.done as usize);
    ask.half.clone_from(&point.state.half);
    (ask.answered, ask.complete) = (point.state.named, point.state.over);
    ask.refusal = None;
    if !point.state.named {
        (ask.status, ask.response) = (None, None);
    }
    let last = ask.clone();
    let before = script.asks.iter().rev().find(|it| it.complete);
    let previous = before.and_then(|it| it.response);
    let user = script.items.push(interrupt::user_message());
    if !script.fingerprints.is_empty() {
        script.fingerprints.push(0);
    }
    let mut input = Node::ROOT;
    for item in point.state.outputs.iter().chain([&user]) {
        input = script.tree.push(input, *item);
    }
    let mut incoming = last.incoming;
    (incoming.previous, incoming.input) = (previous, input);
    script.asks.push(Ask {
        incoming,
        turn: last.turn + 1,
        apart: true,
        restarted: next.who == Who::Kill,
        ..last.without_answer()
    });
    Some(script)
}

/// Cuts the session at every `stride`-th point for real and holds both results against each other.
fn compare(
    session: &Session,
    policies: &[(Policy, usize)],
    stride: usize,
    compared: &mut Compared,
) -> Result<(), TestCaseError> {
    let points: Vec<Point> = interrupt::points(session);
    let expected: usize = points
        .iter()
        .map(|point| {
            let asked = NEXTS
                .iter()
                .filter(|next| interrupt::applies(point, **next));
            asked.count()
        })
        .sum();
    for (turn, strategy) in Strategy::ALL.into_iter().enumerate() {
        let mut all: Vec<(usize, usize, Told)> = Vec::new();
        interrupt::ask(
            session,
            (strategy, strategy == Strategy::AsClient),
            policies,
            &points,
            &NEXTS,
            &mut |at, next, told| all.push((at, next, told)),
        );
        prop_assert_eq!(all.len(), expected);
        for (number, (at, next, told)) in all.iter().enumerate() {
            if !(number + turn).is_multiple_of(stride) {
                continue;
            }
            let (point, next) = (&points[*at], NEXTS[*next]);
            let Some(run) = naive(session, strategy, policies, point, next) else {
                continue;
            };
            let last = run.requests.last().unwrap();
            let place = format!("{strategy:?} {next:?} {point:?}");
            prop_assert_eq!(&last.outcome, &told.outcome, "{}", &place);
            prop_assert_eq!(last.refusal, told.refusal, "{}", &place);
            prop_assert_eq!(last.attempts, told.sends, "{}", &place);
            prop_assert_eq!(last.changed, told.changed, "{}", &place);
            prop_assert_eq!(&last.injected[..], &told.made_up[..], "{}", &place);
            prop_assert_eq!(last.removed.len() as u32, told.lost, "{}", &place);
            prop_assert_eq!(last.loops, told.loops, "{}", &place);
            let is_false = last.injected.iter().any(|it| it.is_false);
            prop_assert_eq!(is_false, told.false_statements > 0, "{}", &place);
            compared.count(told, next);
        }
    }
    Ok(())
}

fn any_policies() -> impl proptest::strategy::Strategy<Value = Vec<(Policy, usize)>> {
    let one = (0..Policy::ALL.len(), any::<usize>()).prop_map(|(at, value)| {
        let policy = Policy::ALL[at];
        (policy, value % policy.values().len())
    });
    prop_oneof![3 => Just(Vec::new()), 1 => one.prop_map(|it| vec![it])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn of_recordings(
        mode in any_mode(),
        world in any_world(),
        policies in any_policies(),
        rounds in prop::collection::vec(any_round(), 1..5),
    ) {
        let session = Session::Recording(talk(world, mode, &rounds).recording());
        compare(&session, &policies, 3, &mut Compared::default())?;
    }

    #[test]
    fn of_rollouts(
        era in 0..5_u8,
        policies in any_policies(),
        ops in prop::collection::vec(any_op(), 1..20),
    ) {
        let (text, _) = write(era, ops);
        let Ok(rollout) = reader::read(text.as_bytes(), &NoLibrary) else { return Ok(()) };
        compare(&Session::Rollout(rollout), &policies, 1, &mut Compared::default())?;
    }
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("rollouts"), root.join("tests/captures")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn session(path: &Path) -> Option<Session> {
    let name = path.file_name()?.to_str()?;
    let bytes = std::fs::read(path).ok()?;
    let is_packed = path.extension().is_some_and(|it| it == "zst");
    let bytes = if is_packed {
        zstd::decode_all(&bytes[..]).ok()?
    } else {
        bytes
    };
    if name.contains("session.jsonl") {
        recordings::read(&bytes[..]).ok().map(Session::Recording)
    } else if name.contains("rollout") {
        reader::read(&bytes[..], &NoLibrary)
            .ok()
            .map(Session::Rollout)
    } else {
        None
    }
}

/// Random sessions may be too simple, real ones may be too much alike: of both, everything that can be said is said often.
#[test]
fn of_every_file() {
    let mut compared = Compared::default();
    let mut read = 0;
    for (number, path) in files().into_iter().enumerate() {
        let Some(session) = session(&path) else {
            continue;
        };
        read += 1;
        // a part of each file's cells, another one each time
        let stride = 41 + number % 7;
        compare(&session, &[], stride, &mut compared)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    assert!(read > 250, "{read} files");
    for (what, least) in [
        ("accepted", 1000),
        ("refused", 500),
        ("depends", 200),
        ("client", 500),
        ("upstream", 200),
        ("kill", 500),
        ("with a base", 500),
        ("made up", 500),
        ("false", 30),
        ("lost", 40),
        ("loops", 15),
        ("several requests", 100),
    ] {
        let found = compared.0.get(what).copied().unwrap_or(0);
        assert!(found >= least, "{what}: {found}; {compared:?}");
    }
}

/// A recording of one request whose answer is a call, by a Codex of this version.
fn one_call(version: &str) -> Session {
    let events = [
        json!({"type": "response.created", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item":
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "shell", "arguments": "{}"}}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "output": []}}),
    ];
    let lines = [
        json!({"kind": "session", "format": 1, "id": "a"}),
        json!({"kind": "request", "exchange": 1, "at_us": 1, "transport": "http", "method": "POST", "path": "/v1/responses",
            "headers": [["user-agent", format!("codex_cli_rs/{version}")]],
            "body": {"model": "m", "store": true, "input": [{"role": "user", "content": "begin"}]}}),
        json!({"kind": "response", "exchange": 1, "at_us": 2, "status": 200}),
        json!({"kind": "chunk", "exchange": 1, "at_us": 3, "text": super::server::sse(&events)}),
        json!({"kind": "end", "exchange": 1, "at_us": 4, "cause": "complete"}),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    Session::Recording(crate::session::reader::read(lines.join("\n").as_bytes()).unwrap())
}

fn next_of(who: Who) -> Next {
    Next { who, base: None }
}

/// What is said of the client's own next request if it is cut while its tool runs.
fn told_in_tool(session: &Session, next: Next) -> Told {
    let mut points = interrupt::points(session);
    points.retain(|it| it.stage == interrupt::Stage::InTool);
    let mut all = Vec::new();
    let way = (Strategy::AsClient, true);
    interrupt::ask(session, way, &[], &points, &[next], &mut |_, _, told| {
        all.push(told);
    });
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Codex 0.8 goes on from responses that are stored, and the first request of a thread does not show it: interrupted in its
/// first tool, it sends the output of the call behind that response, where the API looks for it.
#[test]
fn a_client_that_chains_is_known_by_its_version() {
    let old = one_call("0.8.0");
    assert_eq!(interrupt::habit(&old, 0), Some(Base::Complete));
    let told = told_in_tool(&old, next_of(Who::Client));
    assert_eq!(told.outcome, Outcome::Accepted);
    let new = one_call("0.20.0");
    assert_eq!(interrupt::habit(&new, 0), Some(Base::Whole));
}

/// What a killed client had not written yet, it does not send: Codex 0.8 has no id of a response whose tools still run, and
/// Codex 0.20 nothing of the turn but what the user said. Both begin anew, as the real ones do.
#[test]
fn a_killed_client_goes_on_from_what_is_on_disk() {
    for version in ["0.8.0", "0.20.0", "0.45.0"] {
        let session = one_call(version);
        let told = told_in_tool(&session, next_of(Who::Kill));
        assert_eq!(told.outcome, Outcome::Accepted, "{version}");
        assert!(!told.changed, "{version}");
    }
    // the strategy by itself, in a client that has everything
    let mut points = interrupt::points(&one_call("0.20.0"));
    points.retain(|it| it.stage == interrupt::Stage::InTool);
    let mut all = Vec::new();
    let way = (Strategy::HistoryScan, false);
    interrupt::ask(
        &one_call("0.20.0"),
        way,
        &[],
        &points,
        &[next_of(Who::Kill)],
        &mut |_, _, told| all.push(told),
    );
    assert!(matches!(all[0].outcome, Outcome::Depends { .. }));
    // today's Codex writes each item as it comes, and repairs what it reads
    let told = told_in_tool(&one_call("0.169.0"), next_of(Who::Kill));
    assert_eq!(told.outcome, Outcome::Accepted);
    assert!(told.changed);
}
