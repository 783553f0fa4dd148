//! Requests that go on to the upstream, through the recorder that writes them down.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::Answer;
use super::http::error;
use super::{Shared, Upstream};
use crate::endpoint::served::server::CameBack;
use crate::wire::failure::Failure;

/// Answers larger than this are passed on, and not played again in the same run: 64 MiB.
const LEARNED: usize = 64 << 20;

/// Headers that speak of one connection, or of a body that was decoded.
const OWN: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    HOST,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Passes a request on; what comes back is passed to the client and, at its end, told to the server.
pub(super) async fn pass(
    shared: &Arc<Shared>,
    upstream: &Upstream,
    number: u32,
    (method, path, headers): (&hyper::Method, &str, &HeaderMap),
    body: Bytes,
) -> Response<Answer> {
    match ask(upstream, method, path, headers, body).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let kind = head.headers.get("content-type");
            let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or("");
            let passed = Passed {
                shared: Arc::clone(shared),
                number,
                status: head.status.as_u16(),
                content_type: kind.to_owned(),
                body,
                seen: BytesMut::new(),
                too_long: false,
                over: false,
            };
            let mut answer = Response::new(Answer::Passed(Box::new(passed)));
            *answer.status_mut() = head.status;
            for (name, value) in &head.headers {
                if name != CONTENT_ENCODING && !OWN.contains(name) {
                    answer.headers_mut().append(name, value.clone());
                }
            }
            if let Some(encoding) = head.headers.get(CONTENT_ENCODING) {
                answer
                    .headers_mut()
                    .insert(CONTENT_ENCODING, encoding.clone());
            }
            answer
        }
        Err(why) => {
            let failure = Failure::invalid(format!("The upstream cannot be reached: {why}"))
                .with_status(502)
                .code("upstream_unreachable");
            shared.server().came_back(
                number,
                &CameBack {
                    status: 502,
                    content_type: "",
                    bytes: &[],
                    end: "cut",
                },
            );
            error(&failure, Vec::new())
        }
    }
}

async fn ask(
    upstream: &Upstream,
    method: &hyper::Method,
    path: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(upstream.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // its end shows in the answer
        let _ended: Result<(), hyper::Error> = connection.await;
    });
    let mut request = Request::builder()
        .method(method)
        .uri(upstream.target(path))
        .header(HOST, upstream.address.to_string());
    for (name, value) in headers {
        let ours = name.as_str().starts_with("x-replay-");
        // an answer that is compressed could not be played again
        if !ours && !OWN.contains(name) && name != "accept-encoding" {
            request = request.header(name, value);
        }
    }
    Ok(sender.send_request(request.body(Full::new(body))?).await?)
}

/// The body of an answer that is passed on.
pub(super) struct Passed {
    shared: Arc<Shared>,
    number: u32,
    status: u16,
    content_type: String,
    body: Incoming,
    seen: BytesMut,
    too_long: bool,
    over: bool,
}

impl Passed {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            };
            match frame {
                None => {
                    self.tell("complete");
                    return Poll::Ready(None);
                }
                Some(Err(why)) => {
                    self.tell("cut");
                    return Poll::Ready(Some(Err(io::Error::other(why))));
                }
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else {
                        continue;
                    };
                    if self.seen.len() + bytes.len() > LEARNED {
                        self.too_long = true;
                    } else {
                        self.seen.extend_from_slice(&bytes);
                    }
                    // who has the last event may go on before the body ends
                    if ends_here(&self.seen) {
                        self.tell("complete");
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
            }
        }
    }

    fn tell(&mut self, end: &'static str) {
        if self.over {
            return;
        }
        self.over = true;
        let bytes: &[u8] = if self.too_long { &[] } else { &self.seen };
        let mut server = self.shared.server();
        server.came_back(
            self.number,
            &CameBack {
                status: self.status,
                content_type: &self.content_type,
                bytes,
                end,
            },
        );
        self.shared.tell(&server, self.number);
    }
}

/// Whether the last frame that came ends a response.
fn ends_here(seen: &[u8]) -> bool {
    let Some(rest) = seen.strip_suffix(b"\n\n") else {
        return false;
    };
    let start = memchr::memmem::rfind(rest, b"\n\n").map_or(0, |at| at + 2);
    let last = rest.get(start..).unwrap_or(&[]);
    [
        &b"event: response.completed\n"[..],
        b"event: response.incomplete\n",
        b"event: response.failed\n",
    ]
    .iter()
    .any(|it| last.starts_with(it))
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.tell("client_closed");
    }
}
