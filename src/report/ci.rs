//! Outcomes for CI: a JUnit file, or annotations of GitHub Actions.
//!
//! One [`Case`] is one session; its [`Mark`]s are the places in files that a reviewer should look at.

mod difference;
mod sweep;

use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

pub use difference::Place;

use super::safe;
use super::style::Paint;
use super::{picture, text};
use crate::check::{Checked, Severity};
use crate::contract::Outcome as Answer;
use crate::contract::lock::Citation;
use crate::replay::SessionReport;
use crate::strategy::live::LiveResult;
use crate::strategy::{Judged, Verdict};

/// How many annotations one session gets; what is beyond is counted in the last one. GitHub shows ten of each level a step.
const MARKS: usize = 10;

/// How a session came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing found.
    Passed,
    /// Something found: exit status 1.
    Failed {
        /// A word for what was found, such as a verdict or a rule.
        kind: String,
        /// One line.
        message: String,
    },
    /// It could not be read, or could not be judged: exit status 2 and above.
    Error {
        /// A word for it.
        kind: String,
        /// One line.
        message: String,
    },
}

/// How loud a mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It decides the exit status.
    Error,
    /// It does not.
    Warning,
    /// Merely worth knowing.
    Notice,
}

impl Level {
    /// The command of GitHub Actions.
    fn command(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// A place in a file with something to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How loud it is.
    pub level: Level,
    /// The file; `None` where it came from elsewhere.
    pub path: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// A few words.
    pub title: String,
    /// What is the matter.
    pub message: String,
}

/// One session, or one comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name: the path of the session.
    pub name: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What the text form prints of it.
    pub output: String,
    /// Where to look.
    pub marks: Vec<Mark>,
}

impl Case {
    /// A session that could not be read, or not be judged.
    pub fn error(path: Option<&str>, line: Option<u32>, kind: &str, message: &str) -> Self {
        Self {
            name: path.unwrap_or("replay").to_owned(),
            outcome: Outcome::Error {
                kind: kind.to_owned(),
                message: message.to_owned(),
            },
            output: String::new(),
            marks: vec![Mark {
                level: Level::Error,
                path: path.map(str::to_owned),
                line,
                title: format!("replay: {kind}"),
                message: message.to_owned(),
            }],
        }
    }

    /// A replayed session. With `expected` it passes where its first run has that verdict, else where its exit status is 0.
    pub fn replayed(report: &SessionReport, expected: Option<Verdict>) -> Self {
        let verdict = report.verdict();
        let mut marks = marks_of(report);
        let first = marks
            .first()
            .map_or_else(|| verdict.name().to_owned(), |mark| mark.message.clone());
        let outcome = match (expected, verdict.exit()) {
            (Some(expected), _) if expected == verdict => {
                // what is expected is no reason to stop anybody
                for mark in &mut marks {
                    mark.level = Level::Notice;
                }
                Outcome::Passed
            }
            (Some(expected), _) => {
                let message = format!("expected {}, but: {first}", expected.name());
                for mark in &mut marks {
                    mark.level = Level::Notice;
                }
                marks.insert(
                    0,
                    Mark {
                        level: Level::Error,
                        path: Some(report.path.clone()),
                        line: marks.first().and_then(|mark| mark.line),
                        title: format!("replay: {}", verdict.name()),
                        message: message.clone(),
                    },
                );
                Outcome::Failed {
                    kind: verdict.name().to_owned(),
                    message,
                }
            }
            (None, 0) => Outcome::Passed,
            (None, 1) => Outcome::Failed {
                kind: verdict.name().to_owned(),
                message: first,
            },
            (None, _) => Outcome::Error {
                kind: verdict.name().to_owned(),
                message: first,
            },
        };
        cite(&mut marks, report.contract.as_ref());
        marks.extend(problems(&report.path, report.session.problems()));
        Self {
            name: report.path.clone(),
            outcome,
            output: text::session(report, &[], Paint::Plain, false),
            marks,
        }
    }

    /// A checked session; it fails where it has an error.
    pub fn checked(path: &str, checked: &Checked, read: &[crate::wire::lines::Problem]) -> Self {
        let mut marks: Vec<Mark> = Vec::new();
        let mut found: Vec<_> = checked.findings.iter().collect();
        found.sort_by_key(|finding| finding.severity);
        let first = found.first();
        let outcome = match first {
            Some(finding) if finding.severity == Severity::Error => Outcome::Failed {
                kind: finding.rule.name().to_owned(),
                message: format!("line {}: {}", finding.line, finding.message),
            },
            _ => Outcome::Passed,
        };
        for finding in &found {
            let level = match finding.severity {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warning,
                Severity::Info => Level::Notice,
            };
            let mut message = finding.message.clone();
            if finding.count > 1 {
                let _ = write!(message, " ({} times)", finding.count);
            }
            marks.push(Mark {
                level,
                path: Some(path.to_owned()),
                line: Some(finding.line).filter(|line| *line > 0),
                title: format!("replay: {}", finding.rule.name()),
                message,
            });
        }
        bound(&mut marks);
        marks.extend(problems(path, read));
        Self {
            name: path.to_owned(),
            outcome,
            output: super::check::findings(path, &checked.findings, Paint::Plain),
            marks,
        }
    }
}

/// Every judgement that was made under the contract of an endpoint says so.
fn cite(marks: &mut [Mark], citation: Option<&Citation>) {
    if let Some(citation) = citation {
        for mark in marks {
            let _ = write!(mark.message, " [{}]", citation.source());
        }
    }
}

impl Case {
    /// The same, judged under the contract of an endpoint.
    #[must_use]
    pub fn under(mut self, citation: Option<&Citation>) -> Self {
        if let Some(citation) = citation {
            cite(&mut self.marks, Some(citation));
            text::cite(&mut self.output, citation);
        }
        self
    }
}

/// What stands in the way of a session's first run, request by request.
fn marks_of(report: &SessionReport) -> Vec<Mark> {
    let Some(run) = report.runs.first() else {
        return Vec::new();
    };
    let verdict = run.verdict.name();
    let level = if run.verdict.exit() == 0 {
        Level::Notice
    } else {
        Level::Error
    };
    let telling = |request: &&Judged| match &request.live {
        Some(live) => {
            !matches!(
                live.result,
                LiveResult::Accepted | LiveResult::Parted | LiveResult::Skipped
            ) || live.divergence.is_some()
        }
        None => request.outcome != Answer::Accepted || request.agrees == Some(false),
    };
    let mut marks: Vec<Mark> = run
        .requests
        .iter()
        .filter(telling)
        .map(|request| Mark {
            level,
            path: Some(report.path.clone()),
            line: line_of(request, report),
            title: format!("replay: {verdict}"),
            message: message_of(request, report),
        })
        .collect();
    bound(&mut marks);
    if marks.is_empty() && run.verdict.exit() > 0 {
        marks.push(Mark {
            level,
            path: Some(report.path.clone()),
            line: run.unanswered_user.or(run.silent_end),
            title: format!("replay: {verdict}"),
            message: run.note.clone().unwrap_or_else(|| verdict.to_owned()),
        });
    }
    marks
}

/// The line of a request, or, where it stands on none, that of the call it is refused for.
fn line_of(request: &Judged, report: &SessionReport) -> Option<u32> {
    let call = request.refusal.and_then(|fault| fault.call);
    let opened = || {
        report
            .open_calls
            .iter()
            .find(|open| Some(open.call) == call)
            .map(|open| open.line)
    };
    Some(request.line).filter(|line| *line > 0).or_else(opened)
}

fn message_of(request: &Judged, report: &SessionReport) -> String {
    let mut message = picture::name(request);
    if let Some(live) = &request.live {
        let target = report.target.as_deref().unwrap_or("the endpoint");
        let _ = write!(message, ": {}", super::live::sentence(live, target));
        return message;
    }
    match &request.outcome {
        Answer::Accepted => message.push_str(": accepted"),
        Answer::Refused(_) => message.push_str(": refused"),
        Answer::Depends { .. } => message.push_str(": depends"),
        Answer::Unknown => {
            message.push_str(": cannot be judged, it goes on from what the session does not hold");
        }
    }
    if let Some(fault) = &request.refusal {
        let refusal = report.refusal(fault);
        let _ = write!(message, ", {} {}", refusal.status, refusal.message);
        if let Some(open) = report
            .open_calls
            .iter()
            .find(|open| Some(open.call) == fault.call)
        {
            let _ = write!(
                message,
                " The call stands on line {}: {}.",
                open.line,
                open.cause.words()
            );
        }
    }
    if request.agrees == Some(false) {
        let status = request.recorded_status.unwrap_or(0);
        let _ = write!(
            message,
            " (the recorded answer, {status}, contradicts this)"
        );
    }
    let policies: Vec<&str> = request
        .depends_on()
        .iter()
        .map(|on| on.policy.name())
        .collect();
    if !policies.is_empty() {
        let _ = write!(message, " (on {})", policies.join(", "));
    }
    message
}

/// Keeps the first marks and counts the rest.
fn bound(marks: &mut Vec<Mark>) {
    let more = marks.len().saturating_sub(MARKS);
    marks.truncate(MARKS);
    if let (Some(last), true) = (marks.last_mut(), more > 0) {
        let _ = write!(last.message, " (and {more} more in this file)");
    }
}

fn problems(path: &str, found: &[crate::wire::lines::Problem]) -> Vec<Mark> {
    let mut marks: Vec<Mark> = found
        .iter()
        .map(|problem| Mark {
            level: Level::Warning,
            path: Some(path.to_owned()),
            line: Some(problem.line).filter(|line| *line > 0),
            title: "replay: unreadable".to_owned(),
            message: problem.reason.to_string(),
        })
        .collect();
    bound(&mut marks);
    marks
}

/// The cases as one JUnit document. It names no time and no machine: the same cases give the same bytes.
///
/// # Errors
///
/// Where the XML cannot be written.
pub fn junit(suite: &str, cases: &[Case]) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("replay");
    let mut tests = TestSuite::new(suite);
    for case in cases {
        let status = match &case.outcome {
            Outcome::Passed => TestCaseStatus::success(),
            Outcome::Failed { kind, message } => {
                non_success(NonSuccessKind::Failure, kind, message)
            }
            Outcome::Error { kind, message } => non_success(NonSuccessKind::Error, kind, message),
        };
        let mut test = TestCase::new(safe(&case.name), status);
        test.set_classname(format!("replay.{suite}"));
        if !case.output.is_empty() {
            test.set_system_out(&case.output);
        }
        tests.add_test_case(test);
    }
    report.add_test_suite(tests);
    report.to_string()
}

fn non_success(kind: NonSuccessKind, word: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(word);
    status.set_message(safe(message));
    status
}

/// The marks of all cases as commands of GitHub Actions, one a line.
pub fn github(cases: &[Case]) -> String {
    let mut out = String::new();
    for mark in cases.iter().flat_map(|case| &case.marks) {
        let _ = write!(out, "::{} ", mark.level.command());
        // a file on stdin has no place in the pull request
        if let Some(path) = mark.path.as_deref().filter(|path| *path != "-") {
            let _ = write!(out, "file={},", property(path.trim_start_matches("./")));
            if let Some(line) = mark.line {
                let _ = write!(out, "line={line},");
            }
        }
        let _ = writeln!(
            out,
            "title={}::{}",
            property(&mark.title),
            data(&mark.message)
        );
    }
    out
}

/// What stands behind `::`, on one line.
fn data(text: &str) -> String {
    // line ends are made visible by `safe`, so that nothing in a session can begin a command of its own
    safe(text).replace('%', "%25")
}

/// The value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        Case {
            name: "a<b>\u{1b}[31m.jsonl".to_owned(),
            outcome: Outcome::Failed {
                kind: "refused".to_owned(),
                message: "400 \"x\" & ]]>\n::error::owned".to_owned(),
            },
            output: "text ]]> \u{1b}[0m".to_owned(),
            marks: vec![Mark {
                level: Level::Error,
                path: Some("a,b:c%.jsonl".to_owned()),
                line: Some(3),
                title: "replay: refused".to_owned(),
                message: "100% of\r\n::error::owned".to_owned(),
            }],
        }
    }

    #[test]
    fn nothing_in_a_session_begins_a_command_of_its_own() {
        assert_eq!(
            github(&[case()]),
            "::error file=a%2Cb%3Ac%25.jsonl,line=3,title=replay%3A refused::100%25 of␍⏎::error::owned\n"
        );
    }

    #[test]
    fn junit_is_well_formed_and_the_same_twice() {
        let once = junit("replay", &[case()]).unwrap();
        assert_eq!(once, junit("replay", &[case()]).unwrap());
        assert!(!once.contains('\u{1b}'), "{once}");
        insta::assert_snapshot!(once);
    }
}
