//! Both ends of the wire for tests of what stands between them: an upstream that does as it is told, a client that sees
//! every byte and how the connection ended, and the recorder as a process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Done, Sandbox};

/// Nothing here takes this long unless it hangs.
const HANGS: Duration = Duration::from_secs(20);

/// How a connection ended, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

/// An answer as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The status line; empty if there was no answer.
    pub(crate) status: String,
    /// Header lines without those that speak of one hop, sorted, names in lower case.
    pub(crate) headers: Vec<String>,
    /// The body without chunk sizes.
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as HTTP says it should.
    pub(crate) whole: bool,
    /// Trailer lines.
    pub(crate) trailers: Vec<String>,
    /// How the connection ended, if it did before the answer was whole.
    pub(crate) end: Option<End>,
    /// Statuses of answers that came before the last one.
    pub(crate) early: Vec<String>,
}

/// One connection of an upstream.
pub(crate) struct Peer {
    stream: BufReader<TcpStream>,
    /// The requests, as they came.
    heads: Heads,
}

/// Heads and bodies of requests.
type Heads = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

impl Peer {
    /// Reads a request; `None` if the client has left.
    pub(crate) fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head()?;
        let body = self.body(&head);
        self.heads
            .lock()
            .unwrap()
            .push((head.clone(), body.clone()));
        Some((head, body))
    }

    /// Reads the head of a request only.
    pub(crate) fn head(&mut self) -> Option<String> {
        read_head(&mut self.stream).ok().filter(|it| !it.is_empty())
    }

    /// Reads the body that a head announces.
    pub(crate) fn body(&mut self, head: &str) -> Vec<u8> {
        let mut body = Vec::new();
        if let Some(length) = header(head, "content-length") {
            let mut limited = (&mut self.stream).take(length.parse().unwrap());
            limited.read_to_end(&mut body).unwrap_or(0);
        } else if header(head, "transfer-encoding").is_some() {
            let mut trailers = Vec::new();
            let _whole = read_chunks(&mut self.stream, &mut body, &mut trailers);
        }
        body
    }

    /// Writes bytes; whoever has left gets none.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let stream = self.stream.get_mut();
        let _left = stream.write_all(bytes.as_ref());
        let _left = stream.flush();
    }

    /// What the client sends.
    pub(crate) fn reader(&mut self) -> &mut impl BufRead {
        &mut self.stream
    }

    /// Passes everything between this connection and another one, until either ends.
    pub(crate) fn tunnel(self, other: TcpStream) {
        let (mut here, mut there) = (self.stream.into_inner(), other);
        let (mut back_from, mut back_to) = (there.try_clone().unwrap(), here.try_clone().unwrap());
        let back = std::thread::spawn(move || io::copy(&mut back_from, &mut back_to));
        // whoever ends first ends both
        let _ended = io::copy(&mut here, &mut there);
        let _ended = there.shutdown(Shutdown::Both);
        let _ended = back.join();
    }

    /// Says that nothing more comes, and goes on reading.
    pub(crate) fn half_close(&mut self) {
        let _left = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        reset(self.stream.get_ref());
    }

    /// Waits until the client has left; how it did so.
    pub(crate) fn wait_for_end(&mut self) -> End {
        let mut rest = [0; 4096];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return End::Closed,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    assert!(
                        error.kind() != io::ErrorKind::WouldBlock,
                        "the client stays"
                    );
                    return End::Reset;
                }
            }
        }
    }
}

/// Makes the end of a connection a reset.
fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// A server that answers each connection as it is told.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    heads: Heads,
}

impl Upstream {
    pub(crate) fn start(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (serve, seen) = (Arc::new(serve), Arc::clone(&heads));
        // it ends with the process of the tests
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(HANGS)).unwrap();
                let (serve, heads) = (Arc::clone(&serve), Arc::clone(&seen));
                std::thread::spawn(move || {
                    serve(Peer {
                        stream: BufReader::new(stream),
                        heads,
                    });
                });
            }
        });
        Self { address, heads }
    }

    /// A server that sends `answer` to every request.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut peer| {
            while peer.request().is_some() {
                peer.send(&answer);
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The requests that came whole: head and body.
    pub(crate) fn requests(&self) -> Vec<(String, Vec<u8>)> {
        self.heads.lock().unwrap().clone()
    }
}

/// Opens a connection.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(HANGS)).unwrap();
    stream
}

/// Sends a request on a connection of its own and reads what comes.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> Seen {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    see(&mut BufReader::new(stream), request.starts_with(b"HEAD "))
}

/// Reads until `text` has come.
pub(crate) fn read_until(stream: &mut impl Read, text: &str) {
    let mut seen = Vec::new();
    let mut byte = [0; 1];
    while !seen.ends_with(text.as_bytes()) {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

/// Reads an answer.
pub(crate) fn see(stream: &mut BufReader<TcpStream>, to_head: bool) -> Seen {
    let mut seen = Seen {
        status: String::new(),
        headers: Vec::new(),
        body: Vec::new(),
        whole: false,
        trailers: Vec::new(),
        end: None,
        early: Vec::new(),
    };
    match see_into(stream, to_head, &mut seen) {
        Ok(whole) => {
            seen.whole = whole;
            seen.end = (!whole).then_some(End::Closed);
        }
        Err(error) => {
            assert!(
                error.kind() != io::ErrorKind::WouldBlock,
                "the answer hangs: {seen:?}"
            );
            let reset = matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            );
            seen.end = Some(if reset { End::Reset } else { End::Closed });
        }
    }
    seen
}

fn see_into(stream: &mut BufReader<TcpStream>, to_head: bool, seen: &mut Seen) -> io::Result<bool> {
    let head = loop {
        let head = read_head(stream)?;
        if head.is_empty() {
            return Ok(false);
        }
        let status = head.lines().next().unwrap().to_owned();
        if status.contains(" 1") && !status.contains(" 101") {
            seen.early.push(status);
            continue;
        }
        break head;
    };
    let mut lines = head.lines();
    lines.next().unwrap().clone_into(&mut seen.status);
    for line in lines.filter(|it| !it.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let name = name.to_ascii_lowercase();
        if !["connection", "keep-alive", "transfer-encoding"].contains(&name.as_str()) {
            seen.headers.push(format!("{name}: {}", value.trim()));
        }
    }
    seen.headers.sort();
    let bodiless = to_head
        || [" 204", " 304", " 101"]
            .iter()
            .any(|it| seen.status.contains(it));
    if bodiless {
        return Ok(true);
    }
    if header(&head, "transfer-encoding").is_some() {
        return read_chunks(stream, &mut seen.body, &mut seen.trailers);
    }
    if let Some(length) = header(&head, "content-length") {
        let length = length.parse().unwrap();
        read_some(&mut stream.take(length), &mut seen.body)?;
        return Ok(seen.body.len() as u64 == length);
    }
    read_some(stream, &mut seen.body)?;
    Ok(true)
}

/// Reads to the end, keeping what came before an error.
fn read_some(stream: &mut impl Read, into: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => into.extend_from_slice(&piece[..count]),
        }
    }
}

/// The lines up to an empty one.
fn read_head(stream: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line)? == 0 {
            return Ok(String::new());
        }
        if line == b"\r\n" || line == b"\n" {
            return Ok(head);
        }
        head.push_str(&String::from_utf8_lossy(&line));
    }
}

/// Reads a chunked body. Returns whether it ended as it should.
fn read_chunks(
    stream: &mut impl BufRead,
    body: &mut Vec<u8>,
    trailers: &mut Vec<String>,
) -> io::Result<bool> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        let size = line.trim().split(';').next().unwrap_or("");
        let Ok(size) = u64::from_str_radix(size, 16) else {
            return Ok(false);
        };
        if size == 0 {
            let rest = read_head(stream)?;
            trailers.extend(rest.lines().map(str::to_ascii_lowercase));
            return Ok(true);
        }
        let before = body.len();
        read_some(&mut stream.take(size), body)?;
        if ((body.len() - before) as u64) < size {
            return Ok(false);
        }
        let mut end = [0; 2];
        match stream.read_exact(&mut end) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
    }
}

/// The value of a header in a head.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
}

/// A chunk of a chunked body.
pub(crate) fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// The head of a streamed answer.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A request that wants a stream.
pub(crate) fn post(body: &str) -> Vec<u8> {
    format!(
        "POST /v1/responses HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The recorder at work.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    pub(crate) file: PathBuf,
    child: Option<Child>,
    talk: Option<JoinHandle<String>>,
    /// Each line that it says, as it says it.
    pub(crate) said: Receiver<String>,
}

impl Recorder {
    /// Starts it in front of `upstream`, with further options.
    pub(crate) fn start(sandbox: &Sandbox, upstream: &str, options: &[&str]) -> Self {
        let file = sandbox.path().join("session.jsonl");
        let file_name = file.to_str().unwrap().to_owned();
        let mut arguments = vec!["record", "-o", &file_name, "--upstream", upstream];
        arguments.extend(options);
        Self::spawn(sandbox.command(&arguments), file)
    }

    /// Starts it by a command of one's own.
    pub(crate) fn spawn(mut command: std::process::Command, file: PathBuf) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, said) = channel();
        let talk = std::thread::spawn(move || {
            let mut all = String::new();
            for line in stderr.lines() {
                let line = line.unwrap();
                all.push_str(&line);
                all.push('\n');
                // the test may not care
                let _heard = sender.send(line);
            }
            all
        });
        let address = loop {
            let line = said
                .recv_timeout(HANGS)
                .expect("the recorder says where it listens");
            if let Some(rest) = line.strip_prefix("recording http://") {
                let end = rest.find(['/', ' ']).unwrap();
                break rest[..end].parse().unwrap();
            }
        };
        Self {
            address,
            file,
            child: Some(child),
            talk: Some(talk),
            said,
        }
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        loop {
            let line = self.said.recv_timeout(HANGS);
            let line = line.unwrap_or_else(|_| panic!("the recorder never says {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let status = std::process::Command::new("kill")
            .args(["-s", name, &id])
            .status();
        assert!(status.unwrap().success());
    }

    /// Stops it as Ctrl-C does, and returns what it did and what it wrote.
    pub(crate) fn stop(self) -> (Done, Vec<Value>) {
        self.signal("INT");
        self.finish()
    }

    /// Waits until it has ended.
    pub(crate) fn finish(mut self) -> (Done, Vec<Value>) {
        let status = self.child.take().unwrap().wait().unwrap();
        let err = self.talk.take().unwrap().join().unwrap();
        let done = Done {
            out: String::new(),
            err,
            status: status.code().unwrap_or(-1),
        };
        let lines = lines_of(&self.file);
        (done, lines)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // a test that failed leaves nothing running
        if let Some(child) = &mut self.child {
            let _ended = child.kill();
            let _ended = child.wait();
        }
    }
}

/// The lines of a recording, each of which must be JSON.
pub(crate) fn lines_of(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The lines of one kind.
pub(crate) fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|it| it["kind"] == kind).collect()
}

/// The bytes of an exchange's chunks, one after another.
pub(crate) fn body_of(lines: &[Value], exchange: u64) -> Vec<u8> {
    use base64::Engine as _;
    let mut body = Vec::new();
    for line in of_kind(lines, "chunk") {
        if line["exchange"] != exchange {
            continue;
        }
        if let Some(text) = line["text"].as_str() {
            body.extend_from_slice(text.as_bytes());
        } else {
            let text = line["base64"].as_str().unwrap();
            body.extend(
                base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .unwrap(),
            );
        }
    }
    body
}
