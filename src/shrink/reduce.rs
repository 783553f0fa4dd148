//! Leaving out lines and items: delta debugging over groups.

use super::document::{Document, item_groups};
use super::{Answer, Judge, Kept};
use crate::wire::item::ItemHead;
use crate::wire::raw::Object;

/// Finds a small set of groups that the test still holds for, by leaving out ever smaller stretches. `test` gets the
/// indices of the elements that are kept, in order.
fn minimise(
    fixed: &[usize],
    mut groups: Vec<Vec<usize>>,
    test: &mut dyn FnMut(&[usize]) -> bool,
) -> (Vec<usize>, bool) {
    let order = |groups: &[Vec<usize>]| {
        let mut kept: Vec<usize> = fixed.to_vec();
        kept.extend(groups.iter().flatten());
        kept.sort_unstable();
        kept
    };
    let before = groups.len();
    if groups.is_empty() {
        return (order(&groups), false);
    }
    if test(&order(&[])) {
        return (order(&[]), true);
    }
    let mut stretch = groups.len().div_ceil(2);
    loop {
        let mut at = 0;
        let mut any = false;
        while at < groups.len() {
            let end = (at + stretch).min(groups.len());
            let mut rest = groups.clone();
            rest.drain(at..end);
            if (at, end) != (0, groups.len()) && test(&order(&rest)) {
                groups = rest;
                any = true;
            } else {
                at = end;
            }
        }
        if stretch == 1 && !any {
            break;
        }
        stretch = (stretch / 2).max(1);
    }
    let changed = groups.len() < before;
    (order(&groups), changed)
}

/// Leaves out lines.
pub(super) fn lines(document: &mut Document, judge: &mut Judge<'_>) -> bool {
    let mut changed = false;
    for groups in [document.groups(), Vec::new()] {
        // parts of answers come second, when what can go as a whole is gone
        let groups = if groups.is_empty() {
            document.parts()
        } else {
            groups
        };
        let movable: std::collections::BTreeSet<usize> = groups.iter().flatten().copied().collect();
        let fixed: Vec<usize> = (0..document.lines.len())
            .filter(|at| !movable.contains(at))
            .collect();
        let (kept, fewer) = minimise(&fixed, groups, &mut |kept| {
            judge.is_same(&document.with_lines(kept))
        });
        if fewer {
            let mut kept = kept.into_iter().peekable();
            let mut at = 0;
            document.lines.retain(|_| {
                let stays = kept.next_if_eq(&at).is_some();
                at += 1;
                stays
            });
            changed = true;
        }
    }
    changed
}

/// Leaves out items inside lines, the last lines first: they hold what was refused.
pub(super) fn items(document: &mut Document, judge: &mut Judge<'_>) -> bool {
    let mut changed = false;
    for line in (0..document.lines.len()).rev() {
        for which in 0..document.lists(line).len() {
            let Some(list) = document.lists(line).into_iter().nth(which) else {
                continue;
            };
            let groups = item_groups(&list.elements);
            let (kept, fewer) = minimise(&[], groups, &mut |kept| {
                judge.is_same(&document.with_line(list.line, &list.with(kept)))
            });
            if let (true, Some(text)) = (fewer, document.lines.get_mut(line)) {
                *text = list.with(&kept);
                changed = true;
            }
        }
    }
    changed
}

/// Tries to leave out each group of lines by itself.
pub(super) fn singles(document: &mut Document, judge: &mut Judge<'_>) -> bool {
    let groups: Vec<Vec<usize>> = document
        .groups()
        .into_iter()
        .chain(document.parts())
        .collect();
    groups.iter().any(|group| {
        let kept: Vec<usize> = (0..document.lines.len())
            .filter(|at| !group.contains(at))
            .collect();
        judge.is_same(&document.with_lines(&kept))
    })
}

/// Tries to leave out each group of items by itself.
pub(super) fn single_items(document: &mut Document, judge: &mut Judge<'_>) -> bool {
    (0..document.lines.len()).any(|line| {
        document.lists(line).iter().any(|list| {
            item_groups(&list.elements).iter().any(|group| {
                let all = 0..list.elements.len();
                let kept: Vec<usize> = all.filter(|at| !group.contains(at)).collect();
                judge.is_same(&document.with_line(line, &list.with(&kept)))
            })
        })
    })
}

/// What happens without each part that is left.
pub(super) fn reasons(document: &Document, judge: &mut Judge<'_>) -> Vec<Kept> {
    judge.limit = u64::MAX;
    let mut found = Vec::new();
    let mut add = |line: usize, part: String, answer: Answer| {
        if let Answer::Other(without) = answer {
            found.push(Kept {
                line: line as u32 + 1,
                part,
                without,
            });
        }
    };
    for group in document.groups() {
        let kept: Vec<usize> = (0..document.lines.len())
            .filter(|at| !group.contains(at))
            .collect();
        let (Some(first), Some(text)) = (
            group.first(),
            group.first().and_then(|at| document.lines.get(*at)),
        ) else {
            continue;
        };
        let answer = judge.answer(&document.with_lines(&kept));
        add(*first, name(text), answer);
    }
    for group in document.parts() {
        let kept: Vec<usize> = (0..document.lines.len())
            .filter(|at| !group.contains(at))
            .collect();
        let Some(first) = group.first() else { continue };
        let text = document.lines.get(*first).map_or("", String::as_str);
        let answer = judge.answer(&document.with_lines(&kept));
        add(*first, name(text), answer);
    }
    for line in 0..document.lines.len() {
        for list in document.lists(line) {
            for group in item_groups(&list.elements) {
                let all = 0..list.elements.len();
                let kept: Vec<usize> = all.filter(|at| !group.contains(at)).collect();
                let text = group.first().and_then(|at| list.elements.get(*at));
                let answer = judge.answer(&document.with_line(line, &list.with(&kept)));
                add(line, name(text.map_or("", String::as_str)), answer);
            }
        }
    }
    found
}

/// What a line or an item is, in words.
fn name(text: &str) -> String {
    let Some(object) = Object::read(text) else {
        return "a value".to_owned();
    };
    if let Some(kind) = object.text("kind") {
        let exchange = object.small("exchange");
        return match (kind.as_ref(), exchange) {
            ("request", Some(exchange)) => format!("exchange {exchange}"),
            ("chunk", Some(exchange)) => {
                let event = object.text("text").unwrap_or_default();
                let event = event.lines().find_map(|line| line.strip_prefix("event: "));
                match event {
                    Some(event) => format!("{event} of exchange {exchange}"),
                    None => format!("a chunk of exchange {exchange}"),
                }
            }
            (kind, Some(exchange)) => format!("{kind} of exchange {exchange}"),
            (kind, None) => kind.to_owned(),
        };
    }
    let item = match object.text("type").as_deref() {
        Some("response_item") => object.get("payload").map_or(text, |raw| raw.get()),
        _ => text,
    };
    let head: ItemHead<'_> = serde_json::from_str(item).unwrap_or_default();
    let kind = head.kind.as_deref().unwrap_or("message");
    match (head.call_id.as_deref(), head.role.as_deref()) {
        (Some(id), _) => format!("{kind} {id}"),
        (None, Some(role)) => format!("{role} message"),
        _ => match object.get("record_type") {
            Some(_) => "state line".to_owned(),
            None => kind.to_owned(),
        },
    }
}
