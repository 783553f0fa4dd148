//! A transcript for people, with open calls marked.

use std::fmt::Write as _;
use std::io;

use super::{clock, fate, half_fate};
use crate::report::safe;
use crate::report::style::Paint;
use crate::session::Session;
use crate::session::exchange::Origin;
use crate::timeline::{Clock, Entry, Filter, Happened, Marks, NONE, Source, Timeline, What};

/// Events that say nothing that another entry does not say.
const QUIET: [&str; 12] = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.done",
    "response.function_call_arguments.done",
    "response.custom_tool_call_input.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "response.reasoning_summary_text.done",
    "response.refusal.done",
];

/// Whether an entry is left out of a short transcript. What marks something is never left out.
pub fn is_quiet(timeline: &Timeline, entry: &Entry) -> bool {
    let telling = Marks::CUT
        .with(Marks::REFUSAL)
        .with(Marks::OPEN)
        .with(Marks::TURN)
        .with(Marks::PROBLEM);
    if entry.marks.has(telling) {
        return false;
    }
    match entry.what {
        What::Event => {
            entry.marks.has(Marks::DELTA) || QUIET.contains(&timeline.names.get(entry.name))
        }
        What::EventLine | What::Other => entry.call == NONE,
        What::State | What::TurnContext | What::Connection => true,
        What::Response => timeline.names.get(entry.name) == "response 200",
        What::End => timeline.names.get(entry.name) == "complete",
        _ => false,
    }
}

/// Writes the transcript.
///
/// # Errors
/// What reading a file again, or writing, returns.
pub fn write(
    out: &mut dyn io::Write,
    timeline: &Timeline,
    sources: &mut [Box<dyn Source>],
    filter: &Filter,
    paint: Paint,
    verbose: bool,
) -> io::Result<()> {
    head(out, timeline, paint)?;
    let many = timeline.lanes.len() > 1;
    for (at, entry) in timeline.entries.iter().enumerate() {
        let at = at as u32;
        if !filter.passes(timeline, at) {
            continue;
        }
        let changes = timeline.changes_at(at);
        if !verbose && is_quiet(timeline, entry) && changes.is_empty() {
            continue;
        }
        if entry.marks.has(Marks::TURN) {
            let lane = if many {
                format!(
                    " · {} {}",
                    letter(entry.lane),
                    safe(timeline.lane_name(entry.lane))
                )
            } else {
                String::new()
            };
            writeln!(
                out,
                "\n{}{lane}",
                paint.heading(format!("turn {}", entry.turn))
            )?;
        }
        let said = match sources.get_mut(entry.file as usize) {
            Some(source) => timeline.say(at, source)?,
            None => crate::timeline::Said::default(),
        };
        let time = clock(timeline, entry.time());
        let mark = mark(entry);
        let mut words = format!("{} {}", safe(&said.title), safe(&said.text));
        if entry.what == What::Event && entry.marks.has(Marks::CUT) {
            words.push_str(" (the stream breaks off here)");
        }
        let painted = if entry.marks.has(Marks::REFUSAL.with(Marks::CUT)) {
            paint.bad(words.trim_end())
        } else {
            words.trim_end().to_owned()
        };
        let lane = if many {
            format!("{} ", letter(entry.lane))
        } else {
            String::new()
        };
        let line = if timeline.files.len() > 1 {
            format!("{}:{}", entry.file + 1, entry.line)
        } else {
            entry.line.to_string()
        };
        writeln!(out, "{line:>7}  {time:>10}  {lane}{mark} {painted}")?;
        for change in changes {
            let id = safe(timeline.call_id(change.call));
            let words = match change.what {
                Happened::Begun => continue,
                Happened::Opened => paint.careful(format!("○ open: {id}")),
                Happened::Closed(how) => paint.good(format!("● closed: {id} ({})", how.name())),
                Happened::Hidden => format!("· {id}: not in what would be sent next"),
                Happened::Shown => format!("· {id}: in what would be sent next again"),
                Happened::ToolBegan => format!("· {id}: tool began"),
                Happened::ToolEnded => format!("· {id}: tool finished"),
                Happened::OnDisk => format!("· {id}: output on disk"),
            };
            let indent = if many { 23 } else { 21 };
            writeln!(out, "{:>indent$}  {words}", "")?;
        }
    }
    end(out, timeline, paint)
}

/// A letter for a lane, where there are several.
pub fn letter(lane: u16) -> char {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if lane == u16::MAX {
        return ' ';
    }
    LETTERS.chars().nth(lane as usize % 26).unwrap_or(' ')
}

/// A sign for what an entry marks, so that nothing is said by colour alone.
pub fn mark(entry: &Entry) -> char {
    if entry.marks.has(Marks::REFUSAL) {
        '✗'
    } else if entry.marks.has(Marks::CUT) {
        '✂'
    } else if entry.marks.has(Marks::OPEN) {
        '!'
    } else {
        match entry.what {
            What::Request => '▸',
            What::Response | What::Event | What::Body | What::End => '◂',
            _ => ' ',
        }
    }
}

fn head(out: &mut dyn io::Write, timeline: &Timeline, paint: Paint) -> io::Result<()> {
    for (number, file) in timeline.files.iter().enumerate() {
        if timeline.files.len() > 1 {
            write!(out, "{}: ", number + 1)?;
        }
        let kind = match &file.session {
            Session::Rollout(rollout) => format!("rollout {}", rollout.era.name()),
            Session::Recording(recording) if recording.origin == Origin::Events => {
                super::log_words(recording)
            }
            Session::Recording(recording) => {
                let count = recording.exchanges.len();
                format!(
                    "recording · {count} exchange{}",
                    if count == 1 { "" } else { "s" }
                )
            }
        };
        let open = file.open.len();
        let mut line = format!(
            "{}  {}",
            paint.heading(safe(&file.name)),
            paint.faint(format!("{kind} · {} lines", file.lines.len()))
        );
        match file.clock {
            Clock::Own => {}
            Clock::Matched => line.push_str(" · times by what it shares with the others"),
            Clock::Shifted => line.push_str(" · its clock moved to that of the others"),
            Clock::None => line.push_str(" · no times"),
        }
        if open > 0 {
            let _ = write!(line, " · {}", paint.bad(format!("{open} open at the end")));
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn end(out: &mut dyn io::Write, timeline: &Timeline, paint: Paint) -> io::Result<()> {
    let last = timeline.entries.len().saturating_sub(1) as u32;
    let open = timeline.state_at(last);
    if !open.is_empty() {
        writeln!(out, "\n{}", paint.heading("open at the end"))?;
    }
    for pending in open {
        writeln!(out, "  {}", safe(&super::pending(timeline, &pending)))?;
        writeln!(
            out,
            "    {}",
            safe(&if pending.half {
                half_fate(timeline, pending.call)
            } else {
                fate(timeline, pending.call)
            })
        )?;
    }
    for ask in timeline.asks_at(last) {
        let line = timeline
            .entries
            .get(ask.opened as usize)
            .map_or(0, |entry| entry.line);
        writeln!(
            out,
            "  {} {} asked for at line {line}: no answer is on file",
            ask.asking.name(),
            safe(&ask.id)
        )?;
    }
    let findings = super::findings(timeline);
    if let (false, Some(first)) = (findings.is_empty(), timeline.files.first()) {
        writeln!(out, "\n{}", paint.heading("beside the wire"))?;
        for line in crate::report::check::findings(&first.name, &findings, paint).lines() {
            writeln!(out, "  {line}")?;
        }
    }
    for file in &timeline.files {
        let problems = file.session.problems();
        if !problems.is_empty() {
            writeln!(out, "\n{}", paint.heading("problems"))?;
        }
        for problem in problems.iter().take(20) {
            writeln!(
                out,
                "  line {}: {}",
                problem.line,
                safe(&problem.reason.to_string())
            )?;
        }
        if problems.len() > 20 {
            writeln!(out, "  and {} more", problems.len() - 20)?;
        }
    }
    Ok(())
}
