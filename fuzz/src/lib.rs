//! What each target does with its bytes: no panic, and never more than a bound.

use responses_replay::check;
use responses_replay::convert::summary::count;
use responses_replay::convert::walk::walk;
use responses_replay::convert::{self, Capture};
use responses_replay::redact::{Lookout, Redactor, Stream};
use responses_replay::rollout::{NoLibrary, reader as rollout_reader};
use responses_replay::session::writer::Writer;
use responses_replay::session::{ReadError, Session, reader, request_file};
use responses_replay::strategy::{self, Options, Probe, Strategy};
use responses_replay::wire::event::ResponseFold;
use responses_replay::wire::refusal::find;
use responses_replay::wire::sse::{Framer, Mode, frames};

/// A target by its name.
pub type Target = fn(&[u8]);

/// All targets.
pub const TARGETS: [(&str, Target); 7] = [
    ("sse", sse),
    ("session_line", session_line),
    ("rollout_line", rollout_line),
    ("refusal", refusal),
    ("request", request),
    ("redact", redact),
    ("capture", capture),
];

/// Frames of an event stream: the same however the bytes are cut, and no longer than they are.
pub fn sse(bytes: &[u8]) {
    for mode in [Mode::Strict, Mode::Tolerant] {
        let whole = frames(bytes, mode);
        let mut framer = Framer::new(mode);
        let (left, right) = bytes.split_at(bytes.len() / 2);
        let mut parts = framer.push(left);
        parts.extend(framer.push(right));
        parts.extend(framer.finish());
        assert_eq!(whole.len(), parts.len());
        let mut fold = ResponseFold::default();
        for data in whole.iter().filter_map(|frame| frame.data.as_deref()) {
            assert!(data.len() <= bytes.len() * 3);
            fold.data(data);
        }
    }
}

/// A capture of every kind: converted, read, counted, and no longer than a bound.
pub fn capture(bytes: &[u8]) {
    let _kind = convert::capture(bytes);
    for kind in Capture::ALL.into_iter().filter(|kind| !kind.is_folder()) {
        let mut writer = Writer::new(Vec::new());
        if convert::from_file(kind, bytes, &mut writer).is_err() {
            continue;
        }
        let recording = writer.into_inner();
        let read = reader::read(recording.as_slice());
        assert!(read.is_ok(), "{kind:?} gives no recording");
        let mut events = 0;
        let walked = walk(recording.as_slice(), &mut |whole, _| {
            events += count(&whole).events as usize;
            Ok::<(), ReadError>(())
        });
        assert!(walked.is_ok() && events <= bytes.len() + 1);
    }
}

/// A recording: read, run, checked.
pub fn session_line(bytes: &[u8]) {
    if let Ok(recording) = reader::read(bytes) {
        assert!(recording.exchanges.len() <= bytes.len());
        all(&Session::Recording(recording));
    }
}

/// A rollout: read, run, checked.
pub fn rollout_line(bytes: &[u8]) {
    if let Ok(rollout) = rollout_reader::read(bytes, &NoLibrary) {
        assert!(rollout.items.len() <= bytes.len());
        all(&Session::Rollout(rollout));
    }
}

/// A pasted text; what is found in it is a part of it.
pub fn refusal(bytes: &[u8]) {
    let found = find::find_bytes(bytes);
    assert!(found.message.len() <= bytes.len() * 6);
    if let Some(named) = found.named {
        assert!(named.id.len() <= bytes.len() * 6);
    }
}

/// One request body.
pub fn request(bytes: &[u8]) {
    if let Ok(recording) = request_file::read(bytes) {
        assert!(recording.exchanges.len() == 1);
        all(&Session::Recording(recording));
    }
}

/// A text without its secrets: the same however it is cut, and done when it is done.
pub fn redact(bytes: &[u8]) {
    let whole = Redactor::default().text(bytes).into_owned();
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let (mut stream, mut redactor, mut out) = (Stream::new(), Redactor::default(), Vec::new());
    for (mark, part) in [left, right].into_iter().enumerate() {
        stream.push(&mut redactor, mark, part.to_vec(), &mut out);
    }
    stream.finish(&mut redactor, &mut out);
    let marks: Vec<usize> = out.iter().map(|it| it.0).collect();
    assert_eq!(marks, [0, 1]);
    let parts: Vec<u8> = out.into_iter().flat_map(|it| it.1).collect();
    assert_eq!(parts, whole);
    assert_eq!(Redactor::default().text(&whole), whole);
    let mut lookout = Lookout::default();
    lookout.push(bytes);
    assert!(lookout.finish().len() <= bytes.len());
}

fn all(session: &Session) {
    let options = Options {
        probe: Probe::Always,
        ..Options::default()
    };
    let calls = check::items(session)
        .iter()
        .filter(|item| item.kind.is_call())
        .count();
    for strategy in Strategy::ALL {
        let run = strategy::run(session, strategy, &options);
        let sent: usize = run.requests.iter().map(|it| it.attempts as usize).sum();
        let sendings = match session {
            Session::Recording(recording) => recording.exchanges.len() + recording.lanes.len(),
            Session::Rollout(_) => run.requests.len(),
        };
        assert!(sent <= sendings * (calls + 1), "{strategy:?}");
    }
    let checked = check::check(session, &options);
    let error = checked
        .findings
        .iter()
        .any(|it| it.severity == check::Severity::Error);
    assert_eq!(error, check::is_error(checked.run.verdict));
}
