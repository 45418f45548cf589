//! The merged progress on its way to the client.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::rt::spawn;
use actix_web::rt::task::JoinHandle;
use bytes::Bytes;
use futures_util::future::poll_fn;
use ollamaflow_protocol::end::End;
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::models::progress::Outcome;
use tokio::sync::mpsc;

use super::progress::stopped;
use crate::gateway::closing::{self, Place};
use crate::gateway::tally::Counted;

/// What a run gives: lines of a stream and their end, or an answer that is none.
pub(super) enum Piece {
    Lines(Bytes),
    Last { lines: Bytes, is_success: bool },
    Whole { outcome: Outcome, unrecorded: Option<String>, roll: Vec<(BackendId, &'static str)> },
}

/// A task that ends when this is dropped.
struct Task(JoinHandle<()>);

/// A response body of what a run gives. Dropping it ends the run.
///
/// The run is a task of its own: a claim has to be renewed, however slowly the client reads.
pub(super) struct Stream {
    run: Option<Task>,
    out: mpsc::Receiver<Piece>,
    held: Option<Piece>,
    has_ended: bool,
    counted: Option<Counted>,
    /// Where this is woken when the node ends what is in flight.
    place: Place,
}

// === impl Stream ===

impl Stream {
    /// Begins the run, which puts its pieces into the other end of `out`.
    pub(super) fn begin(run: impl Future<Output = ()> + 'static, out: mpsc::Receiver<Piece>) -> Self {
        let (run, place) = (Some(Task(spawn(run))), Place::default());
        Self { run, out, held: None, has_ended: false, counted: None, place }
    }

    /// The first piece.
    pub(super) async fn first(&mut self) -> Option<Piece> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// This piece comes before the others.
    pub(super) fn begin_with(&mut self, piece: Piece) {
        self.held = Some(piece);
    }

    /// The same, counted at its end.
    pub(super) fn counted(mut self, counted: Option<Counted>) -> Self {
        self.counted = counted;
        self
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        if let Some(piece) = self.held.take() {
            return Poll::Ready(Some(piece));
        }
        self.out.poll_recv(cx)
    }

    fn end(&mut self, end: End) {
        self.has_ended = true;
        self.run = None;
        Counted::settle(&mut self.counted, end);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl MessageBody for Stream {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = &mut *self;
        if this.has_ended {
            return Poll::Ready(None);
        }
        let is_stopped = closing::is_closed();
        let piece = match this.poll_piece(cx) {
            Poll::Ready(piece) if !is_stopped => piece,
            _ if is_stopped => None,
            _ => {
                ready!(this.place.poll_closed(cx));
                None
            }
        };
        match piece {
            Some(Piece::Lines(lines)) => Poll::Ready(Some(Ok(lines))),
            Some(Piece::Last { lines, is_success }) => {
                this.end(if is_success { End::Complete } else { End::Error });
                Poll::Ready(Some(Ok(lines)))
            }
            // A run that ends without a last word has been stopped.
            Some(Piece::Whole { .. }) | None => {
                this.end(End::Error);
                let mut line = stopped().body;
                line.push(b'\n');
                Poll::Ready(Some(Ok(Bytes::from(line))))
            }
        }
    }
}
