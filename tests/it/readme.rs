//! What the README shows is what the program prints. `REPLAY_README=write cargo test readme` writes it anew.

use crate::support::{root, run, variable};

const FILES: [&str; 2] = ["README.md", "CONTRIBUTING.md"];

/// The arguments of a shell line: words, and texts in single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "a quote is open in {line}");
    words.extend(word);
    words
}

/// What the program prints for a command of a block, data first, as a terminal shows it.
fn answer(command: &str) -> String {
    let arguments = command
        .strip_prefix("replay ")
        .or_else(|| command.strip_prefix("cargo run --release -- "))
        .unwrap_or_else(|| panic!("'{command}' does not run this program"));
    let arguments = words(arguments);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = run(&arguments);
    format!("{}{}", done.out, done.err)
}

/// The text with every answer in its console blocks replaced, and how many there are.
fn answered(text: &str) -> (String, usize) {
    let mut out = String::new();
    let (mut inside, mut commands) = (false, 0);
    for line in text.lines() {
        if line == "```console" {
            inside = true;
        } else if line.starts_with("```") {
            inside = false;
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            commands += 1;
            out.push_str(&format!("{line}\n{}", answer(command)));
            continue;
        } else if inside {
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    (out, commands)
}

#[test]
fn what_is_shown_is_what_is_printed() {
    for name in FILES {
        let path = root().join(name);
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let (now, commands) = answered(&text);
        if name == "README.md" {
            assert!(commands > 0, "{name} shows no command");
        }
        if variable("REPLAY_README").is_some_and(|it| it == "write") {
            std::fs::write(&path, now).unwrap();
            continue;
        }
        for (n, (shown, printed)) in text.lines().zip(now.lines()).enumerate() {
            assert_eq!(shown, printed, "{name}:{}", n + 1);
        }
        assert_eq!(text, now, "{name}");
    }
}

#[test]
fn words_are_those_of_a_shell() {
    assert_eq!(
        words("explain 'a  b' --x  -"),
        ["explain", "a  b", "--x", "-"]
    );
}
