//! How many tests have clusters at the same time: elections are a matter of time, and three nodes of each of many tests on
//! two cores would hold them again and again. Tests of one node may be many more at once.

use std::sync::{Condvar, Mutex, PoisonError};

/// Tests that may have clusters at once, each as many as it likes.
const AT_ONCE: usize = 2;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

thread_local! {
    /// Each test has a thread of its own, and keeps its turn as long as that lives.
    static TURN: Turn = Turn::take();
}

struct Turn;

/// Waits for this test's turn, unless it has it already.
pub(super) fn wait() {
    TURN.with(|_| ());
}

impl Turn {
    fn take() -> Self {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken >= AT_ONCE {
            taken = FREED.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn no_more_tests_than_that_have_their_turns_at_once_and_each_gets_one() {
        let (now, most, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    wait();
                    wait();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    all.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!((all.into_inner(), now.into_inner()), (20, 0));
        assert!(most.into_inner() <= AT_ONCE);
    }
}
