//! An HTTP/1.1 client for tests: it sends the bytes it is told to send, shows what came back piece by piece with the time
//! of each, and tells a complete answer from one cut short.
//!
//! Two levels: [`RawConnection`] for exact bytes, resets and slow reading; [`get`], [`post_json`] and [`Request`] for the
//! rest. A wait of [`SILENCE_LIMIT`] without a byte panics, so that a hanging test says where.

mod frames;
mod raw;
mod request;
mod response;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

pub use frames::{Event, Events, Frame, Lines};
pub use raw::{Close, RawConnection};
pub use request::Request;
pub use response::{Collected, End, Head, NoResponse, Piece, Response};

/// The longest a read may wait for a byte.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Gets a path over a connection of its own. Panics when there is no answer.
pub async fn get(target: impl Into<SocketAddr>, path: &str) -> Response {
    Request::get(path).send(target).await
}

/// Posts JSON over a connection of its own. Panics when there is no answer.
pub async fn post_json(target: impl Into<SocketAddr>, path: &str, body: &Value) -> Response {
    Request::post(path).json(body).send(target).await
}

/// Runs `count` tasks at once and gives their results in order. A panic in one of them is passed on.
pub async fn many<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for index in 0..count {
        let task = task(index);
        tasks.spawn(async move { (index, task.await) });
    }
    let mut results = Vec::with_capacity(count);
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(result) => results.push(result),
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
