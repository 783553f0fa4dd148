//! Which conversation thread a request belongs to, and what it is for.
//!
//! A client may run several threads at once: sub-agents, thread titles, memories. They are told apart by thread headers,
//! else by the response a request goes on from, else by shared history; never by the order in which requests arrive.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::exchange::{Lane, Purpose, Transport};
use super::tree::Node;
use crate::ids::ItemIndex;
use crate::wire::item::{Author, Items};
use crate::wire::raw::Object;
use crate::wire::request::RequestHead;

/// Header lines, names in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    lines: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Headers<'a> {
    /// Takes header lines in order.
    pub fn new<K: Into<Cow<'a, str>>, V: Into<Cow<'a, str>>>(
        lines: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let lines = lines.into_iter();
        Self {
            lines: lines.map(|(k, v)| (k.into(), v.into())).collect(),
        }
    }

    /// Reads the `headers` of a recording's line: an array of pairs.
    pub fn read(object: &Object<'a>, key: &str) -> Self {
        let pairs = object.array(key).unwrap_or_default();
        Self::new(pairs.into_iter().filter_map(|raw| {
            let pair = crate::wire::raw::array(raw.get())?;
            let mut texts = pair.iter().map(|it| crate::wire::raw::string(it.get()));
            Some((texts.next()??, texts.next()??))
        }))
    }

    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
    }

    /// All lines in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + '_ {
        self.lines.iter().map(|(k, v)| (k.as_ref(), v.as_ref()))
    }

    /// The same, borrowing from nothing.
    pub fn into_owned(self) -> Headers<'static> {
        Headers::new(
            self.lines
                .into_iter()
                .map(|(k, v)| (k.into_owned(), v.into_owned())),
        )
    }
}

/// What a request says of its thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The thread's id.
    pub thread: Option<String>,
    /// The thread it was spawned from.
    pub parent: Option<String>,
    /// Whether it is a title, memory, compaction or other side request.
    pub side: bool,
    /// Whether it says that it only warms up.
    pub warm_up: bool,
}

/// Reads thread ids and purpose out of headers and, for what has no headers of its own (a WebSocket message), out of
/// `client_metadata` and the headers its connection was opened with.
pub fn identity(
    headers: &Headers<'_>,
    connection: Option<&Headers<'_>>,
    body: Option<&RequestHead<'_>>,
) -> Identity {
    let metadata = body.and_then(|it| it.members.object("client_metadata"));
    let member = |key: &str| metadata.as_ref().and_then(|it| it.text(key));
    let own = |key: &str| headers.get(key).map(Cow::Borrowed).or_else(|| member(key));
    let of_connection = |key: &str| connection.and_then(|it| it.get(key)).map(Cow::Borrowed);
    let any = |key: &str| own(key).or_else(|| of_connection(key));
    // the handshake's own metadata speaks of the handshake, not of the messages behind it
    let turn = own("x-codex-turn-metadata");
    let turn = turn.as_deref().and_then(Object::read);
    let of_turn = |key: &str| turn.as_ref().and_then(|it| it.text(key));
    let codex = any("x-codex-window-id").is_some() || any("originator").is_some();
    let window = any("x-codex-window-id");
    let window = window.as_deref().and_then(|it| it.rsplit_once(':'));

    let thread = own("thread-id")
        .or_else(|| member("thread_id"))
        .or_else(|| of_turn("thread_id").map(|it| Cow::Owned(it.into_owned())))
        .or_else(|| of_connection("thread-id"))
        .or_else(|| any("conversation_id"))
        .or_else(|| window.map(|(id, _)| Cow::Borrowed(id)))
        .or_else(|| any("x-client-request-id").filter(|_| codex))
        .or_else(|| any("session-id"))
        .or_else(|| any("session_id"))
        .filter(|id| !id.is_empty())
        .map(Cow::into_owned);
    let parent = any("x-codex-parent-thread-id")
        .or_else(|| of_turn("parent_thread_id").map(|it| Cow::Owned(it.into_owned())))
        .filter(|id| !id.is_empty())
        .map(Cow::into_owned);
    let kind = of_turn("request_kind");
    let subagent = own("x-openai-subagent");
    Identity {
        thread,
        parent,
        side: of_turn("thread_source").as_deref() == Some("thread_title")
            || matches!(kind.as_deref(), Some("memory" | "compaction"))
            || matches!(
                subagent.as_deref(),
                Some("compact" | "memory_consolidation")
            )
            || own("x-openai-memgen-request").is_some(),
        warm_up: kind.as_deref() == Some("prewarm"),
    }
}

/// What a request is for. `None` for `body` means that it is no JSON object.
pub fn purpose(
    transport: Transport,
    method: &str,
    path: &str,
    body: Option<&RequestHead<'_>>,
    identity: &Identity,
) -> Purpose {
    let judged = match transport {
        Transport::Http => method == "POST" && is_responses_path(path),
        Transport::WebSocket => body.is_none_or(RequestHead::is_create),
    };
    let generate = body.and_then(|it| it.generate);
    match () {
        () if !judged => Purpose::NotJudged,
        () if generate == Some(false) || identity.warm_up => Purpose::WarmUp,
        () if identity.side => Purpose::Side,
        () => Purpose::Turn,
    }
}

/// Whether a request path is that of `POST …/responses`.
pub fn is_responses_path(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .is_some_and(|last| last == "responses")
}

/// What assigning a request to its lane needs to know of it.
pub(super) struct Arrival<'a> {
    pub(super) identity: &'a Identity,
    pub(super) previous: Option<u32>,
    pub(super) conversation: Option<u32>,
    /// The connection and its `stream_id`.
    pub(super) stream: Option<(u32, String)>,
    pub(super) input: &'a [ItemIndex],
}

/// The lanes seen so far.
#[derive(Default)]
pub(super) struct Lanes {
    found: Vec<Lane>,
    states: Vec<State>,
    named: BTreeMap<String, u32>,
    by_response: BTreeMap<u32, u32>,
    by_conversation: BTreeMap<u32, u32>,
    by_call: BTreeMap<u32, u32>,
    by_first_user: BTreeMap<u64, Vec<u32>>,
    by_stream: BTreeMap<(u32, String), u32>,
    unnamed: u32,
}

#[derive(Default)]
struct State {
    named: bool,
    /// The input of the last request.
    path: Vec<(Node, ItemIndex)>,
    /// The fingerprints of the first request's input.
    first: Vec<u64>,
}

impl Lanes {
    /// Returns the lane of a request that is judged.
    pub(super) fn assign(&mut self, arrival: &Arrival<'_>, items: &Items, prints: &[u64]) -> u32 {
        let lane = match &arrival.identity.thread {
            Some(thread) => self.thread(thread, arrival.identity.parent.as_deref()),
            None => self.follow(arrival, items, prints),
        };
        // an id that no answer on file gave out: who names it again goes on from the same place
        if let Some(previous) = arrival.previous {
            self.by_response.entry(previous).or_insert(lane);
        }
        if let Some(conversation) = arrival.conversation {
            self.by_conversation.entry(conversation).or_insert(lane);
        }
        if let Some(stream) = &arrival.stream {
            self.by_stream.entry(stream.clone()).or_insert(lane);
        }
        lane
    }

    /// Returns the lane of a thread if a request named it before.
    pub(super) fn known(&self, identity: &Identity) -> Option<u32> {
        self.named.get(identity.thread.as_ref()?).copied()
    }

    /// The path of the lane's last request.
    pub(super) fn path(&self, lane: u32) -> &[(Node, ItemIndex)] {
        self.states
            .get(lane as usize)
            .map_or(&[], |state| &state.path)
    }

    /// Notes the input of a lane's newest request.
    pub(super) fn sent(
        &mut self,
        lane: u32,
        path: Vec<(Node, ItemIndex)>,
        items: &Items,
        prints: &[u64],
    ) {
        let Some(state) = self.states.get_mut(lane as usize) else {
            return;
        };
        if state.first.is_empty() && !path.is_empty() {
            state.first = path.iter().map(|(_, item)| print(prints, *item)).collect();
            if !state.named
                && let Some(user) = first_user(path.iter().map(|(_, item)| *item), items, prints)
            {
                self.by_first_user.entry(user).or_default().push(lane);
            }
        }
        state.path = path;
    }

    /// Notes the response that a lane's answer named.
    pub(super) fn answered(&mut self, lane: u32, response: u32) {
        self.by_response.insert(response, lane);
    }

    /// Notes a call that a lane's answer made.
    pub(super) fn called(&mut self, lane: u32, call: u32) {
        if self.states.get(lane as usize).is_some_and(|it| !it.named) {
            self.by_call.insert(call, lane);
        }
    }

    /// The lanes, for the recording.
    pub(super) fn into_lanes(self) -> Vec<Lane> {
        self.found
    }

    fn thread(&mut self, thread: &str, parent: Option<&str>) -> u32 {
        if let Some(&lane) = self.named.get(thread) {
            if let Some(known) = self.found.get_mut(lane as usize)
                && known.parent.is_none()
            {
                known.parent = parent.map(str::to_owned);
            }
            return lane;
        }
        let lane = self.open(thread.to_owned(), parent, true);
        self.named.insert(thread.to_owned(), lane);
        lane
    }

    fn open(&mut self, name: String, parent: Option<&str>, named: bool) -> u32 {
        let lane = self.found.len() as u32;
        self.found.push(Lane {
            name,
            parent: parent.map(str::to_owned),
        });
        self.states.push(State {
            named,
            ..State::default()
        });
        lane
    }

    fn follow(&mut self, arrival: &Arrival<'_>, items: &Items, prints: &[u64]) -> u32 {
        let by_previous = arrival
            .previous
            .and_then(|id| self.by_response.get(&id).copied());
        let by_conversation = arrival
            .conversation
            .and_then(|id| self.by_conversation.get(&id).copied());
        let found = by_previous
            .or(by_conversation)
            .or_else(|| self.by_calls(arrival.input, items))
            .or_else(|| self.by_history(arrival.input, items, prints))
            .or_else(|| self.by_stream.get(arrival.stream.as_ref()?).copied());
        found.unwrap_or_else(|| {
            self.unnamed += 1;
            let name = format!("lane-{}", self.unnamed);
            self.open(name, arrival.identity.parent.as_deref(), false)
        })
    }

    fn by_calls(&self, input: &[ItemIndex], items: &Items) -> Option<u32> {
        input
            .iter()
            .rev()
            .filter_map(|index| items.get(*index)?.call)
            .find_map(|call| self.by_call.get(&call.number()).copied())
    }

    fn by_history(&self, input: &[ItemIndex], items: &Items, prints: &[u64]) -> Option<u32> {
        let user = first_user(input.iter().copied(), items, prints)?;
        let input: Vec<u64> = input.iter().map(|item| print(prints, *item)).collect();
        let shared = |state: &State| {
            let last = state.path.iter().map(|(_, item)| print(prints, *item));
            common(&input, last).max(common(&input, state.first.iter().copied()))
        };
        let reach = input.iter().position(|it| *it == user)?;
        self.by_first_user
            .get(&user)?
            .iter()
            .filter_map(|lane| Some((shared(self.states.get(*lane as usize)?), *lane)))
            .filter(|(shared, _)| *shared > reach)
            .max()
            .map(|(_, lane)| lane)
    }
}

fn print(prints: &[u64], item: ItemIndex) -> u64 {
    prints.get(item.0 as usize).copied().unwrap_or(0)
}

fn common(left: &[u64], right: impl Iterator<Item = u64>) -> usize {
    left.iter()
        .zip(right)
        .take_while(|(left, right)| **left == *right)
        .count()
}

fn first_user(
    mut input: impl Iterator<Item = ItemIndex>,
    items: &Items,
    prints: &[u64],
) -> Option<u64> {
    input
        .find(|item| items.get(*item).is_some_and(|it| it.author == Author::User))
        .map(|item| print(prints, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_responses_endpoint_is_judged() {
        for path in [
            "/v1/responses",
            "/responses?x=1",
            "/openai/deployments/d/responses/",
        ] {
            assert!(is_responses_path(path), "{path}");
        }
        for path in [
            "/v1/responses/compact",
            "/v1/models",
            "/v1/responses/resp_1",
            "",
        ] {
            assert!(!is_responses_path(path), "{path}");
        }
    }

    #[test]
    fn threads_are_named_by_headers_or_by_metadata() {
        let headers = |lines: &[(&'static str, &'static str)]| Headers::new(lines.iter().copied());
        let of = |lines: &[(&'static str, &'static str)]| identity(&headers(lines), None, None);
        assert_eq!(of(&[("session_id", "s")]).thread.as_deref(), Some("s"));
        assert_eq!(
            of(&[("Session-Id", "s"), ("thread-id", "t")])
                .thread
                .as_deref(),
            Some("t")
        );
        assert_eq!(of(&[("x-client-request-id", "r")]).thread, None);
        assert_eq!(
            of(&[("x-codex-window-id", "t:0")]).thread.as_deref(),
            Some("t")
        );
        let title = of(&[(
            "x-codex-turn-metadata",
            r#"{"thread_id":"t","request_kind":"turn","thread_source":"thread_title"}"#,
        )]);
        assert_eq!((title.thread.as_deref(), title.side), (Some("t"), true));

        let handshake = headers(&[
            ("thread-id", "outer"),
            ("x-codex-turn-metadata", r#"{"request_kind":"prewarm"}"#),
        ]);
        let none = Headers::default();
        let body = RequestHead::read(r#"{"client_metadata":{"thread_id":"inner"}}"#).unwrap();
        let inner = identity(&none, Some(&handshake), Some(&body));
        assert_eq!(
            (inner.thread.as_deref(), inner.warm_up),
            (Some("inner"), false)
        );
        assert_eq!(
            identity(&none, Some(&handshake), None).thread.as_deref(),
            Some("outer")
        );
    }
}
