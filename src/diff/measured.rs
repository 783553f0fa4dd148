//! What Codex measures and dates in texts, and what is left of them without it.

use std::borrow::Cow;

use super::named::process;

/// How a line begins that tells of a process that was left running.
pub(super) const RUNNING: &str = "Process running with session ID ";

/// Lines that begin the text of a Codex tool's output.
pub(super) const HEADER: [&str; 13] = [
    "Chunk ID: ",
    "Exit code: ",
    "Original token count: ",
    "Process exited with code ",
    "Process running with session ID ",
    // its JavaScript tool
    "Script completed\n",
    "Script failed\n",
    "Script running with cell ID ",
    "Script terminated\n",
    "Total output lines: ",
    "Wall time ",
    "Wall time: ",
    "Output:",
];

/// The text of a message without the day on which Codex says that it was sent.
pub(super) fn without_date(text: &str) -> Cow<'_, str> {
    const OPEN: &str = "<current_date>";
    const CLOSE: &str = "</current_date>";
    if !text.trim_start().starts_with("<environment_context>") {
        return Cow::Borrowed(text);
    }
    let Some((before, (date, behind))) = text
        .split_once(OPEN)
        .and_then(|(before, rest)| Some((before, rest.split_once(CLOSE)?)))
    else {
        return Cow::Borrowed(text);
    };
    if date.len() != 10 || !date.bytes().all(|it| it.is_ascii_digit() || it == b'-') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{before}{OPEN}…{CLOSE}{behind}"))
}

/// The output of a Codex tool without chunk id and wall time: only in its header, not in what the tool wrote.
pub(super) fn without_times(text: &str) -> Cow<'_, str> {
    if let Some(rest) = text.strip_prefix("aborted by user after ")
        && rest
            .strip_suffix('s')
            .is_some_and(|it| it.parse::<f64>().is_ok())
    {
        return Cow::Borrowed("aborted by user after …");
    }
    if !HEADER.iter().any(|start| text.starts_with(start)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.find('\n').map_or(rest.len(), |at| at + 1));
        if !HEADER.iter().any(|start| line.starts_with(start)) {
            break;
        }
        rest = behind;
        let end = if line.ends_with('\n') { "\n" } else { "" };
        if line.starts_with("Wall time ") {
            out.push_str("Wall time …");
            out.push_str(end);
            continue;
        }
        match line.split_once(": ") {
            _ if line.starts_with(RUNNING) => {
                let (words, number) = line.trim_end().rsplit_once(' ').unwrap_or((line, ""));
                out.push_str(words);
                out.push(' ');
                out.push_str(&process(number));
                out.push_str(end);
            }
            Some((name @ ("Chunk ID" | "Wall time"), _)) => {
                out.push_str(name);
                out.push_str(": …");
                out.push_str(end);
            }
            _ => out.push_str(line),
        }
        if line.starts_with("Output:") {
            break;
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_out_of_headers_only() {
        assert_eq!(
            without_times("Chunk ID: abc\nWall time: 0.1 seconds\nOutput:\nWall time: 3\n"),
            "Chunk ID: …\nWall time: …\nOutput:\nWall time: 3\n"
        );
        assert_eq!(
            without_times("Wall time: 0.8 seconds\naborted by user"),
            "Wall time: …\naborted by user"
        );
        assert_eq!(without_times("ok\nWall time: 3"), "ok\nWall time: 3");
        assert_eq!(
            without_times("aborted by user after 3.8s"),
            "aborted by user after …"
        );
    }

    #[test]
    fn the_javascript_tool_has_a_header_of_its_own() {
        assert_eq!(
            without_times("Script completed\nWall time 0.3 seconds\nOutput:\nWall time 1\n"),
            "Script completed\nWall time …\nOutput:\nWall time 1\n"
        );
        assert_eq!(
            without_times("Script completed twice"),
            "Script completed twice"
        );
    }
}
