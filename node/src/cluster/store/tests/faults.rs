//! Failures on demand, inside the database.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Which operations of a database fail from now on, and how often it was synced.
#[derive(Debug, Default)]
pub(in crate::cluster::store) struct Faults {
    pub(super) write: AtomicBool,
    pub(super) flush: AtomicBool,
    pub(super) sync: AtomicBool,
    syncs: AtomicUsize,
}

// === Faults ===

impl Faults {
    pub(in crate::cluster::store) fn on_write(&self) -> io::Result<()> {
        check(&self.write)
    }

    pub(in crate::cluster::store) fn on_flush(&self) -> io::Result<()> {
        check(&self.flush)
    }

    pub(in crate::cluster::store) fn on_sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        check(&self.sync)
    }

    pub(super) fn syncs(&self) -> usize {
        self.syncs.load(Ordering::SeqCst)
    }
}

fn check(fault: &AtomicBool) -> io::Result<()> {
    if fault.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}
