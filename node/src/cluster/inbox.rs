//! Where what other members send is put for another part of the node, which takes it in its own time.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

/// Most of it that waits. What comes beyond is not taken.
const MAX_WAITING: usize = 64;

/// A bounded queue whose end is given away once.
pub(super) struct Inbox<T> {
    sender: mpsc::Sender<T>,
    receiver: Mutex<Option<mpsc::Receiver<T>>>,
}

// === impl Inbox ===

impl<T> Inbox<T> {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }

    /// The end at which it is read. There is one: later calls get none.
    pub(super) fn open(&self) -> Option<mpsc::Receiver<T>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts it there, if there is room; tells whether there was.
    pub(super) fn put(&self, item: T) -> bool {
        self.sender.try_send(item).is_ok()
    }
}
