//! Streamed events, and the answer they add up to.
//!
//! An [`EventHead`] is what one frame's data says; [`ResponseFold`] collects heads into the response: finished items, items
//! that were begun and never finished, the terminal word, the error. The same fold takes a whole JSON response. Items are
//! joined on `output_index`, never on their id: servers rotate ids inside one stream (responses-api.md 3.5).

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::item::ItemHead;
use super::raw::{Object, is_object, string};

/// How a response said that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the API's own")]
pub enum Terminal {
    Completed,
    Incomplete,
    Failed,
    /// An `error` event with nothing behind it.
    Error,
}

/// What an event's data says, borrowed from it.
#[derive(Clone, Debug, Default)]
pub struct EventHead<'a> {
    /// `type`.
    pub kind: Option<Cow<'a, str>>,
    /// `sequence_number`.
    pub sequence: Option<u64>,
    /// `output_index`.
    pub output_index: Option<u64>,
    /// `item_id`.
    pub item_id: Option<Cow<'a, str>>,
    /// `stream_id`, on a WebSocket with lanes.
    pub stream_id: Option<Cow<'a, str>>,
    /// `item`, as it stands.
    pub item: Option<&'a RawValue>,
    /// `response`.
    pub response: Option<ResponseHead<'a>>,
    /// The error, nested under `error` or flat.
    pub error: Option<ErrorHead<'a>>,
    /// `status` or `status_code`, of a WebSocket error frame.
    pub status: Option<u16>,
}

/// A response object.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead<'a> {
    /// `id`.
    pub id: Option<Cow<'a, str>>,
    /// `status`.
    pub status: Option<Cow<'a, str>>,
    /// `error`, unless `null`.
    pub error: Option<ErrorHead<'a>>,
    /// `output`, as it stands.
    pub output: Vec<&'a RawValue>,
    /// `conversation`, a string or `{id}`.
    pub conversation: Option<Cow<'a, str>>,
    /// `previous_response_id`.
    pub previous: Option<Cow<'a, str>>,
}

/// An error object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorHead<'a> {
    /// `message`.
    pub message: Option<Cow<'a, str>>,
    /// `type`.
    pub kind: Option<Cow<'a, str>>,
    /// `code`.
    pub code: Option<Cow<'a, str>>,
    /// `param`.
    pub param: Option<Cow<'a, str>>,
}

impl<'a> EventHead<'a> {
    /// Reads an event's data; `None` if it is no JSON object (`[DONE]`, torn or broken text).
    pub fn read(data: &'a str) -> Option<Self> {
        Self::read_named(data, None)
    }

    /// The same, with the name that `event:` gave it, which counts where the data has no `type`.
    pub fn read_named(data: &'a str, name: Option<&'a str>) -> Option<Self> {
        let object = Object::read(data)?;
        let kind = object
            .text("type")
            .or_else(|| name.filter(|it| !it.is_empty()).map(Cow::Borrowed));
        let flat = kind.as_deref() == Some("error");
        let status = object.number("status").or(object.number("status_code"));
        Some(Self {
            sequence: object.number("sequence_number"),
            output_index: object.number("output_index"),
            item_id: object.text("item_id"),
            stream_id: object.text("stream_id"),
            item: object.get("item"),
            response: object.object("response").map(|it| ResponseHead::of(&it)),
            error: match object.value("error") {
                Some(error) => ErrorHead::read(error),
                None if flat => Some(ErrorHead::of(&object)),
                None => None,
            },
            status: status.and_then(|n| u16::try_from(n).ok()),
            kind,
        })
    }

    /// The item's fields, if there is an item.
    pub fn item_head(&self) -> Option<ItemHead<'a>> {
        serde_json::from_str(self.item?.get()).ok()
    }
}

impl<'a> ResponseHead<'a> {
    /// Takes the fields out of a response object.
    pub fn of(object: &Object<'a>) -> Self {
        Self {
            id: object.text("id"),
            status: object.text("status"),
            error: object.value("error").and_then(ErrorHead::read),
            output: object.array("output").unwrap_or_default(),
            conversation: id_of(object, "conversation"),
            previous: object.text("previous_response_id"),
        }
    }
}

impl<'a> ErrorHead<'a> {
    fn read(raw: &'a str) -> Option<Self> {
        match Object::read(raw) {
            Some(object) => Some(Self::of(&object)),
            None => string(raw).map(|message| Self {
                message: Some(message),
                ..Self::default()
            }),
        }
    }

    fn of(object: &Object<'a>) -> Self {
        Self {
            message: object.text("message"),
            kind: object.text("type"),
            code: object.text("code"),
            param: object.text("param"),
        }
    }
}

/// A member that is an id as a string or an object with an `id`.
pub(super) fn id_of<'a>(object: &Object<'a>, key: &str) -> Option<Cow<'a, str>> {
    object
        .text(key)
        .or_else(|| object.object(key).and_then(|it| it.text("id")))
}

/// An item of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Its `output_index`, if the event had one.
    pub output_index: Option<u64>,
    /// Its text.
    pub raw: Box<str>,
    /// Where the event that finished (or began) it stands: [`ResponseFold::place`] at that time.
    pub place: u32,
}

/// An event that changes what a client holds of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The event's place in the stream, from 0.
    pub event: u32,
    /// What it brings.
    pub what: Milestone,
}

/// What a [`Mark`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// The response has an id.
    Named,
    /// An item begins: which one, by the order in which they begin.
    Begun(u32),
    /// An item is finished: its place in [`ResponseFold::done`], and as what it began, if it did.
    Done(u32, Option<u32>),
    /// The response says that it is over.
    Over,
}

/// An error a stream or a body reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldedError {
    /// The status, if a frame said one.
    pub status: Option<u16>,
    /// `code`, else `type`.
    pub code: Option<String>,
    /// The whole text of the event or body that holds it.
    pub text: String,
    /// Whether it came as an `error` event or body rather than inside `response.failed`.
    pub own_event: bool,
}

/// Adds up the events of one response.
#[derive(Clone, Debug, Default)]
pub struct ResponseFold {
    /// The response's id, once named.
    pub id: Option<String>,
    /// The conversation the response belongs to.
    pub conversation: Option<String>,
    /// Finished items, in the order they were finished.
    pub done: Vec<Folded>,
    /// Items begun and not finished yet.
    pub half: Vec<Folded>,
    /// The terminal word, if one was said.
    pub terminal: Option<Terminal>,
    /// The first error that was reported.
    pub error: Option<FoldedError>,
    /// How many events came.
    pub events: u32,
    /// Data that was no JSON object.
    pub unread: u32,
    /// Whether sequence numbers had a gap or went backwards.
    pub bad_sequence: bool,
    /// Where the events stand that are folded now, such as a line number; set by the caller.
    pub place: u32,
    /// The events that changed something, in order; none for a whole body.
    pub marks: Vec<Mark>,
    sequence: Option<u64>,
    begun: u32,
    /// As what each of `half` began.
    half_begun: Vec<u32>,
}

impl ResponseFold {
    /// Takes the data of one event (or one WebSocket frame).
    pub fn data(&mut self, data: &str) {
        self.named(None, data);
    }

    /// The same, with the name that `event:` gave it.
    pub fn named(&mut self, name: Option<&str>, data: &str) {
        match EventHead::read_named(data, name) {
            Some(head) => self.event(&head, data),
            None if data.trim() == "[DONE]" => {}
            None => self.unread += 1,
        }
    }

    /// Takes one event that is read already; `data` is its whole text.
    pub fn event(&mut self, head: &EventHead<'_>, data: &str) {
        self.events += 1;
        if let Some(now) = head.sequence {
            self.bad_sequence |= self.sequence.is_some_and(|before| now != before + 1);
            self.sequence = Some(now);
        }
        if self.terminal.is_some_and(|it| it != Terminal::Error) {
            return;
        }
        if let Some(response) = &head.response {
            self.name(response);
        }
        match head.kind.as_deref().unwrap_or("") {
            "response.output_item.added" => {
                if let Some(item) = head.item {
                    self.mark(Milestone::Begun(self.begun));
                    self.half_begun.push(self.begun);
                    self.begun += 1;
                    self.half.push(Folded {
                        output_index: head.output_index,
                        raw: item.get().into(),
                        place: self.place,
                    });
                }
            }
            "response.output_item.done" => {
                if let Some(item) = head.item {
                    self.item_done(head.output_index, item.get());
                }
            }
            "response.completed" | "response.done" => {
                self.end(Terminal::Completed, head.response.as_ref());
            }
            "response.incomplete" => {
                self.end(Terminal::Incomplete, head.response.as_ref());
            }
            "response.failed" => {
                if let Some(error) = head.response.as_ref().and_then(|it| it.error.as_ref()) {
                    self.fault(error, head.status, data, false);
                }
                self.end(Terminal::Failed, head.response.as_ref());
            }
            "error" => {
                let error = head.error.clone().unwrap_or_default();
                self.fault(&error, head.status, data, true);
                self.terminal = Some(Terminal::Error);
            }
            // gateways put a bare `{"error":{…}}` into a stream
            "" if head.error.is_some() => {
                let error = head.error.clone().unwrap_or_default();
                self.fault(&error, head.status, data, true);
                self.terminal = Some(Terminal::Error);
            }
            _ => {}
        }
    }

    /// Takes a whole JSON response body. Returns whether it was a response (or an error inside a 200).
    pub fn whole(&mut self, body: &str) -> bool {
        let Some(object) = Object::read(body) else {
            return false;
        };
        let head = ResponseHead::of(&object);
        let response = object.text("object").as_deref() == Some("response");
        if !response && head.output.is_empty() {
            if let Some(error) = &head.error {
                self.fault(error, None, body, true);
                self.terminal = Some(Terminal::Error);
            }
            return head.error.is_some();
        }
        self.name(&head);
        match head.status.as_deref() {
            Some("completed") | None => self.end(Terminal::Completed, Some(&head)),
            Some("incomplete") => self.end(Terminal::Incomplete, Some(&head)),
            Some("failed" | "cancelled") => {
                if let Some(error) = &head.error {
                    self.fault(error, None, body, false);
                }
                self.end(Terminal::Failed, Some(&head));
            }
            // answered by a later request
            Some("queued" | "in_progress") => {}
            // a word of nobody's: what was made stands, and whether it is all is not known
            Some(_) => self.fill(Some(&head)),
        }
        true
    }

    fn name(&mut self, response: &ResponseHead<'_>) {
        if self.id.is_none() {
            self.id = response.id.as_deref().map(str::to_owned);
            if self.id.is_some() {
                self.mark(Milestone::Named);
            }
        }
        if let Some(conversation) = &response.conversation {
            self.conversation = Some(conversation.clone().into_owned());
        }
    }

    fn item_done(&mut self, index: Option<u64>, raw: &str) {
        let begun = match index {
            Some(_) => self.half.iter().position(|it| it.output_index == index),
            // without an index items are finished in the order they were begun
            None => (!self.half.is_empty()).then_some(0),
        };
        let begun = begun.and_then(|at| {
            self.half.remove(at);
            (at < self.half_begun.len()).then(|| self.half_begun.remove(at))
        });
        self.mark(Milestone::Done(self.done.len() as u32, begun));
        self.done.push(Folded {
            output_index: index,
            raw: raw.into(),
            place: self.place,
        });
    }

    /// Ends the response. Items that only its `output` holds (servers without item events, or with some left out) count
    /// as finished; an empty `output` says nothing.
    fn end(&mut self, terminal: Terminal, response: Option<&ResponseHead<'_>>) {
        self.terminal = Some(terminal);
        self.fill(response);
        self.mark(Milestone::Over);
    }

    fn fill(&mut self, response: Option<&ResponseHead<'_>>) {
        let output = response.map_or(&[][..], |it| &it.output);
        let indexed = self.done.iter().all(|it| it.output_index.is_some());
        if output.len() <= self.done.len() || !indexed {
            return;
        }
        for (index, raw) in output.iter().enumerate() {
            let index = Some(index as u64);
            if is_object(raw.get()) && !self.done.iter().any(|it| it.output_index == index) {
                self.item_done(index, raw.get());
            }
        }
    }

    fn mark(&mut self, what: Milestone) {
        if let Some(event) = self.events.checked_sub(1) {
            self.marks.push(Mark { event, what });
        }
    }

    /// As what the items of `half` began, in their order.
    pub fn half_begun(&self) -> &[u32] {
        &self.half_begun
    }

    fn fault(&mut self, error: &ErrorHead<'_>, status: Option<u16>, text: &str, own_event: bool) {
        if self.error.is_none() {
            self.error = Some(FoldedError {
                status,
                code: error
                    .code
                    .as_deref()
                    .or(error.kind.as_deref())
                    .map(str::to_owned),
                text: text.to_owned(),
                own_event,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(events: &[&str]) -> ResponseFold {
        let mut fold = ResponseFold::default();
        for event in events {
            fold.data(event);
        }
        fold
    }

    fn raws(items: &[Folded]) -> Vec<&str> {
        items.iter().map(|item| item.raw.as_ref()).collect()
    }

    #[test]
    fn items_join_on_their_index_not_on_their_id() {
        let fold = fold(&[
            r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","error":null,"output":[]}}"#,
            r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"a"}}"#,
            r#"{"type":"response.output_item.added","sequence_number":2,"output_index":1,"item":{"id":"b"}}"#,
            r#"{"type":"response.output_item.done","sequence_number":3,"output_index":0,"item":{"id":"other"}}"#,
        ]);
        assert_eq!(fold.id.as_deref(), Some("resp_1"));
        assert_eq!(raws(&fold.done), [r#"{"id":"other"}"#]);
        assert_eq!(raws(&fold.half), [r#"{"id":"b"}"#]);
        assert_eq!(
            (fold.terminal, fold.events, fold.bad_sequence),
            (None, 4, false)
        );
    }

    #[test]
    fn an_empty_output_takes_nothing_away_and_a_full_one_fills_gaps() {
        let done = r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"a"}}"#;
        let empty = fold(&[
            done,
            r#"{"type":"response.completed","response":{"id":"r","output":[]}}"#,
        ]);
        assert_eq!(raws(&empty.done), [r#"{"id":"a"}"#]);
        assert_eq!(empty.terminal, Some(Terminal::Completed));
        let full = fold(&[
            r#"{"type":"response.output_item.added","output_index":1,"item":{"id":"b"}}"#,
            done,
            r#"{"type":"response.completed","response":{"id":"r","output":[{"id":"a"},{"id":"b"}]}}"#,
        ]);
        assert_eq!(raws(&full.done), [r#"{"id":"a"}"#, r#"{"id":"b"}"#]);
        assert!(full.half.is_empty());
    }

    #[test]
    fn errors_of_every_shape() {
        let flat = fold(&[
            r#"{"type":"error","sequence_number":3,"code":"x","message":"m","param":null}"#,
        ]);
        assert_eq!(flat.terminal, Some(Terminal::Error));
        assert_eq!(flat.error.unwrap().code.as_deref(), Some("x"));
        let nested = fold(&[
            r#"{"type":"error","sequence_number":2,"error":{"type":"t","code":"c","message":"m"}}"#,
            r#"{"type":"response.failed","sequence_number":3,"response":{"id":"r","status":"failed","error":{"code":"d","message":"n"}}}"#,
        ]);
        assert_eq!(nested.terminal, Some(Terminal::Failed));
        let error = nested.error.unwrap();
        assert_eq!((error.code.as_deref(), error.own_event), (Some("c"), true));
        let frame = fold(&[
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"m"},"status":400}"#,
        ]);
        assert_eq!(frame.error.unwrap().status, Some(400));
    }

    #[test]
    fn the_name_of_an_event_counts_where_its_data_has_no_type() {
        let mut fold = ResponseFold::default();
        let item = r#"{"output_index":0,"item":{"type":"function_call","call_id":"c"}}"#;
        fold.named(Some("response.output_item.done"), item);
        fold.named(
            Some("message"),
            r#"{"type":"response.completed","response":{"id":"r"}}"#,
        );
        assert_eq!(
            (fold.done.len(), fold.terminal),
            (1, Some(Terminal::Completed))
        );
        let mut fold = ResponseFold::default();
        fold.named(Some("error"), r#"{"code":"x","message":"m"}"#);
        assert_eq!(fold.error.unwrap().code.as_deref(), Some("x"));
    }

    #[test]
    fn sequence_numbers_may_begin_anywhere_but_not_jump() {
        let event = |n: u32| format!(r#"{{"type":"keepalive","sequence_number":{n}}}"#);
        assert!(!fold(&[&event(4), &event(5), r#"{"type":"x"}"#, &event(6)]).bad_sequence);
        assert!(fold(&[&event(4), &event(6)]).bad_sequence);
        assert!(fold(&[&event(4), &event(4)]).bad_sequence);
        assert_eq!(fold(&["[DONE]", "{broken"]).unread, 1);
    }

    #[test]
    fn a_whole_body_is_an_answer() {
        let mut fold = ResponseFold::default();
        assert!(fold.whole(r#"{"id":"r","object":"response","status":"completed","output":[{"id":"a"}],"conversation":{"id":"conv_1"}}"#));
        assert_eq!(raws(&fold.done), [r#"{"id":"a"}"#]);
        assert_eq!(fold.conversation.as_deref(), Some("conv_1"));
        assert_eq!(fold.terminal, Some(Terminal::Completed));
        assert!(!ResponseFold::default().whole(r#"{"object":"list","data":[]}"#));
    }
}
