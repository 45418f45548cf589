//! The steady clock, looked at once for all that a connection does in one turn of its task.
//!
//! A small request is timed in more than ten places, and passes most of them in two turns of its connection's task: the one
//! in which it comes and is sent on, and the one in which its answer comes. Each look at the clock would cost 30 ns.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

thread_local! {
    // There until the thread's very end: nothing of it is dropped.
    static PRESENT: Cell<Present> = const { Cell::new(Present::Outside) };
}

/// What is known of the present on this thread.
#[derive(Clone, Copy)]
enum Present {
    /// No turn is under way: everybody looks for himself.
    Outside,
    /// A turn has begun, and nobody has looked yet.
    Unknown,
    At(Instant),
}

/// The present, as of the first look in this turn of the task ([`Turns`]); elsewhere it is looked for at each call. So it is
/// late by as long as the turn has taken since: what is to time the work of this thread looks at the clock itself.
pub fn turn() -> Instant {
    match PRESENT.get() {
        Present::Outside => Instant::now(),
        Present::At(at) => at,
        Present::Unknown => {
            let at = Instant::now();
            PRESENT.set(Present::At(at));
            at
        }
    }
}

/// Time since an instant that [`turn`] has given. What has begun in this very turn is worth a look of its own: it would have
/// taken no time.
pub fn since(start: Instant) -> Duration {
    let present = turn();
    let end = if present == start { Instant::now() } else { present };
    end.saturating_duration_since(start)
}

/// A future each of whose polls is a turn.
#[derive(Debug)]
pub struct Turns<F>(pub F);

impl<F: Future + Unpin> Future for Turns<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        PRESENT.set(Present::Unknown);
        let _ending = Ending;
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Ends the turn, also when it panics.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        PRESENT.set(Present::Outside);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::thread::sleep;

    use super::*;

    const WHILE: Duration = Duration::from_millis(2);

    #[test]
    fn outside_of_turns_each_look_is_one() {
        let start = turn();
        sleep(WHILE);
        assert!(since(start) >= WHILE);
    }

    #[tokio::test]
    async fn a_turn_has_one_present_and_the_next_one_a_later_one() {
        let (mut looks, mut took) = (Vec::new(), Duration::ZERO);
        let polled = poll_fn(|cx| {
            looks.push((turn(), turn()));
            sleep(WHILE);
            looks.push((turn(), turn()));
            took = since(turn());
            cx.waker().wake_by_ref();
            if looks.len() < 4 { Poll::Pending } else { Poll::Ready(()) }
        });
        Turns(polled).await;
        let [first, still, second, _] = looks[..] else { panic!("{looks:?}") };
        assert!(took >= WHILE, "what begins and ends in a turn takes time, too");
        assert_eq!((first.0, first.0, first.0), (first.1, still.0, still.1));
        assert!(second.0 - first.0 >= WHILE);
        let after = turn();
        sleep(WHILE);
        assert!(since(after) >= WHILE, "the last turn is over");
    }
}
