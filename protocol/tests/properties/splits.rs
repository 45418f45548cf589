//! How the bytes of a stream are cut does not matter.

use ollamaflow_protocol::translate::Answer;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::NOW;
use crate::client::pairs;
use crate::damage::damage;
use crate::upstream::script;

/// The client's bytes for a stream that comes in these pieces.
fn answered(mut answer: Answer, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        answer.push(piece, NOW, &mut out);
    }
    answer.finish(NOW, &mut out);
    out
}

/// `bytes` cut at some places, a cut in front of the first byte and behind the last one included.
fn cut<'b>(bytes: &'b [u8], at: &[Index]) -> Vec<&'b [u8]> {
    let mut at: Vec<_> = at.iter().map(|at| at.index(bytes.len() + 1)).collect();
    at.sort_unstable();
    let (mut pieces, mut from) = (Vec::new(), 0);
    for at in at {
        pieces.push(&bytes[from..at]);
        from = at;
    }
    pieces.push(&bytes[from..]);
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn damaged_streams_give_the_same_bytes_however_they_are_cut(
        script in script(),
        damages in vec(damage(), 0..4),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        for pair in pairs() {
            let ask = || pair.ask(true);
            let mut bytes = script.stream(ask().operation);
            for damage in &damages {
                damage.apply(&mut bytes);
            }
            let whole = answered(ask().answer, &[&bytes]);
            prop_assert_eq!(&answered(ask().answer, &cut(&bytes, &cuts)), &whole, "{:?}", pair);
            let single: Vec<_> = bytes.chunks(1).collect();
            prop_assert_eq!(&answered(ask().answer, &single), &whole, "{:?}", pair);
        }
    }

    #[test]
    fn random_bytes_give_the_same_bytes_however_they_are_cut(
        bytes in vec(prop_oneof![3 => any::<u8>(), 1 => select(&b"\n\r:{}\"data[]"[..])], 0..200),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        for pair in pairs() {
            let whole = answered(pair.ask(true).answer, &[&bytes]);
            prop_assert_eq!(&answered(pair.ask(true).answer, &cut(&bytes, &cuts)), &whole, "{:?}", pair);
        }
    }
}
