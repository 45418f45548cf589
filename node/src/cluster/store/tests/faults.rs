//! Failures on demand, inside the database.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which operations of a database fail from now on.
#[derive(Debug, Default)]
pub(in crate::cluster::store) struct Faults {
    pub(super) write: AtomicBool,
    pub(super) flush: AtomicBool,
    pub(super) sync: AtomicBool,
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
        check(&self.sync)
    }
}

fn check(fault: &AtomicBool) -> io::Result<()> {
    if fault.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}
