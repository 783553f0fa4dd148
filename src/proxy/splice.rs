//! Requests that leave HTTP: WebSockets. Bytes are passed on unchanged in both directions, whatever they say.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::body::Upload;
use super::dial::Dialed;
use super::fault::Fault;
use super::forward::{Failure, Reply, Unanswered, address, begin, head_of, reply};
use super::headers::drop_hop_by_hop;
use super::link::Link;
use super::tape::{Event, Track};
use super::{Shared, Upstream};
use crate::session::exchange::EndCause;

/// How many bytes are passed on at once.
const BUFFER: usize = 64 << 10;

/// Forwards a request that wants to leave HTTP.
pub(super) async fn forward(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    upstream: &Upstream,
    mut request: Request<Incoming>,
) -> Result<Reply, Unanswered> {
    let track = shared.tape.track();
    let head = head_of(&request);
    let mut exchange = begin(track, &request).waiting();
    let client = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    // it speaks of this hop, and the next one is to be the same
    let (connection, upgrade) = (
        parts.headers.remove(hyper::header::CONNECTION),
        parts.headers.remove(hyper::header::UPGRADE),
    );
    drop_hop_by_hop(&mut parts.headers);
    for (name, value) in [
        (hyper::header::CONNECTION, connection),
        (hyper::header::UPGRADE, upgrade),
    ] {
        if let Some(value) = value {
            parts.headers.insert(name, value);
        }
    }
    let upload = Upload::untold(body, exchange.track.twin());
    let answer = send(shared, link, upstream, Request::from_parts(parts, upload)).await;
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return reply(Err(failure), exchange, shared, link),
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        exchange.begun();
        let track = &mut exchange.track;
        let (id, at_us) = (track.id(), track.now());
        track.mark(Event::Response {
            id,
            at_us,
            status: answer.status().as_u16(),
            headers: Box::new(answer.headers().clone()),
        });
        return reply(Ok(answer), exchange, shared, link);
    }
    let mut track = exchange.track.twin();
    exchange.forget();
    let (id, at_us) = (track.id(), track.now());
    track.mark(Event::Connection {
        id,
        at_us,
        head: Box::new(head),
        headers: Box::new(answer.headers().clone()),
    });
    let server = hyper::upgrade::on(&mut answer);
    let tie = Tie {
        track,
        link: Arc::clone(link),
        told: false,
    };
    link.outlive(async move {
        let (Ok(client), Ok(server)) = tokio::join!(client, server) else {
            return;
        };
        tie.run(TokioIo::new(client), TokioIo::new(server)).await;
    });
    let (parts, _) = answer.into_parts();
    Ok(Response::from_parts(
        parts,
        Either::Right(Full::new(Bytes::new())),
    ))
}

async fn send(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    upstream: &Upstream,
    mut request: Request<Upload>,
) -> Result<Response<Incoming>, Failure> {
    let dialed = shared.dialer.dial(upstream, true).await;
    let Dialed {
        stream, by_proxy, ..
    } = dialed.map_err(|error| Failure::Unreachable(error.to_string()))?;
    let broken = |error: hyper::Error| Failure::Broken(Fault::of(&error));
    let (mut sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(1000)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    link.drive(async move {
        let _told = connection.with_upgrades().await;
    });
    address(upstream, by_proxy.as_ref(), &mut request);
    sender.send_request(request).await.map_err(broken)
}

/// Two connections that have left HTTP.
struct Tie {
    track: Track,
    link: Arc<Link>,
    told: bool,
}

impl Tie {
    async fn run<C, S>(mut self, client: C, server: S)
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let mut up = Half {
            track: self.track.twin(),
            from_client: true,
        };
        let mut down = Half {
            track: self.track.twin(),
            from_client: false,
        };
        let up = up.copy(&mut from_client, &mut to_server);
        let down = down.copy(&mut from_server, &mut to_client);
        tokio::pin!(up, down);
        // the side that ends first is the one that ended it
        let first = tokio::select! {
            end = &mut up => end,
            end = &mut down => end,
        };
        let cause = match first {
            End::Closed { client } => {
                // the other side was told, and may still talk
                if client {
                    down.await;
                    EndCause::ClientClosed
                } else {
                    up.await;
                    EndCause::UpstreamClosed
                }
            }
            End::Failed { client: true, .. } => EndCause::ClientClosed,
            End::Failed {
                client: false,
                reset,
            } => {
                if reset {
                    self.link.line().reset();
                }
                EndCause::UpstreamError
            }
        };
        self.end(cause);
    }

    fn end(&mut self, cause: EndCause) {
        if !std::mem::replace(&mut self.told, true) {
            let (id, at_us) = (self.track.id(), self.track.now());
            self.track.mark(Event::ConnectionEnd { id, at_us, cause });
        }
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.end(EndCause::RecorderStopped);
    }
}

/// How one direction ended.
enum End {
    /// The side it is read from closed.
    Closed { client: bool },
    /// A side failed, or cannot be written to any more.
    Failed { client: bool, reset: bool },
}

struct Half {
    track: Track,
    from_client: bool,
}

impl Half {
    async fn copy(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> End {
        let mut buffer = vec![0; 8 << 10];
        loop {
            let count = match from.read(&mut buffer).await {
                Ok(0) => {
                    let _gone: io::Result<()> = to.shutdown().await;
                    return End::Closed {
                        client: self.from_client,
                    };
                }
                Err(error) => {
                    return End::Failed {
                        client: self.from_client,
                        reset: Fault::of_io(&error).reset,
                    };
                }
                Ok(count) => count,
            };
            let bytes = buffer.get(..count).unwrap_or(&[]);
            let (id, at_us) = (self.track.id(), self.track.now());
            self.track.data(Event::Socket {
                id,
                at_us,
                from_client: self.from_client,
                bytes: Bytes::copy_from_slice(bytes),
            });
            let written = async {
                to.write_all(bytes).await?;
                to.flush().await
            };
            if let Err(error) = written.await {
                return End::Failed {
                    client: !self.from_client,
                    reset: Fault::of_io(&error).reset,
                };
            }
            if count == buffer.len() && count < BUFFER {
                buffer.resize(count * 2, 0);
            }
        }
    }
}
