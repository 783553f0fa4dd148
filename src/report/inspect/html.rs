//! One page that shows a session in a browser, without network and without foreign script.
//!
//! The session stands in the page as JSON, in blocks that the page parses one at a time; in them `<` is spelled `\u003c`, so
//! that no text ends a block. The page's own script and style are allowed by their hashes and nothing else is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::text::is_quiet;
use super::{fate, half_fate};
use crate::timeline::text::MAX_SHOWN;
use crate::timeline::{Entry, Filter, Happened, Marks, NONE, Source, Timeline, What};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A block of texts is closed when it has so many bytes.
const BLOCK: usize = 128 << 10;

/// So many entries stand in one block.
const ENTRIES: usize = 2000;

/// So much of one entry's text stands in the page: 512 KiB.
const MAX_TEXT: usize = 512 << 10;

/// So many calls are told of; a session with more has its first ones in the picture.
const MAX_CALLS: usize = 100_000;

/// Added to an entry's marks: it is left out unless everything is shown.
const QUIET: u32 = 256;

/// Writes the page.
///
/// # Errors
/// What reading a file again, or writing, returns.
pub fn write(
    out: &mut dyn io::Write,
    timeline: &Timeline,
    sources: &mut [Box<dyn Source>],
    filter: &Filter,
) -> io::Result<()> {
    let name = timeline.files.first().map_or("", |file| &file.name);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src {}; style-src {}; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        hash(SCRIPT),
        hash(STYLE),
        escaped(name)
    )?;
    head(out, timeline)?;
    out.write_all(TOOLS.as_bytes())?;
    // the filter that was given on the command line leaves out what does not pass
    let shown: Vec<u32> = (0..timeline.entries.len() as u32)
        .filter(|at| filter.passes(timeline, *at))
        .collect();
    block(out, "id=\"meta\"", &meta(timeline, &shown))?;
    let mut texts = Texts::default();
    for chunk in shown.chunks(ENTRIES) {
        let mut rows = Vec::with_capacity(chunk.len());
        for &at in chunk {
            let Some(entry) = timeline.entries.get(at as usize) else {
                continue;
            };
            let Some(source) = sources.get_mut(entry.file as usize) else {
                continue;
            };
            let text = timeline.text(entry, source, MAX_SHOWN)?;
            let said = timeline.say_text(entry, &text);
            rows.push(row(timeline, entry, at, &said.title, &said.text));
            let mut whole = text.text;
            let full = whole.len();
            if full > MAX_TEXT {
                let mut end = MAX_TEXT;
                while !whole.is_char_boundary(end) {
                    end -= 1;
                }
                whole.truncate(end);
            }
            if !text.whole || full > MAX_TEXT {
                let _ = write!(whole, "\n… the first part of {} bytes", text.length);
            }
            texts.push(out, whole)?;
        }
        block(out, "class=\"entries\"", &Value::Array(rows))?;
    }
    texts.close(out)?;
    write!(out, "<script>{SCRIPT}</script>\n</body>\n</html>\n")
}

const TOOLS: &str = "<div id=\"tools\">\n\
<label>search <input type=\"text\" id=\"search\" placeholder=\"regular expression\"></label>\n\
<label>filter <input type=\"text\" id=\"filter\" placeholder=\"kind: call: lane: exchange: errors\"></label>\n\
<label><input type=\"checkbox\" id=\"all\"> deltas too</label>\n\
<label><input type=\"checkbox\" id=\"raw\"> as it stands</label>\n\
<label><input type=\"checkbox\" id=\"bytime\"> picture by time</label>\n\
<button id=\"left\" title=\"o, O: next, previous call left open\">! open</button>\n\
<button id=\"cuts\" title=\"c, C: next, previous cut\">✂ cut</button>\n\
<button id=\"refusals\" title=\"x, X: next, previous refusal\">✗ refusal</button>\n\
<button id=\"turns\" title=\"], [: next, previous turn\">turn</button>\n\
<span id=\"said\" role=\"status\" class=\"faint\"></span>\n</div>\n\
<div id=\"picture\"></div>\n\
<main><div id=\"list\" tabindex=\"0\" aria-label=\"timeline\"></div><div id=\"side\"></div></main>\n\
<div id=\"open\" aria-live=\"polite\"></div>\n";

fn head(out: &mut dyn io::Write, timeline: &Timeline) -> io::Result<()> {
    writeln!(out, "<header>")?;
    for file in &timeline.files {
        let kind = match &file.session {
            crate::session::Session::Rollout(rollout) => format!("rollout {}", rollout.era.name()),
            crate::session::Session::Recording(recording)
                if recording.origin == crate::session::exchange::Origin::Events =>
            {
                super::log_words(recording)
            }
            crate::session::Session::Recording(recording) => {
                format!("recording, {} exchanges", recording.exchanges.len())
            }
        };
        writeln!(
            out,
            "<h1>{}</h1><p>{kind}, {} lines, {} open at the end</p>",
            escaped(&file.name),
            file.lines.len(),
            file.open.len()
        )?;
    }
    writeln!(out, "</header>")
}

/// What a text is as HTML; control characters and marks of direction are made visible.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in crate::report::cells(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn hash(text: &str) -> String {
    use base64::Engine as _;
    let digest = Sha256::digest(text.as_bytes());
    let encoded = base64::engine::general_purpose::STANDARD.encode(digest);
    format!("'sha256-{encoded}'")
}

/// Writes a block of data.
fn block(out: &mut dyn io::Write, attributes: &str, value: &Value) -> io::Result<()> {
    writeln!(
        out,
        "<script type=\"application/json\" {attributes}>{}</script>",
        data(&value.to_string())
    )
}

/// JSON that ends no script, and begins no comment, wherever it stands.
fn data(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 16);
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Texts that wait for their block.
#[derive(Default)]
struct Texts {
    waiting: Vec<Value>,
    bytes: usize,
    from: usize,
}

impl Texts {
    fn push(&mut self, out: &mut dyn io::Write, text: String) -> io::Result<()> {
        self.bytes += text.len();
        self.waiting.push(Value::String(text));
        if self.bytes >= BLOCK {
            self.close(out)?;
        }
        Ok(())
    }

    fn close(&mut self, out: &mut dyn io::Write) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (from, to) = (self.from, self.from + self.waiting.len());
        let texts = Value::Array(std::mem::take(&mut self.waiting));
        (self.from, self.bytes) = (to, 0);
        block(
            out,
            &format!("class=\"texts\" data-from=\"{from}\" data-to=\"{to}\""),
            &texts,
        )
    }
}

fn row(timeline: &Timeline, entry: &Entry, at: u32, title: &str, text: &str) -> Value {
    let first = timeline.span().map_or(0, |(first, _)| first);
    let quiet = is_quiet(timeline, entry) && timeline.changes_at(at).is_empty();
    let marks = entry.marks.bits() | if quiet { QUIET } else { 0 };
    json!([
        entry.line,
        entry.time().map(|time| time - first),
        (entry.lane != u16::MAX).then_some(entry.lane),
        entry.file,
        entry.exchange,
        entry.turn,
        entry.what as u8,
        entry.name,
        marks,
        (entry.call != NONE && (entry.call as usize) < MAX_CALLS).then_some(entry.call),
        title,
        text,
    ])
}

fn meta(timeline: &Timeline, shown: &[u32]) -> Value {
    let place = |entry: u32| match shown.binary_search(&entry) {
        Ok(place) => place,
        // what is left out stands where the next entry stands
        Err(place) => place.min(shown.len().saturating_sub(1)),
    };
    let mut spans: BTreeMap<u32, Vec<(usize, Option<usize>, bool)>> = BTreeMap::new();
    for change in timeline.changes() {
        let of = spans.entry(change.call).or_default();
        let at = place(change.entry);
        let half = match change.what {
            Happened::Begun => true,
            Happened::Opened => false,
            Happened::Closed(_) => {
                if let Some(last) = of.last_mut().filter(|last| last.1.is_none()) {
                    last.1 = Some(at);
                }
                continue;
            }
            _ => continue,
        };
        if let Some(last) = of.last_mut().filter(|last| last.1.is_none()) {
            last.1 = Some(at);
        }
        of.push((at, None, half));
    }
    let calls: Vec<Value> = timeline
        .calls
        .iter()
        .enumerate()
        .take(MAX_CALLS)
        .map(|(number, call)| {
            let number = number as u32;
            let ends = if call.opened == NONE {
                half_fate(timeline, number)
            } else {
                fate(timeline, number)
            };
            json!({
                "id": timeline.call_id(number),
                "kind": call.kind.name(),
                "lane": call.lane,
                "fate": ends,
                "spans": spans.get(&number).map_or(&[][..], Vec::as_slice),
            })
        })
        .collect();
    let (first, last) = timeline.span().unwrap_or((0, 0));
    let signs = What::ALL.iter().map(|what| match what {
        What::Request => "▸",
        What::Response | What::Event | What::Body | What::End => "◂",
        _ => " ",
    });
    json!({
        "files": timeline.files.iter().map(|file| json!({"path": file.name})).collect::<Vec<_>>(),
        "lanes": timeline.lanes.iter().map(|lane| json!({"name": lane.name, "parent": lane.parent})).collect::<Vec<_>>(),
        "whats": What::ALL.iter().map(|what| what.name()).collect::<Vec<_>>(),
        "signs": signs.collect::<Vec<_>>(),
        "calls": calls,
        "span": last - first,
        "marks": [Marks::CUT.bits(), Marks::REFUSAL.bits(), Marks::OPEN.bits()],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_have_the_bits_the_script_knows() {
        let bits = [
            Marks::DELTA,
            Marks::TURN,
            Marks::REFUSAL,
            Marks::CUT,
            Marks::OPEN,
            Marks::PROBLEM,
        ];
        assert_eq!(bits.map(Marks::bits), [1, 2, 4, 8, 64, 128]);
        assert!(SCRIPT.contains(
            "DELTA = 1, NEW_TURN = 2, REFUSAL = 4, CUT = 8, OPEN = 64, PROBLEM = 128, QUIET = 256"
        ));
    }

    #[test]
    fn the_script_takes_text_as_text() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "fetch(",
            "XMLHttpRequest",
            "import(",
        ] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
        assert!(!SCRIPT.contains("</script"));
        assert!(!STYLE.contains("</style") && !STYLE.contains("url("));
    }

    proptest! {
        #[test]
        fn data_ends_nothing_and_reads_back(text in any::<String>()) {
            let json = Value::String(format!("</script><!--{text}]]>")).to_string();
            let data = data(&json);
            prop_assert!(!data.contains('<') && !data.contains('>'));
            let back: Value = serde_json::from_str(&data).unwrap();
            prop_assert_eq!(back.to_string(), json);
            let name = escaped(&format!("\"><script>{text}"));
            prop_assert!(!name.contains('<') && !name.contains('"'));
        }
    }
}
