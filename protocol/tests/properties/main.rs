//! What holds for every translation, whatever comes in: nothing panics, how a stream is cut does not matter, a stream
//! says what the whole answer says, and what goes there and back again is what it was.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

mod client;
mod damage;
mod folding;
mod garbage;
mod round_trip;
mod splits;
mod upstream;

use ollamaflow_protocol::time::Timestamp;
use ollamaflow_protocol::translate::Occasion;

/// When every answer of the tests is made.
const NOW: Timestamp = Timestamp::from_micros(1_767_323_046_000_000);
const OCCASION: Occasion = Occasion { now: NOW, nonce: 0x5eed };
