//! The normalised text of a sequence: the same bytes for the same conversation, wherever and whenever it was held.

use std::collections::BTreeMap;

use super::Options;
use super::compare::on_part;
use super::lens::Lens;
use super::order::alone;
use super::sequence::{Event, Sequence};
use crate::wire::raw::push_string;

/// Names for ids in the order in which they appear.
#[derive(Default)]
pub(super) struct Numbered {
    known: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, u32>,
}

impl Numbered {
    pub(super) fn name(&mut self, id: &str) -> String {
        if let Some(known) = self.known.get(id) {
            return known.clone();
        }
        let prefix = match id.split_once(['_', '-']).map(|(prefix, _)| prefix) {
            Some("call") => "call",
            Some("resp") => "resp",
            Some("conv") => "conv",
            _ => "id",
        };
        let count = self.counts.entry(prefix).or_default();
        *count += 1;
        let name = format!("{prefix}#{count}");
        self.known.insert(id.to_owned(), name.clone());
        name
    }
}

/// One line an event: its label, then what counts of it as JSON with sorted members.
pub(super) fn lines(sequence: &Sequence, options: &Options<'_>) -> Vec<String> {
    let mut ids = Numbered::default();
    alone(sequence, &options.rules, options.ordered)
        .into_iter()
        .filter_map(|at| sequence.events.get(at as usize))
        .map(|event| line(sequence, event, options, &mut |id| ids.name(id)))
        .collect()
}

pub(super) fn line(
    sequence: &Sequence,
    event: &Event,
    options: &Options<'_>,
    name: &mut dyn FnMut(&str) -> String,
) -> String {
    let lens = Lens {
        rules: &options.rules,
        known: &sequence.known,
    };
    let mut line = sequence.label(event);
    let mut parts: Vec<_> = sequence
        .part_numbers(event)
        .filter_map(|part| sequence.parts.get(part as usize))
        .collect();
    parts.sort_by_key(|part| sequence.names.text(part.name));
    for part in parts {
        let mut text = String::new();
        let told = on_part(sequence, part, |path, node| {
            let Some(node) = node else {
                text.push_str(&part.raw);
                return true;
            };
            if path.parent.is_some()
                && (lens.rules.aside(path, false) || lens.rules.nothing(node, false))
            {
                return false;
            }
            lens.spell(&mut text, node, path, false, name);
            true
        });
        if told {
            line.push(' ');
            let name = String::from_utf8_lossy(sequence.names.text(part.name));
            if !name.is_empty() {
                let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
                if name.chars().all(plain) {
                    line.push_str(&name);
                } else {
                    push_string(&mut line, &name);
                }
                line.push('=');
            }
            if text.contains(['\n', '\r']) {
                let raw = std::mem::take(&mut text);
                push_string(&mut text, &raw);
            }
            line.push_str(&text);
        }
    }
    line
}
