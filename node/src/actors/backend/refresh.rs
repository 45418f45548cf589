//! Who waits for a backend to be read anew, and what has become of the refreshes.
//!
//! Whoever asks takes a ticket. A reading covers the tickets that were taken before it began, and no others: what it
//! finds may be older than their reason to ask. So any number of them cost one reading, or two.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Longest wait for a reading that was asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// For how long after a reading has failed nobody waits for the next one.
const DISCOURAGED: Duration = Duration::from_secs(5);

/// The readings of one backend.
#[derive(Debug)]
pub(super) struct Refreshes {
    /// The last ticket.
    tickets: AtomicU64,
    /// Whether the actor has been told and has not begun yet.
    told: AtomicBool,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The last ticket whose reading is over.
    covered: u64,
    /// The last ticket whose reading was published.
    published: u64,
    /// When the reading that is under way began.
    began: Option<Instant>,
    /// When the last reading failed, if it did.
    failed: Option<Instant>,
}

/// A reading that has begun.
#[derive(Debug)]
pub(super) struct Covering(u64);

// === impl Refreshes ===

impl Default for Refreshes {
    fn default() -> Self {
        let (progress, _) = watch::channel(Progress::default());
        Self { tickets: AtomicU64::new(0), told: AtomicBool::new(false), progress }
    }
}

impl Refreshes {
    /// Waits for a reading that begins from now on. `tell` tells the actor, if nobody has, and says whether it was
    /// reached. Returns whether the reading was published.
    pub(super) async fn ask(&self, tell: impl FnOnce() -> bool) -> bool {
        let ticket = self.tickets.fetch_add(1, Ordering::SeqCst) + 1;
        if !self.told.swap(true, Ordering::SeqCst) && !tell() {
            self.told.store(false, Ordering::SeqCst);
            return false;
        }
        let mut progress = self.progress.subscribe();
        let over = progress.wait_for(|progress| progress.covered >= ticket);
        match actix_rt::time::timeout(PATIENCE, over).await {
            Ok(Ok(progress)) => progress.published >= ticket,
            // The sender is ours, and so only the time can have run out.
            _ => false,
        }
    }

    /// How long a client may be kept waiting for the first reading. A reading that hangs uses up `patience` once, and
    /// not for each client; nor do they wait at once again for one that has just failed.
    pub(super) fn patience(&self, patience: Duration, now: Instant) -> Duration {
        let progress = *self.progress.borrow();
        if progress.failed.is_some_and(|at| now.saturating_duration_since(at) < DISCOURAGED) {
            return Duration::ZERO;
        }
        progress.began.map_or(patience, |began| patience.saturating_sub(now.saturating_duration_since(began)))
    }

    // --- the actor's side

    /// The actor has got the message, or begins without one.
    pub(super) fn heard(&self) {
        self.told.store(false, Ordering::SeqCst);
    }

    pub(super) fn begin(&self, now: Instant) -> Covering {
        let covering = Covering(self.tickets.load(Ordering::SeqCst));
        self.progress.send_modify(|progress| progress.began = Some(now));
        covering
    }

    /// A reading is over; `published`: there is a newer inventory.
    pub(super) fn end(&self, Covering(ticket): Covering, published: bool, now: Instant) {
        self.progress.send_modify(|progress| {
            progress.began = None;
            progress.covered = progress.covered.max(ticket);
            if published {
                progress.published = progress.published.max(ticket);
            }
            progress.failed = (!published).then_some(now);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[actix_rt::test]
    async fn a_reading_answers_those_who_asked_before_it_began() {
        let refreshes = Refreshes::default();
        let told = Cell::new(0);
        let mut first = pin!(refreshes.ask(|| {
            told.set(told.get() + 1);
            true
        }));
        assert_eq!(first.as_mut().now_or_never(), None);
        let mut second = pin!(refreshes.ask(|| panic!("the actor is told once")));
        assert_eq!(second.as_mut().now_or_never(), None);
        refreshes.heard();
        let reading = refreshes.begin(Instant::now());
        let mut late = pin!(refreshes.ask(|| true));
        assert_eq!(late.as_mut().now_or_never(), None);
        refreshes.end(reading, true, Instant::now());
        assert_eq!((first.await, second.await), (true, true));
        assert_eq!(late.as_mut().now_or_never(), None, "it asked after the reading had begun");
        let reading = refreshes.begin(Instant::now());
        refreshes.end(reading, false, Instant::now());
        assert!(!late.await);
        assert_eq!(told.get(), 1);
    }

    #[actix_rt::test]
    async fn an_actor_that_cannot_be_reached_is_tried_again() {
        let refreshes = Refreshes::default();
        assert!(!refreshes.ask(|| false).await);
        let mut again = pin!(refreshes.ask(|| true));
        assert_eq!(again.as_mut().now_or_never(), None);
    }

    #[test]
    fn a_reading_that_hangs_or_fails_keeps_nobody_for_long() {
        let refreshes = Refreshes::default();
        let (start, patience) = (Instant::now(), Duration::from_secs(2));
        assert_eq!(refreshes.patience(patience, start), patience);
        let reading = refreshes.begin(start);
        assert_eq!(refreshes.patience(patience, start + Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(refreshes.patience(patience, start + Duration::from_secs(9)), Duration::ZERO);
        let failed = start + Duration::from_secs(30);
        refreshes.end(reading, false, failed);
        assert_eq!(refreshes.patience(patience, failed), Duration::ZERO);
        assert_eq!(refreshes.patience(patience, failed + DISCOURAGED), patience);
    }
}
