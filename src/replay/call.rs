//! One request to a real endpoint, and the answer as far as it came.
//!
//! Each request has a connection of its own: leaving in the middle of an answer closes it, which is what a client that
//! hangs up does, and nothing is sent twice behind our back. What goes out and what comes in is told to a tape.

mod reading;
mod told;

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

pub(super) use reading::Reading;
pub(super) use told::Told;

use crate::proxy::dial::tls;
use crate::proxy::fault::chain;
use crate::proxy::tape::Tape;
use crate::proxy::{ProxyError, Roots, Upstream};
use crate::session::exchange::EndCause;
use crate::wire::event::ResponseFold;

/// How many bytes of one answer are read: 64 MiB.
pub const MAX_ANSWER: usize = 64 << 20;

/// How many bytes of a body that is no event stream are held, for its message.
const MAX_TEXT: usize = 4 << 20;

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Between two pieces of an answer, and until its head comes.
    pub idle: Duration,
    /// For the whole answer.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            whole: Duration::from_secs(600),
        }
    }
}

/// A credential that is never shown.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// A key; white space around it is no part of it.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Why an endpoint cannot be asked at all.
#[derive(Debug, Error)]
pub enum CallError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] ProxyError),
    /// The client cannot be set up.
    #[error("cannot set up an HTTP client: {0}")]
    Client(String),
    /// The key holds what no header may hold.
    #[error("the key cannot be sent: it holds characters that no header may hold")]
    Key,
}

/// Sends requests to one endpoint.
#[derive(Clone, Debug)]
pub struct Caller {
    client: reqwest::Client,
    upstream: Upstream,
    authorization: Option<HeaderValue>,
    patience: Patience,
    tape: Option<Tape>,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Its body, JSON.
    pub body: String,
    /// Headers beside those every request has.
    pub headers: Vec<(String, String)>,
    /// Where the answer is left.
    pub leave: Leave,
}

/// Where a client leaves an answer that is still coming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leave {
    /// It reads to the end.
    #[default]
    Never,
    /// Behind so many events; 0: when the head of the answer has come.
    Behind(u32),
    /// Behind the first event of this type.
    At(&'static str),
    /// Behind the first event of this type whose item is a call.
    AtCall(&'static str),
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As HTTP says it should.
    Whole,
    /// We left.
    Left,
    /// The connection broke off.
    Broken(String),
    /// Nothing came for as long as we wait.
    Idle,
    /// It took longer, or was larger, than we take.
    TooMuch(&'static str),
}

/// An answer, as far as it came.
#[derive(Clone, Debug)]
pub struct Got {
    /// The status; 101 and above on a WebSocket: that of an error frame, else 200.
    pub status: u16,
    /// `content-type`.
    pub content_type: String,
    /// How long the endpoint asks to wait.
    pub retry_after: Option<Duration>,
    /// Where a redirection leads.
    pub location: Option<String>,
    /// What the events, or the body, add up to.
    pub fold: ResponseFold,
    /// The body, where it is no event stream.
    pub text: String,
    /// Whether it came as an event stream.
    pub streamed: bool,
    /// Whether the stream ended with `[DONE]`.
    pub done_sentinel: bool,
    /// How it ended.
    pub ended: Ended,
    /// Whether it was over already when we left: then nothing was cut.
    pub was_over: bool,
}

/// What came of asking once.
#[derive(Clone, Debug)]
pub enum Came {
    /// An answer.
    Answer(Box<Got>),
    /// None: the endpoint cannot be reached, or said nothing.
    Nothing(String),
}

impl Caller {
    /// Sends to `upstream`, with `key` as a bearer token; what passes is told to `tape`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn new(
        upstream: Upstream,
        key: Option<&Key>,
        patience: Patience,
        tape: Option<Tape>,
    ) -> Result<Self, CallError> {
        let roots = upstream.tls().then_some(Roots::Both);
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(roots)?)
            .http1_only()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(patience.connect);
        if upstream.is_loopback() {
            // what stays on this machine is not sent through another
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| CallError::Client(chain(&error)))?;
        let authorization = key.filter(|key| !key.0.is_empty()).map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.0))
                .map_err(|_not_shown| CallError::Key)?;
            value.set_sensitive(true);
            Ok::<_, CallError>(value)
        });
        Ok(Self {
            client,
            upstream,
            authorization: authorization.transpose()?,
            patience,
            tape,
        })
    }

    /// Where it sends to.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    pub(super) fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// The headers of a request.
    pub(super) fn headers(&self, ask: &Ask, websocket: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &ask.headers {
            // what no header may hold is no header
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) {
                headers.append(name, value);
            }
        }
        let mut set = |name: HeaderName, value: &'static str| {
            headers.insert(name, HeaderValue::from_static(value));
        };
        set(
            hyper::header::USER_AGENT,
            concat!("replay/", env!("CARGO_PKG_VERSION")),
        );
        if !websocket {
            set(hyper::header::CONTENT_TYPE, "application/json");
            set(hyper::header::ACCEPT, "text/event-stream, application/json");
            set(hyper::header::ACCEPT_ENCODING, "identity");
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(hyper::header::AUTHORIZATION, authorization.clone());
        }
        headers
    }

    /// The path of `name` below the base URL.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.upstream.prefix())
    }

    /// Reads a small resource below the base URL.
    ///
    /// # Errors
    /// The status, if there was an answer, and why there is no text.
    pub async fn get(&self, name: &str) -> Result<String, (Option<u16>, String)> {
        let mut headers = self.headers(&Ask::default(), true);
        headers.insert(
            hyper::header::ACCEPT,
            HeaderValue::from_static("application/json"),
        );
        let mut told = Told::request(self.tape.as_ref(), "GET", &self.path(name), &headers, b"");
        let url = format!("{}/{name}", self.upstream.url());
        let asked = self.client.get(url).headers(headers).send();
        let reading = async {
            let broken = |error: reqwest::Error| (None, chain(&error.without_url()));
            let mut response = asked.await.map_err(broken)?;
            let status = response.status().as_u16();
            told.response(status, response.headers());
            if status != 200 {
                return Err((Some(status), format!("it answered {status}")));
            }
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(broken)? {
                told.chunk(&chunk);
                bytes.extend_from_slice(&chunk);
                if bytes.len() > MAX_TEXT {
                    return Err((Some(status), "its answer is too large".to_owned()));
                }
            }
            String::from_utf8(bytes)
                .map_err(|_not_text| (Some(status), "its answer is no text".to_owned()))
        };
        let waited = self.patience.idle.as_secs_f64();
        let came = tokio::time::timeout(self.patience.idle, reading)
            .await
            .unwrap_or_else(|_late| Err((None, format!("no answer within {waited} s"))));
        match &came {
            Ok(_) => told.end(EndCause::Complete, None),
            Err((_, why)) => told.end(EndCause::UpstreamError, Some(why.clone())),
        }
        came
    }

    /// Sends a request once and reads its answer.
    pub async fn ask(&self, ask: &Ask) -> Came {
        let headers = self.headers(ask, false);
        let mut told = Told::request(
            self.tape.as_ref(),
            "POST",
            &self.path("responses"),
            &headers,
            ask.body.as_bytes(),
        );
        let url = format!("{}/responses", self.upstream.url());
        let request = self
            .client
            .post(url)
            .headers(headers)
            .body(ask.body.clone())
            .send();
        let came = tokio::time::timeout(self.patience.idle, request).await;
        let response = match came {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let why = chain(&error.without_url());
                told.end(EndCause::UpstreamError, Some(why.clone()));
                return Came::Nothing(why);
            }
            Err(_) => {
                told.end(EndCause::Timeout, None);
                let waited = self.patience.idle.as_secs_f64();
                return Came::Nothing(format!("no answer began within {waited} s"));
            }
        };
        told.response(response.status().as_u16(), response.headers());
        let got = read(response, ask.leave, &mut told, self.patience).await;
        told.end(cause(&got.ended), detail(&got.ended));
        Came::Answer(Box::new(got))
    }
}

fn cause(ended: &Ended) -> EndCause {
    match ended {
        Ended::Whole => EndCause::Complete,
        Ended::Left | Ended::TooMuch(_) => EndCause::ClientClosed,
        Ended::Broken(_) => EndCause::UpstreamError,
        Ended::Idle => EndCause::Timeout,
    }
}

fn detail(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Broken(why) => Some(why.clone()),
        Ended::TooMuch(what) => Some(format!("more {what} than is taken")),
        _ => None,
    }
}

async fn read(
    mut response: reqwest::Response,
    leave: Leave,
    told: &mut Told,
    patience: Patience,
) -> Got {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let mut reading = Reading::default();
    let deadline = tokio::time::Instant::now() + patience.whole;
    let ended = loop {
        if leave == Leave::Behind(0) {
            break Ended::Left;
        }
        let late = deadline.min(tokio::time::Instant::now() + patience.idle);
        match tokio::time::timeout_at(late, response.chunk()).await {
            Err(_) if late >= deadline => break Ended::TooMuch("time"),
            Err(_) => break Ended::Idle,
            Ok(Ok(Some(bytes))) => {
                told.chunk(&bytes);
                if let Some(ended) = reading.take(&bytes, leave) {
                    // what lies in the socket has come; nothing is waited for
                    while let Ok(Ok(Some(bytes))) =
                        tokio::time::timeout(Duration::ZERO, response.chunk()).await
                    {
                        reading.peek(&bytes);
                        if reading.was_over {
                            break;
                        }
                    }
                    break ended;
                }
            }
            Ok(Ok(None)) => break Ended::Whole,
            Ok(Err(error)) => break Ended::Broken(chain(&error.without_url())),
        }
    };
    reading.end(status, &headers, ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(parts: &[&str], leave: Leave) -> Got {
        let mut reading = Reading::default();
        let mut ended = Ended::Whole;
        for part in parts {
            if let Some(how) = reading.take(part.as_bytes(), leave) {
                ended = how;
                break;
            }
        }
        reading.end(200, &HeaderMap::new(), ended)
    }

    #[test]
    fn a_stream_adds_up_and_can_be_left() {
        let created = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n";
        let done = "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\ndata: [DONE]\n\n";
        let (head, tail) = created.split_at(20);
        let got = read_all(&[head, tail, done], Leave::Never);
        assert_eq!(
            (got.fold.id.as_deref(), got.fold.events, got.done_sentinel),
            (Some("resp_1"), 2, true)
        );
        assert!(got.fold.terminal.is_some() && got.streamed);
        let got = read_all(&[created, done], Leave::Behind(1));
        assert_eq!((got.fold.events, got.ended), (1, Ended::Left));
        let got = read_all(&[created, done], Leave::At("response.completed"));
        assert_eq!(got.ended, Ended::Left);
    }

    #[test]
    fn other_bodies_keep_their_text() {
        let got = read_all(
            &[
                "  {\"object\":\"response\",\"id\":\"r\",\"status\":\"completed\",\"output\":[{\"id\":\"m\"}]}",
            ],
            Leave::Never,
        );
        assert_eq!((got.fold.done.len(), got.streamed), (1, false));
        assert_eq!(
            read_all(&["Bad ", "gateway"], Leave::Never).text,
            "Bad gateway"
        );
        assert_eq!(read_all(&["<html>"], Leave::Never).text, "<html>");
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", Key::new("sk-1234")), "Key(…)");
    }
}
