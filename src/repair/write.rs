//! The copy, written line by line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use super::lines::Envelopes;
use super::splice::{quoted, with};
use super::walk::{Answer, Decision, Why};
use super::{Lost, Open, Plan};
use crate::ids::{ItemIndex, LineNo};
use crate::wire::raw::Object;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Lines of the copy.
    pub lines: u64,
    /// Entries of the side file.
    pub lost: u64,
}

/// The version that stands in a copy.
const RECOVERED_BY: &str = concat!("\"replay ", env!("CARGO_PKG_VERSION"), "\"");

impl Plan {
    /// Writes the copy to `out`, and hands what does not stand in it as it was to `aside`.
    ///
    /// # Errors
    /// What reading, writing or `aside` returns.
    pub fn write(
        &self,
        open: &Open<'_>,
        out: &mut dyn Write,
        aside: &mut dyn FnMut(&Lost) -> io::Result<()>,
    ) -> io::Result<Written> {
        let mut lines = Envelopes::new(open()?, &self.options.assumed)?;
        let mut writer = Writer {
            plan: self,
            out,
            aside,
            written: Written::default(),
            shift: 0,
            // the ordinals in front of a thread's own history have a meaning of their own
            in_order: !self.is_empty() && self.rollout.meta.own_history_from.is_none(),
            last_ordinal: None,
        };
        let mut by_line: BTreeMap<LineNo, Vec<(u32, ItemIndex)>> = BTreeMap::new();
        for index in self.decisions.keys() {
            if self.at_start.contains(index) {
                continue;
            }
            if let Some(item) = self.rollout.items.get(*index) {
                by_line
                    .entry(item.line)
                    .or_default()
                    .push((item.part, *index));
            }
        }
        let mut number: LineNo = 0;
        while let Some(made) = lines.next()? {
            number += 1;
            for lost in lines.lost.drain(..) {
                writer.lose(&lost)?;
            }
            match by_line.get(&number) {
                _ if number == 1 => writer.meta(&made.text)?,
                None => writer.line(&made.text)?,
                Some(items) => writer.changed(&made.text, items)?,
            }
        }
        for lost in lines.lost.drain(..) {
            writer.lose(&lost)?;
        }
        Ok(writer.written)
    }
}

struct Writer<'p, 'w> {
    plan: &'p Plan,
    out: &'w mut dyn Write,
    aside: &'w mut dyn FnMut(&Lost) -> io::Result<()>,
    written: Written,
    /// By how much ordinals differ from those of the original.
    shift: i64,
    /// Whether they are counted one by one, whatever the original has.
    in_order: bool,
    last_ordinal: Option<u64>,
}

impl Writer<'_, '_> {
    fn lose(&mut self, lost: &Lost) -> io::Result<()> {
        self.written.lost += 1;
        (self.aside)(lost)
    }

    /// The first line; it says that the file is a copy, and the answers of calls of other files stand behind it.
    fn meta(&mut self, text: &str) -> io::Result<()> {
        let object = Object::read(text);
        let payload = object.as_ref().and_then(|line| line.get("payload"));
        match payload {
            Some(payload) if !self.plan.is_empty() => {
                let payload = with(payload.get(), &[("recovered_by", Some(RECOVERED_BY))]);
                self.line(&with(text, &[("payload", Some(&payload))]))?;
            }
            _ => self.line(text)?,
        }
        let time = time(text);
        for call in &self.plan.at_start {
            self.answer(*call, &time)?;
        }
        Ok(())
    }

    /// A line that is kept.
    fn line(&mut self, text: &str) -> io::Result<()> {
        let ordinal = Object::read(text).and_then(|line| line.number("ordinal"));
        if let Some(ordinal) = ordinal {
            let new = match self.last_ordinal {
                Some(last) if self.in_order => last.saturating_add(1),
                _ => ordinal.saturating_add_signed(self.shift),
            };
            self.last_ordinal = Some(new);
            if new != ordinal {
                return self.put(&with(text, &[("ordinal", Some(&new.to_string()))]));
            }
        }
        self.put(text)
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.written.lines += 1;
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// A line of the copy's own.
    fn inserted(&mut self, time: &str, payload: &str) -> io::Result<()> {
        let ordinal = match self.last_ordinal {
            Some(last) => {
                self.shift += 1;
                self.last_ordinal = Some(last + 1);
                format!(r#","ordinal":{}"#, last + 1)
            }
            None => String::new(),
        };
        let time = quoted(time);
        self.put(&format!(
            r#"{{"timestamp":{time}{ordinal},"type":"response_item","payload":{payload}}}"#
        ))
    }

    fn changed(&mut self, text: &str, items: &[(u32, ItemIndex)]) -> io::Result<()> {
        let line = Object::read(text).unwrap_or_default();
        let payload = line.get("payload").map_or("{}", |raw| raw.get());
        let replaced = Object::read(payload)
            .filter(|_| line.text("type").as_deref() == Some("compacted"))
            .and_then(|object| object.array("replacement_history"));
        if let Some(old) = replaced {
            let old: Vec<&str> = old.iter().map(|item| item.get()).collect();
            let history = self.replacement(&old, items)?;
            // it holds one entry for each item; without it every item is as good as new
            let changes = [
                ("replacement_history", Some(history.as_str())),
                ("replacement_history_metadata", None),
            ];
            let payload = with(payload, &changes);
            return self.line(&with(text, &[("payload", Some(&payload))]));
        }
        let Some((index, decision)) = items
            .first()
            .and_then(|(_, index)| Some((*index, self.plan.decisions.get(index)?)))
        else {
            return self.line(text);
        };
        match decision.drop {
            Some(why) => {
                if line.number("ordinal").is_some() {
                    self.shift -= 1;
                }
                if why != Why::Moved {
                    self.put_aside(index, why, text)?;
                }
            }
            None if changes_item(decision) => {
                let payload = edited(payload, decision);
                self.line(&with(text, &[("payload", Some(&payload))]))?;
            }
            None => self.line(text)?,
        }
        if decision.answer.is_some() && decision.drop.is_none() {
            self.answer(index, &time(text))?;
        }
        Ok(())
    }

    fn put_aside(&mut self, index: ItemIndex, why: Why, text: &str) -> io::Result<()> {
        let line = self
            .plan
            .rollout
            .items
            .get(index)
            .map_or(0, |item| item.line);
        self.lose(&Lost {
            line: self.plan.places.original(line),
            reason: why.words().to_owned(),
            bytes: text.as_bytes().to_vec(),
        })
    }

    fn replacement(&mut self, old: &[&str], items: &[(u32, ItemIndex)]) -> io::Result<String> {
        let mut new: Vec<String> = Vec::new();
        for (part, text) in old.iter().enumerate() {
            let index = items
                .iter()
                .find(|(at, _)| *at as usize == part)
                .map(|(_, index)| *index);
            let Some((index, decision)) =
                index.and_then(|index| Some((index, self.plan.decisions.get(&index)?)))
            else {
                new.push((*text).to_owned());
                continue;
            };
            match decision.drop {
                Some(Why::Moved) => {}
                Some(why) => self.put_aside(index, why, text)?,
                None if changes_item(decision) => new.push(edited(text, decision)),
                None => new.push((*text).to_owned()),
            }
            if decision.answer.is_some() && decision.drop.is_none() {
                new.extend(self.answer_text(index));
            }
        }
        Ok(format!("[{}]", new.join(",")))
    }

    /// The output of a call, directly behind it.
    fn answer(&mut self, call: ItemIndex, time: &str) -> io::Result<()> {
        match self.answer_text(call) {
            Some(payload) => self.inserted(time, &payload),
            None => Err(io::Error::other(
                "the source is not the file that was planned for",
            )),
        }
    }

    fn answer_text(&self, call: ItemIndex) -> Option<String> {
        match self.plan.decisions.get(&call)?.answer? {
            Answer::Made => Some(self.plan.texts.made.get(&call)?.payload.clone()),
            Answer::Real(output) => {
                let text = self.plan.texts.items.get(&output)?;
                let decision = self.plan.decisions.get(&output)?;
                Some(if changes_item(decision) {
                    edited(text, decision)
                } else {
                    text.clone()
                })
            }
        }
    }
}

fn changes_item(decision: &Decision) -> bool {
    decision.rename.is_some() || decision.strip_id || decision.retype.is_some()
}

fn edited(item: &str, decision: &Decision) -> String {
    let id = decision.rename.as_deref().map(quoted);
    let kind = decision.retype.map(|kind| quoted(kind.name()));
    let mut changes = Vec::new();
    if let Some(id) = &id {
        changes.push(("call_id", Some(id.as_str())));
    }
    if let Some(kind) = &kind {
        changes.push(("type", Some(kind.as_str())));
    }
    if decision.strip_id {
        changes.push(("id", None));
    }
    with(item, &changes)
}

/// The time of a line.
fn time(line: &str) -> String {
    let line = Object::read(line).unwrap_or_default();
    line.text("timestamp")
        .map_or_else(String::new, Cow::into_owned)
}
