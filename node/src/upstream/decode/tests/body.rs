//! Response bodies: sized, chunked and until close, complete and cut short.

use super::super::super::decode_property::{End, TIGHT, replay};
use super::super::{BodyDecoder, BodyFault, BodyKind};
use super::{USUAL, chunked, decode};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn bad_chunk(raw: &str) -> &'static str {
    match chunked(raw) {
        Err(BodyFault::BadChunk(what)) => what,
        other => panic!("took {raw:?} for {other:?}"),
    }
}

#[test]
fn decodes_chunks() {
    assert_eq!(chunked("0\r\n\r\n"), Ok(String::new()));
    assert_eq!(
        chunked("5\r\nhello\r\n1\r\n,\r\nA\r\n wide worl\r\n1\r\nd\r\n0\r\n\r\n"),
        Ok("hello, wide world".into())
    );
    assert_eq!(chunked("00000005\r\nhello\r\n000\r\n\r\n"), Ok("hello".into()));
}

#[test]
fn reads_over_chunk_extensions() {
    assert_eq!(chunked("5;a=b;c=\"d\"\r\nhello\r\n0;last\r\n\r\n"), Ok("hello".into()));
    assert_eq!(chunked("5 ;a\r\nhello\r\n0 \t\r\n\r\n"), Ok("hello".into()));
}

#[test]
fn reads_over_trailers() {
    assert_eq!(chunked("2\r\nhi\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n"), Ok("hi".into()));
}

#[test]
fn several_chunks_of_one_buffer_become_one_piece() {
    let mut decoder = BodyDecoder::new(BodyKind::Chunked, USUAL);
    let mut buffer = b"1\r\na\r\n2\r\nbc\r\n3;x\r\ndef\r\n4\r\ngh".to_vec();
    let length = buffer.len();
    let found = decoder.decode(&mut buffer).unwrap();
    assert_eq!((&buffer[found.data], found.used), (&b"abcdefgh"[..], length));
    assert_eq!(decoder.outcome(), None);
}

#[test]
fn a_single_chunk_is_not_moved() {
    let mut decoder = BodyDecoder::new(BodyKind::Chunked, USUAL);
    let found = decoder.decode(&mut b"4\r\nabcd\r\n".to_vec()).unwrap();
    assert_eq!(found.data, 3..7);
}

#[test]
fn stops_exactly_at_the_end() {
    let mut stream = format!("{CHUNKED}2\r\nhi\r\n0\r\n\r\n");
    let length = stream.len();
    stream.push_str("HTTP/1.1 200 OK\r\n");
    assert_eq!(decode(stream).end, End::Complete(length));

    let sized = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    let transcript = decode(format!("{sized}surplus"));
    assert_eq!((transcript.body, transcript.end), (b"hi".to_vec(), End::Complete(sized.len())));
}

#[test]
fn refuses_sizes_that_are_not_hexadecimal_numbers() {
    for raw in
        ["\r\n", "x\r\n", "g\r\n", "-1\r\n", "+1\r\n", " 1\r\n", "0x1\r\n", "1_\r\n", ";a\r\n", "\u{661}\r\n"]
    {
        assert_eq!(bad_chunk(raw), "chunk size is not a hexadecimal number", "{raw:?}");
    }
    assert_eq!(bad_chunk("1 1\r\n"), "unexpected byte after a chunk size");
}

#[test]
fn refuses_sizes_beyond_64_bits() {
    assert_eq!(chunked("ffffffffffffffff\r\n"), Err(BodyFault::Truncated));
    assert_eq!(chunked("0000ffffffffffffffff\r\n"), Err(BodyFault::Truncated));
    assert_eq!(bad_chunk("10000000000000000\r\n"), "chunk size overflows");
    assert_eq!(bad_chunk("fffffffffffffffff\r\n"), "chunk size overflows");
}

#[test]
fn refuses_size_lines_without_end() {
    let extension = |bytes: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(bytes));
    assert_eq!(chunked(&extension(4094)), Ok("a".into()));
    assert_eq!(bad_chunk(&extension(4095)), "chunk-size line is too long");
    assert_eq!(bad_chunk(&"0".repeat(5000)), "chunk-size line is too long");
}

#[test]
fn refuses_bare_line_feeds_and_stray_carriage_returns() {
    assert_eq!(bad_chunk("1\na\r\n0\r\n\r\n"), "chunk size is not a hexadecimal number");
    assert_eq!(bad_chunk("1;x\na\r\n0\r\n\r\n"), "bare line feed in a chunk extension");
    assert_eq!(bad_chunk("1 \na\r\n0\r\n\r\n"), "unexpected byte after a chunk size");
    assert_eq!(bad_chunk("1\r\r\na\r\n0\r\n\r\n"), "carriage return without line feed");
    assert_eq!(bad_chunk("1\r\na\n0\r\n\r\n"), "chunk data is longer than its size");
    assert_eq!(bad_chunk("1\r\na\r0\r\n\r\n"), "carriage return without line feed");
    assert_eq!(bad_chunk("0\r\n\n"), "bare line feed in a trailer");
    assert_eq!(bad_chunk("0\r\nx: 1\n\r\n"), "bare line feed in a trailer");
    assert_eq!(bad_chunk("0\r\n\rx"), "carriage return without line feed");
}

#[test]
fn refuses_data_longer_than_its_chunk() {
    assert_eq!(bad_chunk("1\r\nab\r\n0\r\n\r\n"), "chunk data is longer than its size");
}

#[test]
fn refuses_trailers_larger_than_allowed_to_the_byte() {
    let with = |bytes: usize| format!("{CHUNKED}0\r\nx: {}\r\n\r\n", "t".repeat(bytes - "x: \r\n".len()));
    assert!(matches!(replay(false, TIGHT, [with(32).as_bytes()]).end, End::Complete(_)));
    assert_eq!(replay(false, TIGHT, [with(33).as_bytes()]).end, End::BadBody(BodyFault::TrailerTooLarge));
}

#[test]
fn hands_out_the_payload_before_a_fault() {
    let transcript = decode(format!("{CHUNKED}5\r\nhello\r\nnonsense"));
    assert_eq!(transcript.body, b"hello");
    assert_eq!(transcript.end, End::BadBody(BodyFault::BadChunk("chunk size is not a hexadecimal number")));

    let mut decoder = BodyDecoder::new(BodyKind::Chunked, USUAL);
    let mut buffer = b"2\r\nhi\r\n!".to_vec();
    let found = decoder.decode(&mut buffer).unwrap();
    assert_eq!(&buffer[found.data], b"hi");
    let fault = decoder.outcome().unwrap().unwrap_err();
    assert_eq!(decoder.decode(&mut buffer), Err(fault), "a fault stays");
}

#[test]
fn truncation_at_every_offset_is_an_error() {
    let streams = [
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world".to_owned(),
        format!("{CHUNKED}5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"),
        format!("{CHUNKED}1\r\na\r\n0\r\nx-trailer: 1\r\nx-other: 2\r\n\r\n"),
        format!("HTTP/1.1 100 Continue\r\n\r\n{CHUNKED}0\r\n\r\n"),
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx".to_owned(),
    ];
    for stream in streams {
        for length in 0..stream.len() {
            let end = decode(&stream.as_bytes()[..length]).end;
            let is_error = matches!(end, End::NoHead | End::BadBody(BodyFault::Truncated));
            assert!(is_error, "{stream:?} cut after {length} bytes is {end:?}");
        }
        assert_eq!(decode(&stream).end, End::Complete(stream.len()));
    }
}

#[test]
fn a_body_until_close_ends_with_the_connection() {
    let stream = "HTTP/1.1 200 OK\r\n\r\nall that comes";
    let transcript = decode(stream);
    assert_eq!((transcript.body, transcript.end), (b"all that comes".to_vec(), End::Complete(stream.len())));
}
