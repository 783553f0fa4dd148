//! A session on its way, request by request.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::attempts::Purse;
use super::compose::{Answer, Composed, Composer};
use super::follow::Follow;
use super::socket::{self, NoSocket, Socket};
use super::word::{self, Again, Refused, Word};
use super::{Job, Progress, composer, forecast, transport};
use crate::replay::call::{Ask, Caller, Came, Got, Leave};
use crate::session::Session;
use crate::session::exchange::{Exchange, Terminal, Transport};
use crate::strategy::live::{Divergence, Live, LiveResult, MadeUp};
use crate::strategy::outgoing::{Outbox, Outgoing};
use crate::strategy::{self, Origin, Run};
use crate::wire::item::Flags;
use crate::wire::refusal::RefusalKind;
use crate::wire::refusal::find::Wrapper;

pub(super) async fn sent(
    caller: &Caller,
    job: &Job<'_>,
    outbox: &Outbox,
    told: &mut dyn FnMut(Progress),
) -> Run {
    let model = strategy::run(job.session, job.strategy, job.options);
    let mut going = Going {
        caller,
        job,
        outbox,
        composer: composer(job, outbox),
        follow: job.how.follow.then(Follow::default),
        sockets: BTreeMap::new(),
        waited: Duration::ZERO,
        last_end: None,
        finished: BTreeSet::new(),
        given_up: BTreeMap::new(),
    };
    let all = forecast(job).requests;
    let mut lives = Vec::new();
    let (mut done, mut warm_ups, mut stopped) = (0, 0, false);
    for one in outbox.all.iter().filter(|one| !one.again) {
        let websocket = transport(job.how, one) == Transport::WebSocket;
        if going.composer.is_warm_up(one) && !websocket {
            warm_ups += 1;
            let note = "a warm-up, which is sent on WebSockets only".to_owned();
            let live = Live {
                result: LiveResult::Skipped,
                note: Some(note),
                ..Live::default()
            };
            lives.push((live, 0));
            continue;
        }
        if job.how.max_requests.is_some_and(|most| done >= most) {
            stopped = true;
            break;
        }
        let mut progress = |attempt: u32| told(Progress { done, all, attempt });
        let (live, sends) = going.one(one, websocket, &mut progress).await;
        done += usize::from(sends > 0);
        lives.push((live, sends));
    }
    for socket in going.sockets.into_values() {
        socket.close().await;
    }
    let mut run = model.at_endpoint(lives, going.waited);
    run.apply_incomplete(job.session);
    let mut notes: Vec<String> = run.note.take().into_iter().collect();
    if stopped {
        notes.push(match done {
            1 => "only the first request was sent (--max-requests)".to_owned(),
            _ => format!("only the first {done} requests were sent (--max-requests)"),
        });
    }
    if warm_ups > 0 {
        let s = if warm_ups == 1 { "" } else { "s" };
        notes.push(format!("{warm_ups} warm-up{s} not sent: HTTP has none"));
    }
    run.note = (!notes.is_empty()).then(|| notes.join("; "));
    run
}

/// A session on its way.
struct Going<'a> {
    caller: &'a Caller,
    job: &'a Job<'a>,
    outbox: &'a Outbox,
    composer: Composer<'a>,
    follow: Option<Follow>,
    /// One connection for each lane.
    sockets: BTreeMap<u32, Socket>,
    waited: Duration,
    /// When the recorded exchange before this one ended.
    last_end: Option<u64>,
    /// Calls of which the client sent a real output.
    finished: BTreeSet<String>,
    /// Why nothing more is sent, over HTTP (`false`) or WebSockets (`true`).
    given_up: BTreeMap<bool, String>,
}

impl Going<'_> {
    async fn one(
        &mut self,
        one: &Outgoing,
        websocket: bool,
        progress: &mut dyn FnMut(u32),
    ) -> (Live, u32) {
        if let Some(why) = self.follow.as_ref().and_then(|it| it.parted(one.lane)) {
            let live = Live {
                result: LiveResult::Parted,
                note: Some(format!("not sent: {why}")),
                ..Live::default()
            };
            return (live, 0);
        }
        if let Some(why) = self.given_up.get(&websocket) {
            let live = Live {
                note: Some(format!("not sent: {why}")),
                ..Live::default()
            };
            return (live, 0);
        }
        self.saw_outputs(one);
        self.pace(one).await;
        let leave = self.leave(one);
        let mut answers: Vec<Answer> = Vec::new();
        let mut asked: BTreeSet<String> = BTreeSet::new();
        let mut purse = Purse::new(self.job.how.budget);
        let mut sends = 0;
        loop {
            let composed = self
                .composer
                .compose(one, &answers, self.follow.as_ref(), websocket);
            let composed = match composed {
                Ok(composed) => composed,
                Err(why) => {
                    let live = Live {
                        note: Some(format!("not sent: {why}")),
                        ..Live::default()
                    };
                    return (live, sends);
                }
            };
            sends += 1;
            progress(sends);
            let ask = Ask {
                body: composed.text.clone(),
                headers: composed.headers.clone(),
                leave,
            };
            let came = if websocket {
                self.ask_on_socket(one.lane, &ask).await
            } else {
                self.caller.ask(&ask).await
            };
            let said = word::read(&came);
            if let Word::Nothing { again, .. } = &said {
                let asked = match &came {
                    Came::Answer(got) => got.retry_after,
                    Came::Nothing(_) => None,
                };
                if let Some(pause) = purse.spend(*again, asked) {
                    self.waited += pause;
                    tokio::time::sleep(pause).await;
                    continue;
                }
            }
            if let Word::Refused(refused) = &said
                && let Some(named) = &refused.named
                && let Some(kind) = self.outbox.retry.output_for(named)
                // an endpoint that names an id twice does not hear us
                && asked.insert(named.id.clone())
            {
                answers.push((named.id.clone(), kind));
                continue;
            }
            if let Some(why) = hopeless(&came, &said) {
                self.given_up.insert(websocket, why);
            }
            let mut live = self.live(one, &came, &said, &composed);
            self.remember(one, &came, &said, &mut live);
            return (live, sends);
        }
    }

    /// Notes the real outputs that the client's own request carries.
    fn saw_outputs(&mut self, one: &Outgoing) {
        let items = &self.outbox.items;
        for index in self.outbox.tree.items(one.node) {
            let Some(item) = items.get(index) else {
                continue;
            };
            let Some(call) = item.call.filter(|_| item.kind.is_output()) else {
                continue;
            };
            if !item.flags.has(Flags::ABORTED) {
                let now = self.follow.as_ref().and_then(|it| it.call(call));
                let id = now.unwrap_or_else(|| items.call_id(call));
                if !self.finished.contains(id) {
                    self.finished.insert(id.to_owned());
                }
            }
        }
    }

    /// Waits as the recorded client waited, if there is a pace.
    async fn pace(&mut self, one: &Outgoing) {
        let speed = self.job.how.speed;
        let body = self.composer.body_of(one);
        let at = self.exchange(one).map(|it| it.at_us);
        if speed > 0.0
            && let (Some(at), Some(end)) = (at, self.last_end)
        {
            let pause = Duration::from_micros(at.saturating_sub(end)).div_f64(speed);
            tokio::time::sleep(pause).await;
        }
        self.last_end = body.and_then(|it| it.end_at_us).or(at);
    }

    fn leave(&self, one: &Outgoing) -> Leave {
        if self.job.how.speed <= 0.0 {
            return Leave::Never;
        }
        let body = one
            .exchange
            .and_then(|_| self.composer.body_of(one)?.left_after);
        body.map_or(Leave::Never, Leave::Behind)
    }

    fn exchange(&self, one: &Outgoing) -> Option<&Exchange> {
        let Session::Recording(recording) = self.job.session else {
            return None;
        };
        recording.exchanges.get(self.composer.place_of(one)?)
    }

    async fn ask_on_socket(&mut self, lane: u32, ask: &Ask) -> Came {
        let mut socket = match self.sockets.remove(&lane) {
            Some(socket) => socket,
            None => match socket::open(self.caller, &ask.headers).await {
                Ok(socket) => socket,
                Err(NoSocket::Unreachable(why)) => return Came::Nothing(why),
                Err(NoSocket::Answered(came)) => return no_websocket(*came),
            },
        };
        let (came, usable) = socket.ask(self.caller, ask).await;
        if usable {
            self.sockets.insert(lane, socket);
        }
        came
    }

    fn live(&self, one: &Outgoing, came: &Came, said: &Word, composed: &Composed) -> Live {
        let mut live = Live {
            injected: composed
                .injected
                .iter()
                .map(|made_up| MadeUp {
                    is_false: self.finished.contains(&made_up.call_id),
                    ..made_up.clone()
                })
                .collect(),
            left_out: composed.left_out,
            bytes: composed.text.len() as u64,
            exact: composed.exact,
            other_model: composed.other_model,
            input_items: composed.input_items,
            ..Live::default()
        };
        let recorded = one.refusal.as_ref().filter(|it| is_word(it.status));
        // what a strategy changed is not what was recorded
        let same = one.edits.is_empty() && !one.whole_history && composed.injected.is_empty();
        match said {
            Word::Accepted(terminal) => {
                live.result = LiveResult::Accepted;
                live.status = Some(200);
                let before = self.exchange(one).and_then(|it| it.answer.terminal);
                let before = before.filter(|_| recorded.is_none() && same);
                if *terminal == Terminal::Failed && before.is_none() {
                    // it got through the door and no further: that is neither an acceptance nor a refusal
                    live.result = LiveResult::Failed;
                    live.message = Some(word::why_it_failed(came));
                }
                if let Some(before) = before.filter(|it| it != terminal) {
                    live.divergence = Some(Divergence {
                        what: "end",
                        recorded: terminal_name(before).to_owned(),
                        now: terminal_name(*terminal).to_owned(),
                    });
                }
            }
            Word::Left => {
                live.result = LiveResult::Accepted;
                live.status = Some(200);
                live.note = Some("we hung up where the recorded client did".to_owned());
            }
            Word::Refused(refused) => self.refused(&mut live, one, refused, same),
            Word::Nothing {
                status, message, ..
            } => {
                live.result = LiveResult::Failed;
                live.status = *status;
                live.message = Some(message.clone());
            }
        }
        if let (Some(recorded), LiveResult::Accepted, true) = (recorded, live.result, same) {
            live.divergence = Some(Divergence {
                what: "acceptance",
                recorded: format!("{} {}", recorded.status, recorded.message),
                now: "accepted".to_owned(),
            });
            let of_state = recorded.named.as_ref().is_some_and(|named| {
                matches!(
                    named.kind,
                    RefusalKind::PreviousResponseNotFound | RefusalKind::ItemNotFound
                )
            });
            if of_state && !composed.exact {
                live.note.get_or_insert_with(|| {
                    "sent without the id that was not found: the items themselves were sent"
                        .to_owned()
                });
            }
        }
        live
    }

    fn refused(&self, live: &mut Live, one: &Outgoing, refused: &Refused, same: bool) {
        live.result = LiveResult::Refused;
        live.status = Some(refused.status);
        live.message = Some(refused.message.clone());
        live.named.clone_from(&refused.named);
        live.wrapper = Some(refused.wrapper.name()).filter(|_| refused.wrapper != Wrapper::Plain);
        let recorded = one.refusal.as_ref().filter(|it| is_word(it.status));
        match recorded {
            Some(recorded) => {
                let is_it = self.is_the_recorded_one(one, refused);
                live.is_recorded_one = Some(is_it);
                if !is_it {
                    live.note = Some(format!(
                        "not the recorded refusal: that was {} {}",
                        recorded.status, recorded.message
                    ));
                    live.divergence = Some(Divergence {
                        what: "refusal",
                        recorded: recorded.message.clone(),
                        now: refused.message.clone(),
                    });
                }
            }
            None if one.answered && same => {
                live.divergence = Some(Divergence {
                    what: "acceptance",
                    recorded: "accepted".to_owned(),
                    now: format!("{} {}", refused.status, refused.message),
                });
            }
            None => {}
        }
        if live.note.is_none()
            && recorded.is_none()
            && one.origin == Origin::Rebuilt
            && one.answered
        {
            live.note = Some(
                "the file shows that this request got through: what it carried then has been lost since"
                    .to_owned(),
            );
        }
        if refused.named.is_none() && live.note.is_none() {
            live.note = Some(
                "a refusal of another kind: it says nothing about calls and outputs".to_owned(),
            );
        }
    }

    fn is_the_recorded_one(&self, one: &Outgoing, refused: &Refused) -> bool {
        let Some(recorded) = &one.refusal else {
            return false;
        };
        let (Some(before), Some(now)) = (&recorded.named, &refused.named) else {
            return recorded.message == refused.message;
        };
        // a call has another id here
        let renamed = self.follow.as_ref().is_some_and(|follow| {
            let items = &self.outbox.items;
            let mut calls = items.iter().filter_map(|item| item.call);
            calls.any(|call| {
                items.call_id(call) == before.id && follow.call(call) == Some(now.id.as_str())
            })
        });
        // some servers name no kind
        let kinds = before.item_type == now.item_type
            || before.item_type.is_none()
            || now.item_type.is_none();
        before.kind == now.kind && kinds && (before.id == now.id || renamed)
    }

    /// Carries the answer forward, if answers are followed.
    fn remember(&mut self, one: &Outgoing, came: &Came, said: &Word, live: &mut Live) {
        let (Some(follow), Came::Answer(got)) = (&mut self.follow, came) else {
            return;
        };
        if !matches!(said, Word::Accepted(_) | Word::Left) {
            return;
        }
        let done: Vec<&str> = got.fold.done.iter().map(|it| &*it.raw).collect();
        let mut one = one.clone();
        if *said == Word::Left {
            // as much as the recorded client saw
            one.complete = false;
        }
        let differs = follow.answered(
            &one,
            self.job.kept,
            &self.outbox.items,
            &done,
            got.fold.id.as_deref(),
        );
        if let Some(differs) = differs {
            live.divergence.get_or_insert(differs);
        }
    }
}

/// Why no later request will be answered otherwise, if that is so.
fn hopeless(came: &Came, said: &Word) -> Option<String> {
    match (came, said) {
        (Came::Nothing(_), Word::Nothing { .. }) => {
            Some("no answer came to the request before".to_owned())
        }
        (
            Came::Answer(_),
            Word::Nothing {
                status: Some(status @ (300..=399 | 401 | 403 | 404 | 405 | 501)),
                again: Again::No,
                ..
            },
        ) => Some(format!("the request before was answered with {status}")),
        _ => None,
    }
}

/// An endpoint that has no WebSocket mode is not at fault.
fn no_websocket(came: Came) -> Came {
    match came {
        Came::Answer(got) if matches!(got.status, 200..=299 | 400 | 404 | 405 | 426 | 501) => {
            Came::Answer(Box::new(Got {
                text: format!(
                    "the endpoint offers no WebSocket (it answered {}); --transport http sends the same over HTTP",
                    got.status
                ),
                status: 501,
                ..*got
            }))
        }
        Came::Answer(got) if matches!(got.status, 401 | 403) && got.text.trim().is_empty() => {
            Came::Answer(Box::new(Got {
                text: "the WebSocket handshake is not allowed; where the endpoint offers none, --transport http sends the same over HTTP"
                    .to_owned(),
                ..*got
            }))
        }
        other => other,
    }
}

/// Whether a recorded status can be a word of the contract.
fn is_word(status: u16) -> bool {
    status < 500 && !matches!(status, 401 | 403 | 408 | 429)
}

fn terminal_name(terminal: Terminal) -> &'static str {
    match terminal {
        Terminal::Completed => "completed",
        Terminal::Incomplete => "incomplete",
        Terminal::Failed => "failed",
        Terminal::Error => "error",
    }
}
