//! The end of a node's patience: when it stops, requests that are still in flight after the grace time are ended by
//! this node, each in its own protocol, and not by a cut connection.
//!
//! One signal for the whole node; each worker thread has a task that awaits it, and then rings for whoever waits on that
//! thread. So a request costs no allocation and no lock: one place at the bell, if it has to wait at all.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::sync::watch;

use crate::listener::{Ring, RingPlace};

/// Ends the requests of all workers.
#[derive(Debug)]
pub struct Closer(watch::Sender<bool>);

/// What a worker waits for.
#[derive(Clone, Debug)]
pub struct Closing(watch::Receiver<bool>);

/// The place of one request among those that are to be woken.
#[derive(Debug, Default)]
pub(super) struct Place(RingPlace);

thread_local! {
    static WORKER: Ring = Ring::default();
}

/// The signal: one end for whoever stops the node, one for the workers.
pub fn closing() -> (Closer, Closing) {
    let (sender, receiver) = watch::channel(false);
    (Closer(sender), Closing(receiver))
}

/// Awaits `future`; `None` if the requests of this worker were ended before it was ready.
pub(super) async fn unless_closed<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut place = Place::default();
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => place.poll_closed(cx).map(|()| None),
    })
    .await
}

/// Whether the requests of this worker are to end now.
pub(super) fn is_closed() -> bool {
    WORKER.with(Ring::has_rung)
}

// === impl Closer ===

impl Closer {
    /// Ends what is in flight, and whatever comes later.
    pub fn close(&self) {
        self.0.send_replace(true);
    }
}

// === impl Closing ===

impl Closing {
    /// Lets this worker thread hear the signal.
    pub(super) fn listen(mut self) {
        actix_web::rt::spawn(async move {
            // Without its other end nobody stops the node.
            if self.0.wait_for(|closed| *closed).await.is_ok() {
                WORKER.with(Ring::ring);
            }
        });
    }
}

// === impl Place ===

impl Place {
    /// Ready when the requests of this worker are to end.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        WORKER.with(|worker| worker.poll_rung(&mut self.0, cx))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What outlives its thread's own data has nobody left to wake.
        let _ = WORKER.try_with(|worker| worker.leave(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn waiting() -> usize {
        WORKER.with(Ring::waiting)
    }

    #[actix_web::test]
    async fn requests_that_wait_are_ended_and_later_ones_too() {
        let (closer, closing) = closing();
        closing.listen();
        let pending = || unless_closed(std::future::pending::<()>());
        let both = futures_util::future::join(pending(), pending());
        let close = async {
            tokio::task::yield_now().await;
            assert_eq!((waiting(), is_closed()), (2, false));
            closer.close();
        };
        assert_eq!(futures_util::future::join(both, close).await.0, (None, None));
        assert!(is_closed());
        assert_eq!(pending().await, None);
        assert_eq!(unless_closed(std::future::ready(1)).await, Some(1), "what is ready is not taken away");
        assert_eq!(waiting(), 0);
    }

    #[actix_web::test]
    async fn a_request_that_ends_gives_its_place_back() {
        let (_closer, closing) = closing();
        closing.listen();
        for _ in 0..100 {
            unless_closed(tokio::task::yield_now()).await;
        }
        let given_up = unless_closed(std::future::pending::<()>());
        assert!(tokio::time::timeout(Duration::from_millis(1), given_up).await.is_err());
        assert_eq!(waiting(), 0);
    }

    #[actix_web::test]
    async fn a_signal_that_nobody_can_give_any_more_ends_nothing() {
        let (closer, closing) = closing();
        closing.listen();
        drop(closer);
        tokio::task::yield_now().await;
        assert!(!is_closed());
    }
}
