use super::*;
use proptest::prelude::*;

const PARENT: &str = "01a1fa9b-0000-7000-8000-000000000001";
const CHILD: &str = "01a1fa9b-0000-7000-8000-000000000002";
const OTHER: &str = "01b1fa9b-0000-7000-8000-000000000003";
const GRANDCHILD: &str = "01c1fa9b-0000-7000-8000-000000000004";

fn meta_line(id: &str, parent: Option<&str>) -> String {
    let parent = parent.map_or(String::new(), |id| {
        format!(",\"parent_thread_id\":\"{id}\"")
    });
    format!("{{\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\"{parent}}}}}\n")
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let day = home.path().join("sessions/2026/11/20");
    fs::create_dir_all(&day).unwrap();
    fs::create_dir_all(home.path().join("archived_sessions")).unwrap();
    let write = |path: PathBuf, text: &str| fs::write(path, text).unwrap();
    write(
        day.join(format!("rollout-2026-11-20T10-00-00-{PARENT}.jsonl")),
        &format!("{}{{\"call_id\":\"call_X\"}}\n", meta_line(PARENT, None)),
    );
    write(
        day.join(format!("rollout-2026-11-20T10-05-00-{CHILD}.jsonl")),
        &meta_line(CHILD, Some(PARENT)),
    );
    write(
        day.join(format!("rollout-2026-11-20T10-06-00-{GRANDCHILD}.jsonl")),
        &meta_line(GRANDCHILD, Some(CHILD)),
    );
    let cold = zstd::encode_all(
        format!("{}call_X call_Y\n", meta_line(OTHER, None)).as_bytes(),
        3,
    )
    .unwrap();
    let archive = home.path().join("archived_sessions");
    fs::write(
        archive.join(format!("rollout-2026-10-01T09-00-00-{OTHER}.jsonl.zst")),
        cold,
    )
    .unwrap();
    for name in [
        "history.jsonl",
        "session_index.jsonl",
        "sessions/state_5.sqlite",
        "sessions/2026/11/20/rollout-2026-11-20T10-00-00-x.timers.json",
    ] {
        write(home.path().join(name), "{}\n");
    }
    home
}

fn ids(found: &[Found]) -> Vec<(&str, Option<&str>)> {
    let ids = found
        .iter()
        .map(|file| (file.thread_id.as_str(), file.child_of.as_deref()));
    ids.collect()
}

#[test]
fn a_thread_is_found_with_those_it_spawned() {
    let home = home();
    let found = find_thread(home.path(), "01A1FA9B-0000-7000-8000-000000000001").unwrap();
    assert_eq!(
        ids(&found),
        vec![
            (PARENT, None),
            (CHILD, Some(PARENT)),
            (GRANDCHILD, Some(CHILD))
        ]
    );
    assert_eq!(found[0].kind, Kind::Live);
    let other = find_thread(home.path(), "01b1").unwrap();
    assert_eq!(ids(&other), vec![(OTHER, None)]);
    assert_eq!(other[0].kind, Kind::Compressed);
}

#[test]
fn a_beginning_must_be_of_one_thread() {
    let home = home();
    let error = find_thread(home.path(), "01a1").unwrap_err();
    assert!(
        matches!(&error, LocateError::Ambiguous { threads, .. } if threads.len() == 2),
        "{error}"
    );
    for wanted in ["ffff", ""] {
        let error = find_thread(home.path(), wanted).unwrap_err();
        assert!(matches!(error, LocateError::None { .. }), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(last(empty.path()).is_err());
}

#[test]
fn the_last_thread_is_one_that_nobody_spawned() {
    let home = home();
    let found = last(home.path()).unwrap();
    // the compressed one was written last and has no parent
    assert!([PARENT, OTHER].contains(&found.thread_id.as_str()));
}

#[test]
fn calls_are_found_in_plain_and_compressed_files() {
    let home = home();
    let found = find_call(home.path(), "call_X").unwrap();
    assert_eq!(ids(&found), vec![(PARENT, None), (OTHER, None)]);
    assert_eq!(
        ids(&find_call(home.path(), "call_Y").unwrap()),
        vec![(OTHER, None)]
    );
    assert!(find_call(home.path(), "call_Z").is_err());
}

#[test]
fn only_rollouts_are_listed_and_plain_ones_win() {
    let home = home();
    let files = rollout_files(home.path()).unwrap();
    assert_eq!(files.len(), 4);
    assert!(files.is_sorted());
    fs::copy(&files[0], files[0].with_extension("")).unwrap();
    assert_eq!(rollout_files(home.path()).unwrap().len(), 4);
    assert_eq!(rollout_files(&files[1]).unwrap(), vec![files[1].clone()]);
    let error = rollout_files(&home.path().join("absent")).unwrap_err();
    assert!(error.to_string().contains("absent"));
}

#[test]
fn names_of_every_year_are_read() {
    let id = |name: &str| thread_id(Path::new(name)).map(str::to_owned);
    for name in [
        format!("rollout-2025-04-20-{PARENT}.json"),
        format!("rollout-2025-05-08-{PARENT}.jsonl"),
        format!("rollout-2025-07-01T10-00-00-{PARENT}.jsonl"),
        format!("rollout-2025-07-01T10-00-00-{PARENT}.jsonl.zst"),
    ] {
        assert_eq!(id(&name).as_deref(), Some(PARENT), "{name}");
    }
    for name in ["rollout-x.jsonl", "history.jsonl", "rollout-é.jsonl"] {
        assert_eq!(id(name), None, "{name}");
    }
    assert_eq!(stem(Path::new("rollout.jsonl")), Some("rollout"));
    assert_eq!(stem(Path::new("rollout-1.timers.json")), None);
}

#[test]
fn the_library_opens_what_a_fork_begins_in() {
    let home = home();
    let library = HomeLibrary::new(home.path());
    let (path, mut reader) = library.open(OTHER).unwrap().unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(path.contains(OTHER) && text.starts_with("{\"type\""));
    assert!(library.open("nobody").unwrap().is_none());
}

proptest! {
    #[test]
    fn a_text_is_found_across_pieces(before in 0..600_000_usize, text in "[a-z]{1,20}") {
        let mut bytes = vec![b'0'; before];
        prop_assert!(!contains(bytes.as_slice(), text.as_bytes()).unwrap());
        bytes.extend_from_slice(text.as_bytes());
        prop_assert!(contains(bytes.as_slice(), text.as_bytes()).unwrap());
    }
}
