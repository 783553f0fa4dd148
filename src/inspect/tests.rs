//! Keys pressed and screens read.

use std::io::Cursor;
use std::sync::Arc;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::search;
use super::{Action, Message, Model, Options, update, view};
use crate::rollout::{NoLibrary, reader as rollouts};
use crate::session::{Kind, Session, reader, sniff};
use crate::timeline::{self, Source};

fn story(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("rollouts")
        .join(name);
    std::fs::read(path).unwrap()
}

fn model_of(files: &[(&str, Vec<u8>)], size: (u16, u16)) -> Model {
    let mut parts = Vec::new();
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for (name, bytes) in files {
        let session = match sniff(bytes) {
            Kind::Recording => Session::Recording(reader::read(bytes.as_slice()).unwrap()),
            _ => Session::Rollout(rollouts::read(bytes.as_slice(), &NoLibrary).unwrap()),
        };
        parts.push(timeline::read(name, session, bytes.as_slice()).unwrap());
        sources.push(Box::new(Cursor::new(bytes.clone())));
    }
    Model::new(
        Arc::new(timeline::merge(parts)),
        sources,
        Options::default(),
        size,
    )
}

/// Codex 0.8.0, interrupted while its second answer streams.
fn second_stream_bytes() -> Vec<u8> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = "tests/captures/p_interrupt_second_mid_args-0.8.0.session.jsonl.zst";
    zstd::decode_all(std::fs::File::open(root.join(name)).unwrap()).unwrap()
}

fn second_stream(size: (u16, u16)) -> Model {
    model_of(&[("session.jsonl", second_stream_bytes())], size)
}

fn screen(model: &Model) -> String {
    let (width, height) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in 0..height {
        let mut line = String::new();
        let mut skip = 0;
        for column in 0..width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(column, row)].symbol();
            skip = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Presses keys; what has to be done outside is done here, as far as it needs no terminal.
fn press(model: &mut Model, keys: &str) -> Vec<Action> {
    let mut left = Vec::new();
    for key in keys.chars() {
        let code = match key {
            '⏎' => KeyCode::Enter,
            '⎋' => KeyCode::Esc,
            '⇥' => KeyCode::Tab,
            '⌫' => KeyCode::Backspace,
            key => KeyCode::Char(key),
        };
        let mut actions = update(model, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        while let Some(action) = actions.pop() {
            match action {
                Action::Judge {
                    request,
                    file,
                    lane,
                    entry,
                } => {
                    let found = super::judge::judge(&model.timeline, file, lane, entry);
                    actions.extend(update(model, Message::Judged(request, found)));
                }
                Action::Search(number, pattern) => {
                    let timeline = Arc::clone(&model.timeline);
                    for (at, file) in timeline.files.iter().enumerate() {
                        let mut all = Vec::new();
                        let source = &mut model.sources[at];
                        search::search(
                            &mut **source,
                            &file.lines,
                            &pattern,
                            &std::sync::atomic::AtomicBool::new(false),
                            &mut |hits, _| all.extend(hits),
                        )
                        .unwrap();
                        update(model, Message::Found(number, at as u16, all, Some(500)));
                    }
                    actions.extend(update(model, Message::Found(number, 0, Vec::new(), None)));
                }
                other => left.push(other),
            }
        }
    }
    left
}

fn line(model: &Model) -> u32 {
    let at = model.entry().unwrap();
    model.timeline.entries[at as usize].line
}

#[test]
fn screens_of_a_refused_recording() {
    let mut model = second_stream((80, 24));
    insta::assert_snapshot!("start_80x24", screen(&model));
    press(&mut model, "x");
    insta::assert_snapshot!("refusal_80x24", screen(&model));
    press(&mut model, "r");
    insta::assert_snapshot!("request_80x24", screen(&model));
    press(&mut model, "s");
    insta::assert_snapshot!("strategies_80x24", screen(&model));
    press(&mut model, "tT");
    insta::assert_snapshot!("bars_80x24", screen(&model));
    press(&mut model, "?");
    insta::assert_snapshot!("help_80x24", screen(&model));
}

#[test]
fn screens_of_a_refused_recording_with_more_room() {
    let mut model = second_stream((120, 40));
    insta::assert_snapshot!("start_120x40", screen(&model));
    press(&mut model, "x");
    insta::assert_snapshot!("refusal_120x40", screen(&model));
    press(&mut model, "s");
    insta::assert_snapshot!("strategies_120x40", screen(&model));
}

#[test]
fn screens_of_rollouts() {
    let mut model = model_of(
        &[(
            "rollout.jsonl",
            story("codex-0.169-kill-in-tool/rollout.jsonl"),
        )],
        (120, 40),
    );
    press(&mut model, "o");
    insta::assert_snapshot!("killed_in_tool_120x40", screen(&model));
    press(&mut model, "r");
    insta::assert_snapshot!("history_120x40", screen(&model));
    let mut model = model_of(
        &[(
            "rollout.jsonl",
            story("codex-0.169-parallel-sigint/rollout.jsonl"),
        )],
        (80, 24),
    );
    press(&mut model, "Gt");
    insta::assert_snapshot!("parallel_bars_80x24", screen(&model));
}

#[test]
fn arguments_are_shown_while_they_stream() {
    let mut model = second_stream((120, 40));
    press(&mut model, "d");
    let mut seen = Vec::new();
    while line(&model) < 11 {
        press(&mut model, "j");
        if (7..=10).contains(&line(&model)) {
            let (_, _, detail) = model.shown.as_ref().unwrap();
            seen.push((
                detail.title.clone(),
                detail.lines.last().unwrap().text.len(),
            ));
        }
    }
    assert!(seen.len() >= 3, "{seen:?}");
    assert!(
        seen.windows(2).all(|pair| pair[0].1 < pair[1].1),
        "{seen:?}"
    );
    assert!(seen[0].0.contains("1 piece so far"), "{seen:?}");
}

#[test]
fn jumps_lead_to_cuts_refusals_open_calls_turns_and_changes() {
    let mut model = second_stream((80, 24));
    let mut lines = Vec::new();
    for keys in [
        "o", "c", "x", "X", "]", "]", "[", "}", "{", "gg", "o", ".", ".", ",", "G", "C",
    ] {
        press(&mut model, keys);
        lines.push(line(&model));
    }
    assert_eq!(
        lines,
        [
            12, 21, 23, 23, 34, 34, 22, 26, 22, 1, 12, 15, 22, 15, 44, 21
        ]
    );
    press(&mut model, "c");
    assert_eq!(model.message.as_deref(), Some("no cut behind this"));
    // where no call is open, the next change of any
    press(&mut model, "g.");
    assert_eq!(line(&model), 6);
    press(&mut model, "GC");
    // marks
    press(&mut model, "maGxg'a");
    assert_eq!(line(&model), 21);
    press(&mut model, "''");
    assert_eq!(line(&model), 1);
    press(&mut model, "'z");
    assert_eq!(model.message.as_deref(), Some("no mark z"));
}

#[test]
fn search_goes_forwards_backwards_and_around() {
    let mut model = second_stream((80, 24));
    press(&mut model, "/no tool.output⏎");
    assert_eq!(line(&model), 24);
    press(&mut model, "nn");
    assert_eq!(line(&model), 32);
    press(&mut model, "N");
    assert_eq!(line(&model), 28);
    press(&mut model, "Gn");
    assert_eq!(
        (line(&model), model.message.as_deref()),
        (24, Some("search goes on from the beginning"))
    );
    press(&mut model, "/nothing like this⏎");
    assert_eq!(model.message.as_deref(), Some("no line matches"));
    press(&mut model, "/(⏎");
    assert!(model.message.is_some());
    // a line that is not shown is shown when it is found
    press(&mut model, "g/output_text.delta|arguments.delta⏎");
    assert_eq!(line(&model), 7);
    // an older search has nothing to say
    let before = line(&model);
    update(&mut model, Message::Found(1, 0, vec![44], None));
    assert_eq!(line(&model), before);
}

#[test]
fn filters_folds_and_what_is_hidden() {
    let mut model = second_stream((80, 24));
    let all = model.rows.len();
    press(&mut model, "!");
    assert!(model.rows.len() < all);
    press(&mut model, "!");
    assert_eq!(model.rows.len(), all);
    press(&mut model, "fkind:request call:call_OK⏎");
    assert_eq!(model.filter.words(), "kind:request call:call_OK");
    // the one that carries its output, and the one that goes on without it
    assert_eq!(model.rows.len(), 2);
    press(&mut model, "Ffnonsense⏎");
    assert!(model.message.as_deref().unwrap().contains("nonsense"));
    press(&mut model, "F");
    assert_eq!(model.rows.len(), all);
    press(&mut model, "d");
    assert_eq!(model.rows.len(), model.timeline.entries.len());
    press(&mut model, "dgjz");
    assert_eq!(model.rows.len(), all - 3);
    press(&mut model, "zZ");
    assert!(model.rows.len() < 12);
    press(&mut model, "Z");
    assert_eq!(model.rows.len(), all);
}

#[test]
fn what_is_seen_is_copied_and_written() {
    let mut model = second_stream((80, 24));
    let [Action::Copy(text)] = &press(&mut model, "oy")[..] else {
        panic!()
    };
    assert!(text.contains("touched started") || text.contains("touch started"));
    let [Action::Copy(id)] = &press(&mut model, "Y")[..] else {
        panic!()
    };
    assert_eq!(id, "call_OK");
    let [Action::Write(name, text)] = &press(&mut model, "eout.txx⌫t⏎")[..] else {
        panic!()
    };
    assert_eq!(name, "out.txt");
    assert!(text.contains("call_OK"));
    let [Action::WriteAll(name, _)] = &press(&mut model, "Eall⏎")[..] else {
        panic!()
    };
    assert_eq!(name, "all");
    assert!(press(&mut model, "e⏎").is_empty());
    assert!(press(&mut model, "eabc⎋").is_empty());
    press(&mut model, "q");
    assert!(model.over);
}

#[test]
fn the_mouse_chooses_and_scrolls() {
    let mut model = second_stream((80, 24));
    let mouse = |kind, column, row| {
        Message::Mouse(MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        })
    };
    update(
        &mut model,
        mouse(MouseEventKind::Down(MouseButton::Left), 5, 4),
    );
    assert_eq!(line(&model), 12);
    update(&mut model, mouse(MouseEventKind::ScrollDown, 60, 4));
    assert_eq!((line(&model), model.scroll), (12, 3));
    update(&mut model, mouse(MouseEventKind::ScrollUp, 5, 4));
    assert_eq!(line(&model), 1);
    update(
        &mut model,
        mouse(MouseEventKind::Down(MouseButton::Left), 60, 4),
    );
    assert!(model.in_detail);
}

#[test]
fn a_file_that_grows_is_shown_and_a_torn_end_is_no_harm() {
    let bytes = second_stream_bytes();
    let cut = bytes.len() * 2 / 3;
    let torn = bytes[..cut].to_vec();
    let mut model = model_of(&[("session.jsonl", torn)], (80, 24));
    model.options.follow = true;
    press(&mut model, "G");
    let before = line(&model);
    let mut whole = model_of(&[("session.jsonl", bytes)], (80, 24));
    let sources = std::mem::take(&mut whole.sources);
    update(
        &mut model,
        Message::Loaded(Arc::clone(&whole.timeline), sources),
    );
    // at the end it stays at the end
    assert!(before < 44);
    assert_eq!(line(&model), 44);
    // elsewhere it stays where it was
    press(&mut model, "o");
    let mut again = second_stream((80, 24));
    let sources = std::mem::take(&mut again.sources);
    press(&mut model, "go");
    update(&mut model, Message::Loaded(again.timeline, sources));
    assert_eq!(line(&model), 12);
}

#[test]
fn screens_of_any_size_are_drawn() {
    let mut model = second_stream((80, 24));
    for (width, height) in [(1, 1), (2, 3), (10, 4), (20, 10), (300, 100), (80, 2)] {
        update(&mut model, Message::Resize(width, height));
        for keys in ["", "t", "r", "s", "?", "?", "v", "G"] {
            press(&mut model, keys);
            screen(&model);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_control_character_reaches_the_screen(
        texts in proptest::collection::vec(prop_oneof![any::<String>(), "[\u{0}-\u{1f}\u{7f}-\u{9f}\u{200b}-\u{202e}\u{300}-\u{310}a]{0,40}"], 1..6),
        junk in proptest::collection::vec(any::<u8>(), 0..80),
        keys in "[jkGgxocstrvdzZ\\]\\[.,n?TF!]{0,12}",
    ) {
        let mut bytes = br#"{"kind":"session","format":1}"#.to_vec();
        for (at, text) in texts.iter().enumerate() {
            let text = serde_json::to_string(text).unwrap();
            let event = serde_json::json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "function_call", "call_id": serde_json::from_str::<serde_json::Value>(&text).unwrap(), "name": serde_json::from_str::<serde_json::Value>(&text).unwrap(), "arguments": "{}"}});
            let body = format!("data: {event}\n\n");
            let number = at + 1;
            bytes.extend(format!("\n{{\"kind\":\"request\",\"exchange\":{number},\"at_us\":{number},\"method\":\"POST\",\"path\":\"/v1/responses\",\"headers\":[[\"thread-id\",{text}]],\"body\":{{\"input\":{text}}}}}\n").bytes());
            bytes.extend(format!("{{\"kind\":\"chunk\",\"exchange\":{number},\"at_us\":{number},\"text\":{}}}\n", serde_json::to_string(&body).unwrap()).bytes());
        }
        bytes.extend(junk);
        let name = texts.concat();
        let mut model = model_of(&[(&name, bytes)], (80, 24));
        press(&mut model, &keys);
        let shown = screen(&model);
        prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        let turned = shown.contains(['\u{202e}', '\u{2066}', '\u{200d}', '\u{feff}']);
        prop_assert!(!turned);
    }
}
