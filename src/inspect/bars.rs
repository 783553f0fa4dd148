//! A bar for each call, from where it was opened to where it was answered.

use std::collections::BTreeMap;
use std::ops::Range;

use super::model::{Detail, Line, Model, Tone};
use crate::report::cells;
use crate::timeline::{Happened, Marks, NONE, Timeline};

/// So many calls are drawn.
const MAX_BARS: usize = 2000;

/// Where an entry stands on a line of some width: by time where there is one, by its number otherwise.
pub(super) struct Scale<'a> {
    timeline: &'a Timeline,
    span: Option<(i64, i64)>,
    width: usize,
}

impl<'a> Scale<'a> {
    pub(super) fn new(timeline: &'a Timeline, width: usize, by_time: bool) -> Self {
        let span = timeline
            .span()
            .filter(|(first, last)| by_time && last > first);
        Self {
            timeline,
            span,
            width: width.max(1),
        }
    }

    pub(super) fn place(&self, entry: u32) -> usize {
        let last = self.width - 1;
        let by_number = || {
            let count = self.timeline.entries.len().max(2) as u64 - 1;
            (u64::from(entry) * last as u64 / count) as usize
        };
        let Some((first, end)) = self.span else {
            return by_number().min(last);
        };
        let mut near = self
            .timeline
            .entries
            .get(..=entry as usize)
            .unwrap_or(&[])
            .iter()
            .rev()
            .take(1000);
        let Some(time) = near.find_map(crate::timeline::Entry::time) else {
            return 0;
        };
        let part = i128::from(time - first) * last as i128 / i128::from(end - first);
        usize::try_from(part).unwrap_or(0).min(last)
    }
}

/// When a call was half and when it was open, as pairs of entries; the end is [`NONE`] where it has none.
fn spans(timeline: &Timeline, calls: Range<u32>) -> BTreeMap<u32, Vec<(u32, u32, bool)>> {
    let mut found: BTreeMap<u32, Vec<(u32, u32, bool)>> = BTreeMap::new();
    for change in timeline.changes() {
        if !calls.contains(&change.call) {
            continue;
        }
        let of = found.entry(change.call).or_default();
        match change.what {
            Happened::Begun => of.push((change.entry, NONE, true)),
            Happened::Opened => {
                if let Some(last) = of.last_mut().filter(|last| last.1 == NONE) {
                    last.1 = change.entry;
                }
                of.push((change.entry, NONE, false));
            }
            Happened::Closed(_) => {
                if let Some(last) = of.last_mut().filter(|last| last.1 == NONE) {
                    last.1 = change.entry;
                }
            }
            _ => {}
        }
    }
    found
}

pub(super) fn detail(model: &Model, at: u32) -> Detail {
    let timeline = &model.timeline;
    let width = super::view::areas(model.size).detail_width();
    let name = 16.min(width / 3);
    let scale = Scale::new(
        timeline,
        width.saturating_sub(name + 1).max(8),
        model.by_time,
    );
    let cursor = scale.place(at);
    let mut ruler: Vec<char> = vec!['·'; scale.width];
    for (number, entry) in timeline.entries.iter().enumerate() {
        let sign = if entry.marks.has(Marks::REFUSAL) {
            '✗'
        } else if entry.marks.has(Marks::CUT) {
            '✂'
        } else {
            continue;
        };
        if let Some(slot) = ruler.get_mut(scale.place(number as u32)) {
            *slot = sign;
        }
    }
    let by = if scale.span.is_some() {
        "by time (T: by place)"
    } else {
        "by place (T: by time)"
    };
    let mut lines = vec![
        Line::new(
            Tone::Faint,
            format!("█ open  ░ half  ┃ cursor  ✂ cut  ✗ refusal, {by}"),
        ),
        Line::new(
            Tone::Bad,
            format!("{:<name$} {}", "", ruler.iter().collect::<String>()),
        ),
    ];
    // calls are numbered in the order in which they begin, file by file
    let count = timeline.calls.len();
    let mut window = 0..count as u32;
    if count > MAX_BARS {
        let here = timeline.calls.partition_point(|call| call.first <= at);
        let from = here.saturating_sub(MAX_BARS / 2).min(count - MAX_BARS);
        window = from as u32..(from + MAX_BARS) as u32;
        let words = format!("{MAX_BARS} calls around the cursor");
        lines.push(Line::new(Tone::Faint, words));
    }
    let calls = spans(timeline, window);
    for (call, spans) in calls {
        let mut bar: Vec<char> = vec![' '; scale.width];
        let mut left_open = false;
        for (from, to, half) in spans {
            left_open = to == NONE;
            let from = scale.place(from);
            let to = if to == NONE {
                scale.width - 1
            } else {
                scale.place(to)
            };
            for slot in bar.iter_mut().take(to + 1).skip(from) {
                *slot = if half { '░' } else { '█' };
            }
        }
        if let Some(slot) = bar.get_mut(cursor) {
            *slot = if *slot == ' ' { '┃' } else { '╋' };
        }
        let id: String = cells(timeline.call_id(call))
            .chars()
            .take(name.saturating_sub(1))
            .collect();
        let sign = if left_open { '!' } else { ' ' };
        let tone = if left_open { Tone::Bad } else { Tone::Plain };
        let pad = name.saturating_sub(1);
        lines.push(Line::new(
            tone,
            format!("{sign}{id:<pad$} {}", bar.iter().collect::<String>()),
        ));
    }
    Detail {
        title: "calls over time".to_owned(),
        lines,
    }
}
