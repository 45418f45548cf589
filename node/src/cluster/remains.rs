//! What is left of a node's part in the cluster once it has been stopped: tasks and threads that have not ended yet, and the
//! store that they hold open.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Parts;
use super::store::Opened;

/// Between two looks at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Tells whether something is left, and keeps nothing alive.
pub struct Remains {
    parts: Weak<Parts>,
    store: Opened,
}

// === impl Remains ===

impl Remains {
    pub(super) fn new(parts: &Arc<Parts>, store: Opened) -> Self {
        Self { parts: Arc::downgrade(parts), store }
    }

    /// Waits until nothing is left and the store is closed; false if that takes longer than `patience`. Blocks.
    pub fn wait(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.parts.strong_count() > 0 || self.store.is_open() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }
}
