//! Waiting for a condition by polling it: in goes what is awaited (for the message) and how to see it, out comes control
//! once it holds, or a panic that tells what was awaited, for how long, from where and what was seen last.
//!
//! The functions are async so that streams read by the same test go on while it waits.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

/// How long a condition may take unless told otherwise. Generous: the machines which run the suites are slow and shared.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two looks at a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds, at most [`PATIENCE`].
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    until_within(what, PATIENCE, condition)
}

/// Waits until `condition` holds, at most `patience`.
#[track_caller]
pub fn until_within(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let look = async || if condition() { Ok(()) } else { Err("the condition stayed false".to_owned()) };
        poll(what, patience, caller, look).await;
    }
}

/// Waits until `value` gives `expected`; the panic shows the last value seen.
#[track_caller]
pub fn until_eq<T: PartialEq + Debug>(
    what: &str,
    mut value: impl FnMut() -> T,
    expected: T,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let look = async || {
            let seen = value();
            if seen == expected { Ok(()) } else { Err(format!("expected {expected:?}, last saw {seen:?}")) }
        };
        poll(what, PATIENCE, caller, look).await;
    }
}

/// Waits until `look` gives a value, and returns it.
#[track_caller]
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move { poll(what, PATIENCE, caller, async || look().ok_or("there was no value".to_owned())).await }
}

/// Like [`until_some`] for a look that itself takes time, such as a request. An error tells what was seen instead.
#[track_caller]
pub fn until_answered<T>(
    what: &str,
    look: impl AsyncFnMut() -> Result<T, String>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    poll(what, PATIENCE, caller, look)
}

/// Like [`until_answered`], at most `patience`.
#[track_caller]
pub fn until_answered_within<T>(
    what: &str,
    patience: Duration,
    look: impl AsyncFnMut() -> Result<T, String>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    poll(what, patience, caller, look)
}

async fn poll<T>(
    what: &str,
    patience: Duration,
    caller: &'static Location<'static>,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if start.elapsed() >= patience => {
                panic!("gave up after {patience:?} waiting until {what} ({caller}): {seen}");
            }
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_that_appears_later_is_returned() {
        let mut looks = 0;
        let value = until_some("the third look", || {
            looks += 1;
            (looks == 3).then_some("here")
        })
        .await;
        assert_eq!(value, "here");
    }

    #[tokio::test]
    #[should_panic(expected = "waiting until pigs fly")]
    async fn the_panic_names_what_was_awaited() {
        until_within("pigs fly", Duration::ZERO, || false).await;
    }
}
