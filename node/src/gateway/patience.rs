//! How long others may keep an attempt waiting.
//!
//! A limit of this kind is for a backend that keeps silent. A body that streams through takes the time that its client
//! needs, which has limits of its own (see [`super::intake`]); the backend's runs only while it is the backend's turn.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::rt::time::timeout;
use futures_util::future::poll_immediate;

use crate::clock;

/// Whose turn it is while a body streams through; shared by the body and the attempt that sends it.
#[derive(Clone, Debug)]
pub(super) struct Progress(Rc<Cell<Awaited>>);

#[derive(Clone, Copy, Debug)]
enum Awaited {
    Client,
    /// Since it was given the last piece.
    Backend(Instant),
}

/// Milliseconds of a setting in which 0 means no limit.
pub(super) fn limit(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(u64::from(ms)))
}

/// Awaits within a limit, if there is one; `None` when it ran out. What is there already costs no timer.
pub(super) async fn within<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    let Some(limit) = limit else { return Some(future.await) };
    let mut future = pin!(future);
    match poll_immediate(future.as_mut()).await {
        Some(output) => Some(output),
        None => timeout(limit, future).await.ok(),
    }
}

/// The same, but the limit starts anew with each piece of a streamed body and does not run while the next one is
/// still to come from the client.
pub(super) async fn within_turn<F: Future>(
    limit: Option<Duration>,
    progress: Option<&Progress>,
    future: F,
) -> Option<F::Output> {
    let (Some(limit), Some(progress)) = (limit, progress) else { return within(limit, future).await };
    progress.await_backend();
    let mut future = pin!(future);
    loop {
        let left = limit.saturating_sub(progress.waited());
        if let Ok(output) = timeout(left, future.as_mut()).await {
            return Some(output);
        }
        if progress.waited() >= limit {
            return None;
        }
    }
}

// === impl Progress ===

impl Progress {
    /// At the beginning it is the backend's turn: it takes the connection.
    pub(super) fn start() -> Self {
        Self(Rc::new(Cell::new(Awaited::Backend(clock::turn()))))
    }

    /// The backend has taken everything that there is.
    pub(super) fn await_client(&self) {
        self.0.set(Awaited::Client);
    }

    /// The backend was given something to take, or has all.
    pub(super) fn await_backend(&self) {
        self.0.set(Awaited::Backend(clock::turn()));
    }

    /// How long the backend has kept us waiting.
    fn waited(&self) -> Duration {
        match self.0.get() {
            Awaited::Client => Duration::ZERO,
            Awaited::Backend(since) => clock::since(since),
        }
    }
}
