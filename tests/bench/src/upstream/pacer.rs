//! Sends the chunks of paced streams at their times, from one thread of its own.
//!
//! A task per stream on the runtime's timers would send in bursts: their resolution is 1 ms, so 200 streams would fall
//! into the same few instants. The thread sleeps to the microsecond and stamps each chunk just before its write; a
//! stream's chunks keep a phase of its own, as unrelated generations do. In: streams whose first chunk is out; out: the
//! writer handed back when the last chunk is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::num::NonZeroU64;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;

use super::answer::Frame;
use crate::clock::monotonic_ns;

/// Streams that may wait to be taken up; the thread takes them within microseconds.
const INBOX: usize = 4096;
/// How late the kernel may wake the thread. The default of 50 us would send neighbouring streams' chunks together.
const TIMER_SLACK_NS: u64 = 1_000;

/// Handle to the pacing thread.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    inbox: SyncSender<PacedStream>,
}

/// A stream to be paced.
#[derive(Debug)]
pub(crate) struct PacedStream {
    /// The connection; comes back through `finished`.
    pub(crate) writer: OwnedWriteHalf,
    /// The repeated chunk.
    pub(crate) chunk: Frame,
    /// The chunk that ends the stream.
    pub(crate) last_chunk: Frame,
    /// Chunks still to be sent, the last one included; at least one.
    pub(crate) chunks_left: u32,
    /// Time between two chunks.
    pub(crate) interval_ns: u64,
    /// When the next chunk is due.
    pub(crate) next_due_ns: u64,
    /// Hands the writer back. Closed by the receiver when its client has gone, which ends the pacing.
    pub(crate) finished: oneshot::Sender<OwnedWriteHalf>,
}

/// What became of a chunk.
enum Sent {
    More,
    Last,
    /// The client has gone or reads too slowly: the stream is dropped, which closes its connection.
    Broken,
}

/// The thread's own state: streams in slots, and the order of their next chunks.
#[derive(Default)]
struct Schedule {
    slots: Vec<Option<PacedStream>>,
    free: Vec<usize>,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    scratch: Vec<u8>,
}

// === impl Pacer ===

impl Pacer {
    /// Starts the thread; it ends when the last handle is dropped.
    pub(crate) fn start() -> io::Result<Self> {
        let (inbox, streams) = mpsc::sync_channel(INBOX);
        std::thread::Builder::new().name("pacer".to_owned()).spawn(move || run(&streams))?;
        Ok(Self { inbox })
    }

    /// Hands a stream over. A full inbox drops it, which closes its connection.
    pub(crate) fn pace(&self, stream: PacedStream) {
        drop(self.inbox.try_send(stream));
    }
}

fn run(streams: &Receiver<PacedStream>) {
    // Without the finer timer the chunks are only a little less even.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NS));
    let mut schedule = Schedule::default();
    loop {
        let received = match schedule.wait_ns() {
            None => streams.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait_ns) => streams.recv_timeout(Duration::from_nanos(wait_ns)),
        };
        match received {
            Ok(stream) => schedule.add(stream),
            Err(RecvTimeoutError::Timeout) => schedule.send_due(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

// === impl Schedule ===

impl Schedule {
    /// Nanoseconds until the next chunk, or `None` when no stream is paced.
    fn wait_ns(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((due_ns, _))| due_ns.saturating_sub(monotonic_ns()))
    }

    fn add(&mut self, stream: PacedStream) {
        let due_ns = stream.next_due_ns;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(stream);
        self.due.push(Reverse((due_ns, slot)));
    }

    fn send_due(&mut self) {
        while let Some(&Reverse((due_ns, slot))) = self.due.peek() {
            if due_ns > monotonic_ns() {
                return;
            }
            self.due.pop();
            let Some(mut stream) = self.slots[slot].take() else { continue };
            match stream.send(&mut self.scratch) {
                Sent::More => {
                    self.due.push(Reverse((stream.next_due_ns, slot)));
                    self.slots[slot] = Some(stream);
                }
                Sent::Last => {
                    // A receiver that has gone drops the writer.
                    drop(stream.finished.send(stream.writer));
                    self.free.push(slot);
                }
                Sent::Broken => self.free.push(slot),
            }
        }
    }
}

// === impl PacedStream ===

impl PacedStream {
    fn send(&mut self, scratch: &mut Vec<u8>) -> Sent {
        if self.finished.is_closed() {
            return Sent::Broken;
        }
        let is_last = self.chunks_left == 1;
        let frame = if is_last { &self.last_chunk } else { &self.chunk };
        scratch.clear();
        frame.append(monotonic_ns(), scratch);
        match self.writer.try_write(scratch) {
            Ok(written) if written == scratch.len() => {}
            _ => return Sent::Broken,
        }
        self.chunks_left -= 1;
        self.next_due_ns += self.interval_ns;
        if is_last { Sent::Last } else { Sent::More }
    }
}
