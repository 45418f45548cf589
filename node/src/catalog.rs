//! How the rest of the node sees the configuration: the newest [`Catalog`], and a wake-up when it changes.
//!
//! Nothing here knows where a catalog comes from.

use std::sync::Arc;

use ollamaflow_protocol::catalog::Catalog;
use tokio::sync::watch;

/// Publishes catalogs. One per node.
#[derive(Debug)]
pub struct CatalogPublisher {
    sender: watch::Sender<Arc<Catalog>>,
}

/// Reads the newest catalog; clones are cheap.
#[derive(Clone, Debug)]
pub struct CatalogReader {
    receiver: watch::Receiver<Arc<Catalog>>,
}

// === impl CatalogPublisher ===

impl CatalogPublisher {
    /// Starts with a first catalog.
    pub fn new(catalog: Arc<Catalog>) -> (Self, CatalogReader) {
        let (sender, receiver) = watch::channel(catalog);
        (Self { sender }, CatalogReader { receiver })
    }

    /// Makes `catalog` the newest one; readers are woken only if it differs. Returns whether it did.
    pub fn publish(&self, catalog: Arc<Catalog>) -> bool {
        self.sender.send_if_modified(|current| {
            // States between which no object changed share one catalog.
            let changed = !Arc::ptr_eq(current, &catalog) && *current != catalog;
            if changed {
                *current = catalog;
            }
            changed
        })
    }
}

// === impl CatalogReader ===

impl CatalogReader {
    /// The newest catalog.
    pub fn current(&self) -> Arc<Catalog> {
        self.receiver.borrow().clone()
    }

    /// Waits for a catalog newer than the last one seen here; `None` when the publisher is gone.
    pub async fn changed(&mut self) -> Option<Arc<Catalog>> {
        self.receiver.changed().await.ok()?;
        Some(self.receiver.borrow_and_update().clone())
    }
}
