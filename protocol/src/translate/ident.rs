//! Names for answers and tool calls that the other API has none for.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::time::Timestamp;

/// What a translation needs from the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// When the request was sent to the backend.
    pub now: Timestamp,
    /// A random number, another one for each request: the ids of an answer are made from it.
    pub nonce: u128,
}

// === impl Occasion ===

impl Occasion {
    /// The `number`th id of this occasion: `prefix` and `digits` hexadecimal digits, 32 at most.
    pub(super) fn hex(self, prefix: &str, number: u32, digits: usize) -> String {
        let id = format!("{:032x}", self.hash(number));
        format!("{prefix}{}", &id[..digits.min(id.len())])
    }

    /// The id of the `number`th tool call in Ollama's form: `call_` and eight of `[a-z0-9]`.
    pub(super) fn call(self, number: u32) -> String {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut hash = self.hash(number);
        let mut id = String::from("call_");
        for _ in 0..8 {
            // The remainder is below 36.
            id.push(char::from(LETTERS[(hash % 36) as usize]));
            hash /= 36;
        }
        id
    }

    fn hash(self, number: u32) -> u128 {
        xxh3_128_with_seed(&self.nonce.to_be_bytes(), u64::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_form_and_differ_by_number_and_nonce() {
        let first = Occasion { now: Timestamp::EPOCH, nonce: 1 };
        let other = Occasion { nonce: 2, ..first };
        assert_eq!(first.hex("msg_", 0, 24), first.hex("msg_", 0, 24));
        assert_ne!(first.hex("msg_", 0, 24), first.hex("msg_", 1, 24));
        assert_ne!(first.hex("msg_", 0, 24), other.hex("msg_", 0, 24));
        assert_eq!(first.hex("msg_", 0, 24).len(), 28);
        let call = first.call(3);
        assert!(
            call.len() == 13
                && call[5..].bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        );
    }
}
