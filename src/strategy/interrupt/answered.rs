//! A session cut at a point, whose next request was answered: the place for a second cut.

use super::{Next, Point, State, Told, Who, cut, points};
use crate::contract::Outcome;
use crate::ids::{CallKey, ItemIndex, ResponseKey};
use crate::rollout::Step;
use crate::session::Session;
use crate::session::exchange::{Answer, Mark, Milestone, Terminal};
use crate::session::tree::Node;
use crate::strategy::Strategy;
use crate::wire::item::{Author, Flags, Item, ItemKind, Items};

/// The session as [`cut()`] leaves it, with the next request as `strategy` sent it and an answer to it: one call of the
/// kind the session knows, then the end. With it the points inside of that answer.
///
/// `None` where the request does not get through in the world nearest to the defaults, or where [`cut()`] has none.
pub fn answered(
    session: &Session,
    point: &Point,
    next: Next,
    (strategy, client): (Strategy, bool),
    told: &Told,
) -> Option<(Session, Vec<Point>)> {
    if !matches!(told.outcome, Outcome::Accepted) || told.loops || next.who == Who::Kill {
        return None;
    }
    let mut session = cut(session, point, next, client)?;
    match &mut session {
        Session::Rollout(rollout) => {
            let call = new_call(&mut rollout.items);
            let from = rollout.steps.len() as u32;
            rollout.steps.push(Step::Item(call));
            let found = points(&session);
            let inside = found.into_iter().filter(|it| it.at >= from).collect();
            Some((session, inside))
        }
        Session::Recording(recording) => {
            // what was put in front of the input is with the server from now on, and in what the client sent
            let fronted = matches!(
                strategy,
                Strategy::PendingAborts
                    | Strategy::PendingIds
                    | Strategy::ErrorBody
                    | Strategy::ErrorBody1610
            );
            let last = recording.exchanges.last()?;
            let (number, input) = (last.number, last.request.input);
            if fronted && !told.made_up.is_empty() {
                let mut items = recording.tree.items(input);
                for made_up in told.made_up.iter() {
                    let index = recording.items.push(output(made_up.call, made_up.kind));
                    if !recording.fingerprints.is_empty() {
                        recording.fingerprints.push(u64::from(index.0));
                    }
                    let place = (made_up.position as usize).min(items.len());
                    items.insert(place, index);
                }
                let mut node = Node::ROOT;
                for item in items {
                    node = recording.tree.push(node, item);
                }
                recording.exchanges.last_mut()?.request.input = node;
            }
            let call = new_call(&mut recording.items);
            if !recording.fingerprints.is_empty() {
                recording.fingerprints.push(u64::from(call.0));
            }
            let response = recording.responses.intern(b"resp of the second cut");
            let mark = |event, what| Mark { event, what };
            recording.exchanges.last_mut()?.answer = Answer {
                status: Some(200),
                response: Some(ResponseKey(response)),
                done: vec![call],
                terminal: Some(Terminal::Completed),
                events: 4,
                marks: vec![
                    mark(0, Milestone::Named),
                    mark(1, Milestone::Begun(call)),
                    mark(2, Milestone::Done(call)),
                    mark(3, Milestone::Over),
                ],
                ..Answer::default()
            };
            let found = points(&session);
            let inside = found
                .into_iter()
                .filter(|it| it.exchange == Some(number) && it.state != State::default())
                .collect();
            Some((session, inside))
        }
    }
}

/// A call with an id of its own, of the kind of the session's last call.
fn new_call(items: &mut Items) -> ItemIndex {
    let known = items.iter().rev().find(|item| item.kind.is_call());
    let kind = known.map_or(ItemKind::FunctionCall, |item| item.kind);
    let call = kind
        .family()
        .map(|family| items.call_key(family, "call_of_the_second_cut"));
    items.push(Item {
        kind,
        author: Author::Model,
        flags: Flags::default(),
        call,
        id: None,
        line: 0,
        part: 0,
    })
}

fn output(call: CallKey, kind: ItemKind) -> Item {
    let mut flags = Flags::default();
    flags.set(Flags::ABORTED);
    Item {
        kind,
        author: Author::Client,
        flags,
        call: Some(call),
        id: None,
        line: 0,
        part: 0,
    }
}
