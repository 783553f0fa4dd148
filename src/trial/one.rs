//! One case, from a fresh home to what the client sent.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::command::{Template, Values};
use super::judge::judge;
use super::{Case, Did, Interrupt, Plan, Result};
use crate::endpoint::served::fault::{At, Cut, How, Rule};
use crate::endpoint::served::journal::{Entry, Source};
use crate::endpoint::served::server::Settings;
use crate::endpoint::served::tape::{Match, ReadTape as _, Tapes};
use crate::mock::{Mock, Options};

/// How long a client may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// Variables that name folders beside the home.
const FOLDERS: [&str; 6] = [
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "CODEX_SQLITE_HOME",
];

fn settings(plan: &Plan, case: &Case) -> std::result::Result<Settings, String> {
    let place = &case.place;
    let mut tapes = Tapes::new(Match::Sequence, false);
    tapes
        .read_tape(&plan.session)
        .map_err(|error| error.to_string())?;
    tapes.play_through(place.exchange);
    let mut settings = Settings {
        tapes,
        ..Settings::default()
    };
    for (policy, value) in &plan.policies {
        let value = policy.values().get(*value).copied().unwrap_or_default();
        settings.rules.set(&format!("{}={value}", policy.name()))?;
    }
    if !place.over {
        settings.aimed = Some(Rule {
            exchange: Some(place.exchange),
            what: Cut {
                at: match place.frame {
                    Some(frame) => At::Index(frame as usize),
                    None => At::Byte(0),
                },
                how: match case.interrupt {
                    Interrupt::Hangup if place.half => How::HalfLine,
                    Interrupt::Hangup => How::Close,
                    _ => How::Stall,
                },
            },
        });
    }
    Ok(settings)
}

fn failed(note: String) -> Result {
    Result {
        did: Did::Failed,
        requests: 0,
        refused: 0,
        message: None,
        falsehoods: Vec::new(),
        outputs_lost: Vec::new(),
        history_lost: false,
        depends_on: Vec::new(),
        timed_out: false,
        note: Some(note),
    }
}

/// Runs a case; `None` if it was stopped in the middle.
pub(super) async fn run(plan: &Plan, case: &Case, stop: &AtomicBool) -> Option<Result> {
    let folder = match tempfile::Builder::new()
        .prefix("replay-sweep-")
        .tempdir_in(&plan.scratch)
    {
        Ok(folder) => folder,
        Err(error) => return Some(failed(format!("no folder can be made: {error}"))),
    };
    let path = folder.path().to_owned();
    if plan.keep {
        let _kept: PathBuf = folder.keep();
    }
    let tried = Tried {
        plan,
        case,
        path: &path,
        stop,
    };
    match tried.run().await {
        Ok(result) => result,
        Err(note) => Some(failed(note)),
    }
}

struct Tried<'a> {
    plan: &'a Plan,
    case: &'a Case,
    path: &'a Path,
    stop: &'a AtomicBool,
}

/// How waiting for something ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    Reached,
    /// The cut request was answered, but not as far as it is to be, or further.
    Elsewhere,
    Ended,
    TimedOut,
    Stopped,
}

impl Tried<'_> {
    async fn run(&self) -> std::result::Result<Option<Result>, String> {
        let (tell, mut told) = unbounded_channel::<()>();
        let mock = Mock::start(Options {
            settings: settings(self.plan, self.case)?,
            log: Some(Arc::new(move |_: &Entry| {
                // nobody listens any more once the case is over
                let _gone = tell.send(());
            })),
            ..Options::default()
        })
        .await
        .map_err(|error| format!("the endpoint cannot listen: {error}"))?;
        let done = self.with(&mock, &mut told).await;
        mock.stop().await;
        done
    }

    async fn with(
        &self,
        mock: &Mock,
        told: &mut UnboundedReceiver<()>,
    ) -> std::result::Result<Option<Result>, String> {
        let (home, work) = (self.path.join("home"), self.path.join("work"));
        for folder in [&home, &work, &self.path.join("tmp")] {
            std::fs::create_dir(folder).map_err(|error| error.to_string())?;
        }
        let mut values = Values {
            base_url: mock.url(),
            home: home.display().to_string(),
            work: work.display().to_string(),
            cut: self.case.place.cut(),
            ..Values::default()
        };
        if let Some(prepare) = &self.plan.prepare {
            let mut child = self.start(prepare, &values, "prepare")?;
            let waited = self.until_end(&mut child).await;
            child.end().await;
            match (waited, child.status) {
                (Waited::Stopped, _) => return Ok(None),
                (Waited::TimedOut, _) => return Err("--prepare did not end".to_owned()),
                (_, Some(status)) if !status.success() => {
                    return Err(self.with_words(&format!("--prepare ended with {status}")));
                }
                _ => {}
            }
        }
        let mut timed_out = false;
        let mut first = self.start(&self.plan.first, &values, "first")?;
        let reached = self.until_cut(mock, told, &mut first).await;
        match reached {
            Waited::Stopped => {
                first.end().await;
                return Ok(None);
            }
            Waited::Ended | Waited::TimedOut | Waited::Elsewhere => {
                first.end().await;
                let why = match reached {
                    Waited::Ended => "the first command ended before the cut",
                    Waited::TimedOut => "the cut was not reached in time",
                    _ => {
                        "the answer ended elsewhere: the client left it, or asked for it in another form"
                    }
                };
                return Ok(Some(Result {
                    did: Did::NotReached,
                    timed_out: reached == Waited::TimedOut,
                    ..failed(self.with_words(why))
                }));
            }
            Waited::Reached => {}
        }
        if self.case.interrupt != Interrupt::Hangup {
            sleep_until(Instant::now() + self.plan.settle).await;
            first.signal(self.case.interrupt);
        }
        match self.until_end(&mut first).await {
            Waited::Stopped => return Ok(None),
            Waited::TimedOut => timed_out = true,
            _ => {}
        }
        first.end().await;
        if let Some(next) = &self.plan.next {
            let rollout = newest_rollout(&home);
            values.session = rollout.as_deref().and_then(thread_of);
            values.rollout = rollout.map(|path| path.display().to_string());
            match self.start(next, &values, "next") {
                Ok(mut next) => {
                    match self.until_end(&mut next).await {
                        Waited::Stopped => return Ok(None),
                        Waited::TimedOut => timed_out = true,
                        _ => {}
                    }
                    next.end().await;
                }
                Err(why) => {
                    let judged = self.judged(mock);
                    return Ok(Some(Result {
                        note: Some(why),
                        timed_out,
                        ..judged
                    }));
                }
            }
        }
        let judged = self.judged(mock);
        let note = (judged.did == Did::Silent).then(|| self.with_words("no further request"));
        Ok(Some(Result {
            timed_out,
            note,
            ..judged
        }))
    }

    fn judged(&self, mock: &Mock) -> Result {
        let entries: Vec<Entry> = mock.with(|server| {
            let entries = server.journal().entries();
            entries.filter(|it| it.judged).cloned().collect()
        });
        let cut = entries.iter().position(|it| self.is_cut(it));
        judge(&entries, cut.unwrap_or(entries.len()), &self.plan.policies)
    }

    /// Whether a request is the one that is cut.
    fn is_cut(&self, entry: &Entry) -> bool {
        entry.judged && entry.source == Source::Recording(self.case.place.exchange)
    }

    /// Whether the cut request was answered as far as it is to be; `None` if it is not answered yet.
    fn is_reached(&self, mock: &Mock) -> Option<bool> {
        let place = &self.case.place;
        mock.with(|server| {
            let mut entries = server.journal().entries();
            let entry = entries.find(|it| self.is_cut(it))?;
            let end = entry.end?;
            let whole = place
                .frame
                .map_or(0, |frame| frame + u32::from(!place.half));
            Some(match (place.over, place.frame) {
                (true, Some(_)) => entry.events >= whole,
                (true, None) => end == "complete",
                (false, _) => end == "cut" && entry.events == whole,
            })
        })
    }

    /// A note, with what the client said last.
    fn with_words(&self, why: &str) -> String {
        let mut note = why.to_owned();
        for name in ["next", "first", "prepare"] {
            let said = tail(&self.path.join(format!("{name}.err")));
            if let Some(last) = said.lines().rev().find(|line| !line.trim().is_empty()) {
                let last: String = last.chars().take(160).collect();
                note = format!("{note}; --{name} said: {last}");
                break;
            }
        }
        note
    }

    fn start(
        &self,
        template: &Template,
        values: &Values,
        name: &str,
    ) -> std::result::Result<Group, String> {
        let words = template.fill(values).map_err(|missing| {
            format!("{{{missing}}} has no value: the client wrote no rollout")
        })?;
        let Some((program, arguments)) = words.split_first() else {
            return Err("a command is empty".to_owned());
        };
        let file = |kind: &str| {
            let path = self.path.join(format!("{name}.{kind}"));
            File::create(path).map_err(|error| error.to_string())
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&values.work)
            .envs(
                self.plan
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .env("HOME", &values.home)
            .env("CODEX_HOME", &values.home)
            .env("TMPDIR", self.path.join("tmp"))
            .env("OPENAI_BASE_URL", &values.base_url)
            .env("OPENAI_API_KEY", "replay")
            .envs(values.variables());
        // where these are set, a home is not the only place that is written to
        for name in FOLDERS {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::null())
            .stdout(file("out")?)
            .stderr(file("err")?)
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
        Ok(Group {
            id: child.id(),
            child,
            ended: false,
            status: None,
        })
    }

    /// Waits until the cut request was answered as far as it is to be.
    async fn until_cut(
        &self,
        mock: &Mock,
        told: &mut UnboundedReceiver<()>,
        group: &mut Group,
    ) -> Waited {
        let deadline = Instant::now() + self.plan.limit;
        let reached = || {
            Some(if self.is_reached(mock)? {
                Waited::Reached
            } else {
                Waited::Elsewhere
            })
        };
        loop {
            if let Some(reached) = reached() {
                return reached;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Waited::Stopped;
            }
            let tick = Instant::now() + Duration::from_millis(50);
            tokio::select! {
                _ = told.recv() => {}
                status = group.child.wait() => {
                    group.ended(status);
                    return reached().unwrap_or(Waited::Ended);
                }
                () = sleep_until(tick.min(deadline)) => {
                    if Instant::now() >= deadline {
                        return Waited::TimedOut;
                    }
                }
            }
        }
    }

    async fn until_end(&self, group: &mut Group) -> Waited {
        let deadline = Instant::now() + self.plan.limit;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                group.end().await;
                return Waited::Stopped;
            }
            let tick = Instant::now() + Duration::from_millis(50);
            let waited = timeout_at(tick.min(deadline), group.child.wait()).await;
            if let Ok(status) = waited {
                group.ended(status);
                return Waited::Ended;
            }
            if Instant::now() >= deadline {
                return Waited::TimedOut;
            }
        }
    }
}

/// A command that was started here, with everything it started in its process group.
struct Group {
    id: Option<u32>,
    child: Child,
    ended: bool,
    /// How it ended by itself.
    status: Option<ExitStatus>,
}

impl Group {
    fn ended(&mut self, status: std::io::Result<ExitStatus>) {
        (self.ended, self.status) = (true, status.ok());
    }

    #[cfg(unix)]
    fn send(&self, signal: rustix::process::Signal) {
        let pid = self.id.and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // a group that is empty is none any more
            let _gone = rustix::process::kill_process_group(pid, signal);
        }
    }

    #[cfg(unix)]
    fn signal(&self, interrupt: Interrupt) {
        use rustix::process::Signal;
        match interrupt {
            Interrupt::Hangup => {}
            Interrupt::Sigint => self.send(Signal::INT),
            Interrupt::Sigterm => self.send(Signal::TERM),
            Interrupt::Sigkill => self.send(Signal::KILL),
        }
    }

    #[cfg(not(unix))]
    fn signal(&mut self, _: Interrupt) {
        // there is one way to end a process there
        let _gone = self.child.start_kill();
    }

    /// Ends what is left of it.
    async fn end(&mut self) {
        #[cfg(unix)]
        {
            use rustix::process::Signal;
            if !self.ended {
                self.send(Signal::TERM);
                let asked = Instant::now() + GRACE;
                if timeout_at(asked, self.child.wait()).await.is_err() {
                    self.send(Signal::KILL);
                    // one that the system does not let go is not waited for
                    let _ended = timeout_at(Instant::now() + GRACE, self.child.wait()).await;
                }
                self.ended = true;
            }
            // what it started and left behind in its group
            self.send(Signal::KILL);
        }
        #[cfg(not(unix))]
        if !self.ended {
            let _ended = self.child.kill().await;
            self.ended = true;
        }
    }
}

/// The end of a file, at most 16 KiB of it.
fn tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let length = file.metadata().map_or(0, |it| it.len());
        let start = SeekFrom::Start(length.saturating_sub(16 << 10));
        // what cannot be read was not said
        if file.seek(start).is_ok() {
            let _read = file.take(16 << 10).read_to_end(&mut bytes);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The rollout that was written last below a home.
fn newest_rollout(home: &Path) -> Option<PathBuf> {
    let mut folders = vec![home.join("sessions")];
    let mut newest: Option<(std::time::SystemTime, PathBuf)> = None;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && path
                    .extension()
                    .is_some_and(|it| it == "jsonl" || it == "json")
            {
                let Ok(time) = entry.metadata().and_then(|it| it.modified()) else {
                    continue;
                };
                if newest.as_ref().is_none_or(|(best, _)| time >= *best) {
                    newest = Some((time, path));
                }
            }
        }
    }
    newest.map(|(_, path)| path)
}

/// The thread id at the end of a rollout's name.
fn thread_of(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let id = stem.get(stem.len().checked_sub(36)?..)?;
    let is_id = id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_id.then(|| id.to_owned())
}
