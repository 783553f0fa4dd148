//! WebSocket mode: requests as messages of one connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::proxy::Roots;
use crate::proxy::dial::Dialer;
use crate::proxy::fault::chain;
use crate::proxy::tape::{Event, Head, Track};
use crate::replay::call::{Ask, Caller, Came, Ended, Leave, MAX_ANSWER, Reading, Told};
use crate::session::exchange::EndCause;

/// How much of the body of a refused handshake is read.
const MAX_REFUSAL: usize = 64 << 10;

/// A connection in WebSocket mode.
pub struct Socket {
    stream: WebSocketStream<Tap>,
    /// The headers of the handshake's answer.
    headers: HeaderMap,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum NoSocket {
    /// The endpoint answered the handshake with something else.
    Answered(Box<Came>),
    /// It cannot be reached.
    Unreachable(String),
}

/// Opens a connection.
///
/// # Errors
/// See [`NoSocket`].
pub async fn open(caller: &Caller, headers: &[(String, String)]) -> Result<Socket, NoSocket> {
    let patience = caller.patience();
    let opening = tokio::time::timeout(patience.connect, handshake(caller, headers));
    opening.await.unwrap_or_else(|_late| {
        let waited = patience.connect.as_secs_f64();
        Err(NoSocket::Unreachable(format!(
            "no connection within {waited} s"
        )))
    })
}

async fn handshake(caller: &Caller, headers: &[(String, String)]) -> Result<Socket, NoSocket> {
    let unreachable = |why: String| NoSocket::Unreachable(why);
    let upstream = caller.upstream();
    let mut dialer =
        Dialer::new(Roots::Both, upstream.tls()).map_err(|error| unreachable(error.to_string()))?;
    if upstream.is_loopback() {
        dialer = dialer.without_proxies();
    }
    let dialed = dialer
        .dial(upstream, true)
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(dialed.stream))
        .await
        .map_err(|error| unreachable(chain(&error)))?;
    let driver = tokio::spawn(connection.with_upgrades());
    let ask = Ask {
        headers: headers.to_vec(),
        ..Ask::default()
    };
    let mut sent = caller.headers(&ask, true);
    let key = generate_key();
    let host = HeaderValue::from_str(upstream.authority().as_str())
        .map_err(|error| unreachable(error.to_string()))?;
    let key_value = HeaderValue::from_str(&key).map_err(|error| unreachable(error.to_string()))?;
    sent.insert("host", host);
    sent.insert("connection", HeaderValue::from_static("Upgrade"));
    sent.insert("upgrade", HeaderValue::from_static("websocket"));
    sent.insert("sec-websocket-version", HeaderValue::from_static("13"));
    sent.insert("sec-websocket-key", key_value);
    let path = caller.path("responses");
    let target = match &dialed.by_proxy {
        None => path.clone(),
        Some(_) => format!("{}/responses", upstream.url()),
    };
    if let Some(auth) = dialed.by_proxy.as_ref().and_then(|it| it.auth.clone()) {
        sent.insert("proxy-authorization", auth);
    }
    let mut request = Request::builder()
        .method("GET")
        .uri(target)
        .body(Empty::<Bytes>::new())
        .map_err(|error| unreachable(error.to_string()))?;
    *request.headers_mut() = sent.clone();
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| unreachable(chain(&error)))?;
    let headers = answer.headers().clone();
    let accepted = headers
        .get("sec-websocket-accept")
        .map(HeaderValue::as_bytes);
    let switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && accepted == Some(derive_accept_key(key.as_bytes()).as_bytes());
    if !switched {
        let mut told = Told::request(caller.tape(), "GET", &path, &sent, b"");
        let status = answer.status().as_u16();
        told.response(status, &headers);
        let mut reading = Reading::default();
        let mut body = answer.into_body();
        let mut size = 0;
        let mut ended = Ended::Whole;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    let Some(bytes) = frame.data_ref() else {
                        continue;
                    };
                    size += bytes.len();
                    told.chunk(bytes);
                    reading.take(bytes, Leave::Never);
                    if size > MAX_REFUSAL {
                        break;
                    }
                }
                Err(error) => {
                    ended = Ended::Broken(chain(&error));
                    break;
                }
            }
        }
        driver.abort();
        told.end(EndCause::Complete, None);
        let got = reading.end(status, &headers, ended);
        return Err(NoSocket::Answered(Box::new(Came::Answer(Box::new(got)))));
    }
    let upgraded = hyper::upgrade::on(answer)
        .await
        .map_err(|error| unreachable(chain(&error)))?;
    let track = caller.tape().map(|tape| {
        let mut track = tape.track();
        let (id, at_us) = (track.id(), track.now());
        track.mark(Event::Connection {
            id,
            at_us,
            head: Box::new(Head {
                http: "1.1",
                method: "GET".to_owned(),
                target: path,
                headers: sent,
            }),
            headers: Box::new(headers.clone()),
        });
        track
    });
    let tap = Tap {
        inner: TokioIo::new(upgraded),
        track,
        cause: EndCause::ClientClosed,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_ANSWER))
        .max_frame_size(Some(MAX_ANSWER));
    Ok(Socket {
        stream: WebSocketStream::from_raw_socket(tap, Role::Client, Some(config)).await,
        headers,
    })
}

impl Socket {
    /// Sends a request and reads its answer. Returns whether the connection can be used again.
    pub async fn ask(&mut self, caller: &Caller, ask: &Ask) -> (Came, bool) {
        let patience = caller.patience();
        let sent = self.stream.send(Message::text(ask.body.clone())).await;
        if let Err(error) = sent {
            return (Came::Nothing(chain(&error)), false);
        }
        let mut reading = Reading::default();
        let mut status = 200;
        let mut bytes = 0;
        let deadline = tokio::time::Instant::now() + patience.whole;
        let ended = loop {
            let late = deadline.min(tokio::time::Instant::now() + patience.idle);
            let next = match tokio::time::timeout_at(late, self.stream.next()).await {
                Err(_) if late >= deadline => break Ended::TooMuch("time"),
                Err(_) => break Ended::Idle,
                Ok(next) => next,
            };
            match next {
                Some(Ok(Message::Text(text))) => {
                    bytes += text.len();
                    if let Some(ended) = reading.data(text.as_str(), ask.leave) {
                        break ended;
                    }
                    if let Some(error) = reading.error_status() {
                        status = error;
                    }
                    if reading.is_over() {
                        break Ended::Whole;
                    }
                    if bytes > MAX_ANSWER {
                        break Ended::TooMuch("bytes");
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map_or_else(String::new, |frame| {
                        format!(": {} {}", u16::from(frame.code), frame.reason)
                    });
                    break Ended::Broken(format!("the connection was closed{why}"));
                }
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    break Ended::Broken("the connection was closed".to_owned());
                }
                Some(Err(error)) => break Ended::Broken(chain(&error)),
            }
        };
        let usable = ended == Ended::Whole;
        let mut got = reading.end(200, &self.headers, ended);
        got.streamed = true;
        got.status = if (200..300).contains(&status) || got.fold.error.is_some() {
            200
        } else {
            status
        };
        (Came::Answer(Box::new(got)), usable)
    }

    /// Says good-bye.
    pub async fn close(mut self) {
        // whoever is gone needs no good-bye
        let _gone = self.stream.close(None).await;
    }
}

/// The connection, with a copy of its bytes for the tape.
struct Tap {
    inner: TokioIo<Upgraded>,
    track: Option<Track>,
    cause: EndCause,
}

impl Tap {
    fn tell(&mut self, from_client: bool, bytes: &[u8]) {
        if let (Some(track), false) = (&mut self.track, bytes.is_empty()) {
            let (id, at_us) = (track.id(), track.now());
            track.data(Event::Socket {
                id,
                at_us,
                from_client,
                bytes: Bytes::copy_from_slice(bytes),
            });
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if let Poll::Ready(result) = &polled {
            let fresh = buffer.filled().get(before..).unwrap_or(&[]);
            match result {
                Ok(()) if fresh.is_empty() => self.cause = EndCause::UpstreamClosed,
                Ok(()) => self.tell(false, fresh),
                Err(_) => self.cause = EndCause::UpstreamError,
            }
        }
        polled
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &polled {
            let written = bytes.get(..*count).unwrap_or(&[]);
            self.tell(true, written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let cause = self.cause;
        if let Some(track) = &mut self.track {
            let (id, at_us) = (track.id(), track.now());
            track.mark(Event::ConnectionEnd { id, at_us, cause });
        }
    }
}
