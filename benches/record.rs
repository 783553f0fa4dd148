//! What the recorder costs those who talk through it, beside a plain forwarder of the same HTTP library and beside no one
//! in between. All of it over loopback, the recorder and the forwarder as processes of their own.
//!
//! `cargo bench --bench record -- [REQUESTS] [EXCHANGES]`; 200 unpaced answers and 100,000 exchanges by default.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a measurement that cannot go on has failed"
)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// Events of one answer.
const EVENTS: usize = 2000;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|it| it == "--forward") {
        return forward(arguments[at + 1].parse().unwrap());
    }
    let mut numbers = arguments.iter().filter_map(|it| it.parse::<usize>().ok());
    let requests = numbers.next().unwrap_or(200);
    let exchanges = numbers.next().unwrap_or(100_000);
    let mut out = io::stdout().lock();

    let upstream = upstream(Instant::now())?;
    writeln!(
        out,
        "per event of a {EVENTS}-event stream, 0.25 ms apart (microseconds: median, p99), and to the first byte"
    )?;
    let mut rounds: [Vec<Paced>; 3] = Default::default();
    let mut totals: [Vec<Duration>; 3] = Default::default();
    let folder = std::env::temp_dir().join(format!("replay-bench-record-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let recorder = Middle::recorder(upstream.address, &folder)?;
    let forwarder = Middle::forwarder(upstream.address)?;
    let ways = [upstream.address, forwarder.address, recorder.address];
    for _ in 0..3 {
        for (way, round) in ways.iter().zip(&mut rounds) {
            round.push(paced(*way, upstream.began)?);
        }
    }
    for (name, round) in ["direct", "forwarder", "recorder"].iter().zip(&rounds) {
        let lags: Vec<u64> = round
            .iter()
            .flat_map(|it| it.lags.iter().copied())
            .collect();
        let first: Vec<u64> = round.iter().map(|it| it.first).collect();
        writeln!(
            out,
            "  {name:9} {:5} {:6}   first byte {:5}",
            quantile(&lags, 50),
            quantile(&lags, 99),
            quantile(&first, 50),
        )?;
    }

    for connections in [1, 16] {
        writeln!(
            out,
            "{requests} unpaced answers over {connections} connections"
        )?;
        for round in &mut totals {
            round.clear();
        }
        for _ in 0..3 {
            for (way, round) in ways.iter().zip(&mut totals) {
                round.push(unpaced(*way, requests, connections)?);
            }
        }
        let best = |at: usize| totals[at].iter().min().copied().unwrap_or_default();
        for (at, name) in ["direct", "forwarder", "recorder"].iter().enumerate() {
            let rate = (requests * EVENTS) as f64 / best(at).as_secs_f64();
            writeln!(out, "  {name:9} {rate:9.0} events/s")?;
        }
        let ratio = best(1).as_secs_f64() / best(2).as_secs_f64();
        writeln!(out, "  recorder / forwarder {ratio:.2}")?;
    }
    drop(recorder);

    let recorder = Middle::recorder(upstream.address, &folder)?;
    let done = crowd(recorder.address, 1000, 200)?;
    writeln!(
        out,
        "1,000 streams of 200 events at once: {done} events came, peak memory {} MB",
        recorder.memory("VmHWM") / 1000
    )?;
    let written = recorder.stop()?;
    let chunks = bytecount(&written, b"\ndata: {") + bytecount(&written, b"\"data: {");
    writeln!(out, "  on file: {chunks} events")?;

    let recorder = Middle::recorder(upstream.address, &folder)?;
    let mut after_first = 0;
    let mut stream = BufReader::new(TcpStream::connect(recorder.address)?);
    for at in 0..exchanges {
        stream.get_mut().write_all(&request("/v1/short"))?;
        read_answer(&mut stream, |_| {})?;
        if at == 999 {
            after_first = recorder.memory("VmRSS");
        }
    }
    writeln!(
        out,
        "{exchanges} exchanges: memory {} KB after the first 1,000, {} KB at the end",
        after_first,
        recorder.memory("VmRSS")
    )?;
    recorder.stop()?;
    drop(forwarder);
    std::fs::remove_dir_all(&folder)
}

/// What an upstream writes, and since when its times count.
struct Upstream {
    address: SocketAddr,
    began: Instant,
}

/// A server whose events carry the time they were written at.
fn upstream(began: Instant) -> io::Result<Upstream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::Builder::new()
                .stack_size(128 << 10)
                .spawn(move || answer(stream, began))
                .unwrap();
        }
    });
    Ok(Upstream { address, began })
}

fn event(at: usize, time: u128) -> String {
    let data = format!(
        "data: {{\"type\":\"response.output_text.delta\",\"item_id\":\"msg_68af4030baa48193b0b43b4c2a176a1a\",\"output_index\":0,\"content_index\":0,\"delta\":\" word\",\"logprobs\":[],\"sequence_number\":{at},\"t\":{time:012}}}\n\n"
    );
    format!("{:x}\r\n{data}\r\n", data.len())
}

fn answer(stream: TcpStream, began: Instant) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let unpaced: String = (0..EVENTS).map(|at| event(at, 0)).collect();
    let some: String = (0..200).map(|at| event(at, 0)).collect();
    loop {
        let mut path = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if path.is_empty() {
                path.clone_from(&line);
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        io::copy(&mut (&mut stream).take(length), &mut io::sink())?;
        let out = stream.get_mut();
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        if path.contains("/paced") {
            for at in 0..EVENTS {
                std::thread::sleep(Duration::from_micros(250));
                out.write_all(event(at, began.elapsed().as_micros()).as_bytes())?;
            }
        } else if path.contains("/short") {
            out.write_all(event(0, 0).as_bytes())?;
        } else if path.contains("/some") {
            out.write_all(some.as_bytes())?;
        } else {
            out.write_all(unpaced.as_bytes())?;
        }
        out.write_all(b"0\r\n\r\n")?;
    }
}

fn request(path: &str) -> Vec<u8> {
    let body = r#"{"model":"m","stream":true,"input":"hi"}"#;
    format!(
        "POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads one answer and hands over each chunk as it came.
fn read_answer(stream: &mut BufReader<TcpStream>, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == b"\r\n" {
            break;
        }
    }
    let mut chunk = Vec::new();
    loop {
        line.clear();
        stream.read_until(b'\n', &mut line)?;
        let size = std::str::from_utf8(&line).unwrap().trim();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        chunk.resize(size + 2, 0);
        stream.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(());
        }
        each(&chunk[..size]);
    }
}

struct Paced {
    lags: Vec<u64>,
    first: u64,
}

/// How late each event of a slow stream comes.
fn paced(way: SocketAddr, began: Instant) -> io::Result<Paced> {
    let mut stream = BufReader::new(TcpStream::connect(way)?);
    stream.get_ref().set_nodelay(true)?;
    // the connection to the upstream is opened by a first, short one
    stream.get_mut().write_all(&request("/v1/short"))?;
    read_answer(&mut stream, |_| {})?;
    let mut firsts = Vec::new();
    for _ in 0..200 {
        let asked = Instant::now();
        stream.get_mut().write_all(&request("/v1/short"))?;
        stream.fill_buf()?;
        firsts.push(asked.elapsed().as_micros() as u64);
        read_answer(&mut stream, |_| {})?;
    }
    let mut lags = Vec::with_capacity(EVENTS);
    stream.get_mut().write_all(&request("/v1/paced"))?;
    read_answer(&mut stream, |chunk| {
        let now = began.elapsed().as_micros() as u64;
        let text = std::str::from_utf8(chunk).unwrap();
        let at = text.find("\"t\":").unwrap() + 4;
        let sent: u64 = text[at..at + 12].parse().unwrap();
        lags.push(now.saturating_sub(sent));
    })?;
    Ok(Paced {
        lags,
        first: quantile(&firsts, 50),
    })
}

/// How long many answers take, over several connections.
fn unpaced(way: SocketAddr, requests: usize, connections: usize) -> io::Result<Duration> {
    let barrier = Arc::new(Barrier::new(connections + 1));
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            std::thread::spawn(move || -> io::Result<usize> {
                let mut stream = TcpStream::connect(way)?;
                barrier.wait();
                let mut bytes = 0;
                let mut buffer = vec![0; 256 << 10];
                for _ in 0..requests / connections {
                    stream.write_all(&request("/v1/all"))?;
                    let mut tail = [0_u8; 5];
                    while &tail != b"0\r\n\r\n" {
                        let count = stream.read(&mut buffer)?;
                        if count == 0 {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                        bytes += count;
                        let mut last: Vec<u8> = tail.to_vec();
                        last.extend(&buffer[count.saturating_sub(5)..count]);
                        tail.copy_from_slice(&last[last.len() - 5..]);
                    }
                }
                Ok(bytes)
            })
        })
        .collect();
    barrier.wait();
    let began = Instant::now();
    for worker in workers {
        assert!(worker.join().unwrap()? > 0);
    }
    Ok(began.elapsed())
}

/// Many streams at once. Returns how many events came.
fn crowd(way: SocketAddr, streams: usize, events: usize) -> io::Result<usize> {
    let barrier = Arc::new(Barrier::new(streams));
    let (done, came) = mpsc::channel();
    for _ in 0..streams {
        let (barrier, done) = (Arc::clone(&barrier), done.clone());
        std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || {
                let mut stream = BufReader::with_capacity(4096, TcpStream::connect(way).unwrap());
                barrier.wait();
                stream.get_mut().write_all(&request("/v1/some")).unwrap();
                let mut body = Vec::new();
                read_answer(&mut stream, |chunk| body.extend_from_slice(chunk)).unwrap();
                done.send(bytecount(&body, b"data: {")).unwrap();
            })?;
    }
    drop(done);
    let came: Vec<usize> = came.iter().collect();
    assert_eq!(came.len(), streams);
    assert!(came.iter().all(|it| *it == events), "events were lost");
    Ok(came.iter().sum())
}

/// A process between client and upstream.
struct Middle {
    child: Child,
    address: SocketAddr,
    file: Option<std::path::PathBuf>,
}

impl Middle {
    fn recorder(upstream: SocketAddr, folder: &std::path::Path) -> io::Result<Self> {
        let file = folder.join("session.jsonl");
        let mut child = Command::new(env!("CARGO_BIN_EXE_replay"))
            .args(["record", "--force", "--upstream"])
            .arg(format!("http://{upstream}/v1"))
            .arg("-o")
            .arg(&file)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()?;
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        talk.read_line(&mut line)?;
        let address = line.trim_start_matches("recording http://");
        let address = address[..address.find('/').unwrap()].parse().unwrap();
        std::thread::spawn(move || io::copy(&mut talk, &mut io::sink()));
        Ok(Self {
            child,
            address,
            file: Some(file),
        })
    }

    fn forwarder(upstream: SocketAddr) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--forward", &upstream.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line)?;
        Ok(Self {
            child,
            address: line.trim().parse().unwrap(),
            file: None,
        })
    }

    /// A figure of the process in KB.
    fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|it| it.starts_with(what));
        let number = line.and_then(|it| it.split_whitespace().nth(1));
        number.and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    /// Stops the recorder and returns what it wrote.
    fn stop(mut self) -> io::Result<Vec<u8>> {
        Command::new("kill")
            .args(["-s", "INT", &self.child.id().to_string()])
            .status()?;
        self.child.wait()?;
        std::fs::read(self.file.take().unwrap())
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Forwards and does nothing else.
fn forward(upstream: SocketAddr) -> io::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            writeln!(io::stdout(), "{}", listener.local_addr()?)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(async move {
                    let up = tokio::net::TcpStream::connect(upstream).await.unwrap();
                    up.set_nodelay(true).unwrap();
                    let (sender, connection) =
                        hyper::client::conn::http1::handshake(TokioIo::new(up))
                            .await
                            .unwrap();
                    tokio::spawn(connection);
                    let sender = Arc::new(tokio::sync::Mutex::new(sender));
                    let service = service_fn(move |mut request| {
                        let sender = Arc::clone(&sender);
                        async move {
                            let uri: &hyper::Uri = hyper::Request::uri(&request);
                            let path = uri.path_and_query().unwrap().clone();
                            *request.uri_mut() = path.into();
                            let mut sender = sender.lock().await;
                            sender.ready().await?;
                            sender.send_request(request).await
                        }
                    });
                    let _over = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        })
}

fn quantile(values: &[u64], percent: usize) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) * percent / 100]
}

fn bytecount(bytes: &[u8], what: &[u8]) -> usize {
    let finder = memchr::memmem::Finder::new(what);
    finder.find_iter(bytes).count()
}
