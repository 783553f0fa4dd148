//! The program in a sealed environment, and the files it is tried on.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The folder of the project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a variable of the test run's own environment.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no cli room that could read it for them"
)]
pub(crate) fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// What the program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: i32,
}

impl Done {
    /// All of it as one text, for snapshots.
    pub(crate) fn text(&self) -> String {
        let mut text = self.out.clone();
        if !self.err.is_empty() {
            text.push_str("--- stderr\n");
            text.push_str(&self.err);
        }
        text.push_str(&format!("--- exit {}\n", self.status));
        text
    }

    /// The one JSON document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("stdout is not one JSON document: {error}\n{self:?}"))
    }
}

/// A folder of its own for one test: the home of a user who has nothing but, perhaps, Codex sessions.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("codex")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The Codex home that the program is told of.
    pub(crate) fn codex_home(&self) -> PathBuf {
        self.path().join("codex")
    }

    /// Writes a file into the sandbox.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The program, with nothing of this machine in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("CODEX_HOME", self.codex_home())
            .env("NO_COLOR", "1")
            .env("COLUMNS", "120")
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program in a folder.
    pub(crate) fn run_in(&self, folder: &Path, arguments: &[&str], stdin: &[u8]) -> Done {
        let mut child = self
            .command(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = stdin.to_vec();
        let writer = std::thread::spawn(move || {
            // who does not read its stdin may be gone
            let _unread: std::io::Result<()> = input.write_all(&bytes);
        });
        let done = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Done {
            out: String::from_utf8(done.stdout).expect("stdout is UTF-8"),
            err: String::from_utf8(done.stderr).expect("stderr is UTF-8"),
            status: done.status.code().unwrap_or(-1),
        }
    }

    /// Runs the program in the folder of the project.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.run_in(root(), arguments, b"")
    }

    /// The same with something on stdin.
    pub(crate) fn run_with(&self, arguments: &[&str], stdin: impl AsRef<[u8]>) -> Done {
        self.run_in(root(), arguments, stdin.as_ref())
    }

    /// Text of a run with the sandbox's own path replaced.
    pub(crate) fn shown(&self, done: &Done) -> String {
        done.text()
            .replace(&self.path().display().to_string(), "[SANDBOX]")
    }
}

/// Runs the program once, in a sandbox of its own.
pub(crate) fn run(arguments: &[&str]) -> Done {
    Sandbox::new().run(arguments)
}

/// The folders of the stories, by name.
pub(crate) fn stories() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root().join("rollouts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// The bytes of a file of a story.
pub(crate) fn story_file(name: &str) -> Vec<u8> {
    std::fs::read(root().join("rollouts").join(name)).unwrap()
}

/// The folder of the captures.
pub(crate) fn captures() -> PathBuf {
    root().join("tests/captures")
}

/// The names of all captures.
pub(crate) fn capture_names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(captures())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".session.jsonl.zst").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

/// One file of a capture, decompressed: `session`, `rollout` or `before-N.rollout`.
pub(crate) fn capture(name: &str, what: &str) -> Option<Vec<u8>> {
    unzstd(&captures().join(format!("{name}.{what}.jsonl.zst")))
}

/// The bytes of a compressed file.
pub(crate) fn unzstd(path: &Path) -> Option<Vec<u8>> {
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    zstd::Decoder::new(file)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    Some(bytes)
}

/// Reads a session as the program does, whatever kind it is.
pub(crate) fn read(bytes: &[u8]) -> Result<responses_replay::session::Session, String> {
    use responses_replay::session::{
        Kind, Session, event_log, exchanges, reader, request_file, sniff,
    };
    let head = bytes.get(..64 << 10).unwrap_or(bytes);
    let recording = match sniff(head) {
        Kind::Recording => reader::read(bytes),
        Kind::Exchanges => exchanges::read(bytes),
        Kind::RequestBody | Kind::ItemArray => request_file::read(bytes),
        Kind::LabLog => return Err("a request log".to_owned()),
        Kind::EventLog(source) => {
            return event_log::read(bytes, source)
                .map(Session::Recording)
                .map_err(|error| error.to_string());
        }
        Kind::Unknown => {
            return responses_replay::rollout::reader::read(
                bytes,
                &responses_replay::rollout::NoLibrary,
            )
            .map(Session::Rollout)
            .map_err(|error| error.to_string());
        }
    };
    recording
        .map(Session::Recording)
        .map_err(|error| error.to_string())
}
