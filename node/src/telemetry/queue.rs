//! The way of lines to a sink, or of what lines are made of: a buffer with a bound, and a thread that writes what has gathered
//! in it.
//!
//! A line costs whoever logs it one short lock and one copy, no allocation. The thread is woken once for all that comes
//! within [`LINGER`], so the cost of waking it and of writing is the same whatever is logged.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long lines are gathered before they are written, unless one of them is urgent.
const LINGER: Duration = Duration::from_millis(20);

/// Buffers with room for more than this are not kept when it is not needed.
const KEPT_BYTES: usize = 64 * 1024;

/// Time between two lines that tell of loss.
const COMPLAINT: Duration = Duration::from_secs(10);

/// What lines are written to. Belongs to a thread of its own, and may take its time.
pub(super) trait Sink<T = u8>: Send + 'static {
    /// Writes `count` records that were pushed one after the other.
    fn write(&mut self, records: &[T], count: u64) -> Written;
}

/// What became of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// How many of them were lost.
    pub(super) lost: u64,
    /// How long it is of no use to try again. Records that come meanwhile are lost, and cost nobody anything.
    pub(super) rest: Option<Duration>,
}

/// The end of the buffer that lines are put into: as bytes, or whole records. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Queue<T = u8>(Arc<Shared<T>>);

/// Lines that a sink did not get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// They came faster than they could be written.
    pub full: u64,
    /// They could not be written.
    pub failed: u64,
}

#[derive(Debug)]
struct Shared<T> {
    /// Most bytes, or records, that wait.
    bound: usize,
    state: Mutex<State<T>>,
    /// There is something to write.
    ready: Condvar,
    /// The thread has ended.
    ended: Condvar,
    /// The sink cannot write now, and what comes is lost.
    rests: AtomicBool,
    full: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug)]
struct State<T> {
    records: Vec<T>,
    count: u64,
    /// The thread sleeps until there is something.
    is_idle: bool,
    is_urgent: bool,
    is_closed: bool,
    has_ended: bool,
}

// === impl Queue ===

impl<T: Send + 'static> Queue<T> {
    /// Starts the thread. `name` is that of the sink.
    pub(super) fn start(name: &'static str, bound: usize, mut sink: impl Sink<T>) -> io::Result<Self> {
        let state = State {
            records: Vec::new(),
            count: 0,
            is_idle: false,
            is_urgent: false,
            is_closed: false,
            has_ended: false,
        };
        let shared = Arc::new(Shared {
            bound,
            state: Mutex::new(state),
            ready: Condvar::new(),
            ended: Condvar::new(),
            rests: AtomicBool::new(false),
            full: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let theirs = shared.clone();
        thread::Builder::new().name(format!("log-{name}")).spawn(move || {
            let _ending = Ending(&theirs);
            let mut records = Vec::new();
            let mut complaint = Complaint::new(name);
            while let Some(count) = theirs.take(&mut records) {
                let Written { lost, rest } = sink.write(&records, count);
                theirs.failed.fetch_add(lost, Ordering::Relaxed);
                complaint.make(theirs.lost());
                if let Some(rest) = rest {
                    theirs.rest(rest);
                }
            }
        })?;
        Ok(Self(shared))
    }

    /// Whether the sink cannot write now. Then the record that is to be pushed counts as lost, and need not be made.
    pub(super) fn turns_away(&self) -> bool {
        let rests = self.0.rests.load(Ordering::Relaxed);
        if rests {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
        }
        rests
    }

    /// Puts a record of one piece into the buffer, or counts it as lost.
    pub(super) fn push_one(&self, record: T) {
        self.add(1, false, |records| records.push(record));
    }

    /// Puts a record of so many bytes, or of one piece, into the buffer by `put`, or counts it as lost.
    fn add(&self, length: usize, is_urgent: bool, put: impl FnOnce(&mut Vec<T>)) {
        let shared = &*self.0;
        let mut state = shared.lock();
        if state.is_closed || state.records.len() + length > shared.bound {
            drop(state);
            shared.full.fetch_add(1, Ordering::Relaxed);
            return;
        }
        put(&mut state.records);
        state.count += 1;
        let is_half_full = state.records.len() > shared.bound / 2;
        let wakes = state.is_idle || ((is_urgent || is_half_full) && !state.is_urgent);
        state.is_idle = false;
        state.is_urgent |= is_urgent || is_half_full;
        drop(state);
        if wakes {
            shared.ready.notify_one();
        }
    }

    pub(super) fn lost(&self) -> Lost {
        self.0.lost()
    }

    /// Takes no more lines.
    pub(super) fn close(&self) {
        self.0.lock().is_closed = true;
        self.0.ready.notify_one();
    }

    /// Waits until all is written after [`Queue::close`], but not longer than until `deadline`.
    pub(super) fn wait_ended(&self, deadline: Instant) {
        let mut state = self.0.lock();
        while !state.has_ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.ended.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Queue {
    /// Puts a record into the buffer, or counts it as lost.
    pub(super) fn push(&self, parts: &[&[u8]], is_urgent: bool) {
        if self.turns_away() {
            return;
        }
        let length = parts.iter().map(|part| part.len()).sum();
        self.add(length, is_urgent, |records| parts.iter().for_each(|part| records.extend_from_slice(part)));
    }
}

// === impl Shared ===

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for records and swaps them for what is in `records`; `None` when there will be no more.
    fn take(&self, records: &mut Vec<T>) -> Option<u64> {
        let used = records.len();
        records.clear();
        // Not at each turn under load: a large block that grows again is new memory of the system's, page by page.
        if records.capacity() > 4 * used {
            records.shrink_to(KEPT_BYTES / size_of::<T>());
        }
        let mut state = self.lock();
        while state.count == 0 {
            if state.is_closed {
                return None;
            }
            state.is_idle = true;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        let may_wait = |state: &mut State<T>| !state.is_urgent && !state.is_closed;
        let waited = self.ready.wait_timeout_while(state, LINGER, may_wait);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.is_urgent = false;
        std::mem::swap(&mut state.records, records);
        Some(std::mem::take(&mut state.count))
    }

    /// Turns records away for so long, or until there will be no more.
    fn rest(&self, rest: Duration) {
        self.rests.store(true, Ordering::Relaxed);
        let is_open = |state: &mut State<T>| !state.is_closed;
        let _state = self.ready.wait_timeout_while(self.lock(), rest, is_open);
        self.rests.store(false, Ordering::Relaxed);
    }

    fn lost(&self) -> Lost {
        Lost { full: self.full.load(Ordering::Relaxed), failed: self.failed.load(Ordering::Relaxed) }
    }
}

/// Tells whoever waits that the thread has ended, however it did.
struct Ending<'a, T>(&'a Shared<T>);

impl<T> Drop for Ending<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        state.has_ended = true;
        drop(state);
        self.0.ended.notify_all();
    }
}

/// Tells the log itself of lines that came too fast, now and then.
struct Complaint {
    sink: &'static str,
    told: u64,
    next: Instant,
}

// === impl Complaint ===

impl Complaint {
    fn new(sink: &'static str) -> Self {
        Self { sink, told: 0, next: Instant::now() }
    }

    fn make(&mut self, lost: Lost) {
        if lost.full == self.told || Instant::now() < self.next {
            return;
        }
        let lines = lost.full - self.told;
        self.told = lost.full;
        self.next = Instant::now() + COMPLAINT;
        tracing::warn!(
            sink = self.sink,
            lines,
            "log lines were lost: they came faster than they could be written"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes when it is let to, and tells what it has got.
    struct Gated {
        gate: Receiver<()>,
        written: Sender<Record>,
        fails: bool,
    }

    impl Sink for Gated {
        fn write(&mut self, records: &[u8], count: u64) -> Written {
            let _ = self.gate.recv();
            let _ = self.written.send((records.to_vec(), count));
            let failed = Written { lost: count, rest: Some(FOREVER) };
            if self.fails { failed } else { Written::default() }
        }
    }

    type Record = (Vec<u8>, u64);

    const FOREVER: Duration = Duration::from_secs(1_000_000);

    fn gated(bound: usize, fails: bool) -> (Queue, Sender<()>, Receiver<Record>) {
        let ((open, gate), (written, got)) = (channel(), channel());
        (Queue::start("test", bound, Gated { gate, written, fails }).unwrap(), open, got)
    }

    #[test]
    fn what_comes_while_the_sink_is_busy_is_written_together() {
        let (queue, open, got) = gated(1000, false);
        queue.push(&[b"on", b"e\n"], true);
        open.send(()).unwrap();
        assert_eq!(got.recv().unwrap(), (b"one\n".to_vec(), 1));
        queue.push(&[b"two\n"], false);
        queue.push(&[b"three\n"], false);
        open.send(()).unwrap();
        assert_eq!(got.recv().unwrap(), (b"two\nthree\n".to_vec(), 2));
        assert_eq!(queue.lost(), Lost::default());
    }

    #[test]
    fn a_sink_that_hangs_delays_nobody_and_what_does_not_fit_is_counted() {
        let (queue, _open, _got) = gated(10, false);
        let started = Instant::now();
        for _ in 0..1000 {
            queue.push(&[b"123456"], true);
        }
        assert!(started.elapsed() < Duration::from_secs(5));
        // One with the sink at most, and one that waits.
        assert!((998..=999).contains(&queue.lost().full), "{:?}", queue.lost());
    }

    #[test]
    fn the_end_writes_what_there_is_and_does_not_wait_for_a_sink_that_hangs() {
        let (queue, open, got) = gated(1000, true);
        queue.push(&[b"last\n"], false);
        queue.close();
        queue.push(&[b"too late\n"], false);
        open.send(()).unwrap();
        queue.wait_ended(Instant::now() + Duration::from_secs(60));
        assert_eq!(got.recv().unwrap(), (b"last\n".to_vec(), 1));
        assert_eq!(queue.lost(), Lost { full: 1, failed: 1 });

        let (queue, _open, _got) = gated(1000, false);
        queue.push(&[b"last\n"], false);
        queue.close();
        queue.wait_ended(Instant::now() + Duration::from_millis(50));
    }

    #[test]
    fn what_comes_while_a_sink_rests_is_lost_and_counted_and_the_end_does_not_wait_for_it() {
        let (queue, open, got) = gated(1000, true);
        queue.push(&[b"one\n"], true);
        open.send(()).unwrap();
        assert_eq!(got.recv().unwrap().1, 1);
        while !queue.0.rests.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        assert!(queue.turns_away());
        queue.push(&[b"two\n"], true);
        assert_eq!(queue.lost(), Lost { full: 0, failed: 3 });
        queue.close();
        queue.wait_ended(Instant::now() + Duration::from_secs(60));
        assert!(queue.0.lock().has_ended);
    }
}
