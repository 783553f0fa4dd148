//! One HTTP request: read, asked, answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::body::{Answer, Play};
use super::decode::{Undecoded, decode};
use super::{Shared, upstream, ws};
use crate::endpoint::served::server::{Asked, Reply, Route};
use crate::proxy::tcp::Line;
use crate::session::lanes::Headers;
use crate::wire::failure::Failure;

/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(120);

type Answered = Response<Answer>;

/// Answers one request.
pub(super) async fn answer(
    mut request: Request<Incoming>,
    shared: Arc<Shared>,
    line: Arc<Line>,
) -> Result<Answered, Infallible> {
    let path = request.uri().path().to_owned();
    let route = Route::of(&path);
    if route == Route::Create
        && request.method() == Method::GET
        && let Some(answer) = ws::upgrade(&mut request, &shared)
    {
        return Ok(answer);
    }
    let (head, body) = request.into_parts();
    let body = match read(body, &head.headers, shared.body_limit).await {
        Ok(body) => body,
        Err(failure) => {
            let mut server = shared.server();
            let number = server.unread(
                head.method.as_str(),
                &path,
                &failure,
                shared.started.elapsed(),
            );
            shared.tell(&server, number);
            return Ok(error(&failure, Vec::new()));
        }
    };
    let query = head.uri.query().unwrap_or("");
    if let Route::Control(name) = route {
        return Ok(control(name, &head.method, &shared));
    }
    let headers = headers_of(&head.headers);
    let asked = Asked {
        method: head.method.as_str(),
        path: &path,
        query,
        headers: &headers,
        connection: None,
        body,
        at: shared.started.elapsed(),
    };
    if route == Route::Create && head.method == Method::POST {
        let asks = (&head.method, path.as_str(), &head.headers);
        return Ok(create(&asked, asks, &shared, line).await);
    }
    if route == Route::Chat
        && let Some(to) = &shared.upstream
    {
        let number = shared.server().passing(&asked);
        let asks = (&head.method, path.as_str(), &head.headers);
        return Ok(upstream::pass(&shared, to, number, asks, asked.body.clone()).await);
    }
    let found = {
        let mut server = shared.server();
        let found = server.resource(&route, &asked);
        let number = server.journal().counts().requests;
        shared.tell(&server, number);
        found
    };
    Ok(respond(
        found.status,
        "application/json",
        Answer::whole(found.body),
    ))
}

async fn create(
    asked: &Asked<'_>,
    asks: (&Method, &str, &HeaderMap),
    shared: &Arc<Shared>,
    line: Arc<Line>,
) -> Answered {
    let reply = {
        let mut server = shared.server();
        let reply = server.create(asked, None);
        if let Reply::Failure(number, ..) = reply {
            shared.tell(&server, number);
        }
        reply
    };
    match reply {
        Reply::Failure(_, failure, headers) => error(&failure, headers),
        Reply::Upstream(number) => match &shared.upstream {
            Some(to) => upstream::pass(shared, to, number, asks, asked.body.clone()).await,
            None => error(&Failure::of_status(502), Vec::new()),
        },
        Reply::Plan(plan) => {
            let kind = if plan.stream {
                "text/event-stream; charset=utf-8"
            } else {
                "application/json"
            };
            let (status, headers) = (plan.status, plan.headers.clone());
            let plain =
                plan.stop.is_none() && plan.pace == crate::endpoint::served::plan::Pace::Free;
            let body = if plain && !plan.stream {
                shared.finished(plan.number, plan.frames.ends.len(), "complete");
                Answer::whole(plan.frames.bytes)
            } else {
                Answer::Played(Box::new(Play::new(Arc::clone(shared), line, *plan)))
            };
            let mut answer = respond(status, kind, body);
            extend(answer.headers_mut(), headers);
            answer
        }
    }
}

/// The headers of a request as the session rooms read them.
pub(super) fn headers_of(headers: &HeaderMap) -> Headers<'static> {
    Headers::new(headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    }))
}

async fn read(body: Incoming, headers: &HeaderMap, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        Failure::invalid(format!(
            "The request's body is larger than {limit} bytes, the limit of this server (--body-limit)."
        ))
        .with_status(413)
        .code("request_too_large")
    };
    let collected = tokio::time::timeout(BODY, Limited::new(body, limit).collect()).await;
    let bytes = match collected {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(why)) if why.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Failure::invalid("The request's body broke off.")),
        Err(_) => {
            let why = "The request's body did not come in time.";
            return Err(Failure::invalid(why).with_status(408));
        }
    };
    let Some(encodings) = headers.get(CONTENT_ENCODING) else {
        return Ok(bytes);
    };
    let encodings = encodings.to_str().unwrap_or("?");
    decode(bytes, encodings, limit).map_err(|why| match why {
        Undecoded::TooLarge => too_large(),
        Undecoded::Unknown => Failure::invalid(format!(
            "Unsupported content-encoding: '{encodings}'. Supported are zstd, gzip, deflate and br."
        ))
        .with_status(415),
        Undecoded::Broken => {
            Failure::invalid("The request's body is not what its content-encoding says.")
        }
    })
}

/// An answer with this status and body.
pub(super) fn respond(status: u16, kind: &'static str, body: Answer) -> Answered {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if kind.starts_with("text/event-stream") {
        headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    }
    answer
}

/// An error answer.
pub(super) fn error(failure: &Failure, headers: Vec<(String, String)>) -> Answered {
    let body = failure.body();
    let kind = if body.starts_with(['{', '[']) {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    let mut answer = respond(failure.status, kind, Answer::whole(body));
    extend(answer.headers_mut(), headers);
    answer
}

fn extend(all: &mut HeaderMap, headers: Vec<(String, String)>) {
    for (name, value) in headers {
        // what a script says may be no header
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            all.insert(name, value);
        }
    }
}

fn control(name: &str, method: &Method, shared: &Shared) -> Answered {
    let document = match (method, name) {
        (&Method::GET, "health") => {
            let counts = shared.server().journal().counts();
            json!({"schema": 1, "ok": true, "requests": counts.requests})
        }
        (&Method::GET, "requests") => shared.server().journal().document(),
        (&Method::POST, "reset") => {
            shared.server().reset();
            json!({"schema": 1, "ok": true})
        }
        _ => {
            let known = "GET /_replay/health, GET /_replay/requests, POST /_replay/reset";
            let failure = Failure::invalid(format!("known are {known}")).with_status(404);
            return error(&failure, Vec::new());
        }
    };
    let mut body = serde_json::to_string_pretty(&document).unwrap_or_default();
    body.push('\n');
    respond(200, "application/json", Answer::whole(body))
}
