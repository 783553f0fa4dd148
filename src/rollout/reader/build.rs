//! What each line adds to the rollout.

use std::borrow::Cow;
use std::io::Read;

use super::{Builder, MAX_BASES};
use crate::events::{Source, Told, What};
use crate::ids::{ItemIndex, LineNo, ResponseKey};
use crate::rollout::line::{ItemText, Line, MetaText, Payload, PreviousText};
use crate::rollout::sort::Sort;
use crate::rollout::{Era, File, Meta, Previous, Step, event};
use crate::wire::item::{Author, Flags, Item, ItemKind};
use crate::wire::lines::{LineReader, Reason};

impl Builder<'_> {
    pub(super) fn add(&mut self, value: &Line<'_>, line: LineNo, part: &mut u32) {
        let sort = value.sort();
        let era = value.era().filter(|era| *era != Era::E0);
        self.era = self.era.max(era);
        match sort {
            Sort::Envelope => self.envelope(value, line, part),
            Sort::BareMeta if self.meta_seen => self.rollout.steps.push(Step::Meta(line)),
            Sort::BareMeta => {
                self.meta_seen = true;
                self.rollout.meta = Meta {
                    thread_id: owned(value.item.head.id.as_ref()),
                    timestamp: owned(value.timestamp.as_ref()),
                    ..Meta::default()
                };
            }
            Sort::BareItem => self.item(&value.item, line, part, false),
            Sort::State => self.state(value, line),
            Sort::Foreign(foreign) if self.era.is_none() => self.foreign = Some(foreign),
            Sort::Foreign(_) | Sort::Unknown | Sort::Document => {
                if value.item.head.role.is_some() && self.era.is_some_and(|era| era <= Era::E2) {
                    self.item(&value.item, line, part, false);
                    return;
                }
                let what = match value.item.head.kind.as_deref() {
                    _ if !value.is_object => "a value that is no object".to_owned(),
                    Some(kind) => format!("type {kind} without payload"),
                    None => "an object without type".to_owned(),
                };
                self.unknown(line, what);
            }
        }
    }

    fn state(&mut self, value: &Line<'_>, line: LineNo) {
        if value.record_type.as_deref() != Some("state") {
            let kind = value.record_type.as_deref().unwrap_or("");
            self.unknown(line, format!("record_type {kind}"));
            return;
        }
        let previous = match &value.previous {
            PreviousText::NoKey => Previous::NoKey,
            PreviousText::Null => Previous::Null,
            PreviousText::Response(id) => Previous::Response(self.response(id)),
        };
        self.rollout.steps.push(Step::State(line, previous));
    }

    fn response(&mut self, id: &str) -> ResponseKey {
        ResponseKey(self.rollout.responses.intern(id.as_bytes()))
    }

    fn envelope(&mut self, value: &Line<'_>, line: LineNo, part: &mut u32) {
        let kind = value.item.head.kind.as_deref().unwrap_or("");
        let Some(payload) = &value.payload else {
            self.unknown(line, format!("{kind} whose payload is no object"));
            return;
        };
        match kind {
            "response_item" => {
                let untyped = payload.item.head.kind.is_none();
                if untyped {
                    let what = "an item without type: Codex skips this line";
                    self.note(line, Reason::UnknownShape(what.into()));
                }
                self.item(&payload.item, line, part, untyped);
            }
            "event_msg" => {
                event::add(&mut self.rollout, payload, line);
                if self.file == 0 {
                    event::tell(&mut self.rollout.events, value, payload, line);
                }
            }
            "turn_context" => self.rollout.steps.push(Step::TurnContext(line)),
            "session_meta" => self.meta(value, payload, line),
            "compacted" => self.compacted(payload, line),
            "token_usage_record" => {
                if let Some(id) = payload.response_id.as_deref() {
                    let key = self.response(id);
                    self.rollout.steps.push(Step::ResponseEnded(line, key));
                    if self.file == 0 {
                        event::tell(&mut self.rollout.events, value, payload, line);
                    }
                }
            }
            "inter_agent_communication" => {
                let mut item = payload.item.head.clone();
                item.kind = Some(Cow::Borrowed(ItemKind::AgentMessage.name()));
                let item = self.rollout.items.describe(&item, line, *part);
                self.push(item, part, false);
            }
            "inter_agent_communication_metadata"
            | "world_state"
            | "retained_context"
            | "security_risk_score"
            | "realtime_item"
            | "rollout_reference"
            | "dynamic_tools_updated" => {}
            _ => self.unknown(line, format!("type {kind}")),
        }
    }

    /// Adds an item line.
    ///
    /// A line whose sibling `metadata.delivered_assistant_message` begins with `codex:code-mode-delivery:v1:` is retained
    /// context in the dress of an assistant message. It is taken for the message it says it is, as every reader does
    /// that does not know the mark; whether a client that knows it sends it again is not known, and no pair hangs on it.
    fn item(&mut self, text: &ItemText<'_>, line: LineNo, part: &mut u32, skipped: bool) {
        let unreadable = text.unreadable_field();
        if let Some(field) = unreadable {
            let what = format!("{field} of another type than Codex reads: it skips this line");
            self.note(line, Reason::UnknownShape(what));
        }
        let item = self.rollout.items.describe(&text.head, line, *part);
        if item.author == Author::User && self.file == 0 {
            let mut told = Told::new(Source::Rollout, false, "message").means(What::History);
            told.text.clone_from(&text.head.text);
            self.rollout.events.push(&told, line, None, 0);
        }
        self.push(item, part, skipped || unreadable.is_some());
    }

    fn push(&mut self, mut item: Item, part: &mut u32, skipped: bool) {
        if skipped {
            item.flags.set(Flags::UNREADABLE_BY_CLIENT);
        }
        let index = self.rollout.items.push(item);
        self.rollout.steps.push(Step::Item(index));
        *part += 1;
    }

    /// `compacted`: with `replacement_history` (codex #6795) the items replace all before; without, the message does
    /// together with the user's own.
    fn compacted(&mut self, payload: &Payload<'_>, line: LineNo) {
        let Some(items) = &payload.replacement else {
            if payload.message.is_none() {
                self.unknown(
                    line,
                    "compacted without message and replacement_history".into(),
                );
                return;
            }
            let summary = self.rollout.items.push(Item {
                kind: ItemKind::Message,
                author: Author::Client,
                flags: Flags::default(),
                call: None,
                id: None,
                line,
                part: 0,
            });
            self.rollout.steps.push(Step::Summarised(line, summary));
            return;
        };
        if items.iter().any(|item| item.head.kind.is_none()) {
            let what = "compacted with an item without type: Codex skips this line";
            self.note(line, Reason::UnknownShape(what.into()));
            return;
        }
        let first = ItemIndex(self.rollout.items.len() as u32);
        for (part, text) in items.iter().enumerate() {
            // dropped by the loader, inside a replacement too (codex #19481)
            if text.head.item_kind() == ItemKind::GhostSnapshot {
                continue;
            }
            let mut item = self.rollout.items.describe(&text.head, line, part as u32);
            if text.unreadable_field().is_some() {
                item.flags.set(Flags::UNREADABLE_BY_CLIENT);
            }
            self.rollout.items.push(item);
        }
        let count = self.rollout.items.len() as u32 - first.0;
        self.rollout
            .steps
            .push(Step::Replaced { line, first, count });
    }

    fn meta(&mut self, value: &Line<'_>, payload: &Payload<'_>, line: LineNo) {
        if self.meta_seen {
            self.rollout.steps.push(Step::Meta(line));
            return;
        }
        self.meta_seen = true;
        let meta = meta_of(value, payload);
        let (base, thread, paginated) = (meta.base.clone(), meta.thread_id.clone(), meta.paginated);
        if let Some(file) = self.rollout.files.get_mut(self.file as usize) {
            file.thread_id.clone_from(&thread);
        }
        if self.file == 0 {
            if let Some(thread) = &meta.thread_id {
                let parent = meta.parent_thread.as_deref();
                self.rollout.events.begins(0, thread, parent);
            }
            self.rollout.meta = meta;
        } else if !paginated {
            self.unfit = true;
            self.rollout.incomplete = true;
            self.note(
                line,
                Reason::Other("this file is not paginated; Codex refuses it as a beginning".into()),
            );
            return;
        }
        self.open.extend(thread);
        if let Some(base) = base {
            self.base(&base.thread_id, base.end_byte_offset, line);
        }
    }

    /// Reads the file in which this one begins, as far as it belongs to this history (codex #33930, #35220).
    fn base(&mut self, thread: &str, end: u64, line: LineNo) {
        let refusal = if self.open.iter().any(|open| open == thread) {
            Some(format!(
                "the history begins in thread {thread}, which begins in this one"
            ))
        } else if self.rollout.files.len() > MAX_BASES {
            Some(format!("more than {MAX_BASES} files begin in one another"))
        } else {
            None
        };
        let opened = match refusal {
            Some(why) => Err(why),
            None => match self.library.open(thread) {
                Ok(Some(opened)) => Ok(opened),
                Ok(None) => Err(format!(
                    "the history begins in thread {thread}, whose rollout was not found"
                )),
                Err(error) => Err(format!(
                    "the history begins in thread {thread}, whose rollout cannot be opened: {error}"
                )),
            },
        };
        let (path, reader) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                self.rollout.incomplete = true;
                self.note(line, Reason::Other(why));
                return;
            }
        };
        let own = self.file;
        let before = std::mem::take(&mut self.before);
        self.file = self.rollout.files.len() as u32;
        self.rollout.files.push(File {
            path,
            thread_id: Some(thread.to_owned()),
        });
        self.rollout.steps.push(Step::File(self.file));
        self.meta_seen = false;
        let read = self.read_lines(LineReader::new(reader.take(end)));
        match read {
            Ok(read) if read.bytes < end && !self.unfit => {
                self.rollout.incomplete = true;
                let what = format!(
                    "the file has {} bytes, {end} belong to this history",
                    read.bytes
                );
                self.note(read.lines, Reason::Other(what));
            }
            Ok(_) => {}
            Err(error) => {
                self.rollout.incomplete = true;
                self.note(0, Reason::Other(format!("cannot be read: {error}")));
            }
        }
        self.meta_seen = true;
        self.unfit = false;
        self.open.retain(|open| open != thread);
        self.before = before;
        self.file = own;
        self.rollout.steps.push(Step::File(own));
    }
}

fn owned(word: Option<&Cow<'_, str>>) -> Option<String> {
    word.map(|word| word.as_ref().to_owned())
}

fn meta_of(value: &Line<'_>, payload: &Payload<'_>) -> Meta {
    let none = MetaText::default();
    let text = payload.meta.as_deref().unwrap_or(&none);
    Meta {
        thread_id: owned(payload.item.head.id.as_ref()),
        forked_from: owned(text.forked_from.as_ref()),
        parent_thread: owned(text.parent_thread.as_ref()),
        originator: owned(text.originator.as_ref()),
        cli_version: owned(text.cli_version.as_ref()),
        timestamp: owned(payload.timestamp.as_ref()).or_else(|| owned(value.timestamp.as_ref())),
        base: text.history_base(),
        paginated: text.history_mode.as_deref() == Some("paginated"),
        own_history_from: text.own_history_from,
        recovered: text.recovered,
    }
}
