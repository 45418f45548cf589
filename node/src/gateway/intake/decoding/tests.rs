//! Decoding against the encoders of the same codings: cut anywhere, cut off anywhere, followed by anything.

use std::io::Write as _;

use actix_web::http::header::{CONTENT_ENCODING, HeaderValue};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

const BOTH: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

fn encoded(coding: Coding, body: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Zstd => zstd::encode_all(body, 0).unwrap(),
    }
}

/// Decodes what arrives in these pieces, at most `most` bytes of it.
fn decoded<'a>(
    coding: Coding,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    most: usize,
) -> Result<Vec<u8>, Refusal> {
    let mut decoding = Decoding::begin(coding)?;
    let mut pieces = pieces.into_iter();
    let mut body = Vec::new();
    loop {
        match decoding.step()? {
            Step::Piece(piece) => {
                assert!((1..=PIECE_BYTES).contains(&piece.len()), "a piece of {} bytes", piece.len());
                body.extend_from_slice(&piece);
                assert!(body.len() <= most, "more came out than went in");
            }
            Step::Starved => match pieces.next() {
                Some(piece) => decoding.feed(Bytes::copy_from_slice(piece)),
                None => decoding.end(),
            },
            Step::Complete => return Ok(body),
        }
    }
}

fn whole(coding: Coding, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    decoded(coding, [bytes], usize::MAX)
}

fn why(outcome: Result<Vec<u8>, Refusal>) -> String {
    match outcome {
        Err(Refusal::Undecodable { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

fn coding_of(values: &[&str]) -> Result<Option<Coding>, Refusal> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
    }
    Coding::of(&headers)
}

/// Text that repeats itself, as requests do, and noise that does not.
fn body() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), 0..600), 0..300_usize).prop_map(|(unit, times)| unit.repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_body_comes_out_as_it_went_in_wherever_it_is_cut(body in body(), size in 1..5000_usize) {
        for coding in BOTH {
            let bytes = encoded(coding, &body);
            prop_assert!(decoded(coding, bytes.chunks(size), body.len()).unwrap() == body);
        }
    }

    #[test]
    fn no_rubbish_panics_or_goes_on_for_ever(bytes in prop::collection::vec(any::<u8>(), 1..300), at in 0..60_usize) {
        for coding in BOTH {
            let mut broken = encoded(coding, &b"0123456789".repeat(1000));
            let at = at.min(broken.len());
            broken.splice(at.., bytes.iter().copied());
            // A bound that nothing of this size can reach: one byte of input is at most 128 KiB (a run in zstd).
            let _ = decoded(coding, broken.chunks(7), 64 * 1024 * 1024);
        }
    }
}

#[test]
fn a_body_that_ends_too_early_is_refused_wherever_that_is() {
    for coding in BOTH {
        let bytes = encoded(coding, "All happy families are alike.".repeat(9).as_bytes());
        for end in 1..bytes.len() {
            let outcome = decoded(coding, bytes[..end].chunks(5), usize::MAX);
            assert_eq!(why(outcome), "it ends too early", "{coding:?} cut off at {end} of {}", bytes.len());
        }
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    for coding in BOTH {
        for rest in [&b"x"[..], b"\0", b"rubbish behind the end", &[0; 64]] {
            let mut bytes = encoded(coding, b"body");
            bytes.extend_from_slice(rest);
            assert!(whole(coding, &bytes).is_err(), "{coding:?} followed by {rest:?}");
        }
    }
}

#[test]
fn a_flipped_bit_is_noticed() {
    let mut gzip = encoded(Coding::Gzip, b"body body body");
    let checksum = gzip.len() - 8;
    gzip[checksum] ^= 1;
    assert!(why(whole(Coding::Gzip, &gzip)).contains("checksum"));

    let mut encoder = zstd::Encoder::new(Vec::new(), 0).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(b"body body body").unwrap();
    let mut zstd = encoder.finish().unwrap();
    *zstd.last_mut().unwrap() ^= 1;
    assert!(why(whole(Coding::Zstd, &zstd)).contains("checksum"));
}

#[test]
fn a_body_of_another_coding_is_refused() {
    assert!(whole(Coding::Gzip, b"{\"model\":\"m\"}").is_err());
    assert!(whole(Coding::Zstd, b"{\"model\":\"m\"}").is_err());
    assert!(whole(Coding::Gzip, &encoded(Coding::Zstd, b"body")).is_err());
    assert!(whole(Coding::Zstd, &encoded(Coding::Gzip, b"body")).is_err());
}

#[test]
fn a_body_may_have_several_members_or_frames() {
    for coding in BOTH {
        let bytes = [encoded(coding, b"one, "), encoded(coding, b""), encoded(coding, b"two")].concat();
        assert_eq!(decoded(coding, bytes.chunks(1), usize::MAX).unwrap(), b"one, two", "{coding:?}");
    }
}

#[test]
fn the_window_of_zstd_is_8_mib_and_no_more() {
    let framed = |window_log| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(b"body").unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(whole(Coding::Zstd, &framed(23)).unwrap(), b"body");
    assert!(why(whole(Coding::Zstd, &framed(24))).contains("too much memory"));
}

#[test]
fn a_bomb_is_decoded_no_further_than_it_is_asked_for() {
    for coding in BOTH {
        let bomb = encoded(coding, &vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < 100_000, "{coding:?}: {} bytes are no bomb", bomb.len());
        let mut decoding = Decoding::begin(coding).unwrap();
        decoding.feed(bomb.into());
        let mut size = 0;
        while size < 1024 * 1024 {
            match decoding.step().unwrap() {
                Step::Piece(piece) => size += piece.len(),
                other => panic!("{coding:?}: {other:?}"),
            }
        }
        assert!(!decoding.decoder.arrived().bytes.is_empty(), "{coding:?}: most of it is not even looked at");
    }
}

#[test]
fn codings_are_known_by_every_name_that_they_have() {
    for (values, coding) in [
        (&[][..], None),
        (&[""], None),
        (&["identity"], None),
        (&["gzip"], Some(Coding::Gzip)),
        (&["X-GZip"], Some(Coding::Gzip)),
        (&["ZSTD"], Some(Coding::Zstd)),
        (&["identity, \tgzip ,"], Some(Coding::Gzip)),
        (&["identity", "zstd"], Some(Coding::Zstd)),
    ] {
        assert_eq!(coding_of(values).unwrap(), coding, "{values:?}");
    }
}

#[test]
fn other_codings_and_more_than_one_are_refused() {
    for values in [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "zstd"], &["gzip;q=1"], &["\u{e9}"]]
    {
        assert!(matches!(coding_of(values), Err(Refusal::UnknownCoding(_))), "{values:?}");
    }
}
