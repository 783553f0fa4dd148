//! The rules of the house: who may import whom, who may name what, how long a file is, what the repository may hold.

use std::path::{Path, PathBuf};

use crate::support::{root, unzstd};

/// The rooms in the order in which they may import each other: each imports only those before it.
const ROOMS: &str = "ids clock redact wire events rollout session locate ledger contract endpoint strategy diff timeline \
    check repair sweep shrink convert proxy client mock record replay serve trial report inspect cli";

/// Crates that only some rooms may name.
const CRATES: [(&str, &str); 16] = [
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli"),
    ("indicatif", "cli"),
    ("hyper", ASYNC),
    ("hyper_util", ASYNC),
    ("http_body_util", ASYNC),
    ("socket2", ASYNC),
    ("notify", "client"),
    ("rustix", ASYNC),
    (
        "signal_hook",
        "proxy client mock record replay serve trial inspect",
    ),
    ("tokio", ASYNC),
    ("tokio_rustls", ASYNC),
    ("tokio_tungstenite", ASYNC),
    ("ratatui", "inspect"),
    ("quick_junit", "report"),
];

/// The rooms that know sockets.
const ASYNC: &str = "proxy client mock record replay serve trial";

const LONGEST_FILE: usize = 600;

fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap();
    path.to_string_lossy().replace('\\', "/")
}

/// A source file without comments and without what is compiled for tests only.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        if line.trim() == "#[cfg(test)]" {
            // the item behind it: up to the brace that closes it, or the semicolon that ends it
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            for inner in lines.by_ref() {
                if inner == end || (inner.ends_with(';') && !inner.starts_with(' ')) {
                    break;
                }
            }
            continue;
        }
        code.push_str(line);
        code.push('\n');
    }
    code
}

/// The sources that are not only tests, with the room they belong to.
fn sources() -> Vec<(String, String, String)> {
    files("src")
        .into_iter()
        .map(|path| name(&path))
        .filter(|name| name.ends_with(".rs"))
        .filter(|name| !name.contains("/tests") && !name.ends_with("_test.rs"))
        .filter(|name| name != "src/convert/corpus.rs")
        .map(|name| {
            let room = name["src/".len()..]
                .split(['/', '.'])
                .next()
                .unwrap()
                .to_owned();
            let text = std::fs::read_to_string(root().join(&name)).unwrap();
            (name, room, code(&text))
        })
        .collect()
}

/// The rooms a file names: `crate::room`, also inside `use crate::{…}`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in code.split("crate::").skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            found.extend(word.split(',').filter_map(first_word));
        } else {
            found.extend(first_word(part));
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

fn names(code: &str, krate: &str) -> bool {
    code.match_indices(krate).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let behind = &code[at + krate.len()..];
        let whole = !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '"');
        whole && (behind.starts_with("::") || behind.starts_with(';') || behind.starts_with(" as "))
    })
}

#[test]
fn rooms_import_only_rooms_before_them() {
    let order: Vec<&str> = ROOMS.split_whitespace().collect();
    let place = |room: &str| order.iter().position(|it| *it == room);
    let mut off = Vec::new();
    let mut seen = 0;
    for (name, room, code) in sources() {
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let Some(own) = place(&room) else {
            off.push(format!("{name}: the room {room} has no place in the order"));
            continue;
        };
        for import in imports(&code) {
            seen += 1;
            match place(&import) {
                Some(other) if other < own || import == room => {}
                Some(_) => off.push(format!("{name} imports {import}, which comes after {room}")),
                None => off.push(format!("{name} imports {import}, which is no room")),
            }
        }
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
    assert!(seen > 100, "{seen} imports");
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut off = Vec::new();
    for (name, room, code) in sources() {
        for (krate, home) in CRATES {
            let at_home = home.split(' ').any(|it| it == room);
            if !at_home && names(&code, krate) {
                off.push(format!("{name} names {krate}; only {home} may"));
            }
        }
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
}

#[test]
fn files_are_short() {
    let mut off = Vec::new();
    for (name, _, _) in sources() {
        let text = std::fs::read_to_string(root().join(&name)).unwrap();
        let lines = text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]")
            .count();
        if lines > LONGEST_FILE {
            off.push(format!("{name} has {lines} lines"));
        }
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
}

#[test]
fn every_file_of_these_tests_is_a_part_of_them() {
    let main = std::fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    for path in files("tests/it") {
        let name = name(&path);
        if let Some(module) = name
            .strip_prefix("tests/it/")
            .and_then(|it| it.strip_suffix(".rs"))
        {
            let declared = main.lines().any(|line| line == format!("mod {module};"));
            assert!(declared || module == "main", "{name} is not compiled");
        }
        assert!(!name.ends_with(".snap.new"), "{name} waits to be read");
    }
}

/// Everything that is in the repository, as far as the file system tells.
fn repository() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.file_name().is_some_and(|name| name != ".git"))
        .collect();
    for folder in ["src", "tests", "rollouts", "benches", "docs", ".ci", "fuzz"] {
        if root().join(folder).is_dir() {
            found.extend(files(folder));
        }
    }
    found.retain(|path| !path.components().any(|part| part.as_os_str() == "target"));
    found
}

/// Whether a text speaks of a place on the machine it was written on. The lab's own `/lab/work` is none.
fn place_in(text: &str) -> Option<&'static str> {
    // spelled in two parts: this file is looked at as well
    let places = [
        concat!("/wo", "rk/"),
        concat!("/fa", "rm/"),
        concat!("../sha", "red"),
        concat!("/home/", "user"),
        concat!("/Use", "rs/"),
    ];
    places.into_iter().find(|place| {
        text.match_indices(place).any(|(at, _)| {
            let before = &text[..at];
            !before.ends_with("/lab")
                && !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
        })
    })
}

/// A text that looks like a secret.
fn secret_in(text: &str) -> Option<String> {
    let starts = [
        concat!("Bear", "er "),
        concat!("bear", "er "),
        "sk-",
        "sess-",
        "ghp_",
        "eyJ",
    ];
    for start in starts {
        for (at, _) in text.match_indices(start) {
            let word_before = text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
            let behind: String = text[at + start.len()..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
                .collect();
            let digits = behind.chars().any(|c| c.is_ascii_digit());
            if !word_before && behind.len() >= 16 && digits {
                return Some(format!("{start}{behind}"));
            }
        }
    }
    None
}

#[test]
fn the_repository_holds_nothing_of_this_machine() {
    let mut off = Vec::new();
    let mut captures = 0;
    for path in repository() {
        let name = name(&path);
        let size = std::fs::metadata(&path).unwrap().len();
        if size > 1_000_000 {
            off.push(format!("{name} has {size} bytes"));
        }
        let bytes = if name.ends_with(".zst") {
            captures += 1;
            unzstd(&path).unwrap()
        } else {
            std::fs::read(&path).unwrap()
        };
        let text = String::from_utf8_lossy(&bytes);
        if let Some(place) = place_in(&text) {
            off.push(format!("{name} speaks of {place}"));
        }
        let of_a_client = name.starts_with("rollouts/") || name.starts_with("tests/captures/");
        if let Some(secret) = secret_in(&text).filter(|_| of_a_client) {
            off.push(format!("{name} holds {secret}"));
        }
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
    assert!(captures > 200, "{captures} captures");
}

#[test]
fn the_rules_see_what_they_should() {
    assert_eq!(
        imports("use crate::{wire::{item, event}, ids};\nlet x = crate::cli::run();"),
        ["wire", "ids", "cli"]
    );
    assert_eq!(
        code("a\n// b\n#[cfg(test)]\nmod tests {\n    x\n}\nc\n"),
        "a\nc\n"
    );
    assert_eq!(code("a\n#[cfg(test)]\nmod tests;\nc\n"), "a\nc\n");
    assert!(names("use clap::Parser;", "clap") && !names("use clap_mangen::Man;", "clap"));
    assert!(place_in(concat!("\"/wo", "rk/main\"")).is_some());
    assert!(place_in(concat!("\"/lab/wo", "rk/cwd\"")).is_none());
    assert!(secret_in(concat!("\"Bear", "er abcdefghijklmnop1234\"")).is_some());
    assert!(secret_in("the Bearer of bad news, a task-specific one").is_none());
}
