use super::*;
use crate::rollout::{NoLibrary, Rollout, reader};
use proptest::prelude::*;

const META: &str = r#"{"type":"session_meta","payload":{"id":"a"}}"#;

fn message(role: &str, text: &str) -> String {
    format!(
        r#"{{"type":"response_item","payload":{{"type":"message","role":"{role}","content":[{{"text":"{text}"}}]}}}}"#
    )
}

fn item(kind: &str) -> String {
    format!(r#"{{"type":"response_item","payload":{{"type":"{kind}","call_id":"c","id":"x"}}}}"#)
}

fn rolled_back(turns: u32) -> String {
    format!(
        r#"{{"type":"event_msg","payload":{{"type":"thread_rolled_back","num_turns":{turns}}}}}"#
    )
}

fn read(lines: &[String]) -> Rollout {
    let text = format!("{META}\n{}\n", lines.join("\n"));
    reader::read(text.as_bytes(), &NoLibrary).unwrap()
}

fn all(rollout: &Rollout) -> Effective {
    let mut effective = Effective::new(rollout.era);
    for step in &rollout.steps {
        effective.apply(&rollout.items, step);
    }
    effective
}

/// The lines (from 1, without the meta line) whose items are in the effective history.
fn lines(lines: &[String]) -> Vec<u32> {
    let rollout = read(lines);
    let path = all(&rollout).path().to_vec();
    let lines = path
        .iter()
        .map(|index| rollout.items.get(*index).unwrap().line - 1);
    lines.collect()
}

#[test]
fn a_rollback_drops_instructions_with_their_context_and_nothing_before_the_first() {
    let mut file = vec![
        message("developer", "permissions"),
        message("user", "<environment_context>"),
        message("user", "one"),
        message("assistant", "ok"),
        message("user", "<environment_context> changed"),
        message("developer", "mode"),
        message("user", "two"),
        item("function_call"),
        message("user", "<turn_aborted>"),
    ];
    file.push(rolled_back(1));
    assert_eq!(lines(&file), vec![1, 2, 3, 4]);
    file.pop();
    file.push(rolled_back(9));
    assert_eq!(lines(&file), vec![1, 2]);
    file.push(rolled_back(1));
    assert_eq!(lines(&file), vec![1, 2]);
    file.pop();
    file.pop();
    file.push(rolled_back(0));
    assert_eq!(lines(&file).len(), 9);
}

#[test]
fn another_agents_message_begins_a_turn() {
    let file = [
        message("user", "one"),
        item("agent_message"),
        message("assistant", "ok"),
        rolled_back(1),
    ];
    assert_eq!(lines(&file), vec![1]);
}

#[test]
fn what_is_never_sent_is_left_out() {
    let file = [
        item("additional_tools"),
        item("compaction_trigger"),
        item("ghost_snapshot"),
        item("tool_result"),
        item("compaction"),
        item("web_search_call"),
        r#"{"type":"response_item","payload":{"type":"function_call_output","call_id":"c","output":null}}"#.into(),
    ];
    assert_eq!(lines(&file), vec![5, 6]);
}

#[test]
fn a_compaction_replaces_and_a_later_rollback_is_applied_to_the_replacement() {
    let replacement = r#"{"type":"compacted","payload":{"message":"","replacement_history":[{"type":"message","role":"user","content":[{"text":"one"}]},{"type":"message","role":"user","content":[{"text":"two"}]},{"type":"compaction"}]}}"#;
    let mut file = vec![
        message("user", "one"),
        item("function_call"),
        message("user", "two"),
        replacement.into(),
        message("assistant", "ok"),
    ];
    assert_eq!(lines(&file), vec![4, 4, 4, 5]);
    file.push(rolled_back(1));
    assert_eq!(lines(&file), vec![4]);
}

#[test]
fn a_compaction_without_replacement_keeps_the_users_words_and_the_summary() {
    let summary = r#"{"type":"compacted","payload":{"message":"sum"}}"#;
    let mut file = vec![
        message("user", "<environment_context>"),
        message("user", "one"),
        item("function_call"),
        summary.into(),
        message("user", "two"),
        summary.into(),
    ];
    assert_eq!(lines(&file), vec![2, 5, 6]);
    file.push(rolled_back(1));
    assert_eq!(lines(&file), vec![2, 5]);
}

#[test]
fn changes_tell_what_happened() {
    let rollout = read(&[message("user", "one"), item("reasoning"), rolled_back(1)]);
    let mut effective = Effective::new(rollout.era);
    let changes: Vec<_> = rollout
        .steps
        .iter()
        .map(|step| effective.apply(&rollout.items, step))
        .collect();
    assert_eq!(
        changes,
        vec![
            Change::Pushed(ItemIndex(0)),
            Change::Pushed(ItemIndex(1)),
            Change::Truncated(0)
        ]
    );
}

#[derive(Clone, Debug)]
enum Move {
    User,
    Context,
    Assistant,
    Back(u32),
    Compact,
}

proptest! {
    /// Against the rule written down plainly: positions of instructions are looked for anew on every rollback.
    #[test]
    fn rollbacks_agree_with_the_plain_rule(moves in proptest::collection::vec(prop_oneof![
        3 => Just(Move::User), 2 => Just(Move::Context), 3 => Just(Move::Assistant), 2 => (0..4_u32).prop_map(Move::Back), 1 => Just(Move::Compact)
    ], 0..40)) {
        let mut plain: Vec<(char, u32)> = Vec::new();
        let mut file = Vec::new();
        for step in &moves {
            let line = file.len() as u32 + 1;
            match step {
                Move::User => { plain.push(('u', line)); file.push(message("user", "do")); }
                Move::Context => { plain.push(('c', line)); file.push(message("developer", "x")); }
                Move::Assistant => { plain.push(('a', line)); file.push(message("assistant", "x")); }
                Move::Compact => {
                    plain.retain(|(kind, _)| *kind == 'u');
                    plain.push(('s', line));
                    file.push(r#"{"type":"compacted","payload":{"message":"s"}}"#.into());
                }
                Move::Back(count) => {
                    file.push(rolled_back(*count));
                    let starts: Vec<usize> = plain.iter().enumerate().filter(|(_, (kind, _))| matches!(kind, 'u' | 's')).map(|(at, _)| at).collect();
                    if *count > 0 && !starts.is_empty() {
                        let first = starts[0];
                        let mut cut = if *count as usize >= starts.len() { first } else { starts[starts.len() - *count as usize] };
                        while cut > first && plain[cut - 1].0 == 'c' { cut -= 1; }
                        plain.truncate(cut);
                    }
                }
            }
        }
        prop_assert_eq!(lines(&file), plain.iter().map(|(_, line)| *line).collect::<Vec<_>>());
    }
}
