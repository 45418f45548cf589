//! The proof that a message comes from a holder of the cluster's secret, and was not altered.

use std::fmt;

use ollamaflow_protocol::object::Secret;
use ring::{digest, hmac};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::call::Call;

/// Shortest secret, in bytes: 128 bits if they are random.
const MIN_SECRET_BYTES: usize = 16;

/// Starts the text under a request's seal, so that no other use of the secret can be taken for one.
const REQUEST: &[u8] = b"ollamaflow peer request 1\0";

/// The same for answers.
const ANSWER: &[u8] = b"ollamaflow peer answer 1\0";

/// Bytes that are hashed before other work gets its turn: well below a millisecond.
const STRIDE: usize = 256 * 1024;

/// Length of digests and seals, in bytes.
const BYTES: usize = 32;

/// The secret that all nodes of a cluster share. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct PeerSecret(hmac::Key);

/// Why a text is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SecretError {
    /// It is too short to withstand guessing.
    #[error(
        "the cluster secret has {bytes} bytes, but needs {MIN_SECRET_BYTES} at least: `openssl rand -hex 32` makes a good one"
    )]
    TooShort {
        /// Its length.
        bytes: usize,
    },
}

/// HMAC-SHA-256 of a message's head. Compared in constant time only.
#[derive(Clone, Copy)]
pub(super) struct Seal([u8; BYTES]);

/// SHA-256 of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; BYTES]);

/// The digest of a body that arrives in pieces.
pub(super) struct Digesting(digest::Context);

// === impl PeerSecret ===

impl PeerSecret {
    /// The secret of a text.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        if text.len() < MIN_SECRET_BYTES {
            return Err(SecretError::TooShort { bytes: text.len() });
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))
    }

    /// The seal of a request: of its call and the text of its head.
    pub(super) fn of_request(&self, call: Call, head: &str) -> Seal {
        // Neither a path nor a header value has a NUL: no two requests have the same text.
        self.seal(&[REQUEST, call.path().as_bytes(), b"\0", head.as_bytes()])
    }

    /// The seal of an answer to the request with the seal `request`.
    pub(super) fn of_answer(&self, request: &Seal, status: u16, body: &Digest) -> Seal {
        // All parts have fixed lengths.
        self.seal(&[ANSWER, &request.0, &status.to_be_bytes(), &body.0])
    }

    fn seal(&self, parts: &[&[u8]]) -> Seal {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(context.sign().as_ref());
        Seal(bytes)
    }
}

impl TryFrom<&Secret> for PeerSecret {
    type Error = SecretError;

    fn try_from(secret: &Secret) -> Result<Self, SecretError> {
        Self::new(secret.expose())
    }
}

impl fmt::Debug for PeerSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Secret::REDACTED)
    }
}

// === impl Seal ===

impl Seal {
    /// The seal as the value of a header.
    pub(super) fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Whether the header's text is this seal; takes the same time wherever they differ.
    pub(super) fn is(&self, text: &[u8]) -> bool {
        let mut claimed = [0; BYTES];
        hex::decode_to_slice(text, &mut claimed).is_ok() && bool::from(self.0.ct_eq(&claimed))
    }
}

// === impl Digest ===

impl Digest {
    /// The digest of bytes that are all there. Lets other tasks of the thread have their turn.
    pub(super) async fn of(bytes: &[u8]) -> Self {
        let mut digesting = Digesting::new();
        let mut strides = bytes.chunks(STRIDE).peekable();
        while let Some(stride) = strides.next() {
            digesting.add(stride);
            if strides.peek().is_some() {
                tokio::task::yield_now().await;
            }
        }
        digesting.finish()
    }

    pub(super) fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

// === impl Digesting ===

impl Digesting {
    pub(super) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(super) fn finish(self) -> Digest {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Digest(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> PeerSecret {
        PeerSecret::new(text).unwrap()
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_shown() {
        assert_eq!(PeerSecret::new("fifteen bytes..").unwrap_err(), SecretError::TooShort { bytes: 15 });
        assert!(!format!("{:?}", secret("sixteen bytes...")).contains("sixteen"));
    }

    #[test]
    fn a_seal_depends_on_everything_under_it() {
        let mine = secret("sixteen bytes...");
        let seal = mine.of_request(Call::Vote, "head");
        let is = |other: Seal| seal.is(other.to_hex().as_bytes());
        assert!(is(mine.of_request(Call::Vote, "head")));
        assert!(!is(mine.of_request(Call::Elect, "head")));
        assert!(!is(mine.of_request(Call::Vote, "heaD")));
        assert!(!is(secret("sixteen bytes..!").of_request(Call::Vote, "head")));
        assert!(!seal.is(b"") && !seal.is(&[b'0'; 64]) && !seal.is(&[b'x'; 64]));

        let digest = Digesting::new().finish();
        let answer = mine.of_answer(&seal, 200, &digest);
        let other = mine.of_request(Call::Vote, "other");
        assert!(answer.is(mine.of_answer(&seal, 200, &digest).to_hex().as_bytes()));
        assert!(!answer.is(mine.of_answer(&seal, 409, &digest).to_hex().as_bytes()));
        assert!(!answer.is(mine.of_answer(&other, 200, &digest).to_hex().as_bytes()));
    }

    #[test]
    fn a_digest_is_the_same_in_pieces() {
        let bytes = vec![7; 3 * STRIDE + 1];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let whole = runtime.block_on(Digest::of(&bytes));
        let mut pieces = Digesting::new();
        bytes.chunks(1000).for_each(|piece| pieces.add(piece));
        assert_eq!(pieces.finish(), whole);
        assert_eq!(Digest::from_hex(&whole.to_hex()), Some(whole));
    }
}
