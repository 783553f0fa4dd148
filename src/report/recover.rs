//! What `recover` did, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::json::SCHEMA;
use super::safe;
use super::style::Paint;
use crate::repair::{Change, Plan, What, Written};
use crate::rollout::Era;
use crate::strategy::Verdict;
use crate::wire::item::ItemKind;

/// What is told of one recovery.
#[derive(Debug)]
pub struct Recovered<'a> {
    /// The original, as the user named it.
    pub path: &'a str,
    /// What was planned.
    pub plan: &'a Plan,
    /// What was written.
    pub written: Written,
    /// What the original earns as it stands.
    pub before: Verdict,
    /// What the copy earns as it stands.
    pub after: Verdict,
    /// What the copy's own client earns with it; not green only where nothing was changed.
    pub own: Verdict,
    /// The copy; `None` if nothing was written.
    pub output: Option<&'a Path>,
    /// The side file, if there is one.
    pub lost: Option<&'a Path>,
    /// The Codex home the copy was put into.
    pub resume: Option<&'a Path>,
    /// Whether the copy has a thread id of its own.
    pub renamed: bool,
    /// The working folder, where it had to be assumed.
    pub assumed_cwd: Option<&'a str>,
    /// The difference as unified lines.
    pub diff: Option<&'a str>,
    /// Whether nothing was to be written.
    pub dry_run: bool,
}

/// More changes than this are listed only when more is asked for.
const SHOWN: usize = 20;

/// More lines of a difference than this are not drawn, nor more characters of one.
const DIFF_LINES: usize = 400;
const DIFF_WIDTH: usize = 160;
const DIFF_TAIL: usize = 40;

/// The report as text.
pub fn text(recovered: &Recovered<'_>, paint: Paint, verbose: bool) -> String {
    let plan = recovered.plan;
    let mut out = String::new();
    let era = if plan.era == plan.era_after() {
        plan.era.name().to_owned()
    } else {
        format!("{} to {}", plan.era.name(), plan.era_after().name())
    };
    let _ = writeln!(out, "{}  ({era})", paint.heading(safe(recovered.path)));
    let as_it_stands = match recovered.before {
        Verdict::Clean => paint.good(recovered.before.name()),
        _ => paint.bad(recovered.before.name()),
    };
    let _ = writeln!(out, "  as it stands   {as_it_stands}");
    if plan.is_empty() {
        let rest = if plan.has_unknown_lines() {
            "; lines of a shape that is not known here stay as they are"
        } else {
            ", and today's Codex reads every line"
        };
        let _ = writeln!(out, "  nothing to do: no call is open{rest}");
    }
    if plan.wrapped > 0 {
        let states = match plan.states {
            0 => String::new(),
            count => format!(", {count} state lines left out"),
        };
        let _ = writeln!(
            out,
            "  {} lines put into today's format{states}",
            plan.wrapped
        );
    }
    let shown = if verbose { usize::MAX } else { SHOWN };
    for change in plan.changes.iter().take(shown) {
        let _ = writeln!(out, "{}", line(change, paint));
    }
    if plan.changes.len() > shown {
        let _ = writeln!(
            out,
            "  … {} more (-v lists them)",
            plan.changes.len() - shown
        );
    }
    if let Some(cwd) = recovered.assumed_cwd {
        let _ = writeln!(
            out,
            "  assumed: the working folder is {} (--cwd)",
            safe(cwd)
        );
    }
    let _ = writeln!(
        out,
        "  the copy       {} in every world, sent as it stands ({} lines)",
        paint.good(recovered.after.name()),
        recovered.written.lines
    );
    if recovered.own.exit() != 0 {
        let _ = writeln!(
            out,
            "  {} 'replay' says {} of the file, because of what was answered then; nothing in its history is in the way",
            paint.careful("note:"),
            recovered.own.name()
        );
    }
    if let Some(diff) = recovered.diff {
        draw_diff(&mut out, diff, paint);
    } else if recovered.dry_run && !plan.is_empty() {
        let _ = writeln!(out, "  the files are too large to be compared line by line");
    }
    if let Some(path) = recovered.output {
        let _ = writeln!(
            out,
            "written          {}",
            safe(&path.display().to_string())
        );
    }
    if let Some(path) = recovered.lost {
        let _ = writeln!(
            out,
            "left out         {} ({})",
            safe(&path.display().to_string()),
            match recovered.written.lost {
                1 => "1 entry".to_owned(),
                many => format!("{many} entries"),
            }
        );
    }
    if let (Some(_), Some(id)) = (recovered.output, plan.thread_id()) {
        if recovered.renamed {
            let _ = writeln!(
                out,
                "thread id        {} (its own; the original keeps its id)",
                safe(id)
            );
        }
        match recovered.resume {
            Some(home) => {
                let _ = writeln!(
                    out,
                    "go on with       CODEX_HOME={} codex resume {}",
                    safe(&home.display().to_string()),
                    safe(id)
                );
            }
            None => {
                let _ = writeln!(
                    out,
                    "go on with       replay recover SESSION -o CODEX_HOME puts a copy where 'codex resume' finds it"
                );
            }
        }
    }
    out
}

fn line(change: &Change, paint: Paint) -> String {
    let item = change.item_type.map_or("", ItemKind::name);
    let mut what = format!("{item} {}", safe(change.call_id.as_deref().unwrap_or("")));
    what.truncate(what.trim_end().len());
    if !what.is_empty() {
        what.push_str(": ");
    }
    let name = match change.what {
        What::Removed | What::Torn => paint.careful(format!("{:<10}", change.what.name())),
        _ => paint.heading(format!("{:<10}", change.what.name())),
    };
    format!(
        "  line {:<6} {name} {}{}",
        change.line,
        what.trim_start(),
        safe(&change.detail)
    )
}

fn draw_diff(out: &mut String, diff: &str, paint: Paint) {
    for (number, line) in diff.lines().enumerate() {
        if number == DIFF_LINES {
            let _ = writeln!(out, "… {} more lines", diff.lines().count() - DIFF_LINES);
            break;
        }
        let length = line.chars().count();
        let mut cut = line.to_owned();
        if length > DIFF_WIDTH + DIFF_TAIL {
            // what was added to a meta line stands at its end
            cut = line.chars().take(DIFF_WIDTH).collect();
            cut.push('…');
            cut.extend(line.chars().skip(length - DIFF_TAIL));
        }
        let cut = safe(&cut);
        let painted = match cut.as_bytes().first() {
            Some(b'+') => paint.good(cut),
            Some(b'-') => paint.bad(cut),
            Some(b'@') => paint.faint(cut),
            _ => cut,
        };
        let _ = writeln!(out, "{painted}");
    }
}

/// The report as a document.
pub fn document(recovered: &Recovered<'_>) -> Value {
    let plan = recovered.plan;
    let path = |path: Option<&Path>| path.map(|path| path.display().to_string());
    let changes: Vec<Value> = plan
        .changes
        .iter()
        .map(|change| {
            json!({
                "line": change.line,
                "what": change.what.name(),
                "item_type": change.item_type.map(ItemKind::name),
                "call_id": change.call_id,
                "detail": change.detail,
            })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "path": recovered.path,
        "era": plan.era.name(),
        "era_after": plan.era_after().name(),
        "changed": !plan.is_empty(),
        "upgraded": plan.era < Era::E3,
        "lines_wrapped": plan.wrapped,
        "state_lines_left_out": plan.states,
        "changes": changes,
        "before": recovered.before.name(),
        "after": recovered.after.name(),
        "after_as_client": recovered.own.name(),
        "thread_id": plan.thread_id(),
        "new_id": recovered.renamed,
        "assumed_cwd": recovered.assumed_cwd,
        "output": path(recovered.output),
        "lost": path(recovered.lost),
        "lost_entries": recovered.written.lost,
        "lines": recovered.written.lines,
        "diff": recovered.diff,
    })
}
