//! What lies where in the database, and how large a value may be.
//!
//! Numbers in keys are big-endian, so that the order of the keys is the order of the numbers.

/// Longest value. sled puts pages of more than a quarter of a segment into files of their own, which it neither
/// syncs nor deletes: 20 values, the most that a leaf of its tree comes to hold, must stay below that.
pub(super) const MAX_VALUE_BYTES: usize = 32 * 1024;

/// sled's unit of allocation, in bytes. Fixed for the life of a database: another one is another format.
pub(super) const SEGMENT_BYTES: usize = 4 * 1024 * 1024;

/// The trees.
pub(super) mod tree {
    /// Entry heads, by index.
    pub(in super::super) const LOG: &str = "log";
    /// The rest of long entries, by index and number.
    pub(in super::super) const LOG_PARTS: &str = "log-parts";
    /// The content of snapshots, by generation and number.
    pub(in super::super) const SNAPSHOT_PARTS: &str = "snapshot-parts";
}

/// Single values, in the default tree.
pub(super) mod single {
    /// Random number of this store: 16 bytes.
    pub(in super::super) const INCARNATION: &[u8] = b"incarnation";
    /// Whose store this is: a [`Claim`](super::super::Claim).
    pub(in super::super) const CLAIM: &[u8] = b"claim";
    /// The last vote.
    pub(in super::super) const VOTE: &[u8] = b"vote";
    /// Up to where the log is known to be agreed on: a log id.
    pub(in super::super) const COMMITTED: &[u8] = b"committed";
    /// Up to where the log was deleted: a log id.
    pub(in super::super) const PURGED: &[u8] = b"purged";
    /// The newest snapshot, without its content.
    pub(in super::super) const SNAPSHOT: &[u8] = b"snapshot";
}

/// The key of an entry.
pub(super) fn entry(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index that a key stands for; none if it is no key of an entry.
pub(super) fn index(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// The key of a part of the entry or snapshot with that number.
pub(super) fn part(owner: u64, number: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&owner.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}
