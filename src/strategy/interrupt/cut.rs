//! A session that really ends at a point, with the next request behind it.

use super::{Base, Next, Point, Who, user_message};
use crate::rollout::{Rollout, Step};
use crate::session::Session;
use crate::session::exchange::{
    Answer, EndCause, Exchange, Recording, Request, Terminal, Transport,
};
use crate::session::tree::Node;
use crate::strategy::as_client::{self, Keeps};
use crate::strategy::chained;

/// The session cut at a point, with the next request as its last one. What [`super::super::run()`] says of that request is
/// what [`super::ask`] says of the point.
///
/// `None` where a session cannot say what happens: a rollout that is rebuilt from state lines, a killed client of a
/// recording, a request that the lane would not send by habit.
///
/// With `client` it is the session's own client that goes on, as in [`super::ask`].
pub fn cut(session: &Session, point: &Point, next: Next, client: bool) -> Option<Session> {
    if !super::applies(point, next) {
        return None;
    }
    match session {
        Session::Rollout(rollout) if chained::is_chained(rollout) => None,
        Session::Rollout(rollout) => Some(Session::Rollout(of_rollout(rollout, point, next))),
        Session::Recording(_) if next.who == Who::Kill || next.base.is_some() => None,
        Session::Recording(recording) => {
            cut_recording(recording, point, next, client).map(Session::Recording)
        }
    }
}

fn of_rollout(rollout: &Rollout, point: &Point, next: Next) -> Rollout {
    let mut cut = rollout.clone();
    cut.steps.truncate(point.at as usize + 1);
    if next.who == Who::Kill {
        // a turn that begins while another one runs: the process ended in between
        cut.steps.push(Step::TurnStarted(0));
        cut.steps.push(Step::TurnStarted(0));
    }
    let user = cut.items.push(user_message());
    cut.steps.push(Step::Item(user));
    cut
}

/// A recording cut at a point, whoever cuts and whatever the next request goes on from. That a client was started again
/// stands in no recording: who asks for it has to say so to the walk.
pub(in crate::strategy) fn cut_recording(
    recording: &Recording,
    point: &Point,
    next: Next,
    client: bool,
) -> Option<Recording> {
    let mut cut = recording.clone();
    let at = cut
        .exchanges
        .iter()
        .position(|it| Some(it.number) == point.exchange)?;
    cut.exchanges.truncate(at + 1);
    let lane = point.lane;
    let of_lane = |it: &&Exchange| it.lane == lane && it.request.whole;
    let chains = recording.exchanges.iter().filter(of_lane);
    let chains = as_client::chains(recording) || chains.into_iter().any(goes_on);
    let last = cut.exchanges.last_mut()?;
    let state = &point.state;
    if state.named {
        last.answer.done.truncate(state.done as usize);
        last.answer.half.clone_from(&state.half);
        if !state.over {
            last.answer.terminal = None;
            last.answer.refusal = None;
            last.answer.end = Some(EndCause::ClientClosed);
        }
    } else {
        last.answer = Answer::default();
    }
    let before = last.clone();
    let complete = |it: &&Exchange| {
        it.lane == lane
            && it.request.whole
            && it.answer.terminal == Some(Terminal::Completed)
            && it.answer.response.is_some()
    };
    let complete = cut.exchanges.iter().rev().find(complete);
    let complete = complete.and_then(|it| it.answer.response);
    let habit = match (before.request.conversation, chains) {
        (Some(_), _) => Base::Conversation,
        (None, true) => Base::Complete,
        (None, false) => Base::Whole,
    };
    let mut base = next.base.unwrap_or(habit);
    if base == Base::Complete
        && before.transport == Transport::WebSocket
        && before.request.store == Some(false)
        && !(state.over && next.who == Who::Client)
    {
        base = Base::Whole;
    }
    let goes_on = before.request.previous.is_some() || before.request.conversation.is_some();
    if base == Base::Whole && goes_on {
        return None;
    }
    let keeps = if client {
        point.left(as_client::keeps(recording), next, habit)
    } else {
        Keeps::All
    };
    let again = next.who == Who::Upstream;
    let chained = base != Base::Whole;
    let turn = |it: &&Exchange| it.lane == lane && it.request.whole && it.turn == before.turn;
    let mut path = if chained && !again {
        Node::ROOT
    } else if keeps == Keeps::Turns {
        let first = cut.exchanges.iter().find(turn);
        first.map_or(before.request.input, |it| it.request.input)
    } else {
        before.request.input
    };
    let done = if chained || keeps == Keeps::Turns {
        &[][..]
    } else {
        &before.answer.done
    };
    let held = if again && chained || keeps != Keeps::All {
        &[][..]
    } else if again {
        &state.later
    } else {
        &state.outputs
    };
    for item in done.iter().chain(held) {
        path = cut.tree.push(path, *item);
    }
    if !again {
        let user = cut.items.push(user_message());
        if !cut.fingerprints.is_empty() {
            cut.fingerprints.push(0);
        }
        path = cut.tree.push(path, user);
    }
    let repeats = again && chained;
    let here = cut.exchanges.len() as u32;
    cut.exchanges.push(Exchange {
        number: u32::MAX,
        lane,
        line: 0,
        end_line: 0,
        turn: before.turn + u32::from(!again),
        attempt: if repeats { before.attempt + 1 } else { 1 },
        first_attempt: if repeats { before.first_attempt } else { here },
        request: Request {
            previous: match base {
                Base::Whole | Base::Conversation => None,
                _ if again || keeps == Keeps::LateIds => before.request.previous,
                Base::Complete => complete,
                Base::Seen => before.answer.response.or(complete),
            },
            conversation: before
                .request
                .conversation
                .filter(|_| base == Base::Conversation),
            store: before.request.store,
            input: path,
            whole: true,
        },
        answer: Answer::default(),
        ..before
    });
    Some(cut)
}

/// Whether a request shows that its lane goes on from responses: it names one, or the connection remembers them.
pub(super) fn goes_on(exchange: &Exchange) -> bool {
    let remembers =
        exchange.transport == Transport::WebSocket && exchange.request.store == Some(false);
    exchange.request.previous.is_some() || remembers
}
