//! One connection of a client, with the connections to upstreams that belong to it, as one task.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Shared;
use super::forward::{self, Sender};
use super::tcp::{Line, Tracked};

/// How many headers a request may have.
const MAX_HEADERS: usize = 1000;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the parts of one client's connection share.
pub(super) struct Link {
    line: Arc<Line>,
    /// What is driven beside the client's connection: first whether it keeps the task alive when the client has left.
    jobs: Mutex<Vec<(bool, Job)>>,
    /// What is driven from the next turn on.
    fresh: Mutex<Vec<(bool, Job)>>,
    /// The connection to the upstream with this index, if it can be used again.
    kept: Mutex<Option<(usize, Sender)>>,
}

impl Link {
    fn new(line: Arc<Line>) -> Self {
        Self {
            line,
            jobs: Mutex::default(),
            fresh: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Drives a connection to an upstream, as long as the client is there.
    pub(super) fn drive(&self, connection: impl Future<Output = ()> + Send + 'static) {
        self.add(false, Box::pin(connection));
    }

    /// Drives a future to its end, even if the client leaves.
    pub(super) fn outlive(&self, job: impl Future<Output = ()> + Send + 'static) {
        self.add(true, Box::pin(job));
    }

    fn add(&self, outlives: bool, job: Job) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.push((outlives, job));
    }

    /// Drives the connections to the upstreams. Called by this connection's own task only, also from inside of an answer
    /// that waits for more: what has come already is passed on in one go.
    pub(super) fn run(&self, cx: &mut Context<'_>) {
        loop {
            // a job that is being driven waits for nothing of itself
            let Ok(mut jobs) = self.jobs.try_lock() else {
                return;
            };
            jobs.retain_mut(|(_, job)| job.as_mut().poll(cx).is_pending());
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            if fresh.is_empty() {
                return;
            }
            jobs.append(&mut fresh);
        }
    }

    fn is_fresh(&self) -> bool {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        !fresh.is_empty()
    }

    fn outlives(&self) -> bool {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.iter().any(|(outlives, _)| *outlives)
    }

    /// Drops what is still driven. Jobs hold this link, so they would hold each other.
    fn clear(&self) {
        let jobs = {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *jobs)
        };
        drop(jobs);
        let fresh = {
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *fresh)
        };
        drop(fresh);
        drop(self.take(usize::MAX));
    }

    /// Takes the connection to the upstream, if there is one.
    pub(super) fn take(&self, upstream: usize) -> Option<Sender> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
            .filter(|(index, _)| *index == upstream)
            .map(|(_, sender)| sender)
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, upstream: usize, sender: Sender) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((upstream, sender));
    }

    /// What is known of the client's connection.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }
}

/// Serves a client until it or the upstream has had enough.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let (io, line) = Tracked::new(stream);
    let link = Arc::new(Link::new(line));
    let service = {
        let link = Arc::clone(&link);
        service_fn(move |request| forward::forward(Arc::clone(&shared), Arc::clone(&link), request))
    };
    let mut server = Some(Box::pin(
        http1::Builder::new()
            .auto_date_header(false)
            .preserve_header_case(true)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades(),
    ));
    let _cleared = Cleared(Arc::clone(&link));
    std::future::poll_fn(|cx| {
        loop {
            link.run(cx);
            if let Some(running) = &mut server
                && running.as_mut().poll(cx).is_ready()
            {
                // everything of the client's is dropped here, and with it what it was still waiting for
                server = None;
            }
            if link.is_fresh() {
                continue;
            }
            // what the client has just sent goes up at once, and not when this task's turn comes again
            link.run(cx);
            let busy = server.is_some() || link.outlives();
            return if busy { Poll::Pending } else { Poll::Ready(()) };
        }
    })
    .await;
}

/// Clears a link when its task is over, or is ended from outside.
struct Cleared(Arc<Link>);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.clear();
    }
}
