//! How long a sweep takes, for sessions of many events: all strategies, all states, one thread. What counts is that ten
//! times the events take ten times as long, not more. A strategy that answers one refusal after the other spends a request
//! for each open call: with many of them open, what counts is the requests, not the events.
//!
//! `cargo bench --bench sweep -- [EVENTS] [REPEATS]`; a tenth of the events is measured beside it.

#![expect(
    dead_code,
    reason = "the measurements share a module of which each uses a part"
)]

mod generate;
mod measure;

use std::io::{self, Write};
use std::time::Duration;

use responses_replay::ids::{ItemIndex, ResponseKey};
use responses_replay::rollout::{Era, Rollout, Step};
use responses_replay::session::Session;
use responses_replay::session::exchange::{
    Answer, Exchange, Lane, Mark, Milestone, Recording, Request, Terminal,
};
use responses_replay::session::tree::Node;
use responses_replay::sweep::{self, Plan};
use responses_replay::wire::item::{Author, Family, Flags, Item, ItemKind, Items};

/// Events of one answer: its id, an item that begins, pieces of it, its end, the end of all.
const EVENTS: u32 = 20;

fn item(items: &mut Items, kind: ItemKind, author: Author, call: Option<u32>) -> ItemIndex {
    let call = call.map(|number| items.call_key(Family::Function, &format!("call_{number}")));
    items.push(Item {
        kind,
        author,
        flags: Flags::default(),
        call,
        id: None,
        line: 1,
        part: 0,
    })
}

/// Eight requests a turn, each answered by a call whose output goes with the next.
fn recording(events: u32, chained: bool) -> Session {
    let mut made = Recording {
        lanes: vec![Lane {
            name: "lane-1".to_owned(),
            parent: None,
        }],
        ..Recording::default()
    };
    let mut history = Node::ROOT;
    let mut before: Option<ResponseKey> = None;
    let mut answers: Option<u32> = None;
    for number in 0..events / EVENTS {
        let begins = number % 8 == 0;
        let mut input = if chained { Node::ROOT } else { history };
        if let Some(call) = answers {
            let output = item(
                &mut made.items,
                ItemKind::FunctionCallOutput,
                Author::Client,
                Some(call),
            );
            input = made.tree.push(input, output);
        }
        if begins {
            let user = item(&mut made.items, ItemKind::Message, Author::User, None);
            input = made.tree.push(input, user);
        }
        let call = item(
            &mut made.items,
            ItemKind::FunctionCall,
            Author::Model,
            Some(number),
        );
        answers = Some(number);
        let key = ResponseKey(made.responses.intern(format!("resp_{number}").as_bytes()));
        let mark = |event, what| Mark { event, what };
        made.exchanges.push(Exchange {
            number: number + 1,
            line: number + 1,
            turn: number / 8 + 1,
            attempt: 1,
            first_attempt: number,
            request: Request {
                previous: before.filter(|_| chained),
                store: Some(chained),
                input,
                whole: true,
                ..Request::default()
            },
            answer: Answer {
                status: Some(200),
                response: Some(key),
                done: vec![call],
                terminal: Some(Terminal::Completed),
                events: EVENTS,
                marks: vec![
                    mark(0, Milestone::Named),
                    mark(1, Milestone::Begun(call)),
                    mark(EVENTS - 2, Milestone::Done(call)),
                    mark(EVENTS - 1, Milestone::Over),
                ],
                ..Answer::default()
            },
            ..Exchange::default()
        });
        history = made.tree.push(input, call);
        before = Some(key);
    }
    Session::Recording(made)
}

/// A rollout of so many items; `open` of its first calls are never answered.
fn rollout(count: u32, open: u32) -> Session {
    let mut made = Rollout::new(Era::E4);
    let push = |made: &mut Rollout, kind, author, call| {
        let index = item(&mut made.items, kind, author, call);
        made.steps.push(Step::Item(index));
    };
    for number in 0..count / 2 {
        if number % 8 == 0 {
            push(&mut made, ItemKind::Message, Author::User, None);
        }
        push(
            &mut made,
            ItemKind::FunctionCall,
            Author::Model,
            Some(number),
        );
        if number >= open {
            push(
                &mut made,
                ItemKind::FunctionCallOutput,
                Author::Client,
                Some(number),
            );
        }
    }
    Session::Rollout(made)
}

/// Makes a session of about so many events.
type Make = fn(u32) -> Session;

fn main() -> io::Result<()> {
    let mut numbers = measure::numbers();
    let events = u32::try_from(numbers.next().unwrap_or(100_000)).unwrap_or(100_000);
    let repeats = numbers.next().unwrap_or(3) as usize;
    let plan = Plan::default();
    let mut out = io::stdout().lock();
    let sessions: [(&str, u32, Make); 5] = [
        ("chained recording", 1, |events| recording(events, true)),
        ("recording of whole histories", 1, |events| {
            recording(events, false)
        }),
        ("rollout, every call answered", 1, |events| {
            rollout(events, 0)
        }),
        ("rollout, 5 calls open", 1, |events| rollout(events, 5)),
        // a hundredth of the events
        ("rollout, 100 calls open", 100, |events| {
            rollout(events, 100)
        }),
    ];
    for (what, part, make) in sessions {
        let events = events / part;
        writeln!(out, "{what}")?;
        let mut first: Option<Duration> = None;
        for size in [events / 10, events] {
            let session = make(size);
            let mut judged = 0;
            let time = measure::median(repeats, || {
                let swept = sweep::sweep(&session, &plan, &|_, _| {});
                judged = swept.judged;
                Ok(swept)
            })?;
            let each = time / size.max(1);
            let ratio = each.as_nanos() * 100 / first.get_or_insert(each).as_nanos().max(1);
            writeln!(
                out,
                "  {size:>7} events {judged:>9} requests judged {:>7.2} s, {ratio:>4} % of the first's time an event",
                time.as_secs_f64()
            )?;
        }
    }
    Ok(())
}
