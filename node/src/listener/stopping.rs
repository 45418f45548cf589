//! The end of a server, as its connections learn of it: each ends after the answer that is under way.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::ring::{Place, Ring};

/// The signal on one worker thread.
#[derive(Debug, Default)]
pub(super) struct Stopping(Rc<Ring>);

/// One connection's wait for it.
#[derive(Debug)]
pub(super) struct Stopped {
    ring: Rc<Ring>,
    place: Place,
}

// === impl Stopping ===

impl Stopping {
    /// Gives the signal on when `signal` comes. To be called on the worker's thread, in its runtime.
    pub(super) fn when(signal: impl Future<Output = ()> + 'static) -> Self {
        let stopping = Self::default();
        let ring = stopping.0.clone();
        actix_web::rt::spawn(async move {
            signal.await;
            ring.ring();
        });
        stopping
    }

    /// Waits for it.
    pub(super) fn stopped(&self) -> Stopped {
        Stopped { ring: self.0.clone(), place: Place::default() }
    }
}

// === impl Stopped ===

impl Future for Stopped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { ring, place } = &mut *self;
        ring.poll_rung(place, cx)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.ring.leave(&mut self.place);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;
    use tokio::sync::oneshot;

    use super::*;

    #[actix_web::test]
    async fn all_who_wait_are_woken_and_who_comes_later_does_not_wait() {
        let (stop, stops) = oneshot::channel::<()>();
        let stopping = Stopping::when(async move {
            let _ = stops.await;
        });
        let ring = stopping.0.clone();
        let stop = async {
            tokio::task::yield_now().await;
            assert_eq!((ring.waiting(), ring.has_rung()), (2, false));
            stop.send(()).unwrap();
        };
        join(join(stopping.stopped(), stopping.stopped()), stop).await;
        assert_eq!((ring.waiting(), ring.has_rung()), (0, true));
        stopping.stopped().await;
    }

    #[actix_web::test]
    async fn a_connection_that_ends_gives_its_place_back() {
        let stopping = Stopping::when(std::future::pending());
        for _ in 0..100 {
            let mut stopped = stopping.stopped();
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(&mut stopped).poll(&mut cx).is_pending());
            assert_eq!(stopping.0.waiting(), 1);
        }
        assert_eq!(stopping.0.waiting(), 0);
    }
}
