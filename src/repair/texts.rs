//! Texts of single items, and what outputs say that are made up.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::io;

use super::lines::Envelopes;
use super::splice::quoted;
use super::walk::{Answer, Decision, Walked};
use super::{Places, What, Words, moved};
use crate::ids::{ItemIndex, LineNo};
use crate::rollout::Rollout;
use crate::wire::item::{Flags, Item, ItemKind};
use crate::wire::raw::{Object, array, string};

/// What was read out of the file for a plan.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The payloads of outputs that are put behind their calls.
    pub(super) items: BTreeMap<ItemIndex, String>,
    /// The outputs that are made up, by call.
    pub(super) made: BTreeMap<ItemIndex, Made>,
    /// The first line whose ordinal belongs to this thread itself.
    own_from: Option<LineNo>,
}

/// An output that is made up.
#[derive(Debug)]
pub(super) struct Made {
    /// Its payload; the call id stands in it.
    pub(super) payload: String,
    what: What,
    detail: String,
}

impl Texts {
    /// What is said of the output of a call that was made up.
    pub(super) fn said(&self, call: ItemIndex) -> (What, String) {
        match self.made.get(&call) {
            Some(made) => (made.what, made.detail.clone()),
            None => (What::Answered, String::new()),
        }
    }

    /// The first changed line in front of the one with this ordinal.
    pub(super) fn edited_before_ordinal(
        &self,
        rollout: &Rollout,
        decisions: &BTreeMap<ItemIndex, Decision>,
        _first: u64,
    ) -> Option<LineNo> {
        let own_from = self.own_from.unwrap_or(LineNo::MAX);
        let lines = decisions
            .keys()
            .filter_map(|index| rollout.items.get(*index));
        lines
            .map(|item| item.line)
            .filter(|line| *line < own_from)
            .min()
    }
}

/// The items of one line among those that are wanted.
type Wanted = BTreeMap<LineNo, Vec<(u32, ItemIndex)>>;

fn by_line(rollout: &Rollout, wanted: impl Iterator<Item = ItemIndex>) -> Wanted {
    let wanted: BTreeSet<ItemIndex> = wanted.collect();
    let files = rollout.file_of_items(wanted.iter());
    let mut lines = Wanted::new();
    for index in wanted {
        if files.get(&index).is_some_and(|file| *file > 0) {
            continue;
        }
        if let Some(item) = rollout.items.get(index) {
            lines.entry(item.line).or_default().push((item.part, index));
        }
    }
    lines
}

/// The payload of one item of a line.
fn payload(line: &str, part: u32) -> Option<&str> {
    let payload = Object::read(line)?.get("payload")?.get();
    let replacement = Object::read(payload).and_then(|object| object.get("replacement_history"));
    match replacement.and_then(|raw| array(raw.get())) {
        Some(items) => items.get(part as usize).map(|item| item.get()),
        None => Some(payload),
    }
}

/// Hashes of the texts of items: equal items have equal ones.
pub(super) fn hashes(
    mut lines: Envelopes<'_>,
    rollout: &Rollout,
    wanted: &BTreeSet<ItemIndex>,
) -> io::Result<BTreeMap<ItemIndex, u64>> {
    let wanted = by_line(rollout, wanted.iter().copied());
    let mut found = BTreeMap::new();
    let mut number = 0;
    while let Some(made) = lines.next()? {
        number += 1;
        for (part, index) in wanted.get(&number).into_iter().flatten() {
            if let Some(text) = payload(&made.text, *part) {
                let mut hasher = DefaultHasher::new();
                hasher.write(text.as_bytes());
                found.insert(*index, hasher.finish());
            }
        }
    }
    Ok(found)
}

/// Reads what the decisions need.
pub(super) fn collect(
    mut lines: Envelopes<'_>,
    rollout: &Rollout,
    walked: &Walked,
    places: &Places,
    words: Words,
) -> io::Result<Texts> {
    let decisions = &walked.decisions;
    let outputs = by_line(rollout, moved(decisions).into_iter());
    let calls: Vec<(ItemIndex, Item)> = decisions
        .iter()
        .filter(|(_, decision)| decision.answer == Some(Answer::Made))
        .filter_map(|(index, _)| Some((*index, *rollout.items.get(*index)?)))
        .collect();
    let line_of = |map: &BTreeMap<_, LineNo>, item: &Item| {
        let key = item.call?;
        let same = rollout.items.same_id(key);
        std::iter::once(key)
            .chain(same)
            .find_map(|key| map.get(&key).copied())
    };
    let records: BTreeSet<LineNo> = calls
        .iter()
        .filter_map(|(_, item)| line_of(&walked.ended, item))
        .collect();
    let mut texts = Texts::default();
    let mut record_texts: BTreeMap<LineNo, Record> = BTreeMap::new();
    let mut number = 0;
    let own_history = rollout.meta.own_history_from;
    if outputs.is_empty() && records.is_empty() && own_history.is_none() {
        // nothing to look up
    } else {
        while let Some(made) = lines.next()? {
            number += 1;
            for (part, index) in outputs.get(&number).into_iter().flatten() {
                if let Some(text) = payload(&made.text, *part) {
                    texts.items.insert(*index, text.to_owned());
                }
            }
            if records.contains(&number) {
                record_texts.insert(number, Record::read(&made.text));
            }
            if let Some(first) = own_history
                && texts.own_from.is_none()
                && Object::read(&made.text)
                    .and_then(|line| line.number("ordinal"))
                    .is_some_and(|ordinal| ordinal >= first)
            {
                texts.own_from = Some(number);
            }
        }
    }
    for (index, item) in calls {
        let ended = line_of(&walked.ended, &item);
        let record = ended.and_then(|line| Some((places.original(line), record_texts.get(&line)?)));
        let began = line_of(&walked.began, &item).map(|line| places.original(line));
        let decision = decisions.get(&index);
        let renamed = decision.and_then(|decision| decision.rename.as_deref());
        let id = item.call.map_or("", |key| rollout.items.call_id(key));
        let made = made(&item, renamed.unwrap_or(id), record, began, words);
        texts.made.insert(index, made);
    }
    Ok(texts)
}

/// What the record of a finished tool says.
#[derive(Debug, Default)]
struct Record {
    output: Option<String>,
    status: Option<String>,
}

impl Record {
    /// `exec_command_end`, `item_completed` and their like: whatever of the known fields is there.
    fn read(line: &str) -> Self {
        let payload = Object::read(line).and_then(|line| line.object("payload"));
        let Some(payload) = payload else {
            return Self::default();
        };
        let inner = payload.object("item").unwrap_or(payload);
        let text = |key: &str| inner.text(key).map(Cow::into_owned);
        let shown = text("aggregated_output").or_else(|| {
            let (out, err) = (text("stdout"), text("stderr"));
            (out.is_some() || err.is_some())
                .then(|| format!("{}{}", out.unwrap_or_default(), err.unwrap_or_default()))
        });
        let output = shown.or_else(|| result(&inner));
        let status = inner
            .get("exit_code")
            .map(|code| format!("exit code {}", code.get()))
            .or_else(|| text("status").map(|status| format!("status {status}")))
            .or_else(|| {
                let success = inner.flag("success")?;
                Some(if success { "success" } else { "failure" }.to_owned())
            });
        Self { output, status }
    }
}

/// The result of an MCP tool or a dynamic one: its texts, else the result as JSON.
fn result(record: &Object<'_>) -> Option<String> {
    let raw = record
        .value("result")
        .or_else(|| record.value("content_items"))?;
    let inner = Object::read(raw);
    let ok = inner
        .as_ref()
        .and_then(|result| result.value("Ok").or_else(|| result.value("Err")));
    let value = ok.unwrap_or(raw);
    if let Some(text) = string(value) {
        return Some(text.into_owned());
    }
    let content = Object::read(value).and_then(|object| object.array("content"));
    let parts = content.or_else(|| array(value));
    let texts: Option<Vec<String>> = parts.map(|parts| {
        parts
            .iter()
            .filter_map(|part| Object::read(part.get())?.text("text").map(Cow::into_owned))
            .collect()
    });
    match texts {
        Some(texts) if !texts.is_empty() => Some(texts.join("\n")),
        _ => Some(value.to_owned()),
    }
}

const SIGN: &str = "[replay recover]";

fn made(
    item: &Item,
    call_id: &str,
    record: Option<(LineNo, &Record)>,
    began: Option<LineNo>,
    words: Words,
) -> Made {
    let half = item.flags.has(Flags::UNFINISHED)
        && matches!(item.kind, ItemKind::FunctionCall | ItemKind::CustomToolCall);
    let (what, detail, honest) = match (record, began) {
        (
            Some((
                line,
                Record {
                    output: Some(output),
                    status,
                },
            )),
            _,
        ) => {
            let ended = status
                .as_ref()
                .map_or(String::new(), |status| format!(", {status}"));
            let text = format!(
                "{SIGN} state: finished{ended}. Output from the record of the tool on line {line} of the file:\n{output}"
            );
            return Made {
                payload: answer(item.kind, call_id, &text),
                what: What::Restored,
                detail: format!("finished{ended}: the output stands in the record on line {line}"),
            };
        }
        (
            Some((
                line,
                Record {
                    output: None,
                    status,
                },
            )),
            _,
        ) => {
            let ended = status
                .as_ref()
                .map_or(String::new(), |status| format!(", {status}"));
            (
                What::Answered,
                format!("finished{ended} (line {line}), output not on file"),
                format!(
                    "{SIGN} state: finished{ended} (line {line} of the file). The tool ended, but its output is not on file. Look at what it did before you go on."
                ),
            )
        }
        (None, Some(line)) => (
            What::Answered,
            format!("started (line {line}), end not on file"),
            format!(
                "{SIGN} state: started (line {line} of the file). Whether the tool ended, and what it did, is not on file. Look at what is there before you run it again."
            ),
        ),
        (None, None) if half => (
            What::Answered,
            "not_started: the call did not arrive whole".to_owned(),
            format!(
                "{SIGN} state: not_started. The call did not arrive whole, so the tool was not run."
            ),
        ),
        (None, None) => (
            What::Answered,
            "unknown: nothing on file says whether the tool ran".to_owned(),
            format!(
                "{SIGN} state: unknown. No output of this call is on file, and nothing says whether the tool ran. Look at what is there before you run it again."
            ),
        ),
    };
    let text = match words {
        Words::Honest => honest,
        Words::Aborted => "aborted".to_owned(),
    };
    Made {
        payload: answer(item.kind, call_id, &text),
        what,
        detail,
    }
}

/// The output of a call as an item.
fn answer(call: ItemKind, call_id: &str, text: &str) -> String {
    let (id, text) = (quoted(call_id), quoted(text));
    let kind = call
        .answer_kind()
        .unwrap_or(ItemKind::FunctionCallOutput)
        .name();
    match call {
        ItemKind::ToolSearchCall => format!(
            r#"{{"type":"{kind}","call_id":{id},"status":"completed","execution":"client","tools":[]}}"#
        ),
        ItemKind::ShellCall => format!(
            r#"{{"type":"{kind}","call_id":{id},"output":[{{"stdout":"","stderr":{text},"outcome":{{"type":"exit","exit_code":1}}}}]}}"#
        ),
        ItemKind::ApplyPatchCall => {
            format!(r#"{{"type":"{kind}","call_id":{id},"status":"failed","output":{text}}}"#)
        }
        _ => format!(r#"{{"type":"{kind}","call_id":{id},"output":{text}}}"#),
    }
}
