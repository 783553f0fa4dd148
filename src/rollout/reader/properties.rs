use proptest::prelude::*;

use super::tests::{E1, E2, E3, text};
use super::*;
use crate::rollout::NoLibrary;
use crate::wire::item::ItemKind;

/// The items of a text line by line, each line read in a file of its own behind a meta line.
fn items_by_line(lines: &[&str]) -> Vec<ItemKind> {
    let mut kinds = Vec::new();
    for line in lines {
        let file = format!("{{\"type\":\"session_meta\",\"payload\":{{}}}}\n{line}\n");
        kinds.extend(text(&file).items.iter().map(|item| item.kind));
    }
    kinds
}

fn sample() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(E1.to_owned()),
        Just(E2.to_owned()),
        Just(E3.to_owned())
    ]
}

fn try_read(bytes: &[u8]) -> Option<Rollout> {
    read(bytes, &NoLibrary).ok()
}

proptest! {
    #[test]
    fn a_cut_loses_only_the_line_it_goes_through(file in sample(), at in any::<prop::sample::Index>()) {
        let at = at.index(file.len());
        let cut = &file.as_bytes()[..at];
        if let Some(rollout) = try_read(cut) {
            let whole = memchr::memchr_iter(b'\n', cut).count();
            let lines: Vec<&str> = file.lines().take(whole).collect();
            let expected = items_by_line(&lines);
            let found: Vec<ItemKind> = rollout.items.iter().map(|item| item.kind).collect();
            prop_assert!(found.starts_with(&expected));
            prop_assert!(found.len() <= expected.len() + 1);
            for problem in &rollout.problems {
                prop_assert!(problem.line as usize <= whole + 1);
            }
        }
    }

    #[test]
    fn damaged_bytes_hide_no_other_line(file in sample(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = file.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let damaged = memchr::memchr_iter(b'\n', &file.as_bytes()[..at]).count();
        if let Some(rollout) = try_read(&bytes) {
            let before: Vec<&str> = file.lines().take(damaged).collect();
            let found: Vec<ItemKind> = rollout.items.iter().map(|item| item.kind).collect();
            prop_assert!(found.starts_with(&items_by_line(&before)));
            prop_assert_eq!(format!("{rollout:?}"), format!("{:?}", try_read(&bytes).unwrap()));
        }
    }

    #[test]
    fn lines_in_any_order_give_the_same_items(mut lines in Just(E3.lines().collect::<Vec<_>>()).prop_shuffle(), twice in any::<bool>()) {
        if twice {
            lines = lines.iter().flat_map(|line| [*line, *line]).collect();
        }
        let rollout = text(&lines.join("\n"));
        let found: Vec<ItemKind> = rollout.items.iter().map(|item| item.kind).collect();
        prop_assert_eq!(found, items_by_line(&lines));
        prop_assert_eq!(rollout.problems.iter().any(|problem| problem.reason == Reason::Repeated), twice);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), file in sample(), at in any::<prop::sample::Index>()) {
        let _found = try_read(&bytes);
        let mut mixed = file.into_bytes();
        let at = at.index(mixed.len());
        mixed.splice(at..at, bytes);
        let _found = try_read(&mixed);
    }

    #[test]
    fn documents_cut_anywhere_keep_the_items_before(count in 0..6_usize, at in any::<prop::sample::Index>()) {
        let items: Vec<String> = (0..count).map(|n| format!("    {{\"type\":\"reasoning\",\"id\":\"rs_{n}\"}}")).collect();
        let file = format!("{{\n  \"session\": {{\"id\":\"a\"}},\n  \"items\": [\n{}\n  ]\n}}\n", items.join(",\n"));
        let at = at.index(file.len());
        if let Some(rollout) = try_read(&file.as_bytes()[..at]) {
            let whole = items.iter().filter(|item| file.as_bytes()[..at].windows(item.len()).any(|part| part == item.as_bytes())).count();
            prop_assert_eq!(rollout.items.len(), whole);
            for (n, item) in rollout.items.iter().enumerate() {
                prop_assert_eq!(item.line as usize, n + 4);
            }
        }
    }
}
