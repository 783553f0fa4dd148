//! WebSocket mode (responses-api.md 4): requests in lanes, one response after the other in each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::Shared;
use super::body::Answer;
use super::http::{error, headers_of};
use crate::endpoint::served::Profile;
use crate::endpoint::served::fault::How;
use crate::endpoint::served::plan::Planned;
use crate::endpoint::served::server::{Asked, Reply};
use crate::endpoint::served::stream::{data_range, error_frames};
use crate::session::lanes::Headers;
use crate::wire::failure::Failure;
use crate::wire::request::RequestHead;

/// How many responses may be under way at once; more wait.
const IN_FLIGHT: usize = 16;
/// How many lanes may have names.
const LANES: usize = 32;
/// How many requests may wait.
const WAITING: u32 = 4096;

static CONNECTIONS: AtomicU32 = AtomicU32::new(0);

/// Answers a handshake; `None` if the request is none.
pub(super) fn upgrade(
    request: &mut Request<Incoming>,
    shared: &Arc<Shared>,
) -> Option<Response<Answer>> {
    let key = request.headers().get("sec-websocket-key").cloned()?;
    if !has(request.headers(), "upgrade", "websocket") {
        return None;
    }
    if !shared.websocket || shared.upstream.is_some() {
        let failure = Failure::invalid("This server takes no WebSockets.").with_status(426);
        return Some(error(&failure, Vec::new()));
    }
    let headers = headers_of(request.headers());
    let path = request.uri().path().to_owned();
    let upgraded = hyper::upgrade::on(request);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            Box::pin(serve(upgraded, shared, headers, path)).await;
        }
    });
    let mut answer = Response::new(Answer::Whole(None));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let all = answer.headers_mut();
    all.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    all.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = derive_accept_key(key.as_bytes());
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        all.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Some(answer)
}

fn has(headers: &HeaderMap, name: &str, word: &str) -> bool {
    let mut values = headers.get_all(name).into_iter();
    values.any(|value| {
        let value = value.to_str().unwrap_or("");
        value
            .split(',')
            .any(|it| it.trim().eq_ignore_ascii_case(word))
    })
}

/// What a lane hands out.
enum Out {
    Text(Bytes),
    /// The connection is to be dropped, with a message cut in half or reset.
    Drop,
}

/// What the lanes of one connection share.
struct Socket {
    shared: Arc<Shared>,
    connection: u32,
    headers: Headers<'static>,
    path: String,
    out: mpsc::Sender<Out>,
    room: Semaphore,
    waiting: AtomicU32,
}

struct Waiting {
    text: Bytes,
    stream_id: Option<String>,
}

async fn serve(upgraded: Upgraded, shared: Arc<Shared>, headers: Headers<'static>, path: String) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(shared.body_limit))
        .max_frame_size(Some(shared.body_limit));
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (out, mut ready) = mpsc::channel(256);
    let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let limit = tokio::time::sleep(shared.websocket_limit);
    let mut limit = std::pin::pin!(limit);
    let common = Arc::new(Socket {
        shared: Arc::clone(&shared),
        connection,
        headers,
        path,
        out,
        room: Semaphore::new(IN_FLIGHT),
        waiting: AtomicU32::new(0),
    });
    let mut lanes: BTreeMap<String, mpsc::UnboundedSender<Waiting>> = BTreeMap::new();
    let mut over = false;
    while !over {
        tokio::select! {
            () = limit.as_mut() => {
                let minutes = shared.websocket_limit.as_secs() / 60;
                let failure = Failure::invalid(format!("Responses websocket connection limit reached ({minutes} minutes). Create a new websocket connection to continue."))
                    .code("websocket_connection_limit_reached");
                let text = failure.frame(None, false);
                let _gone: Result<(), Error> = socket.send(Message::text(text)).await;
                close(&mut socket, CloseCode::Normal, "").await;
                break;
            }
            found = ready.recv() => {
                let Some(mut found) = found else { break };
                loop {
                    match found {
                        Out::Drop => {
                            let _gone: Result<(), Error> = socket.flush().await;
                            over = true;
                            break;
                        }
                        Out::Text(bytes) => {
                            let text = tokio_tungstenite::tungstenite::Utf8Bytes::try_from(bytes);
                            let Ok(text) = text else { break };
                            if socket.feed(Message::Text(text)).await.is_err() {
                                over = true;
                                break;
                            }
                        }
                    }
                    match ready.try_recv() {
                        Ok(next) => found = next,
                        Err(_) => break,
                    }
                }
                over |= socket.flush().await.is_err();
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    take(&common, &mut lanes, Bytes::from(text));
                    if common.waiting.load(Ordering::Relaxed) > WAITING {
                        close(&mut socket, CloseCode::Policy, "too many requests wait").await;
                        over = true;
                    }
                }
                Some(Ok(Message::Binary(bytes))) => take(&common, &mut lanes, bytes),
                Some(Ok(Message::Close(_))) => {
                    // the answer to it is sent with the next read
                    let _gone: Option<Result<Message, Error>> = socket.next().await;
                    over = true;
                }
                Some(Ok(_)) => over |= socket.flush().await.is_err(),
                Some(Err(Error::Capacity(_))) => {
                    close(&mut socket, CloseCode::Size, "message too big").await;
                    over = true;
                }
                Some(Err(_)) | None => over = true,
            },
        }
    }
    // lanes end with their next message
    drop(ready);
    drop(lanes);
    shared.server().disconnected(connection);
}

async fn close(
    socket: &mut WebSocketStream<TokioIo<Upgraded>>,
    code: CloseCode,
    reason: &'static str,
) {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    let _gone: Result<(), Error> = socket.close(Some(frame)).await;
    // until the peer has closed, too; it may take its time
    let rest = async { while let Some(Ok(_)) = socket.next().await {} };
    let _late: Result<(), tokio::time::error::Elapsed> =
        tokio::time::timeout(Duration::from_secs(2), rest).await;
}

/// Puts a message into its lane.
fn take(
    common: &Arc<Socket>,
    lanes: &mut BTreeMap<String, mpsc::UnboundedSender<Waiting>>,
    text: Bytes,
) {
    let has_lanes = common.shared.server().rules().lanes;
    let stream_id = std::str::from_utf8(&text)
        .ok()
        .and_then(RequestHead::read)
        .and_then(|head| {
            head.members
                .get("stream_id")
                .map(|raw| raw.get().to_owned())
        })
        .filter(|raw| has_lanes && raw != "null");
    let stream_id = match stream_id {
        None => None,
        Some(raw) => match crate::wire::raw::string(&raw).filter(|id| is_stream_id(id)) {
            Some(id) => Some(id.into_owned()),
            None => return refuse(common, &bad_stream_id(), None),
        },
    };
    let name = stream_id.clone().unwrap_or_default();
    if !lanes.contains_key(&name) {
        let named = lanes.keys().filter(|it| !it.is_empty()).count();
        if stream_id.is_some() && named >= LANES {
            return refuse(common, &too_many_lanes(), stream_id.as_deref());
        }
        let (to, from) = mpsc::unbounded_channel();
        let number = lanes.len() as u32;
        tokio::spawn(Box::pin(run(Arc::clone(common), from, number)));
        lanes.insert(name.clone(), to);
    }
    if let Some(lane) = lanes.get(&name) {
        common.waiting.fetch_add(1, Ordering::Relaxed);
        // a lane lives as long as its connection
        let _gone: Result<(), mpsc::error::SendError<Waiting>> =
            lane.send(Waiting { text, stream_id });
    }
}

fn is_stream_id(id: &str) -> bool {
    !id.is_empty()
        && id.chars().count() <= 256
        && id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn bad_stream_id() -> Failure {
    Failure::invalid("The 'stream_id' field must be a non-empty string with at most 256 characters and may only contain letters, numbers, underscores, hyphens, and periods.")
        .param("stream_id")
        .code("invalid_stream_id")
}

fn too_many_lanes() -> Failure {
    Failure::invalid("This WebSocket connection has reached its maximum number of distinct stream IDs (32). Reuse an existing stream_id or open a new WebSocket connection.")
        .param("stream_id")
        .code("websocket_stream_limit_reached")
}

fn refuse(common: &Arc<Socket>, failure: &Failure, stream_id: Option<&str>) {
    let coded = common.shared.server().rules().profile == Profile::Full;
    let text = failure.frame(stream_id, coded);
    let out = common.out.clone();
    tokio::spawn(async move {
        let _gone: Result<(), mpsc::error::SendError<Out>> = out.send(Out::Text(text.into())).await;
    });
}

/// One lane: its requests one after the other.
async fn run(common: Arc<Socket>, mut waiting: mpsc::UnboundedReceiver<Waiting>, lane: u32) {
    while let Some(next) = waiting.recv().await {
        common.waiting.fetch_sub(1, Ordering::Relaxed);
        let Ok(_room) = common.room.acquire().await else {
            return;
        };
        if common.out.is_closed() || respond(&common, &next, lane).await.is_err() {
            return;
        }
    }
}

type Sent = Result<(), mpsc::error::SendError<Out>>;

async fn respond(common: &Arc<Socket>, next: &Waiting, lane: u32) -> Sent {
    let stream_id = next.stream_id.as_deref();
    let kind = std::str::from_utf8(&next.text)
        .ok()
        .and_then(RequestHead::read)
        .and_then(|head| head.kind.map(std::borrow::Cow::into_owned));
    match kind.as_deref() {
        // Codex says that it has taken a response in
        Some("response.processed") => return Ok(()),
        Some("response.steer") => {
            let failure = Failure::invalid("This server does not steer responses.")
                .code("steering_not_supported");
            return common
                .out
                .send(Out::Text(failure.frame(stream_id, true).into()))
                .await;
        }
        Some("response.create") | None => {}
        Some(other) => {
            let failure = crate::endpoint::served::form::wrong_value(
                "type",
                other,
                &["response.create", "response.steer"],
            );
            return common
                .out
                .send(Out::Text(failure.frame(stream_id, true).into()))
                .await;
        }
    }
    let shared = &common.shared;
    let asked = Asked {
        method: "WS",
        path: &common.path,
        query: "",
        headers: &common.headers,
        connection: Some((common.connection, lane)),
        body: next.text.clone(),
        at: shared.started.elapsed(),
    };
    let (reply, coded) = {
        let mut server = shared.server();
        let reply = server.create(&asked, Some(&common.headers));
        if let Reply::Failure(number, ..) = reply {
            shared.tell(&server, number);
        }
        (reply, server.rules().profile == Profile::Full)
    };
    match reply {
        Reply::Plan(plan) => play(common, &plan, stream_id).await,
        Reply::Failure(_, failure, _) => {
            let text = failure.frame(stream_id, coded);
            common.out.send(Out::Text(text.into())).await
        }
        // WebSockets are refused where there is an upstream
        Reply::Upstream(_) => {
            let text = Failure::of_status(502).frame(stream_id, coded);
            common.out.send(Out::Text(text.into())).await
        }
    }
}

/// Sends the events of an answer, each in a message of its own.
async fn play(common: &Arc<Socket>, plan: &Planned, stream_id: Option<&str>) -> Sent {
    let shared = &common.shared;
    let count = plan.whole_frames();
    let waits = plan.waits();
    let cut = plan.stop.map(|stop| stop.how);
    let end = if cut.is_some() { "cut" } else { "complete" };
    for at in 0..count {
        if let Some(wait) = waits.get(at).filter(|it| !it.is_zero()) {
            tokio::time::sleep(*wait).await;
        }
        if at + 1 == count {
            shared.finished(plan.number, count, end);
        }
        let data = plan.frames.data(at);
        // the sentinel of event streams is no message, and a comment has no data
        if data.is_empty() || &data[..] == b"[DONE]" {
            continue;
        }
        let sent = common.out.send(Out::Text(named(data, stream_id))).await;
        if sent.is_err() {
            shared.finished(plan.number, at, "client_closed");
            return sent;
        }
    }
    shared.finished(plan.number, count, end);
    match cut {
        None => Ok(()),
        Some(How::Stall) => {
            // until the client leaves
            common.out.closed().await;
            Ok(())
        }
        Some(How::Error) => {
            let failure = Failure::of_status(500);
            let (bytes, _) = error_frames(&failure, plan.stream_error, count as u32);
            let bytes = Bytes::from(bytes);
            let data = data_range(&bytes).map_or_else(Bytes::new, |range| bytes.slice(range));
            common.out.send(Out::Text(named(data, stream_id))).await
        }
        // a message is whole or not there: all other ways close the connection
        Some(_) => common.out.send(Out::Drop).await,
    }
}

/// An event with the lane it belongs to.
fn named(data: Bytes, stream_id: Option<&str>) -> Bytes {
    let Some(stream_id) = stream_id else {
        return data;
    };
    let Some(open) = data.strip_suffix(b"}") else {
        return data;
    };
    let mut named = Vec::with_capacity(data.len() + stream_id.len() + 16);
    named.extend_from_slice(open);
    // its characters need no escapes
    named.extend_from_slice(b",\"stream_id\":\"");
    named.extend_from_slice(stream_id.as_bytes());
    named.extend_from_slice(b"\"}");
    named.into()
}
