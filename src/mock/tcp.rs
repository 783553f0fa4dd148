//! Connections: accepted, counted, and ended in time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{Shared, http};
use crate::proxy::tcp::Tracked;

/// How many connections there may be at once; more wait.
const CONNECTIONS: usize = 10_000;
/// How long the head of a request may take, and a connection may be idle.
const IDLE: Duration = Duration::from_secs(600);
/// How long requests may go on when the server is stopped.
const GRACE: Duration = Duration::from_secs(2);

/// Accepts connections until it is told to stop.
pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let permit = Arc::clone(&room).acquire_owned();
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            permit = permit => match permit {
                Ok(permit) => tokio::select! {
                    _ = stopped.changed() => break,
                    accepted = listener.accept() => accepted.map(|(stream, _)| (stream, permit)),
                },
                Err(_) => break,
            },
        };
        match accepted {
            Ok((stream, permit)) => {
                let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
                connections.spawn(async move {
                    serve(stream, shared, stopped).await;
                    drop(permit);
                });
            }
            // out of files: what is open may end meanwhile
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _late: Result<(), tokio::time::error::Elapsed> = tokio::time::timeout(GRACE, all).await;
    connections.abort_all();
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let _unset: io::Result<()> = stream.set_nodelay(true);
    let (io, line) = Tracked::new(stream);
    let service =
        service_fn(|request| http::answer(request, Arc::clone(&shared), Arc::clone(&line)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ended = connection.as_mut() => return,
        _ = stopped.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended: Result<(), hyper::Error> = connection.await;
}
