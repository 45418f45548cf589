//! Values as the database holds them: guarded by a checksum, and cut into parts if they are long.

use std::slice::Chunks;

use serde::{Deserialize, Serialize};

use super::keys::MAX_VALUE_BYTES;
use crate::cluster::codec;

const CRC_BYTES: usize = 4;
const WHOLE: u8 = 0;
const CUT: u8 = 1;

/// Longest payload that stays in one piece, beside its checksum and kind.
const MAX_WHOLE_BYTES: usize = MAX_VALUE_BYTES - CRC_BYTES - 1;

/// What a long value is put together from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parts {
    /// How many.
    pub(super) count: u32,
    /// Bytes of all together.
    pub(super) length: u64,
    /// CRC-32 of all together.
    pub(super) crc: u32,
}

/// A value ready to be stored: its head under its own key, and parts if it is long.
pub(super) struct Stowed {
    pub(super) head: Vec<u8>,
    body: Vec<u8>,
}

/// What a head says.
pub(super) enum Head {
    /// The whole value.
    Whole(Vec<u8>),
    /// Where the value is.
    Cut(Parts),
}

/// A stored value is not what was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spoiled;

// === checksums ===

/// The bytes with their checksum in front.
pub(super) fn seal(payload: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(CRC_BYTES + payload.len());
    sealed.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    sealed.extend_from_slice(payload);
    sealed
}

/// The bytes that were sealed.
pub(super) fn unseal(sealed: &[u8]) -> Result<&[u8], Spoiled> {
    let (crc, payload) = sealed.split_first_chunk().ok_or(Spoiled)?;
    if u32::from_le_bytes(*crc) == crc32fast::hash(payload) { Ok(payload) } else { Err(Spoiled) }
}

// === Stowed ===

impl Stowed {
    pub(super) fn new(payload: Vec<u8>) -> Result<Self, codec::CodecError> {
        if payload.len() <= MAX_WHOLE_BYTES {
            let mut head = vec![WHOLE];
            head.extend_from_slice(&payload);
            return Ok(Self { head: seal(&head), body: Vec::new() });
        }
        let mut head = vec![CUT];
        head.extend_from_slice(&codec::encode(&Parts::of(&payload))?);
        Ok(Self { head: seal(&head), body: payload })
    }

    pub(super) fn parts(&self) -> Chunks<'_, u8> {
        chunks(&self.body)
    }
}

// === Head ===

impl Head {
    pub(super) fn read(sealed: &[u8]) -> Result<Self, Spoiled> {
        match unseal(sealed)?.split_first() {
            Some((&WHOLE, payload)) => Ok(Self::Whole(payload.to_vec())),
            Some((&CUT, parts)) => codec::decode(parts).map(Self::Cut).map_err(|_| Spoiled),
            _ => Err(Spoiled),
        }
    }
}

// === Parts ===

impl Parts {
    #[expect(clippy::cast_possible_truncation, reason = "the codec writes no value of more than 64 MiB")]
    pub(super) fn of(payload: &[u8]) -> Self {
        Self {
            count: payload.len().div_ceil(MAX_VALUE_BYTES) as u32,
            length: payload.len() as u64,
            crc: crc32fast::hash(payload),
        }
    }

    /// Checks what the parts came to.
    pub(super) fn check(self, payload: &[u8]) -> Result<(), Spoiled> {
        if self == Self::of(payload) { Ok(()) } else { Err(Spoiled) }
    }
}

/// The parts of a payload.
pub(super) fn chunks(payload: &[u8]) -> Chunks<'_, u8> {
    payload.chunks(MAX_VALUE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_stay_whole_and_long_ones_are_cut() {
        for length in [0, 1, MAX_WHOLE_BYTES] {
            let stowed = Stowed::new(vec![7; length]).unwrap();
            assert!(stowed.head.len() <= MAX_VALUE_BYTES && stowed.parts().next().is_none());
            assert!(
                matches!(Head::read(&stowed.head), Ok(Head::Whole(payload)) if payload == vec![7; length])
            );
        }
        for length in [MAX_WHOLE_BYTES + 1, MAX_VALUE_BYTES, 3 * MAX_VALUE_BYTES + 1] {
            let payload: Vec<u8> = (0..length).map(|byte| byte.to_le_bytes()[0]).collect();
            let stowed = Stowed::new(payload.clone()).unwrap();
            let Ok(Head::Cut(parts)) = Head::read(&stowed.head) else { panic!("must be cut") };
            let joined: Vec<u8> = stowed.parts().flatten().copied().collect();
            assert_eq!(joined, payload);
            assert_eq!(parts.count as usize, stowed.parts().len());
            assert_eq!(parts.check(&joined), Ok(()));
            assert_eq!(parts.check(&joined[1..]), Err(Spoiled));
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let stowed = Stowed::new(b"payload".to_vec()).unwrap();
        for position in 0..stowed.head.len() {
            let mut head = stowed.head.clone();
            head[position] ^= 1;
            assert!(Head::read(&head).is_err());
        }
        assert!(Head::read(&[]).is_err());
    }
}
