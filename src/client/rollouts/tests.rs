use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::client::{Direction, EventSource};

/// What a sink is told, as text.
struct Notes(Mutex<Sender<String>>);

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().unwrap().send(text).unwrap();
    }
}

impl Sink for Notes {
    fn rollout_file(&self, path: &str, line: u32, byte: u64) {
        self.note(format!("{path} from {line} at {byte}"));
    }

    fn rollout(&self, path: &str, line: u32, bytes: &[u8]) {
        let name = path.rsplit('/').next().unwrap();
        self.note(format!("{name} {line}: {}", String::from_utf8_lossy(bytes)));
    }

    fn client_event(&self, source: EventSource, direction: Direction, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.note(format!("{} {}: {text}", source.name(), direction.name()));
    }

    fn trouble(&self, text: &str) {
        self.note(format!("trouble: {text}"));
    }
}

fn notes() -> (Arc<dyn Sink>, Receiver<String>) {
    let (sender, receiver) = channel();
    (Arc::new(Notes(Mutex::new(sender))), receiver)
}

/// The next notes. The time is only there to end a test that has failed.
fn next<const N: usize>(notes: &Receiver<String>) -> [String; N] {
    std::array::from_fn(|_| notes.recv_timeout(Duration::from_secs(20)).unwrap())
}

fn rest(notes: &Receiver<String>) -> Vec<String> {
    notes.try_iter().collect()
}

fn append(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn follow(home: &Path, sink: &Arc<dyn Sink>) -> Follower {
    let follow = Follow {
        home: Some(home.to_owned()),
        tui_log: None,
    };
    Follower::start(follow, sink)
}

/// What is told of a change that is made while nothing else happens, with the last look alone.
fn told(home: &Path, change: impl FnOnce()) -> Vec<String> {
    let (sink, notes) = notes();
    let mut tree = tree(home, &sink);
    change();
    tree.finish();
    rest(&notes)
}

/// A tree that remembers what is there, and that nobody tells of changes.
fn tree(home: &Path, sink: &Arc<dyn Sink>) -> Tree {
    let follow = Follow {
        home: Some(home.to_owned()),
        tui_log: None,
    };
    let mut tree = Tree::new(follow, Arc::clone(sink));
    tree.remember();
    tree
}

const DAY: &str = "sessions/2026/11/20";

#[test]
fn lines_are_told_as_they_are_written() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("sessions")).unwrap();
    let (sink, notes) = notes();
    let follower = follow(home.path(), &sink);
    // a new day's folders, and a file in them at once
    let file = home.path().join(DAY).join("rollout-a.jsonl");
    append(&file, "{\"a\":1}\n{\"b\"");
    assert_eq!(
        next(&notes),
        [
            format!("{DAY}/rollout-a.jsonl from 1 at 0"),
            "rollout-a.jsonl 1: {\"a\":1}".to_owned()
        ]
    );
    append(&file, ":2}\n");
    assert_eq!(next(&notes), ["rollout-a.jsonl 2: {\"b\":2}"]);
    // a sub-agent's
    append(&file.with_file_name("rollout-b.jsonl"), "x\n");
    assert_eq!(
        next(&notes),
        [
            format!("{DAY}/rollout-b.jsonl from 1 at 0"),
            "rollout-b.jsonl 1: x".to_owned()
        ]
    );
    // unfinished at the end
    append(&file, "to");
    append(&file, "rn");
    follower.finish();
    assert_eq!(rest(&notes), ["rollout-a.jsonl 3: torn"]);
}

#[test]
fn a_home_may_come_into_being_later() {
    let parent = TempDir::new().unwrap();
    let home = parent.path().join("home");
    let (sink, notes) = notes();
    let follower = follow(&home, &sink);
    append(&home.join("sessions/rollout-a.jsonl"), "one\n");
    let expected = [
        "sessions/rollout-a.jsonl from 1 at 0",
        "rollout-a.jsonl 1: one",
    ];
    assert_eq!(next(&notes), expected);
    append(&home.join("archived_sessions/rollout-b.jsonl"), "two\n");
    let expected = [
        "archived_sessions/rollout-b.jsonl from 1 at 0",
        "rollout-b.jsonl 1: two",
    ];
    assert_eq!(next(&notes), expected);
    follower.finish();
    assert_eq!(rest(&notes), [""; 0]);
}

#[test]
fn what_was_there_is_not_told_and_growth_begins_at_its_line() {
    let home = TempDir::new().unwrap();
    let old = home.path().join(DAY).join("rollout-old.jsonl");
    append(&old, "one\ntwo\n");
    append(&old.with_file_name("rollout-other.jsonl"), "one\n");
    let (sink, notes) = notes();
    let follower = follow(home.path(), &sink);
    append(&old, "three\n");
    let mark = format!("{DAY}/rollout-old.jsonl from 3 at 8");
    assert_eq!(
        next(&notes),
        [mark, "rollout-old.jsonl 3: three".to_owned()]
    );
    follower.finish();
    assert_eq!(rest(&notes), [""; 0]);
}

#[test]
fn a_line_that_was_unfinished_is_told_whole() {
    let home = TempDir::new().unwrap();
    let old = home.path().join("sessions/rollout-old.jsonl");
    append(&old, "one\n{\"cut");
    let notes = told(home.path(), || append(&old, "\ntwo\n"));
    let expected = [
        "sessions/rollout-old.jsonl from 2 at 4",
        "rollout-old.jsonl 2: {\"cut",
        "rollout-old.jsonl 3: two",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn a_file_that_is_cut_or_replaced_begins_anew() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("sessions/rollout-a.jsonl");
    append(&path, "one\ntwo\n");
    let (sink, notes) = notes();
    let mut tree = tree(home.path(), &sink);
    let mut watch = Watch::new(channel().0);
    append(&path, "three");
    tree.look_everywhere(&mut watch);
    assert_eq!(rest(&notes), ["sessions/rollout-a.jsonl from 3 at 8"]);
    fs::write(&path, "new\n").unwrap();
    tree.look_everywhere(&mut watch);
    let expected = [
        "rollout-a.jsonl 3: three",
        "sessions/rollout-a.jsonl from 1 at 0",
        "rollout-a.jsonl 1: new",
    ];
    assert_eq!(rest(&notes), expected);
    // another file of the same length in its place
    let other = home.path().join("other");
    fs::write(&other, "wen\n").unwrap();
    fs::rename(other, &path).unwrap();
    tree.finish();
    let expected = [
        "sessions/rollout-a.jsonl from 1 at 0",
        "rollout-a.jsonl 1: wen",
    ];
    assert_eq!(rest(&notes), expected);
}

#[test]
fn a_file_that_is_archived_goes_on_where_it_was() {
    let home = TempDir::new().unwrap();
    let live = home.path().join("sessions/rollout-a.jsonl");
    let still = home.path().join("sessions/rollout-still.jsonl");
    append(&live, "one\n");
    append(&still, "one\n");
    let (sink, notes) = notes();
    let mut tree = tree(home.path(), &sink);
    append(&live, "two\nth");
    tree.look_everywhere(&mut Watch::new(channel().0));
    let expected = [
        "sessions/rollout-a.jsonl from 2 at 4",
        "rollout-a.jsonl 2: two",
    ];
    assert_eq!(rest(&notes), expected);
    let archive = home.path().join("archived_sessions");
    fs::create_dir(&archive).unwrap();
    for file in [&live, &still] {
        fs::rename(file, archive.join(file.file_name().unwrap())).unwrap();
    }
    append(&archive.join("rollout-a.jsonl"), "ree\n");
    tree.finish();
    let expected = [
        "archived_sessions/rollout-a.jsonl from 3 at 8",
        "rollout-a.jsonl 3: three",
    ];
    assert_eq!(rest(&notes), expected);
}

#[test]
fn a_file_of_another_name_is_another_file() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("sessions/rollout-a.jsonl");
    append(&path, "one\n");
    let notes = told(home.path(), || {
        fs::rename(&path, path.with_file_name("rollout-b.jsonl")).unwrap();
    });
    let expected = [
        "sessions/rollout-b.jsonl from 1 at 0",
        "rollout-b.jsonl 1: one",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn a_document_is_told_once_at_the_end() {
    let home = TempDir::new().unwrap();
    let sessions = home.path().join("sessions");
    append(&sessions.join("rollout-old.json"), "{}");
    append(&sessions.join("rollout-same.json"), "{}");
    let notes = told(home.path(), || {
        fs::write(
            sessions.join("rollout-old.json"),
            "{\n  \"a b\": [1.50, \"\\\" \\\\\"]\n}\n",
        )
        .unwrap();
        fs::write(sessions.join("rollout-new.json"), "{ \"unfinished").unwrap();
    });
    let expected = [
        "sessions/rollout-new.json from 1 at 0",
        "rollout-new.json 1: { \"unfinished",
        "sessions/rollout-old.json from 1 at 0",
        "rollout-old.json 1: {\"a b\":[1.50,\"\\\" \\\\\"]}",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn only_rollouts_are_read() {
    let home = TempDir::new().unwrap();
    let sessions = home.path().join("sessions");
    let notes = told(home.path(), || {
        for name in [
            "rollout-a.timers.json",
            "rollout-a.jsonl.zst",
            "rollout-a.jsonl.tmp",
            "history.jsonl",
            ".rollout-a.jsonl",
        ] {
            append(&sessions.join(name), "{}\n");
        }
        append(&home.path().join("history.jsonl"), "{}\n");
        fs::create_dir(sessions.join("rollout-folder.jsonl")).unwrap();
    });
    assert_eq!(notes, [""; 0]);
}

#[cfg(unix)]
#[test]
fn no_link_is_followed_out_of_the_home() {
    use std::os::unix::fs::symlink;
    let outside = TempDir::new().unwrap();
    append(&outside.path().join("rollout-a.jsonl"), "secret\n");
    let home = TempDir::new().unwrap();
    let sessions = home.path().join("sessions");
    fs::create_dir(&sessions).unwrap();
    let notes = told(home.path(), || {
        symlink(outside.path(), sessions.join("2026")).unwrap();
        symlink(
            outside.path().join("rollout-a.jsonl"),
            sessions.join("rollout-b.jsonl"),
        )
        .unwrap();
        symlink(outside.path(), home.path().join("archived_sessions")).unwrap();
    });
    let root = home
        .path()
        .canonicalize()
        .unwrap()
        .join("archived_sessions");
    let trouble = format!(
        "trouble: rollouts are not followed: {} leads out of the home",
        root.display()
    );
    assert_eq!(notes, [trouble]);
}

#[cfg(unix)]
#[test]
fn the_home_itself_may_be_a_link() {
    let real = TempDir::new().unwrap();
    let parent = TempDir::new().unwrap();
    let home = parent.path().join("link");
    std::os::unix::fs::symlink(real.path(), &home).unwrap();
    let (sink, notes) = notes();
    let follower = follow(&home, &sink);
    append(&home.join(DAY).join("rollout-a.jsonl"), "one\n");
    let mark = format!("{DAY}/rollout-a.jsonl from 1 at 0");
    assert_eq!(next(&notes), [mark, "rollout-a.jsonl 1: one".to_owned()]);
    follower.finish();
}

#[test]
fn a_session_log_is_told_as_events() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("tui.jsonl");
    append(&log, "of an earlier run, longer than what follows\n");
    let (sink, notes) = notes();
    let follow = Follow {
        home: None,
        tui_log: Some(log.clone()),
    };
    let follower = Follower::start(follow, &sink);
    fs::write(&log, "{\"dir\":\"meta\"}\n").unwrap();
    assert_eq!(next(&notes), ["tui-log out: {\"dir\":\"meta\"}"]);
    append(&log, "{\"dir\":\"to_tui\"}\nend");
    assert_eq!(next(&notes), ["tui-log out: {\"dir\":\"to_tui\"}"]);
    follower.finish();
    assert_eq!(rest(&notes), ["tui-log out: end"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn however_a_file_grows_its_lines_are_told_once(
        before in "[ab\n]{0,12}", pieces in prop::collection::vec(("[ab\n]{0,8}", any::<bool>()), 0..8),
    ) {
        let home = TempDir::new().unwrap();
        let path = home.path().join("sessions/rollout-a.jsonl");
        append(&path, &before);
        let (sink, notes) = notes();
        let mut tree = tree(home.path(), &sink);
        let mut whole = before.clone();
        for (piece, look) in &pieces {
            append(&path, piece);
            whole.push_str(piece);
            if *look {
                tree.look_everywhere(&mut Watch::new(channel().0));
            }
        }
        tree.finish();
        let kept = before.matches('\n').count();
        let lines: Vec<String> = whole.lines().enumerate().skip(kept)
            .map(|(at, line)| format!("rollout-a.jsonl {}: {line}", at + 1)).collect();
        let told: Vec<String> = rest(&notes).into_iter().filter(|it| !it.contains(" from ")).collect();
        prop_assert_eq!(told, if whole == before { Vec::new() } else { lines });
    }
}
