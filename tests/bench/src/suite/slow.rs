//! Clients that read nothing of a long fast stream, on a proxy started for this alone: a proxy that takes from the upstream
//! what its client does not take grows with each of them.

use std::time::{Duration, Instant};

use super::Suite;
use crate::load::request::{self, SHORT_BODY_BYTES};
use crate::load::slow;
use crate::measure::process::ProcessTree;
use crate::proxies::Target;
use crate::proxies::process::{Running, StartError};
use crate::samples::SlowSample;
use crate::summary::as_f64;
use crate::wire::script::Script;

/// Time between two looks at the memory.
const LOOK: Duration = Duration::from_millis(500);
/// A growth between two looks that counts as none, in KiB.
const STILL_KIB: u64 = 256;
/// Streams that are read to their ends, to see that nothing of them is lost.
const READ: usize = 4;

/// How many clients, and of what they read nothing.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct SlowShape {
    /// Clients at the same time.
    pub(crate) readers: usize,
    /// Chunks of about 1 KiB in each stream.
    pub(crate) chunks: u32,
    /// Longest time in which memory may go on growing, in milliseconds.
    pub(crate) growing_ms: u64,
}

impl Suite {
    /// Opens the streams through a fresh `target` and looks at its process.
    pub(crate) async fn slow_sample(
        &self,
        rep: u32,
        target: Target,
        shape: SlowShape,
    ) -> Result<Option<SlowSample>, StartError> {
        let proxy = Running::start(target, &self.site, &[], target.patience()).await?;
        let Some(tree) = proxy.tree() else { return Ok(None) };
        let base_rss_kib = tree.rss_kib();
        let bytes = request::chat(self.api, Script::Flood { chunks: shape.chunks }, SHORT_BODY_BYTES);
        let mut readers = slow::open(proxy.addr(), &bytes, shape.readers).await;
        let full_rss_kib = settled_rss_kib(&tree, Duration::from_millis(shape.growing_ms)).await;
        let growth_kib = full_rss_kib.saturating_sub(base_rss_kib);
        let (read, whole) = readers.read(READ, shape.chunks).await;
        let sample = SlowSample {
            rep,
            target,
            readers: readers.len(),
            base_rss_kib,
            rss_kib_per_reader: as_f64(growth_kib) / as_f64(readers.len().max(1) as u64),
            read,
            whole,
        };
        drop(readers);
        proxy.stop().await;
        Ok(Some(sample))
    }
}

/// Resident memory once it has stopped growing, or after `limit`.
async fn settled_rss_kib(tree: &ProcessTree, limit: Duration) -> u64 {
    let (start, mut last) = (Instant::now(), tree.rss_kib());
    loop {
        tokio::time::sleep(LOOK).await;
        let now = tree.rss_kib();
        if now <= last + STILL_KIB || start.elapsed() > limit {
            return now;
        }
        last = now;
    }
}
