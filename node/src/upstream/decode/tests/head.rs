//! Response heads: what is accepted, what is refused, and that refusing is all that happens.

use http::StatusCode;

use super::super::super::decode_property::{End, TIGHT, replay};
use super::super::{BodyKind, HeadFault};
use super::{USUAL, decode};

fn fault(stream: &[u8]) -> HeadFault {
    match decode(stream).end {
        End::BadHead(fault) => fault,
        end => panic!("accepted as {end:?}"),
    }
}

fn malformed(stream: &[u8]) -> &'static str {
    match fault(stream) {
        HeadFault::Malformed(what) => what,
        HeadFault::TooLarge => panic!("called too large"),
    }
}

#[test]
fn keeps_the_order_and_the_repeats_of_headers() {
    let head =
        decode("HTTP/1.1 418 I'm a teapot\r\nSet-Cookie: a=1\r\nX-Empty:\r\nset-cookie:  b=2 \r\n\r\n")
            .head
            .unwrap();
    let lines: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(head.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(lines, [("set-cookie", &b"a=1"[..]), ("x-empty", b""), ("set-cookie", b"b=2")]);
}

#[test]
fn takes_a_bare_line_feed_for_a_line_end() {
    let transcript = decode("HTTP/1.1 200 OK\ncontent-length: 2\n\nhi");
    assert_eq!(transcript.body, b"hi");
    assert!(matches!(transcript.end, End::Complete(_)));
}

#[test]
fn takes_a_status_line_without_a_reason() {
    assert!(decode("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n").head.is_some());
    assert!(decode("HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n").head.is_some());
}

#[test]
fn keeps_bytes_above_ascii_in_values() {
    let head = decode(b"HTTP/1.1 200 OK\r\nx-name: caf\xe9\r\n\r\n").head.unwrap();
    assert_eq!(head.headers[0].1.as_bytes(), b"caf\xe9");
}

#[test]
fn refuses_what_is_not_http_without_waiting_for_a_line_end() {
    assert_eq!(malformed(b"SSH-2.0-OpenSSH_9.2"), "not an http/1 status line");
    assert_eq!(malformed(b"HTTQ"), "not an http/1 status line");
    assert_eq!(malformed(b"HTTP/2 200"), "not an http/1 status line");
    assert_eq!(malformed(b"\r\nHTTP/1.1 200 OK\r\n\r\n"), "not an http/1 status line");
    assert_eq!(malformed(b"\x15\x03\x01\x00\x02\x02\x46"), "not an http/1 status line");
}

#[test]
fn refuses_malformed_status_lines() {
    assert_eq!(malformed(b"HTTP/1.2 200 OK\r\n\r\n"), "unsupported http version");
    assert_eq!(malformed(b"HTTP/1.1 20 OK\r\n\r\n"), "invalid status line");
    assert_eq!(malformed(b"HTTP/1.1 2000 OK\r\n\r\n"), "invalid status line");
    assert_eq!(malformed(b"HTTP/1.1 099 OK\r\n\r\n"), "invalid status code");
    assert_eq!(malformed(b"HTTP/1.1 200 O\0K\r\n\r\n"), "invalid status line");
}

#[test]
fn refuses_folded_lines() {
    assert_eq!(malformed(b"HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\n\r\n"), "invalid header name");
    assert_eq!(malformed(b"HTTP/1.1 200 OK\r\n x-a: 1\r\n\r\n"), "invalid header name");
}

#[test]
fn refuses_bad_header_names() {
    for name in ["x a", "x-a ", "", "x\0a", "x\u{e9}", "x(a)"] {
        let stream = format!("HTTP/1.1 200 OK\r\n{name}: 1\r\n\r\n");
        assert_eq!(malformed(stream.as_bytes()), "invalid header name", "{name:?}");
    }
    assert_eq!(malformed(b"HTTP/1.1 200 OK\r\nno-colon\r\n\r\n"), "invalid header name");
}

#[test]
fn refuses_control_bytes_in_values() {
    for value in [&b"a\0b"[..], b"a\x01b", b"a\x7fb", b"a\rb"] {
        let stream = [b"HTTP/1.1 200 OK\r\nx-a: ", value, b"\r\n\r\n"].concat();
        assert_eq!(malformed(&stream), "invalid header value", "{value:?}");
    }
}

#[test]
fn refuses_more_header_lines_than_allowed() {
    let with = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: 1\r\n".repeat(count));
    assert!(decode(with(128)).head.is_some());
    assert_eq!(fault(with(129).as_bytes()), HeadFault::TooLarge);
}

#[test]
fn refuses_a_head_larger_than_allowed_to_the_byte() {
    let with = |bytes: usize| {
        let frame = "HTTP/1.1 200 OK\r\nx-a: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "v".repeat(bytes - frame))
    };
    for (bytes, accepted) in [(255, true), (256, true), (257, false), (10_000, false)] {
        let stream = with(bytes);
        assert_eq!(stream.len(), bytes);
        for size in [1, 7, 256, 257, 20_000] {
            let end = replay(false, TIGHT, stream.as_bytes().chunks(size)).end;
            assert_eq!(
                end != End::BadHead(HeadFault::TooLarge),
                accepted,
                "{bytes} bytes in pieces of {size}"
            );
        }
    }
}

#[test]
fn reads_over_interim_responses() {
    let stream = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\ncontent-length: 9\r\n\r\n\
                  HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    let transcript = decode(stream);
    let head = transcript.head.unwrap();
    assert_eq!((head.status, head.headers.len(), head.framing.kind), (StatusCode::OK, 1, BodyKind::Sized(2)));
    assert_eq!((transcript.body, transcript.end), (b"hi".to_vec(), End::Complete(stream.len())));
}

#[test]
fn refuses_an_endless_series_of_interim_responses() {
    let with = |count| "HTTP/1.1 102 Processing\r\n\r\n".repeat(count) + "HTTP/1.1 204 No Content\r\n\r\n";
    assert!(decode(with(16)).head.is_some());
    assert_eq!(malformed(with(17).as_bytes()), "too many interim responses");
}

#[test]
fn refuses_to_switch_protocols() {
    let stream = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    assert_eq!(malformed(stream), "switching protocols was not asked for");
}

#[test]
fn sees_no_body_after_a_head_request() {
    let stream = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    let transcript = replay(true, USUAL, [&stream[..]]);
    assert_eq!(transcript.head.unwrap().framing.kind, BodyKind::Empty);
    assert_eq!((transcript.body.len(), transcript.end), (0, End::Complete(stream.len() - 5)));
}

#[test]
fn an_end_inside_a_head_is_not_a_response() {
    let stream = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for length in 0..stream.len() {
        assert_eq!(decode(&stream[..length]).end, End::NoHead, "cut after {length} bytes");
    }
    assert_eq!(decode(stream).end, End::Complete(stream.len()));
}
