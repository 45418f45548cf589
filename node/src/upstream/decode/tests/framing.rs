//! Which headers frame a body, and which frame nothing beyond doubt.

use super::super::{BodyKind, HeadFault};
use super::{decode, kind};

fn refused(lines: &str) -> &'static str {
    match kind(lines) {
        Err(HeadFault::Malformed(what)) => what,
        other => panic!("accepted {lines:?} as {other:?}"),
    }
}

fn first_line(status: &str, lines: &str) -> (BodyKind, bool) {
    let framing = decode(format!("{status}\r\n{lines}\r\n")).head.unwrap().framing;
    (framing.kind, framing.reusable)
}

#[test]
fn content_length_frames_a_reusable_response() {
    assert_eq!(kind("content-length: 0\r\n"), Ok((BodyKind::Sized(0), true)));
    assert_eq!(kind("Content-Length: 0042\r\n"), Ok((BodyKind::Sized(42), true)));
    assert_eq!(kind("content-length: 18446744073709551615\r\n"), Ok((BodyKind::Sized(u64::MAX), true)));
}

#[test]
fn equal_content_lengths_count_as_one() {
    assert_eq!(kind("content-length: 5\r\ncontent-length: 5\r\n"), Ok((BodyKind::Sized(5), true)));
    assert_eq!(kind("content-length: 5, 5\r\n"), Ok((BodyKind::Sized(5), true)));
}

#[test]
fn differing_content_lengths_are_refused() {
    assert_eq!(refused("content-length: 5\r\ncontent-length: 6\r\n"), "differing content-length values");
    assert_eq!(refused("content-length: 5, 6\r\n"), "differing content-length values");
}

#[test]
fn invalid_content_lengths_are_refused() {
    for value in ["", " ", "+5", "-1", "5 6", "0x5", "5;", "5,", "five", "18446744073709551616", "1e3", "5.0"]
    {
        assert_eq!(refused(&format!("content-length: {value}\r\n")), "invalid content-length", "{value:?}");
    }
}

#[test]
fn chunked_in_any_case_frames_a_reusable_response() {
    assert_eq!(kind("transfer-encoding: chunked\r\n"), Ok((BodyKind::Chunked, true)));
    assert_eq!(kind("Transfer-Encoding: , CHUNKED ,\r\n"), Ok((BodyKind::Chunked, true)));
}

#[test]
fn chunked_wins_over_content_length_but_spoils_the_connection() {
    assert_eq!(kind("content-length: 5\r\ntransfer-encoding: chunked\r\n"), Ok((BodyKind::Chunked, false)));
    assert_eq!(kind("transfer-encoding: chunked\r\ncontent-length: 5\r\n"), Ok((BodyKind::Chunked, false)));
}

#[test]
fn other_transfer_codings_are_refused() {
    for value in
        ["gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked;q=1", "xchunked"]
    {
        assert_eq!(
            refused(&format!("transfer-encoding: {value}\r\n")),
            "unsupported transfer-encoding",
            "{value:?}"
        );
    }
    let twice = "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n";
    assert_eq!(refused(twice), "unsupported transfer-encoding");
    assert_eq!(refused("transfer-encoding:\r\n"), "empty transfer-encoding");
}

#[test]
fn without_framing_headers_the_body_lasts_until_the_close() {
    assert_eq!(kind(""), Ok((BodyKind::UntilClose, false)));
    assert_eq!(first_line("HTTP/1.0 200 OK", "connection: keep-alive\r\n"), (BodyKind::UntilClose, false));
}

#[test]
fn connection_close_is_honoured_wherever_it_stands() {
    for value in ["close", "Close", "keep-alive, close", "x-foo,close", " close "] {
        let lines = format!("content-length: 1\r\nconnection: {value}\r\n");
        assert_eq!(kind(&lines), Ok((BodyKind::Sized(1), false)), "{value:?}");
    }
    assert_eq!(
        kind("connection: x\r\ncontent-length: 1\r\nconnection: close\r\n"),
        Ok((BodyKind::Sized(1), false))
    );
    assert_eq!(kind("content-length: 1\r\nconnection: closed\r\n"), Ok((BodyKind::Sized(1), true)));
}

#[test]
fn an_older_server_keeps_the_connection_only_if_it_says_so() {
    let old = "HTTP/1.0 200 OK";
    assert_eq!(first_line(old, "content-length: 1\r\n"), (BodyKind::Sized(1), false));
    assert_eq!(
        first_line(old, "content-length: 1\r\nconnection: Keep-Alive\r\n"),
        (BodyKind::Sized(1), true)
    );
}

#[test]
fn an_older_server_cannot_send_chunks() {
    let end = decode("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").end;
    let fault = HeadFault::Malformed("transfer-encoding in an http/1.0 response");
    assert_eq!(end, super::End::BadHead(fault));
}

#[test]
fn no_content_and_not_modified_have_no_body_whatever_they_say() {
    for status in ["HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified"] {
        assert_eq!(first_line(status, ""), (BodyKind::Empty, true));
        assert_eq!(first_line(status, "content-length: 10\r\n"), (BodyKind::Empty, true));
        assert_eq!(first_line(status, "transfer-encoding: chunked\r\n"), (BodyKind::Empty, true));
    }
}
