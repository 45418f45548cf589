//! The blobs on a simulated disk: whole ones, and downloads under way or given up. Pure: the time is told.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Whole blobs at most; more are refused as by a full disk.
const BLOB_LIMIT: usize = 64 * 1024;

/// There is no room for so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulated) struct DiskFull;

/// How fast a blob is downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulated) struct Pace {
    /// Steps for the whole blob.
    pub steps: u64,
    /// Time between two of them.
    pub step: Duration,
}

/// How a download stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulated) enum Standing {
    /// The blob is whole.
    Done,
    /// So many bytes are here; the next step is due then.
    At { completed: u64, due: Instant },
}

#[derive(Debug, Default)]
pub(super) struct BlobStore {
    /// Sizes by digest.
    whole: BTreeMap<String, u64>,
    partial: BTreeMap<String, Partial>,
}

/// A blob of which some bytes are here. Its download goes on while it has clients.
#[derive(Debug)]
struct Partial {
    total: u64,
    completed: u64,
    clients: usize,
    /// When the next step is due; none while nobody downloads.
    due: Option<Instant>,
}

impl BlobStore {
    pub(super) fn size(&self, digest: &str) -> Option<u64> {
        self.whole.get(digest).copied()
    }

    /// Stores a whole blob; whether it is new.
    pub(super) fn put(&mut self, digest: &str, size: u64, capacity: u64) -> Result<bool, DiskFull> {
        if self.whole.contains_key(digest) {
            return Ok(false);
        }
        if self.whole.len() >= BLOB_LIMIT || !self.has_room(size, capacity) {
            return Err(DiskFull);
        }
        self.partial.remove(digest);
        self.whole.insert(digest.to_owned(), size);
        Ok(true)
    }

    pub(super) fn remove(&mut self, digest: &str) {
        self.whole.remove(digest);
    }

    /// Whole blobs with their sizes.
    pub(super) fn whole(&self) -> impl Iterator<Item = (&String, u64)> {
        self.whole.iter().map(|(digest, size)| (digest, *size))
    }

    /// Bytes of a blob that are here without being all of it.
    pub(super) fn partial(&self, digest: &str) -> Option<u64> {
        self.partial.get(digest).map(|partial| partial.completed)
    }

    /// A client more for a blob that is not here; what was downloaded before counts.
    pub(super) fn join(&mut self, digest: &str, total: u64) {
        let fresh = Partial { total, completed: 0, clients: 0, due: None };
        self.partial.entry(digest.to_owned()).or_insert(fresh).clients += 1;
    }

    /// A client less; the last one's departure stops the download and leaves what is here.
    pub(super) fn leave(&mut self, digest: &str) {
        if let Some(partial) = self.partial.get_mut(digest) {
            partial.clients = partial.clients.saturating_sub(1);
            if partial.clients == 0 {
                partial.due = None;
            }
        }
    }

    /// Takes the steps that are due, but none beyond `limit` bytes. Gives the bytes that came, too.
    pub(super) fn step(
        &mut self,
        digest: &str,
        now: Instant,
        pace: Pace,
        limit: u64,
        capacity: u64,
    ) -> Result<(u64, Standing), DiskFull> {
        let used = self.used();
        let Some(partial) = self.partial.get_mut(digest) else { return Ok((0, Standing::Done)) };
        let before = partial.completed;
        let mut due = *partial.due.get_or_insert(now + pace.step);
        if due <= now {
            let elapsed = now.duration_since(due).as_nanos() / pace.step.as_nanos().max(1);
            // Without time between steps, there is one for each look.
            let steps = if pace.step.is_zero() {
                1
            } else {
                u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1)
            };
            let bytes = partial.total.div_ceil(pace.steps.max(1)).max(1).saturating_mul(steps);
            let reached =
                partial.completed.saturating_add(bytes).min(partial.total).min(limit.max(partial.completed));
            if capacity > 0 && used.saturating_add(reached - partial.completed) > capacity {
                return Err(DiskFull);
            }
            partial.completed = reached;
            due = now + pace.step;
            partial.due = Some(due);
        }
        let came = partial.completed - before;
        if partial.completed < partial.total {
            return Ok((came, Standing::At { completed: partial.completed, due }));
        }
        let total = partial.total;
        self.partial.remove(digest);
        self.whole.insert(digest.to_owned(), total);
        Ok((came, Standing::Done))
    }

    fn has_room(&self, bytes: u64, capacity: u64) -> bool {
        capacity == 0 || self.used().saturating_add(bytes) <= capacity
    }

    fn used(&self) -> u64 {
        self.whole.values().sum::<u64>() + self.partial.values().map(|partial| partial.completed).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { steps: 4, step: Duration::from_secs(1) };

    fn after(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    #[test]
    fn a_download_takes_its_steps_when_they_are_due_whoever_looks() {
        let (mut store, begin) = (BlobStore::default(), Instant::now());
        store.join("d", 100);
        store.join("d", 100);
        let mut seen = Vec::new();
        for seconds in [0, 0, 1, 1, 3, 4] {
            seen.push(match store.step("d", after(begin, seconds), PACE, u64::MAX, 0).unwrap().1 {
                Standing::At { completed, .. } => completed,
                Standing::Done => 100,
            });
        }
        assert_eq!(seen, [0, 0, 25, 25, 75, 100]);
        assert_eq!((store.size("d"), store.partial("d")), (Some(100), None));
    }

    #[test]
    fn what_was_downloaded_before_the_last_client_left_is_kept_and_no_time_passes_without_one() {
        let (mut store, begin) = (BlobStore::default(), Instant::now());
        store.join("d", 100);
        for seconds in [0, 2] {
            store.step("d", after(begin, seconds), PACE, u64::MAX, 0).unwrap();
        }
        let before = store.partial("d");
        store.leave("d");
        store.join("d", 100);
        let at = store.step("d", after(begin, 50), PACE, u64::MAX, 0).unwrap();
        assert_eq!((before, at), (Some(50), (0, Standing::At { completed: 50, due: after(begin, 51) })));
    }

    #[test]
    fn a_limit_stops_a_download_and_a_full_disk_fails_it() {
        let (mut store, begin) = (BlobStore::default(), Instant::now());
        store.join("d", 100);
        for seconds in 0..9 {
            store.step("d", after(begin, seconds), PACE, 50, 0).unwrap();
        }
        assert_eq!(store.partial("d"), Some(50));
        assert_eq!(store.step("d", after(begin, 20), PACE, u64::MAX, 70), Err(DiskFull));
        assert_eq!(store.put("e", 10, 70), Ok(true));
        assert_eq!(store.put("f", 11, 70), Err(DiskFull));
        assert_eq!(store.put("e", 10, 0), Ok(false));
    }
}
