//! The client against scripted servers on loopback sockets.
//!
//! A test plays both sides: it starts a [`Server`](server::Server), sends with a [`Client`], and steps the server's side
//! of each connection by hand, so that every order of events is the test's choice and nothing waits for luck.

mod body;
mod cancel;
mod connect;
mod pool;
mod request;
mod response;
mod server;
mod stale;
mod tls;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::Method;
use tokio::task::LocalSet;

use super::*;

/// No step of a test takes this long: only a hang does.
const HANG: Duration = Duration::from_secs(60);

/// Runs a test the way an actix worker runs: one thread, one `LocalSet`.
pub(super) fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    runtime
        .block_on(local.run_until(async { tokio::time::timeout(HANG, test).await.expect("the test hangs") }))
}

fn client() -> Client {
    Client::new(&ClientSettings::default())
}

fn head(method: &Method, path: &str) -> RequestHead {
    RequestHead::new(method, path).unwrap()
}

async fn get(client: &Client, target: &Arc<Target>) -> Result<Response, SendError> {
    client.send(target, &head(&Method::GET, "/"), &mut RequestBody::Empty).await
}

async fn post(client: &Client, target: &Arc<Target>, body: &'static str) -> Result<Response, SendError> {
    let mut body = RequestBody::Full(Bytes::from_static(body.as_bytes()));
    client.send(target, &head(&Method::POST, "/api/chat"), &mut body).await
}

/// Reads a body to its end, one element per piece.
async fn pieces(body: &mut ResponseBody) -> Result<Vec<Bytes>, BodyError> {
    let mut pieces = Vec::new();
    while let Some(piece) = body.next().await {
        pieces.push(piece?);
    }
    assert!(body.is_end(), "a body that ended without an error is complete");
    Ok(pieces)
}

/// Reads a body to its end.
async fn text(mut response: Response) -> Result<String, BodyError> {
    let pieces = pieces(&mut response.body).await?;
    Ok(String::from_utf8(pieces.concat()).unwrap())
}

/// A request body whose pieces the test hands out one by one.
#[derive(Clone, Default)]
struct Tap(Rc<TapState>);

#[derive(Default)]
struct TapState {
    pieces: RefCell<VecDeque<Result<Bytes, BodySourceError>>>,
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    polls: Cell<usize>,
}

impl Tap {
    fn body(&self, length: Option<u64>) -> RequestBody {
        RequestBody::stream(length, self.clone())
    }

    fn give(&self, piece: &'static str) {
        self.push(Ok(Bytes::from_static(piece.as_bytes())));
    }

    fn fail(&self, message: &'static str) {
        self.push(Err(message.into()));
    }

    fn end(&self) {
        self.0.ended.set(true);
        self.wake();
    }

    fn polls(&self) -> usize {
        self.0.polls.get()
    }

    fn push(&self, piece: Result<Bytes, BodySourceError>) {
        self.0.pieces.borrow_mut().push_back(piece);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

impl Stream for Tap {
    type Item = Result<Bytes, BodySourceError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let state = &self.0;
        state.polls.set(state.polls.get() + 1);
        if let Some(piece) = state.pieces.borrow_mut().pop_front() {
            return Poll::Ready(Some(piece));
        }
        if state.ended.get() {
            return Poll::Ready(None);
        }
        *state.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}
