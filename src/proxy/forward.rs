//! One request, from the client to the upstream and its answer back.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;

use super::body::{Exchange, Relay, Upload, drain};
use super::dial::{Dialed, Through};
use super::fault::Fault;
use super::headers::{drop_hop_by_hop, is_upgrade};
use super::link::Link;
use super::tape::{Event, Head, Track};
use super::{Shared, Upstream, splice};
use crate::session::exchange::EndCause;

/// What a client gets.
pub(super) type Reply = Response<Either<Relay, Full<Bytes>>>;

/// The client's connection is closed without an answer.
#[derive(Debug)]
pub(super) struct Unanswered;

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream gave no answer")
    }
}

impl std::error::Error for Unanswered {}

/// Sends requests to an upstream.
pub(super) enum Sender {
    Http1 {
        sender: http1::SendRequest<Upload>,
        by_proxy: Option<Through>,
    },
    Http2(http2::SendRequest<Upload>),
}

/// Forwards a request.
pub(super) async fn forward(
    shared: Arc<Shared>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Result<Reply, Unanswered> {
    let path = request.uri().path();
    let index = shared.upstreams.iter().position(|it| it.takes(path));
    let Some((index, upstream)) =
        index.and_then(|index| Some((index, shared.upstreams.get(index)?)))
    else {
        return Ok(not_found(&shared, path));
    };
    if is_upgrade(request.headers()) {
        return splice::forward(&shared, &link, upstream, request).await;
    }
    let track = shared.tape.track();
    let mut exchange = begin(track, &request);
    let (mut parts, body) = request.into_parts();
    let expects = parts
        .headers
        .get(EXPECT)
        .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    drop_hop_by_hop(&mut parts.headers);
    let (asked, gate) = oneshot::channel();
    let gate = (expects && !hyper::body::Body::is_end_stream(&body)).then_some(gate);
    let upload = Upload::new(body, exchange.track.twin(), gate);
    let mut request = Request::from_parts(parts, upload);
    if expects {
        let asked = Mutex::new(Some(asked));
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                // nobody waits any more if the body was sent without being asked for
                let _sent = asked.take().map(|it| it.send(()));
            }
        });
    }
    let job = Send {
        index,
        shared: Arc::clone(&shared),
        link: Arc::clone(&link),
        expects,
    };
    if !shared.drain {
        let answer = job.run(request, &mut exchange).await;
        return reply(answer, exchange, &shared, &link);
    }
    // the request outlives its client
    let (done, answered) = oneshot::channel();
    link.outlive(async move {
        let answer = job.run(request, &mut exchange).await;
        if let Err((answer, mut exchange)) = done.send((answer, exchange)) {
            match answer {
                Ok(answer) => drain(answer.into_body(), exchange).await,
                Err(failure) => failure.tell(&mut exchange),
            }
        }
    });
    let (answer, exchange) = answered.await.map_err(|_gone| Unanswered)?;
    reply(answer, exchange, &shared, &link)
}

/// Tells the tape of a request.
pub(super) fn begin(mut track: Track, request: &Request<Incoming>) -> Exchange {
    let (id, at_us) = (track.id(), track.now());
    track.mark(Event::Request {
        id,
        at_us,
        head: Box::new(head_of(request)),
    });
    Exchange::new(track)
}

/// What a recording says of a request's head.
pub(super) fn head_of(request: &Request<Incoming>) -> Head {
    Head {
        http: match request.version() {
            Version::HTTP_09 | Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        },
        method: request.method().to_string(),
        target: target(request.uri()).as_str().to_owned(),
        headers: request.headers().clone(),
    }
}

/// Path and query of a request.
pub(super) fn target(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// Why there is no answer.
pub(super) enum Failure {
    /// The upstream cannot be reached.
    Unreachable(String),
    /// It broke off before it answered.
    Broken(Fault),
}

impl Failure {
    pub(super) fn tell(&self, exchange: &mut Exchange) {
        match self {
            Self::Unreachable(detail) => {
                exchange.end(EndCause::UpstreamError, Some(detail.clone()), None);
            }
            Self::Broken(fault) => exchange.end(fault.cause, Some(fault.detail.clone()), None),
        }
    }
}

struct Send {
    index: usize,
    shared: Arc<Shared>,
    link: Arc<Link>,
    expects: bool,
}

impl Send {
    /// Sends the request, over the connection that is there or a new one, and waits for the head of the answer.
    async fn run(
        self,
        mut request: Request<Upload>,
        exchange: &mut Exchange,
    ) -> Result<Response<Incoming>, Failure> {
        let upstream = self.shared.upstreams.get(self.index);
        let upstream =
            upstream.ok_or_else(|| Failure::Unreachable("there is no upstream".to_owned()))?;
        let kept = self.link.take(self.index);
        let mut fresh = kept.is_none();
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect(upstream).await?,
        };
        let answer = loop {
            match sender.send(upstream, request).await {
                Ok(answer) => break answer,
                // the upstream closed a connection that nobody used; nothing was sent on it
                Err((_, Some(unsent))) if !fresh => {
                    request = unsent;
                    fresh = true;
                    sender = self.connect(upstream).await?;
                }
                Err((error, _)) => return Err(Failure::Broken(Fault::of(&error))),
            }
        };
        let track = &mut exchange.track;
        let (id, at_us) = (track.id(), track.now());
        track.mark(Event::Response {
            id,
            at_us,
            status: answer.status().as_u16(),
            headers: Box::new(answer.headers().clone()),
        });
        // a body that the upstream may never have asked for would come next on this connection
        if !self.expects {
            self.link.keep(self.index, sender);
        }
        Ok(answer)
    }

    async fn connect(&self, upstream: &Upstream) -> Result<Sender, Failure> {
        let dialed = self.shared.dialer.dial(upstream, false).await;
        let Dialed {
            stream,
            http2,
            by_proxy,
        } = dialed.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let io = TokioIo::new(stream);
        let broken = |error: hyper::Error| Failure::Broken(Fault::of(&error));
        if http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
                .await
                .map_err(broken)?;
            // how it ends is told to the request
            self.link.drive(async move {
                let _told = connection.await;
            });
            return Ok(Sender::Http2(sender));
        }
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(1000)
            .handshake(io)
            .await
            .map_err(broken)?;
        self.link.drive(async move {
            let _told = connection.await;
        });
        Ok(Sender::Http1 { sender, by_proxy })
    }
}

type NotSent = (hyper::Error, Option<Request<Upload>>);

impl Sender {
    async fn send(
        &mut self,
        upstream: &Upstream,
        mut request: Request<Upload>,
    ) -> Result<Response<Incoming>, NotSent> {
        match self {
            Self::Http1 { sender, by_proxy } => {
                if let Err(error) = sender.ready().await {
                    return Err((error, Some(request)));
                }
                address(upstream, by_proxy.as_ref(), &mut request);
                sender.try_send_request(request).await.map_err(|mut error| {
                    let unsent = error.take_message();
                    (error.into_error(), unsent)
                })
            }
            Self::Http2(sender) => {
                if let Err(error) = sender.ready().await {
                    return Err((error, Some(request)));
                }
                // nobody tells of a `100 Continue` there
                request.body_mut().open_gate();
                request.headers_mut().remove(HOST);
                *request.version_mut() = Version::HTTP_2;
                whole_uri(upstream, &mut request);
                sender.try_send_request(request).await.map_err(|mut error| {
                    let unsent = error.take_message();
                    (error.into_error(), unsent)
                })
            }
        }
    }
}

/// Makes a request one of HTTP/1.1 to `upstream`.
pub(super) fn address<B>(
    upstream: &Upstream,
    by_proxy: Option<&Through>,
    request: &mut Request<B>,
) {
    *request.version_mut() = Version::HTTP_11;
    if let Ok(host) = HeaderValue::from_str(upstream.authority().as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    match by_proxy {
        None => *request.uri_mut() = Uri::from(target(request.uri())),
        Some(through) => {
            whole_uri(upstream, request);
            if let Some(auth) = &through.auth {
                request
                    .headers_mut()
                    .insert(PROXY_AUTHORIZATION, auth.clone());
            }
        }
    }
}

fn whole_uri<B>(upstream: &Upstream, request: &mut Request<B>) {
    let mut parts = hyper::http::uri::Parts::default();
    parts.scheme = Some(if upstream.tls() {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    });
    parts.authority = Some(upstream.authority().clone());
    parts.path_and_query = Some(target(request.uri()));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// What the client gets, once the upstream has answered or failed.
pub(super) fn reply(
    answer: Result<Response<Incoming>, Failure>,
    mut exchange: Exchange,
    shared: &Shared,
    link: &Arc<Link>,
) -> Result<Reply, Unanswered> {
    match answer {
        Ok(answer) => {
            let (mut parts, body) = answer.into_parts();
            drop_hop_by_hop(&mut parts.headers);
            if parts.version == Version::HTTP_2 {
                parts.version = Version::HTTP_11;
            }
            let relay = Relay::new(body, exchange, Arc::clone(link), shared.drain);
            Ok(Response::from_parts(parts, Either::Left(relay)))
        }
        Err(failure) => {
            failure.tell(&mut exchange);
            match failure {
                Failure::Unreachable(detail) if shared.bad_gateway => Ok(own(
                    StatusCode::BAD_GATEWAY,
                    "upstream_unreachable",
                    &detail,
                )),
                Failure::Broken(fault) if fault.reset => {
                    link.line().reset();
                    Err(Unanswered)
                }
                _ => Err(Unanswered),
            }
        }
    }
}

/// What is outside of every upstream.
fn not_found(shared: &Shared, path: &str) -> Reply {
    let prefixes: Vec<&str> = shared.upstreams.iter().map(Upstream::prefix).collect();
    let text = format!(
        "replay record forwards only what is below {}; {path} is not",
        prefixes.join(" and ")
    );
    own(StatusCode::NOT_FOUND, "not_forwarded", &text)
}

/// An answer of the recorder's own, in the API's envelope (responses-api.md 1.0).
fn own(status: StatusCode, code: &str, message: &str) -> Reply {
    let body = serde_json::json!({
        "error": {"message": message, "type": "recorder_error", "param": null, "code": code}
    });
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = Full::new(Bytes::from(body.to_string()));
    let mut response = Response::new(Either::Right(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
